//! Who an access token is about.

use std::sync::Arc;

/// Who an access token is about: its issuer, and the issuer's name for that person or program. Two tokens are about the
/// same one only if all bytes of both texts are the same. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenSubject {
    issuer: Arc<str>,
    subject: Arc<str>,
}

impl TokenSubject {
    /// Length of the longest issuer, in bytes.
    pub const ISSUER_BYTES_MAX: usize = 512;
    /// Length of the longest subject, in bytes. OpenID Connect has the same limit.
    pub const SUBJECT_BYTES_MAX: usize = 255;

    /// # Errors
    /// If a text is empty or too long.
    pub fn new(issuer: &str, subject: &str) -> Result<Self, TokenSubjectError> {
        check("issuer", issuer, Self::ISSUER_BYTES_MAX)?;
        check("subject", subject, Self::SUBJECT_BYTES_MAX)?;
        Ok(Self { issuer: issuer.into(), subject: subject.into() })
    }

    /// The claim `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The claim `sub` of the tokens.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// A text of a [`TokenSubject`] has a length that is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} has {bytes} bytes, expected 1 to {bytes_max}")]
pub struct TokenSubjectError {
    /// `issuer` or `subject`.
    what: &'static str,
    bytes: usize,
    bytes_max: usize,
}

fn check(what: &'static str, text: &str, bytes_max: usize) -> Result<(), TokenSubjectError> {
    let bytes = text.len();
    if (1..=bytes_max).contains(&bytes) { Ok(()) } else { Err(TokenSubjectError { what, bytes, bytes_max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_are_there_and_short_enough() {
        let subject = TokenSubject::new(&"i".repeat(512), &"s".repeat(255)).expect("the longest texts fit");
        assert_eq!((subject.issuer().len(), subject.subject().len()), (512, 255));
        for (issuer, subject) in [("", "s"), ("i", ""), (&*"i".repeat(513), "s"), ("i", &*"s".repeat(256))] {
            assert!(TokenSubject::new(issuer, subject).is_err(), "{issuer} {subject}");
        }
        assert!(TokenSubject::new("ab", "c") != TokenSubject::new("a", "bc"));
    }
}
