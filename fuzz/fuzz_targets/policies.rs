//! Lets libFuzzer drive the target `policies` of the crate `fuzz`.

#![no_main]

// A library under it panics on some inputs and is caught: only what is not caught ends the run.
libfuzzer_sys::fuzz_target!(
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| drop((fuzz::target("policies").run)(bytes))
);
