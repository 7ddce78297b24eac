#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop((fuzz::target("csv_rows").run)(bytes)));
