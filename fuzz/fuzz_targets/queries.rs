//! Lets libFuzzer drive the target `queries` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("queries").run)(bytes)));
