//! Users' addresses in traces: left out, unless an operator gives a key; then only what the key makes of them, so that a
//! collector can tell that two traces are about the same user, and not who that is.

use std::fmt::Write as _;
use std::sync::OnceLock;

use aws_lc_rs::hmac;

use super::Span;
use crate::config::Secret;

/// Bytes of a hash that are told: two users of a pool share one by chance only.
const TOLD: usize = 8;

static KEY: OnceLock<hmac::Key> = OnceLock::new();

/// Takes the key of this process.
pub(super) fn set_key(secret: &Secret) {
    let _the_first_stays = KEY.set(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()));
}

/// Says of a span who is concerned, as far as that is told.
pub fn tell(span: &mut Span, key: &'static str, address: &str) {
    if span.is_recorded()
        && let Some(secret) = KEY.get()
    {
        span.set(key, hashed(secret, address));
    }
}

fn hashed(key: &hmac::Key, address: &str) -> String {
    let tag = hmac::sign(key, address.as_bytes());
    let mut text = String::with_capacity(2 * TOLD);
    for byte in tag.as_ref().iter().take(TOLD) {
        let _strings_take_everything = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tells_the_same_user_again_and_depends_on_the_key() {
        let key = |text: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, text);
        let one = hashed(&key(b"0123456789abcdef"), "alice@contoso.example");
        assert_eq!(one.len(), 2 * TOLD);
        assert_eq!(one, hashed(&key(b"0123456789abcdef"), "alice@contoso.example"));
        assert_ne!(one, hashed(&key(b"0123456789abcdef"), "bob@contoso.example"));
        assert_ne!(one, hashed(&key(b"fedcba9876543210"), "alice@contoso.example"));
    }
}
