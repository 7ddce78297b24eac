//! Lets libFuzzer drive the target `archives` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("archives").run)(bytes)));
