//! Attacks on everything that reads bytes from outside: what clients send, what people upload, what stands on disk.
//!
//! A [`Target`] takes any bytes, gives them to the code that reads them, and panics when a promise does not hold: no input
//! makes the code panic or take memory without bound, a complaint names something, what was accepted is written back to
//! the same bytes or value, and what parses can be decided, journaled and replayed. Its seeds are valid inputs that the code
//! itself makes; the committed corpus (`fuzz/seeds`) holds them and every input that once found something.
//!
//! Two drivers run the same targets: `tests/bounded` on the stable toolchain, with a fixed number of mutations from one
//! seed, and cargo-fuzz through the wrappers in the folder `fuzz`. `docs/testing.md` says how.

mod desk;
mod history;
mod mutate;
mod request;
mod targets;

use std::fmt::Display;

pub use mutate::Mutator;
pub use targets::TARGETS;

/// Something that reads bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called: the name of its folder of seeds and of its wrapper.
    pub name: &'static str,
    /// Reads the bytes and checks what must hold.
    ///
    /// # Panics
    /// When it does not hold.
    pub run: fn(&[u8]) -> Verdict,
    /// Valid inputs with names, made by the code that writes them.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// How many mutations the test command tries: a second or two, in the dev profile.
    pub runs: u32,
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was read in full.
    Accepted,
    /// It was refused, with this complaint.
    Refused(String),
}

impl Verdict {
    /// Refused by the target itself: the bytes do not even have the form that it takes.
    fn no_input() -> Self {
        Self::Refused("the bytes have not the form of an input".to_owned())
    }
}

/// The target of this name.
///
/// # Panics
/// When there is none.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("the name is that of a target")
}

/// A complaint that people see must say something, not everything, and nothing that garbles a terminal or a log.
fn check_complaint(complaint: impl Display) -> Verdict {
    /// Ample for a sentence that quotes a few values, each shortened.
    const COMPLAINT_BYTES_MAX: usize = 16 << 10;
    let text = complaint.to_string();
    assert!(text.chars().any(char::is_alphabetic), "a complaint says something: {text:?}");
    assert!(text.len() <= COMPLAINT_BYTES_MAX, "a complaint is short: {} bytes", text.len());
    Verdict::Refused(text)
}

/// As [`check_complaint`], of one line.
fn check_line(complaint: impl Display) -> Verdict {
    let text = complaint.to_string();
    let control = text.chars().find(|c| c.is_control());
    assert_eq!(control, None, "a complaint has no control characters: {text:?}");
    check_complaint(text)
}
