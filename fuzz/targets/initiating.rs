//! What must hold is in `causeway_fuzz::initiating`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::initiating::check(data));
