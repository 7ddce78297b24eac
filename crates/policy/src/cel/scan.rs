//! Splits a source into words before the library's parser sees it. That parser recurses as deeply as the source nests,
//! and its error messages are about its grammar. A source that is refused here cannot exhaust the stack, and its author
//! gets a plain message.

use super::{CompileError, DEPTH_MAX};

/// One word: a name, a literal or an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether a value can end with this word, so that an operator may follow.
    pub(super) ends_value: bool,
}

/// Returns the words of `source`, or its first fault that can be found without the grammar.
pub(super) fn scan(source: &str) -> Result<Vec<Word>, CompileError> {
    let mut scanner = Scanner { source, at: 0 };
    let mut words = Vec::new();
    let mut nesting = Nesting::default();
    while let Some(word) = scanner.next()? {
        let text = source.get(word.start..word.end).unwrap_or_default();
        nesting.add(text).map_err(|message| scanner.error(word.start, message))?;
        if let Some(open) = Bracket::of(text) {
            nesting.open(open, word.start);
        }
        words.push(word);
    }
    match nesting.levels.last() {
        Some(level) => Err(scanner.error(level.start, format!("'{}' is never closed", level.bracket.open))),
        None if words.is_empty() => Err(scanner.error(0, "expected an expression, found nothing")),
        None => Ok(words),
    }
}

/// The members of the name `root` that a source reads, as in `root.member`, however it is written. None if the source has a fault, which is
/// reported when it is compiled.
pub(crate) fn members<'s>(source: &'s str, root: &str) -> Vec<&'s str> {
    let words = scan(source).unwrap_or_default();
    let text = |place: usize| words.get(place).and_then(|word| source.get(word.start..word.end));
    let is_root = |place: usize| {
        // A dot that follows no value begins a name.
        let before_dot = place.checked_sub(2).and_then(|place| words.get(place));
        let is_member =
            place.checked_sub(1).and_then(text) == Some(".") && before_dot.is_some_and(|word| word.ends_value);
        let name = text(place).map(|name| name.trim_matches('`'));
        name == Some(root) && !is_member && text(place.saturating_add(1)) == Some(".")
    };
    let member = |place: usize| text(place.saturating_add(2)).map(|name| name.trim_matches('`'));
    (0..words.len()).filter(|place| is_root(*place)).filter_map(member).collect()
}

struct Scanner<'a> {
    source: &'a str,
    /// Where the rest of the source starts.
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> CompileError {
        CompileError::at(self.source, offset, message)
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            self.skip_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\x0c'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.skip_while(|c| c != '\n');
        }
    }

    fn next(&mut self) -> Result<Option<Word>, CompileError> {
        const PAIRS: [&str; 6] = ["==", "!=", "<=", ">=", "&&", "||"];
        self.skip_space_and_comments();
        let start = self.at;
        let rest = self.rest();
        let mut chars = rest.chars();
        let Some(first) = chars.next() else { return Ok(None) };
        let second = chars.next();
        let ends_value = match (first, second) {
            ('a'..='z' | 'A'..='Z' | '_', _) => {
                self.skip_while(is_name_char);
                let name = self.source.get(start..self.at).unwrap_or_default();
                if let (Some(kind), Some(quote @ ('"' | '\''))) = (StringKind::of(name), self.rest().chars().next()) {
                    self.string(start, quote, kind)?;
                    true
                } else {
                    name != "in"
                }
            }
            ('`', _) => {
                self.at += 1;
                self.skip_while(|c| c != '`' && c != '\n');
                if !self.rest().starts_with('`') {
                    return Err(self.error(start, "unexpected character '`'"));
                }
                self.at += 1;
                true
            }
            ('0'..='9', _) | ('.', Some('0'..='9')) => {
                self.number(start)?;
                true
            }
            ('"' | '\'', _) => {
                self.string(start, first, StringKind::PLAIN)?;
                true
            }
            _ if PAIRS.iter().any(|pair| rest.starts_with(pair)) => {
                self.at += 2;
                false
            }
            ('=' | '&' | '|', _) => {
                return Err(self.error(start, format!("'{first}' is not an operator; did you mean '{first}{first}'?")));
            }
            _ if "<>[]{}().,-!?:+*/%".contains(first) => {
                self.at += 1;
                ")]}".contains(first)
            }
            _ => return Err(self.error(start, format!("unexpected character {first:?}"))),
        };
        Ok(Some(Word { start, end: self.at, ends_value }))
    }

    fn number(&mut self, start: usize) -> Result<(), CompileError> {
        if self.rest().starts_with("0x") {
            self.at += 2;
            self.skip_while(|c| c.is_ascii_hexdigit());
        } else {
            self.skip_while(|c| c.is_ascii_digit());
            if self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit())) {
                self.at += 1;
                self.skip_while(|c| c.is_ascii_digit());
            }
            if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if digits.starts_with(|c: char| c.is_ascii_digit()) {
                    self.at = self.source.len() - digits.len();
                    self.skip_while(|c| c.is_ascii_digit());
                }
            }
        }
        let digits = self.source.get(start..self.at).unwrap_or_default();
        let suffix = self.rest();
        self.skip_while(is_name_char);
        match suffix.get(..suffix.len() - self.rest().len()) {
            Some("") | None if digits != "0x" => Ok(()),
            Some("u" | "U") if !digits.contains(['.', 'e', 'E']) || digits.starts_with("0x") => Ok(()),
            _ => {
                let found = self.source.get(start..self.at).unwrap_or_default();
                Err(self.error(start, format!("'{found}' is not a number")))
            }
        }
    }

    /// Reads a literal whose first quote is next. `start` is where its prefix starts.
    fn string(&mut self, start: usize, quote: char, kind: StringKind) -> Result<(), CompileError> {
        let triple: String = [quote; 3].iter().collect();
        let is_long = self.rest().starts_with(&triple);
        let end = if is_long { triple } else { quote.to_string() };
        self.at += end.len();
        loop {
            self.skip_while(|c| c != quote && c != '\\' && (is_long || !matches!(c, '\n' | '\r')));
            let rest = self.rest();
            match rest.chars().next() {
                _ if rest.starts_with(&end) => {
                    self.at += end.len();
                    return Ok(());
                }
                Some('\\') if kind.is_raw => {
                    self.at += 1;
                    // What follows a backslash does not end a raw string, not even a quote.
                    self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                }
                Some('\\') => self.escape(kind)?,
                Some(c) if c == quote => self.at += c.len_utf8(),
                _ if is_long => return Err(self.error(start, "the string is never closed")),
                _ => return Err(self.error(start, "the string is not closed on its line")),
            }
        }
    }

    /// Reads one escape sequence of the grammar.
    fn escape(&mut self, kind: StringKind) -> Result<(), CompileError> {
        let start = self.at;
        self.at += 1;
        let (code, digits_count, radix) = match self.rest().chars().next() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => (1, 0, 10),
            Some('x' | 'X') => (1, 2, 16),
            Some('u' | 'U') if kind.is_bytes => {
                return Err(
                    self.error(start, "bytes have no escapes for characters; write \\x and two digits for a byte")
                );
            }
            Some('u') => (1, 4, 16),
            Some('U') => (1, 8, 16),
            Some('0'..='3') => (0, 3, 8),
            _ => return Err(self.error(start, "unknown escape in the string; write \\\\ for a backslash")),
        };
        self.at += code;
        let digits = self.rest().get(..digits_count).unwrap_or_default();
        if digits.len() != digits_count || !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(self.error(start, format!("the escape needs {digits_count} digits of base {radix}")));
        }
        self.at += digits_count;
        Ok(())
    }
}

