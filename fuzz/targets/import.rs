//! What must hold is in `causeway_fuzz::import`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::import::check(data));
