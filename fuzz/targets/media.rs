//! What must hold is in `causeway_fuzz::media`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::media::check(data));
