//! What must hold is in `causeway_fuzz::body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::body::check(data));
