//! What must hold is in `causeway_fuzz::dialback`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::dialback::check(data));
