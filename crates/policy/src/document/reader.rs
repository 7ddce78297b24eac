//! Reads TOML values by key. Reports what is missing, mistyped or unknown, together with what was expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::de::{DeTable, DeValue};
use types::{Span, shorten};

use crate::limits::{PROBLEMS_MAX, TEXT_BYTES_MAX};
use crate::problem::{Place, Problems, suggestion};

/// A value with the place where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A value of the document that is not read yet.
#[derive(Debug, Clone)]
pub(crate) struct Node<'d> {
    value: &'d DeValue<'d>,
    pub(crate) place: Place,
    pub(crate) problems: &'d Problems<'d>,
}

impl<'d> Node<'d> {
    /// Converts the value with `read`. As everywhere in this file, a problem is reported and gives `None`.
    pub(crate) fn read<T>(self, read: impl FnOnce(&'d DeValue<'d>) -> Result<T, String>) -> Option<Located<T>> {
        match read(self.value) {
            Ok(value) => Some(Located { value, place: self.place }),
            Err(message) => {
                self.problems.report(&self.place, message);
                None
            }
        }
    }

    /// Whether the value is a table.
    pub(crate) fn is_table(&self) -> bool {
        self.value.as_table().is_some()
    }

    /// Reads a table with known keys.
    pub(crate) fn table(self) -> Option<Table<'d>> {
        let problems = self.problems;
        let table = self.read(|value| value.as_table().ok_or_else(|| unexpected(value, "a table")))?;
        Some(Table { table: table.value, place: table.place, problems, asked: Vec::new() })
    }

    /// Reads the items of an array.
    pub(crate) fn items(self) -> Option<Vec<Self>> {
        let problems = self.problems;
        let array = self.read(|value| value.as_array().ok_or_else(|| unexpected(value, "an array")))?;
        let item = |(position, item): (usize, &'d toml::Spanned<DeValue<'d>>)| Self {
            value: item.get_ref(),
            place: Place { path: format!("{}[{position}]", array.place.path), span: item.span() },
            problems,
        };
        Some(array.value.iter().enumerate().map(item).collect())
    }

    /// The items of an array, or the value itself if it is no array.
    pub(crate) fn one_or_more(self) -> Vec<Self> {
        if self.value.is_array() { self.items().unwrap_or_default() } else { vec![self] }
    }

    /// Reads the entries of a table whose keys the author chooses, in the order in which they are written. The place of
    /// a key is that of the word itself.
    pub(crate) fn entries(self) -> Option<Vec<(Located<&'d str>, Self)>> {
        let problems = self.problems;
        let Table { table, place, .. } = self.table()?;
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let path = join(&place.path, key.get_ref());
                let name =
                    Located { value: key.get_ref().as_ref(), place: Place { path: path.clone(), span: key.span() } };
                (name, Self { value: value.get_ref(), place: Place { path, span: value.span() }, problems })
            })
            .collect();
        entries.sort_by_key(|(name, _)| name.place.span.start);
        Some(entries)
    }
}

/// A table of the document. It hands out values by key and, at the end, knows which keys nobody asked for.
#[derive(Debug)]
pub(crate) struct Table<'d> {
    table: &'d DeTable<'d>,
    pub(crate) place: Place,
    pub(crate) problems: &'d Problems<'d>,
    asked: Vec<&'static str>,
}

impl<'d> Table<'d> {
    /// The whole document.
    pub(crate) fn document(table: &'d DeTable<'d>, problems: &'d Problems<'d>) -> Self {
        Self { table, place: Place { path: String::new(), span: 0..0 }, problems, asked: Vec::new() }
    }

