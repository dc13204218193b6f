//! What must hold is in `causeway_fuzz::stanza`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::stanza::check(data));
