//! What must hold is in `causeway_fuzz::sip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::sip::check(data));
