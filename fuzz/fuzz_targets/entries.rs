//! Lets libFuzzer drive the target `entries` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("entries").run)(bytes)));
