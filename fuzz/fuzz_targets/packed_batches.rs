//! Lets libFuzzer drive the target `packed_batches` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("packed_batches").run)(bytes)));
