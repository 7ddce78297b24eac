//! Lets libFuzzer drive the target `dpop_proofs` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("dpop_proofs").run)(bytes)));
