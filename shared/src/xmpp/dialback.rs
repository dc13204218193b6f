//! Dialback keys (XEP-0185): an HMAC that any node with the secret can recompute, so nothing has to be stored.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, digest, hmac};

use crate::domain::DomainName;

/// Computes the key that the originating domain offers to the receiving one for a stream.
///
/// The fields are joined by a space, never run together (CVE-2016-0756), and the HMAC key is the hexadecimal text of
/// the secret's digest, not the digest's bytes.
pub fn key(secret: &[u8], receiving: &DomainName, originating: &DomainName, stream_id: &str) -> String {
    let hashed = hex(digest::digest(&digest::SHA256, secret).as_ref());
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, hashed.as_bytes()));
    for part in [receiving.as_str(), " ", originating.as_str(), " ", stream_id] {
        context.update(part.as_bytes());
    }
    hex(context.sign().as_ref())
}

/// Whether a presented key is the one for these domains and this stream; takes the same time wherever it differs
/// (CVE-2021-32921). White space around the key is a peer's pretty-printing.
pub fn verify_key(
    presented: &str,
    secret: &[u8],
    receiving: &DomainName,
    originating: &DomainName,
    stream_id: &str,
) -> bool {
    let expected = key(secret, receiving, originating, stream_id);
    constant_time::verify_slices_are_equal(presented.trim_ascii().as_bytes(), expected.as_bytes()).is_ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn check(secret: &str, receiving: &str, originating: &str, id: &str, expected: &str) {
        let (receiving, originating) = (name(receiving), name(originating));
        assert_eq!(key(secret.as_bytes(), &receiving, &originating, id), expected);
        assert!(verify_key(expected, secret.as_bytes(), &receiving, &originating, id));
        assert!(verify_key(&format!(" {expected}\n"), secret.as_bytes(), &receiving, &originating, id));
        assert!(!verify_key(&expected[1..], secret.as_bytes(), &receiving, &originating, id));
        assert!(!verify_key(expected, secret.as_bytes(), &originating, &receiving, id));
        assert!(!verify_key(expected, b"other", &receiving, &originating, id));
        assert!(!verify_key("", secret.as_bytes(), &receiving, &originating, id));
    }

    /// XEP-0185, section 4, and XEP-0220, examples.
    #[test]
    fn the_published_keys_are_recomputed() {
        check(
            "s3cr3tf0rd14lb4ck",
            "xmpp.example.com",
            "example.org",
            "D60000229F",
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
        );
        check(
            "s3cr3tf0rd14lb4ck",
            "montague.example",
            "capulet.example",
            "D60000229F",
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
        );
        check(
            "d14lb4ck43v3r",
            "capulet.example",
            "montague.example",
            "417GAF25",
            "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
        );
    }

    #[test]
    fn a_key_made_from_the_digests_bytes_instead_of_their_text_is_refused() {
        let wrong = "4530485cd3f519a56e49b11b294b990ee9697dddaa9e95949e4cb0e64e9f017f";
        assert!(!verify_key(
            wrong,
            b"s3cr3tf0rd14lb4ck",
            &name("xmpp.example.com"),
            &name("example.org"),
            "D60000229F"
        ));
    }

    #[test]
    fn no_part_of_one_field_can_pass_for_part_of_another() {
        let (a, b) = (name("a.example"), name("b.example"));
        assert_ne!(key(b"s", &a, &b, "1"), key(b"s", &a, &name("b.example1.example"), ""));
        assert_ne!(key(b"s", &a, &b, "b.example 1"), key(b"s", &a, &b, "1"));
    }
}
