//! Secrets that we hand out: 256 random bits, of which only the SHA-256 is kept. So many bits cannot be guessed, which is why
//! one plain hash does, and why whoever reads the store learns none.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::admin::journal::Hash;

/// Bytes of a secret.
const BYTES: usize = 32;
/// Characters of a secret in base64url.
const CHARACTERS: usize = 43;

/// A secret as it is handed out: base64url, without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

impl Ticket {
    /// A new one. `None` if the system has no random numbers, and then nothing that needs one may happen.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; BYTES];
        if let Err(error) = getrandom::fill(&mut bytes) {
            tracing::error!(%error, "the system gives no random numbers");
            return None;
        }
        Some(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// One that came back; `None` if it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let is_ours =
            text.len() == CHARACTERS && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        is_ours.then(|| Self(text.to_owned()))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> Hash {
        sha256(self.0.as_bytes())
    }

    /// Another secret that follows from this one, and not the other way round.
    pub fn derived(&self, purpose: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, purpose.as_bytes()))
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(..)")
    }
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Whether two texts are the same, in a time that does not say where they differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_come_back_as_they_went() {
        let (one, other) = (Ticket::random().unwrap(), Ticket::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(Ticket::parse(one.expose()), Some(one.clone()));
        assert_ne!(one.hash(), other.hash());
        assert_eq!(format!("{one:?}"), "Ticket(..)");
    }

    #[test]
    fn what_cannot_be_ours_is_not_looked_up() {
        let long = "x".repeat(CHARACTERS + 1);
        let strange = " ".repeat(CHARACTERS);
        for text in ["", "short", &long, &strange] {
            assert_eq!(Ticket::parse(text), None);
        }
    }

    #[test]
    fn a_derived_secret_is_another_one_for_each_purpose() {
        let ticket = Ticket::random().unwrap();
        assert_eq!(ticket.derived("forms"), ticket.derived("forms"));
        assert_ne!(ticket.derived("forms"), ticket.derived("state"));
        assert!(same("a", "a") && !same("a", "b") && !same("a", "aa"));
    }
}
