#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::retry_after(bytes));
