//! Wraps the library's parser: gives a syntax tree with positions, or one clear error.

use std::panic::catch_unwind;

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::{ParseError, Parser};

use super::scan::{Word, scan};
use super::{CompileError, SOURCE_BYTES_MAX};

/// Returns the syntax tree of `source`, and where each node's operator, name or bracket is.
pub(super) fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), CompileError> {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!("the expression has {} bytes, at most {SOURCE_BYTES_MAX} are allowed", source.len());
        return Err(CompileError::at(source, 0, message));
    }
    let words = scan(source)?;
    // No input is known to make the library panic, but its generated code relies on assertions that we cannot check.
    // Between calls it keeps only caches, behind locks that a panic releases. The first error ends the parse, because
    // we have no use for the library's error recovery.
    let parsed = catch_unwind(|| {
        let parsed =
            Parser::new().enable_ident_escape_syntax(true).error_recovery_limit(0).parse_with_source_info(source);
        parsed.map_err(|errors| errors.errors.into_iter().min_by_key(|error| error.pos))
    });
    match parsed {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(Some(error))) => Err(explain(source, &words, &error)),
        Ok(Err(None)) | Err(_) => Err(CompileError::at(source, 0, "the expression cannot be parsed")),
    }
}

fn explain(source: &str, words: &[Word], error: &ParseError) -> CompileError {
    let offset = offset_of(source, error.pos);
    let found = words.iter().position(|word| word.end > offset).unwrap_or(words.len());
    if !error.msg.starts_with("Syntax error") {
        return CompileError::at(source, offset, refusal(&error.msg));
    }
    let text = |word: Option<&Word>| word.and_then(|word| source.get(word.start..word.end));
    // If something is wrong after a dot, the library reports the dot.
    let found = if text(words.get(found)) == Some(".") { found + 1 } else { found };
    let before = found.checked_sub(1).and_then(|before| words.get(before));
    let expected = match before {
        Some(word) if text(Some(word)) == Some(".") => "a name",
        Some(word) if word.ends_value => "an operator",
        _ => "a value",
    };
    let (at, found) = match words.get(found) {
        Some(word) => (word.start, format!("'{}'", types::shorten(text(Some(word)).unwrap_or_default()))),
        None => (source.len(), "the end".to_owned()),
    };
    CompileError::at(source, at, format!("expected {expected}, found {found}"))
}

/// Rewords what the library refuses after its grammar.
fn refusal(message: &str) -> String {
    const REFUSALS: [(&str, &str); 6] = [
        ("invalid argument to has()", "expected has(name) with a declared name, or has(map.key)"),
        (
            "argument must be a simple name",
            "the first argument of a macro is the name of its variable, such as (x, x > 0)",
        ),
        ("invalid string literal", "an escape in the string is not a character"),
        ("invalid int literal", "the number is out of range"),
        ("invalid double literal", "the number is out of range"),
        ("unsupported syntax", "optional fields and elements with '?' are not supported"),
    ];
    if let Some(word) = message.strip_prefix("reserved identifier: ") {
        return format!("'{word}' is a reserved word");
    }
    let known = REFUSALS.iter().find(|(start, _)| message.starts_with(start));
    known.map_or(message.lines().next().unwrap_or_default(), |(_, ours)| ours).to_owned()
}

/// Converts the library's line and character, both counted from 1, to a byte offset.
fn offset_of(source: &str, (line, column): (isize, isize)) -> usize {
    let before = |number: isize| usize::try_from(number).unwrap_or_default().saturating_sub(1);
    let line_start: usize = source.split_inclusive('\n').take(before(line)).map(str::len).sum();
    let line_text = source.get(line_start..).unwrap_or_default();
    line_start + line_text.char_indices().nth(before(column)).map_or(line_text.len(), |(offset, _)| offset)
}
