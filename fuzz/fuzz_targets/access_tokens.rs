//! Lets libFuzzer drive the target `access_tokens` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("access_tokens").run)(bytes)));
