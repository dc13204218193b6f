//! What must hold is in `causeway_fuzz::address`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::address::check(data));
