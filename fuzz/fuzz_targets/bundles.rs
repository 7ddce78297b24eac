//! Lets libFuzzer drive the target `bundles` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("bundles").run)(bytes)));
