//! What must hold is in `causeway_fuzz::presence`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::presence::check(data));
