//! Tests of data directories and of the files that belong to an installation.

mod derived;
mod secrets;
