//! What must hold is in `causeway_fuzz::content`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::content::check(data));
