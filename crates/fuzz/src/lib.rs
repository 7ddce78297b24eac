//! Fuzz targets for everything that reads bytes from outside: requests of clients, uploads, and files on disk.
//!
//! A [`Target`] takes any bytes, passes them to the code that reads them, and panics if one of these promises is
//! broken: no input makes the code panic or use unbounded memory; every rejection has a message; accepted input is
//! written back as the same bytes or value; parsed commands can be decided, journaled and replayed. The seeds of a
//! target are valid inputs that our own code creates. The committed corpus (`fuzz/seeds`) contains the seeds and every
//! input that once found a bug.
//!
//! Two drivers run the same targets: `tests/bounded`, on the stable toolchain, tries a fixed number of mutations derived
//! from one seed; cargo-fuzz runs them through the wrappers in the folder `fuzz`. `docs/testing.md` explains how to use
//! them.

mod desk;
mod history;
mod mutate;
mod request;
mod targets;

use std::fmt::Display;

pub use mutate::Mutator;
pub use targets::TARGETS;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of the target, of its folder of seeds, and of its wrapper.
    pub name: &'static str,
    /// Reads the bytes and checks the promises.
    ///
    /// # Panics
    /// If a promise is broken.
    pub run: fn(&[u8]) -> Verdict,
    /// Creates named valid inputs with the code that writes them.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// How many mutations `cargo test` tries. They take a second or two in the dev profile.
    pub runs: u32,
}

/// The result of reading an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The input was read completely.
    Accepted,
    /// The input was rejected with this message.
    Refused(String),
}

impl Verdict {
    /// The target itself rejects the bytes, because they do not have the form that it takes.
    fn no_input() -> Self {
        Self::Refused("the bytes do not have the form of an input".to_owned())
    }
}

/// Returns the target with this name.
///
/// # Panics
/// If there is no such target.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("there is a target with this name")
}

/// Checks that an error message is not empty, not too long, and has nothing that garbles a terminal or a log.
fn check_complaint(complaint: impl Display) -> Verdict {
    /// Enough for a sentence that quotes a few shortened values.
    const COMPLAINT_BYTES_MAX: usize = 16 << 10;
    let text = complaint.to_string();
    assert!(text.chars().any(char::is_alphabetic), "a message has letters: {text:?}");
    assert!(text.len() <= COMPLAINT_BYTES_MAX, "a message is short, not {} bytes", text.len());
    Verdict::Refused(text)
}

/// As [`check_complaint`], for a message of one line.
fn check_line(complaint: impl Display) -> Verdict {
    let text = complaint.to_string();
    let control = text.chars().find(|c| c.is_control());
    assert_eq!(control, None, "a message has no control characters: {text:?}");
    check_complaint(text)
}
