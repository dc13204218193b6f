//! What must hold is in `causeway_fuzz::uri`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::uri::check(data));
