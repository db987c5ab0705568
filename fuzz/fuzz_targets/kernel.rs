#![no_main]

// Every backend of the kernel on the same bytes: see `compare_backends`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| blindbook::compare_backends(data));
