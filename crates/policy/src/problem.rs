//! The problems of a policy document, collected so that its author sees all of them at once.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use types::Name;

use crate::bundle::DOCUMENT;
use crate::limits::PROBLEMS_MAX;

/// One thing that is wrong with a policy: where it is, what is wrong, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file in the bundle.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
    /// Starts with the path of the value, such as `rules[2].when`.
    pub message: String,
}

/// Something in a policy that works, but perhaps not as its author expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The stable name of the warning: [`Warning::NEVER_COMPUTED`] or [`Warning::REFUSED_BY_NOW`].
    pub code: &'static str,
    /// Where it is and what it is about.
    pub problem: Problem,
}

impl Warning {
    /// A part of an expression can never be computed.
    pub const NEVER_COMPUTED: &'static str = "never_computed";
    /// An earlier release accepted this; as a new policy it is refused.
    pub const REFUSED_BY_NOW: &'static str = "refused_by_now";
    /// All codes.
    pub const CODES: [&'static str; 2] = [Self::NEVER_COMPUTED, Self::REFUSED_BY_NOW];
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// The place of a value in the document.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// For example `rules[2].when`. Empty for the document itself.
    pub(crate) path: String,
    /// The bytes of the value in the document.
    pub(crate) span: Range<usize>,
}

/// The place of a value in a document, for problems that are found after it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemPlace {
    line: u32,
    column: u32,
    path: String,
}

impl ProblemPlace {
    /// A problem with the value.
    pub fn problem(&self, message: impl fmt::Display) -> Problem {
        let Self { line, column, path } = self;
        Problem { file: DOCUMENT.to_owned(), line: *line, column: *column, message: format!("{path}: {message}") }
    }
}

/// Collects the problems of one document while it is read, so that its author sees all of them at once.
#[derive(Debug)]
pub(crate) struct Problems<'d> {
    text: &'d str,
    policy: Age,
    found: RefCell<Vec<(usize, String)>>,
    warnings: RefCell<Vec<(usize, &'static str, String)>>,
}

/// Whether a policy may be refused for what releases refused only later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    New,
    /// An earlier release accepted it, so this one has to.
    Accepted,
}

impl<'d> Problems<'d> {
    pub(crate) fn new(text: &'d str, policy: Age) -> Self {
        Self { text, policy, found: RefCell::default(), warnings: RefCell::default() }
    }

    /// Keeps a place, so that a problem can be reported when the document is gone.
    pub(crate) fn place(&self, place: &Place) -> ProblemPlace {
        let (line, column) = line_and_column(self.text, place.span.start);
        ProblemPlace { line, column, path: place.path.clone() }
    }

    pub(crate) fn text(&self) -> &'d str {
        self.text
    }

    pub(crate) fn report(&self, place: &Place, message: impl fmt::Display) {
        self.report_at(place.span.start, place, message);
    }

    /// Reports a problem with the part of the value at `place` that starts at the byte `offset` of the document.
    pub(crate) fn report_at(&self, offset: usize, place: &Place, message: impl fmt::Display) {
        self.found.borrow_mut().push((offset, with_path(place, message)));
    }

    /// Reports what earlier releases accepted: a problem of a new policy, and a warning about an accepted one.
    pub(crate) fn report_by_now(&self, offset: usize, place: &Place, message: impl fmt::Display) {
        match self.policy {
            Age::New => self.report_at(offset, place, message),
            Age::Accepted => self.warn_at(offset, place, Warning::REFUSED_BY_NOW, message),
        }
    }

    pub(crate) fn warn_at(&self, offset: usize, place: &Place, code: &'static str, message: impl fmt::Display) {
        self.warnings.borrow_mut().push((offset, code, with_path(place, message)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Returns all problems in order of place, each once.
    pub(crate) fn into_list(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort();
        found.dedup();
        found.truncate(PROBLEMS_MAX);
        found.into_iter().map(|(offset, message)| problem(self.text, offset, message)).collect()
    }

    /// Returns all warnings in order of place, each once.
    pub(crate) fn into_warnings(self) -> Vec<Warning> {
        let mut found = self.warnings.into_inner();
        found.sort();
        found.dedup();
        found.truncate(PROBLEMS_MAX);
        let warning = |(offset, code, message)| Warning { code, problem: problem(self.text, offset, message) };
        found.into_iter().map(warning).collect()
    }
}

fn with_path(place: &Place, message: impl fmt::Display) -> String {
    if place.path.is_empty() { message.to_string() } else { format!("{}: {message}", place.path) }
}

fn problem(text: &str, offset: usize, message: String) -> Problem {
    let (line, column) = line_and_column(text, offset);
    Problem { file: DOCUMENT.to_owned(), line, column, message }
}

fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (number(before.matches('\n').count() + 1), number(column + 1))
}

/// Returns `; did you mean …?` if a candidate is close to what was written, otherwise nothing.
pub(crate) fn suggestion<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    if written.len() > Name::BYTES_MAX {
        return String::new();
    }
    let close = |candidate: &'c str| {
        let distance = edit_distance(written, candidate);
        (distance <= 1 + written.len() / 4).then_some((distance, candidate))
    };
    let nearest = candidates.into_iter().filter_map(close).min();
    nearest.map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}

/// The Levenshtein distance: the number of letters to insert, remove or change.
pub(crate) fn edit_distance(from: &str, to: &str) -> usize {
    // The distances from the first i letters of `from` to every prefix of `to`.
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, above) in to.chars().zip(row.iter_mut().skip(1)) {
            let distance = (diagonal + usize::from(a != b)).min(left + 1).min(*above + 1);
            diagonal = *above;
            left = distance;
            *above = distance;
        }
        row.iter_mut().take(1).for_each(|first| *first = i + 1);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let text = "a\r\nüb = 1\n";
        for (offset, expected) in [(0, (1, 1)), (3, (2, 1)), (5, (2, 2)), (6, (2, 3)), (99, (3, 1))] {
            assert_eq!(line_and_column(text, offset), expected, "{offset}");
        }
    }

    #[test]
    fn a_near_miss_gets_a_suggestion() {
        let names = ["customer", "card", "merchant"];
        assert_eq!(suggestion("custmer", names), "; did you mean `customer`?");
        assert_eq!(suggestion("cart", names), "; did you mean `card`?");
        assert_eq!(suggestion("settlement", names), "");
    }

    #[test]
    fn the_distance_counts_single_letters() {
        for (from, to, expected) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edit_distance(from, to), expected, "{from} {to}");
        }
    }
}
