//! What must hold is in `causeway_fuzz::header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::header::check(data));
