//! Lets libFuzzer drive the target `key_stores` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("key_stores").run)(bytes)));
