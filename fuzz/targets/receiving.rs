//! What must hold is in `causeway_fuzz::receiving`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::receiving::check(data));
