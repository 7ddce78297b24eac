//! Lets libFuzzer drive the target `parquet_rows` of the crate `fuzz`.

#![no_main]

// A library that this target uses panics on some inputs, and the target catches that. Without the panic hook, only a
// panic that is not caught ends the run.
libfuzzer_sys::fuzz_target!(
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| drop((fuzz::target("parquet_rows").run)(bytes))
);
