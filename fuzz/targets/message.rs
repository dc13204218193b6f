//! What must hold is in `causeway_fuzz::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::message::check(data));
