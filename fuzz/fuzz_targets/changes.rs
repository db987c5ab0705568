#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blindbook_fuzz::changes::run(data));
