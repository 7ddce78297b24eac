//! Reads a configuration file: every key is known, and every value is one that its flag would take.

use std::borrow::Cow;
use std::error::Error as _;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::error::{ContextKind, ContextValue};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Form, KEYS, Key, SECTIONS};
use super::serve;

/// Most bytes of a configuration file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A key that a file sets, and its value as its flag takes it.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) key: &'static Key,
    pub(super) value: String,
}

pub(super) fn read(file: &Path, command: &clap::Command) -> anyhow::Result<Vec<Set>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if text.len() > FILE_BYTES_MAX {
        bail!("{} has {} bytes, expected at most {FILE_BYTES_MAX}", file.display(), text.len());
    }
    parse(&text, command).map_err(|Fault { at, what }| {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        anyhow::anyhow!("{}:{line}: {what}", file.display())
    })
}

/// What is wrong, and at which byte.
#[derive(Debug)]
struct Fault {
    at: usize,
    what: String,
}

fn fault(at: Range<usize>, what: String) -> Fault {
    Fault { at: at.start, what }
}

fn parse(text: &str, command: &clap::Command) -> Result<Vec<Set>, Fault> {
    let parsed = DeTable::parse(text);
    let parsed = parsed.map_err(|error| fault(error.span().unwrap_or_default(), error.message().to_owned()))?;
    let mut all = Vec::new();
    for (name, value) in in_order(parsed.get_ref()) {
        let section = name.get_ref().as_ref();
        let at = name.span();
        if !SECTIONS.iter().any(|(known, _)| *known == section) {
            return Err(fault(at, unknown_section(section)));
        }
        let Some(table) = value.get_ref().as_table() else {
            return Err(fault(at, format!("{section} is a section, expected [{section}]")));
        };
        for (name, value) in in_order(table) {
            let known = KEYS.iter().find(|key| key.section == section && key.name == name.get_ref());
            let Some(key) = known else { return Err(fault(name.span(), unknown_key(section, name.get_ref()))) };
            let value = value_of(key, value.get_ref())
                .and_then(|value| check(key, &value, command).map(|()| value))
                .map_err(|what| fault(value.span(), format!("{section}.{}: {what}", key.name)))?;
            all.push(Set { key, value });
        }
    }
    Ok(all)
}

/// The items of a table in the order of the file, so that the first fault is reported.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut items: Vec<_> = table.iter().collect();
    items.sort_by_key(|(name, _)| name.span().start);
    items
}

/// The value, as the flag takes it.
fn value_of(key: &Key, value: &DeValue<'_>) -> Result<String, String> {
    match (key.form, value) {
        (Form::Text, DeValue::String(text)) => Ok(text.to_string()),
        (Form::Number, DeValue::Integer(number)) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            parsed.map(|number| number.to_string()).map_err(|error| error.to_string())
        }
        (Form::Switch, DeValue::Boolean(is_on)) => Ok(if *is_on { "on" } else { "off" }.to_owned()),
        (form, other) => Err(format!("found {}, expected {}", name_of(other), form.name())),
    }
}

fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date or a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Checks a value as its flag does, without the environment.
fn check(key: &Key, value: &str, command: &clap::Command) -> Result<(), String> {
    let flag = format!("--{}={value}", key.flag);
    let data = if key.flag == "data" { &[][..] } else { &["--data=."][..] };
    let given = ["serve"].into_iter().chain(data.iter().copied()).chain([flag.as_str()]);
    let alone = serve(command).clone().mut_args(|flag| flag.env(None::<&str>));
    alone.try_get_matches_from(given).map(drop).map_err(|error| {
        match (error.source(), error.get(ContextKind::ValidValue)) {
            (Some(source), _) => format!("found `{value}`: {source}"),
            (None, Some(ContextValue::Strings(valid))) => format!("found `{value}`, expected {}", valid.join(", ")),
            (None, _) => format!("found `{value}`, which {} does not take", key.flag),
        }
    })
}

fn unknown_section(found: &str) -> String {
    let sections = SECTIONS.iter().map(|(name, _)| (*name, format!("[{name}]")));
    format!("there is no section [{found}]{}", suggestion(found, sections))
}

fn unknown_key(section: &str, found: &str) -> String {
    let whole = |key: &Key| format!("{}.{}", key.section, key.name);
    // The name of a flag also leads to its key.
    let as_flag = KEYS.iter().find(|key| key.flag == found);
    let known = match as_flag {
        Some(key) => format!("; did you mean {}?", whole(key)),
        None => {
            let of_section = KEYS.iter().filter(|key| key.section == section).map(|key| (key.name, whole(key)));
            let of_others = KEYS.iter().filter(|key| key.section != section).map(|key| (key.name, whole(key)));
            suggestion(found, of_section.chain(of_others))
        }
    };
    format!("there is no key {section}.{found}{known}")
}

/// Names the known item that is most like what was found; the first one of equals.
fn suggestion(found: &str, known: impl Iterator<Item = (&'static str, String)>) -> String {
    let nearest = known.min_by_key(|(name, _)| distance(found, name));
    nearest.map_or_else(String::new, |(_, shown)| format!("; did you mean {shown}?"))
}

/// How many characters must be inserted, removed or replaced to turn one text into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, found) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, expected) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(found != *expected);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = match parse(text, &crate::Arguments::command()) {
            Ok(all) => all.iter().map(|set| format!("{}={}", set.key.flag, set.value)).collect::<Vec<_>>().join(" "),
            Err(Fault { at, what }) => format!("{}: {what}", text[..at].matches('\n').count() + 1),
        };
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn a_file_sets_flags() {
        check("", "");
        check("[limits]\nqueue = 1_000\n[listen]\naddress = \"[::1]:80\"", "queue=1000 listen=[::1]:80");
        check("[proofs]\nenabled = false\n[clock]\nahead-max = \"5s\"", "proofs=off clock-ahead-max=5s");
        check("limits.queue = 0x10", "queue=16");
    }

    #[test]
    fn a_fault_names_the_line_and_what_was_expected() {
        check("\n[limit]\n", "2: there is no section [limit]; did you mean [limits]?");
        check("[limits]\nqueu = 1", "2: there is no key limits.queu; did you mean limits.queue?");
        check("[tls]\ntls-key = \"k\"", "2: there is no key tls.tls-key; did you mean tls.key?");
        check("[limits]\nlevel = \"info\"", "2: there is no key limits.level; did you mean logs.level?");
        check("[limits]\n\nqueue = \"7\"", "3: limits.queue: found a text, expected a whole number");
        check("[limits]\nqueue = 0", "2: limits.queue: found `0`: 0 is not in 1..=1000000");
        check("[limits]\nqueue = -1", "2: limits.queue: found `-1`: -1 is not in 1..=1000000");
        check("[proofs]\nenabled = \"on\"", "2: proofs.enabled: found a text, expected true or false");
        check("[logs]\nformat = \"xml\"", "2: logs.format: found `xml`, expected auto, text, json");
        check("[clock]\nahead-max = 5", "2: clock.ahead-max: found a whole number, expected a text in quotes");
        check("tls = 1", "1: tls is a section, expected [tls]");
        check("[limits]\nqueue = 1\nqueue = 2", "3: duplicate key");
        check("[limits\n", "1: unclosed table, expected `]`");
    }

    #[test]
    fn distances_count_edits() {
        for (one, other, expected) in
            [("", "abc", 3), ("queue", "queue", 0), ("queu", "queue", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
