//! Lets libFuzzer drive the target `csv_rows` of the crate `fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("csv_rows").run)(bytes)));
