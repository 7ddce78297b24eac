//! Lets libFuzzer drive the target `json_bodies` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("json_bodies").run)(bytes)));
