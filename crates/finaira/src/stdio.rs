//! Standard output and standard error of every command.
//!
//! The program that reads a command's output may stop reading: `finaira verify DIR | head -1`. That is no fault of the
//! work. The command drops the rest of its output and continues, and its exit status says how the work went: 0 if it
//! succeeded. `println!` would panic instead. The usual end by SIGPIPE would stop a server, or leave work half done,
//! because somebody closed a pager. A write that fails for another reason, such as a full disk, is an error.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

/// Writes to standard output, and does nothing if nobody reads it any more.
///
/// # Errors
/// Fails if the text cannot be written for another reason.
pub(crate) fn out(text: Arguments<'_>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Writes to standard error. If that fails, nobody can be told.
pub(crate) fn err(text: Arguments<'_>) {
    drop(std::io::stderr().lock().write_fmt(text));
}

/// Prints a line to standard output, as [`out`] does.
macro_rules! outln {
    ($($text:tt)*) => { $crate::stdio::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error, as [`err`] does.
macro_rules! errln {
    ($($text:tt)*) => { $crate::stdio::err(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {errln, outln};
