//! Writes the reference of the configuration file, from the same definitions as the flags.

use std::fmt::Write as _;

use super::keys::{Form, KEYS, Key, SECTIONS};
use super::serve;

/// Characters of a line of help.
const WIDTH: usize = 110;

/// A file with every key, each commented out, with its help and its default.
pub(super) fn toml(command: &clap::Command) -> String {
    let mut text = String::new();
    for (section, about) in SECTIONS {
        let gap = if text.is_empty() { "" } else { "\n" };
        put(&mut text, format_args!("{gap}# {about}\n[{section}]\n"));
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let found = serve(command).get_arguments().find(|flag| flag.get_long() == Some(key.flag));
            let flag = found.expect("a test checks that every key is a flag");
            put(&mut text, format_args!("\n{}", described(key, flag)));
        }
    }
    text
}

/// The page about the configuration.
#[cfg(test)]
pub(super) fn page(command: &clap::Command) -> String {
    format!("{INTRODUCTION}{}{END}", toml(command))
}

#[cfg(test)]
const INTRODUCTION: &str = "# Configuration of `finaira serve`

Every setting is a flag, an environment variable and a key of a configuration file. A flag counts before the environment, the
environment before the file, and the file before the default. `finaira serve --config FILE` (or `FINAIRA_CONFIG`) reads a file.

The file is TOML. A key or section that does not exist is refused with the nearest one that does, and a value of the wrong type with
its line and what was expected. `finaira config check FILE` checks a file without a start.

No key takes a secret: keys that need one name a file. Files with a private key of TLS, and those with an API key, are refused if
users other than their owner and their group have access to them. In Kubernetes, set `defaultMode: 0440` for the volume of the secret.

This page is generated. `finaira config reference` prints the file below.

```toml
";
#[cfg(test)]
const END: &str = "```
";

fn described(key: &Key, flag: &clap::Arg) -> String {
    let mut text = String::new();
    let help = flag.get_long_help().or_else(|| flag.get_help()).map(ToString::to_string).unwrap_or_default();
    for line in wrapped(&format!("{}.", help.trim_end_matches('.'))) {
        put(&mut text, format_args!("# {line}\n"));
    }
    if key.form == Form::Text {
        for value in flag.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
            let help = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
            put(&mut text, format_args!("# - \"{}\"{help}\n", value.get_name()));
        }
    }
    let environment =
        flag.get_env().map(|name| format!(", environment {}", name.to_string_lossy())).unwrap_or_default();
    put(&mut text, format_args!("# Flag --{}{environment}.\n", key.flag));
    let default = flag.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
    let shown = match (default, key.form) {
        (Some(number), Form::Number) => number,
        (Some(switch), Form::Switch) => (switch == "on").to_string(),
        (Some(text), Form::Text) => format!("\"{text}\""),
        (None, _) => {
            let need = if flag.is_required_set() { "Required" } else { "Optional" };
            put(&mut text, format_args!("# {need}; there is no default.\n"));
            let name = flag.get_value_names().and_then(<[_]>::first).map(|name| name.to_string());
            format!("\"{}\"", name.unwrap_or_default())
        }
    };
    put(&mut text, format_args!("#{} = {shown}\n", key.name));
    text
}

/// Breaks a text into lines at spaces.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(what).unwrap_or_default();
}
