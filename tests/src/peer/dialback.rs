//! Dialback keys (XEP-0185), computed apart from the product's own.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};

/// HMAC-SHA256 with the hexadecimal text of SHA256(secret), over `receiving originating id`, in lower-case hexadecimal.
pub fn key(secret: &str, receiving: &str, originating: &str, stream_id: &str) -> String {
    let secret = hex(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex(hmac::sign(&key, format!("{receiving} {originating} {stream_id}").as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _writing_to_a_string_cannot_fail = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn the_example_of_the_specification_gives_its_key() {
        let expected = "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643";
        assert_eq!(key("s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F"), expected);
    }
}
