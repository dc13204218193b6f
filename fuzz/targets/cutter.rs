//! What must hold is in `causeway_fuzz::cutter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::cutter::check(data));