/// The prefix of a string.
#[derive(Debug, Clone, Copy)]
struct StringKind {
    is_raw: bool,
    is_bytes: bool,
}

impl StringKind {
    const PLAIN: Self = Self { is_raw: false, is_bytes: false };

    fn of(prefix: &str) -> Option<Self> {
        let is_raw = prefix.contains(['r', 'R']);
        let is_bytes = prefix.contains(['b', 'B']);
        let known = matches!(prefix, "r" | "R" | "b" | "B" | "rb" | "rB" | "Rb" | "RB" | "br" | "bR" | "Br" | "BR");
        known.then_some(Self { is_raw, is_bytes })
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[derive(Debug, Clone, Copy)]
struct Bracket {
    open: char,
    close: char,
}

impl Bracket {
    fn of(text: &str) -> Option<Self> {
        match text {
            "(" => Some(Self { open: '(', close: ')' }),
            "[" => Some(Self { open: '[', close: ']' }),
            "{" => Some(Self { open: '{', close: '}' }),
            _ => None,
        }
    }
}

/// An upper bound on the depth of the syntax tree, counted word by word.
#[derive(Debug, Default)]
struct Nesting {
    outermost: Chain,
    levels: Vec<Level>,
}

/// An open bracket.
#[derive(Debug)]
struct Level {
    bracket: Bracket,
    start: usize,
    /// How deeply its content is nested.
    outside: usize,
    chain: Chain,
}

/// What makes the tree deeper between two commas. Each `?` nests what follows it. Each operator nests what came before
/// it, except `&&` and `||`, which make balanced trees and start afresh. Each further `.name`, call or index nests the
/// value before it.
#[derive(Debug, Default)]
struct Chain {
    conditions: usize,
    operators: usize,
    members: usize,
}

impl Chain {
    fn add(&mut self, word: &str) {
        match word {
            "," => *self = Self::default(),
            "?" => *self = Self { conditions: self.conditions + 1, ..Self::default() },
            ":" | "&&" | "||" => *self = Self { conditions: self.conditions, ..Self::default() },
            "+" | "-" | "*" | "/" | "%" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "!" => {
                self.operators += 1;
                self.members = 0;
            }
            "." | "(" | "[" | "{" => self.members += 1,
            _ => {}
        }
    }

    fn depth(&self) -> usize {
        self.conditions + self.operators + self.members
    }
}

impl Nesting {
    fn add(&mut self, word: &str) -> Result<(), String> {
        if let ")" | "]" | "}" = word {
            return match self.levels.pop() {
                Some(level) if word.starts_with(level.bracket.close) => Ok(()),
                Some(level) => Err(format!("expected '{}', found '{word}'", level.bracket.close)),
                None => Err(format!("'{word}' closes no open bracket")),
            };
        }
        let (outside, chain) = self.innermost();
        chain.add(word);
        if outside + chain.depth() > DEPTH_MAX {
            return Err(format!("the expression nests deeper than {DEPTH_MAX} operators, brackets or calls"));
        }
        Ok(())
    }

    /// Must be called after the bracket was added as a word.
    fn open(&mut self, bracket: Bracket, start: usize) {
        let (outside, chain) = self.innermost();
        let outside = outside + chain.depth();
        self.levels.push(Level { bracket, start, outside, chain: Chain::default() });
    }

    /// The chain that the next word belongs to, and how deeply it is nested.
    fn innermost(&mut self) -> (usize, &mut Chain) {
        match self.levels.last_mut() {
            Some(level) => (level.outside, &mut level.chain),
            None => (1, &mut self.outermost),
        }
    }
}
