//! What must hold is in `causeway_fuzz::switch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::switch::check(data));
