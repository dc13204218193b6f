//! What must hold is in `causeway_fuzz::link`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::link::check(data));