    /// The value of `key`, if it is present.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<Node<'d>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        let place = Place { path: join(&self.place.path, key), span: value.span() };
        Some(Node { value: value.get_ref(), place, problems: self.problems })
    }

    /// The value of `key`. Its absence is a problem.
    pub(crate) fn needed(&mut self, key: &'static str) -> Option<Node<'d>> {
        let node = self.node(key);
        if node.is_none() {
            self.problems.report(&self.place, format_args!("`{key}` is missing"));
        }
        node
    }

    /// Reads the value of `key`, if it is present.
    pub(crate) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'d DeValue<'d>) -> Result<T, String>,
    ) -> Option<Located<T>> {
        self.node(key)?.read(read)
    }

    /// Reads the value of `key`. Its absence is a problem.
    pub(crate) fn need<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'d DeValue<'d>) -> Result<T, String>,
    ) -> Option<Located<T>> {
        self.needed(key)?.read(read)
    }

    /// Reads the value of `key`, or returns `default` if it is absent.
    pub(crate) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&'d DeValue<'d>) -> Result<T, String>,
    ) -> T {
        self.get(key, read).map_or(default, |located| located.value)
    }

    /// Reads the description, which is empty if it is absent.
    pub(crate) fn description(&mut self) -> String {
        self.or("description", "", text).to_owned()
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self) {
        let unknown = self.table.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref()));
        for key in unknown.take(PROBLEMS_MAX) {
            let path = join(&self.place.path, key.get_ref());
            let hint = suggestion(key.get_ref(), self.asked.iter().copied());
            let expected = self.asked.join(", ");
            let place = Place { path, span: key.span() };
            self.problems.report(&place, format_args!("unknown key, expected one of {expected}{hint}"));
        }
    }
}

/// Reads text that is not empty and not longer than [`TEXT_BYTES_MAX`].
pub(crate) fn text<'d>(value: &'d DeValue<'d>) -> Result<&'d str, String> {
    text_within(TEXT_BYTES_MAX)(value)
}

/// Reads text of 1 to `bytes_max` bytes.
pub(crate) fn text_within<'d>(bytes_max: usize) -> impl Fn(&'d DeValue<'d>) -> Result<&'d str, String> {
    move |value| {
        let text = any_text(value)?;
        match text.len() {
            0 => Err("is empty, expected text".to_owned()),
            length if length > bytes_max => Err(format!("has {length} bytes, at most {bytes_max} are allowed")),
            _ => Ok(text),
        }
    }
}

/// Reads text of any length.
pub(crate) fn any_text<'d>(value: &'d DeValue<'d>) -> Result<&'d str, String> {
    value.as_str().ok_or_else(|| unexpected(value, "a string"))
}

/// Reads text and parses it as a `T`.
pub(crate) fn parsed<T: FromStr<Err: Display>>(value: &DeValue<'_>) -> Result<T, String> {
    any_text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// Reads a whole number in `range`.
pub(crate) fn whole<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        let integer = value.as_integer().ok_or_else(|| unexpected(value, &expected()))?;
        let number =
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("is {}, expected {}", integer.as_str(), expected()))
    }
}

/// Reads a span of time in `range`.
pub(crate) fn span(range: RangeInclusive<Span>) -> impl Fn(&DeValue<'_>) -> Result<Span, String> {
    move |value| {
        let span: Span = parsed(value)?;
        if range.contains(&span) {
            return Ok(span);
        }
        let (shortest, longest) = (range.start(), range.end());
        Err(format!("is {span}, expected a span of time from {shortest} to {longest}"))
    }
}

/// Reads a share from 0 to 1 with at most six decimals, as millionths.
pub(crate) fn millionths(value: &DeValue<'_>) -> Result<u32, String> {
    const EXPECTED: &str = "a share from 0 to 1 with at most 6 decimals, for example 0.95";
    let whole_number = value.as_integer().filter(|integer| integer.radix() == 10).map(|integer| integer.as_str());
    let written = value.as_float().map(|float| float.as_str()).or(whole_number);
    let written = written.ok_or_else(|| unexpected(value, EXPECTED))?;
    let wrong = || format!("is {}, expected {EXPECTED}", shorten(written));
    let (whole, decimals) = written.split_once('.').unwrap_or((written, ""));
    if decimals.len() > 6 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let digits = format!("{whole}{decimals:0<6}");
    digits.parse().ok().filter(|millionths| *millionths <= 1_000_000).ok_or_else(wrong)
}

/// Reads `true` or `false`.
pub(crate) fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| unexpected(value, "true or false"))
}

/// Reads one of the `words`.
pub(crate) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let written = any_text(value)?;
        let chosen = words.iter().find(|(word, _)| *word == written);
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let expected: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = suggestion(written, expected.iter().copied());
            format!("is `{}`, expected one of {}{hint}", shorten(written), expected.join(", "))
        })
    }
}

fn unexpected(value: &DeValue<'_>, expected: &str) -> String {
    let article = if matches!(value, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" };
    format!("is {article} {}, expected {expected}", value.type_str())
}

fn join(path: &str, key: &str) -> String {
    let key = shorten(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
