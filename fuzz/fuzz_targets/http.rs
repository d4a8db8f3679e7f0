#![no_main]

// libFuzzer's own hook ends the process at any panic; lambda_http's are caught, and are an answer.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| fuzzing::http(bytes));
