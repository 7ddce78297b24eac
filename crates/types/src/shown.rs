//! Text from outside, made safe to quote in messages.

/// Makes a text from outside safe to quote in an error message: at most 64 characters, with control characters replaced
/// because they could garble a terminal or forge a line of a log.
pub fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut chars = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut short: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_is_short_and_on_one_line() {
        assert_eq!(shorten("EUR/2"), "EUR/2");
        assert_eq!(shorten("a\nb\u{1b}[2Jc"), "a\u{fffd}b\u{fffd}[2Jc");
        assert_eq!(shorten(&"ø".repeat(65)), format!("{}…", "ø".repeat(64)));
    }
}
