//! Regular expressions, compiled to automata that search in one pass over the text and allocate nothing.

use regex_automata::Input;
use regex_automata::dfa::Automaton as _;
use regex_automata::dfa::StartKind;
use regex_automata::dfa::dense::{Builder, Config, DFA};
use regex_automata::util::syntax;

/// Most bytes of one automaton.
const AUTOMATON_BYTES_MAX: usize = 1 << 18;
/// Most bytes that making one automaton may take.
const WORK_BYTES_MAX: usize = 1 << 20;
/// Most bytes of the automaton that a pattern is first translated to.
const STATES_BYTES_MAX: usize = 1 << 20;

/// A regular expression.
#[derive(Debug)]
pub(super) struct Pattern(DFA<Vec<u32>>);

impl Pattern {
    /// Compiles a pattern in the syntax of RE2, as the language prescribes: `\d`, `\w`, `\s` and `\b` are about ASCII.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let config = Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .determinize_size_limit(Some(WORK_BYTES_MAX));
        let states = regex_automata::nfa::thompson::Config::new().nfa_size_limit(Some(STATES_BYTES_MAX));
        let built = Builder::new()
            .configure(config)
            .thompson(states)
            .syntax(syntax::Config::new().nest_limit(64))
            .build(&with_ascii_classes(pattern));
        built.map(Self).map_err(|error| explain(&error))
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.memory_usage()
    }

    /// Whether any part of the text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        // The search can only fail on bytes at which an automaton was told to give up. This one has none.
        self.0.try_search_fwd(&Input::new(text).earliest(true)).is_ok_and(|found| found.is_some())
    }
}

/// One line about what is wrong, without the library's drawing of where.
fn explain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    if text.contains("exceeded") || text.contains("limit") {
        return format!("the regular expression needs more than {AUTOMATON_BYTES_MAX} bytes; use a simpler one");
    }
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    format!("the regular expression cannot be read: {}", line.strip_prefix("error: ").unwrap_or(line))
}

/// Spells out the classes that RE2 restricts to ASCII and the library does not.
fn with_ascii_classes(pattern: &str) -> String {
    let mut spelled = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut depth = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let class = match chars.next() {
                    Some('d') => "[0-9]",
                    Some('D') => "[^0-9]",
                    Some('w') => "[0-9A-Za-z_]",
                    Some('W') => "[^0-9A-Za-z_]",
                    Some('s') => r"[\t\n\f\r ]",
                    Some('S') => r"[^\t\n\f\r ]",
                    Some('b') if depth == 0 => r"(?-u:\b)",
                    Some('B') if depth == 0 => r"(?-u:\B)",
                    Some(other) => {
                        spelled.extend(['\\', other]);
                        continue;
                    }
                    None => "\\",
                };
                spelled.push_str(class);
            }
            '[' => {
                depth += 1;
                spelled.push('[');
                // A bracket that comes first in a class, or after `^`, is a character of the class.
                for first in ['^', ']'] {
                    if chars.peek() == Some(&first) {
                        spelled.extend(chars.next());
                    }
                }
            }
            ']' => {
                depth = depth.saturating_sub(1);
                spelled.push(']');
            }
            _ => spelled.push(c),
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_re2() {
        let cases = [
            (r"ubb", "hubba", true),
            (r"^ubb", "hubba", false),
            (r"^hub+a$", "hubbba", true),
            (r"", "", true),
            (r"foo|bar", "", false),
            (r"gr(a|e)y", "grey", true),
            (r"(a|😀){2}", "🐱😀😀", true),
            (r"a+ñ+a+", "mañana", true),
            (r"^.$", "ñ", true),
            (r"^\d+$", "0123", true),
            (r"^\d$", "٣", false),
            (r"^\D$", "٣", true),
            (r"^[\d_]+$", "12_", true),
            (r"^[^\d]$", "ñ", true),
            (r"^\w+$", "smør", false),
            (r"\bcat\b", "a cat sat", true),
            (r"\bcat\b", "concatenate", false),
            (r"^\\d$", r"\d", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "]a", false),
            (r"(?i)smØr", "SMøR", true),
            (r"^\pL+$", "smør", true),
            (r"^[A-Z]{2}\d{2}[A-Z0-9]{1,30}$", "DE89370400440532013000", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let cases = [
            ("(", "the regular expression cannot be read: unclosed group"),
            (
                "a{2,1}",
                "the regular expression cannot be read: invalid repetition count range, the start must be <= the end",
            ),
            (r"(a)\1", "the regular expression cannot be read: backreferences are not supported"),
            ("(a{1000}){1000}", "the regular expression needs more than 262144 bytes; use a simpler one"),
            (
                r"\",
                "the regular expression cannot be read: incomplete escape sequence, reached end of pattern prematurely",
            ),
        ];
        for (pattern, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap_err(), expected, "{pattern}");
        }
    }
}
