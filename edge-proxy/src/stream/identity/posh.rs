//! POSH: a document on the web server of a domain says which certificates its XMPP servers may show (RFC 7711).
//!
//! Two kinds of document, one that holds fingerprints and one that says where they are. What is fetched, and from whom,
//! is [`crate::evidence`]'s affair.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use causeway_shared::pki;
use serde_json::Value;

use super::{Judged, unix};

/// Descriptors of one document that are read: one for each host of a cluster, twice while they renew.
const MAX_DESCRIPTORS: usize = 64;

/// The examples of RFC 7711, section 3.1, have padding in one place and none in another.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A document (RFC 7711, section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// It holds the fingerprints.
    Fingerprints(Fingerprints),
    /// It says where they are.
    Reference {
        /// An HTTPS URI.
        url: String,
        /// How long that holds.
        expires: Duration,
    },
}

/// The certificates that a domain vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprints {
    sums: Vec<Sum>,
    /// How long they hold.
    pub expires: Duration,
}

/// One sum over the DER of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sum {
    Sha256(Vec<u8>),
    Sha512(Vec<u8>),
}

impl Document {
    /// Reads a document; or why it is none, in an operator's words.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let Ok(Value::Object(document)) = serde_json::from_slice::<Value>(bytes) else {
            return Err("the document is no JSON object");
        };
        let expires = match document.get("expires").and_then(Value::as_u64) {
            Some(0) => return Err("the document says that it is invalid (expires is 0)"),
            Some(seconds) => Duration::from_secs(seconds),
            None => return Err("the document has no number of seconds in expires"),
        };
        match (document.get("fingerprints"), document.get("url")) {
            (Some(Value::Array(descriptors)), None) => {
                let sums: Vec<Sum> = descriptors.iter().take(MAX_DESCRIPTORS).flat_map(sums).collect();
                Ok(Self::Fingerprints(Fingerprints { sums, expires }))
            }
            (None, Some(Value::String(url))) => Ok(Self::Reference { url: url.clone(), expires }),
            (Some(_), Some(_)) => Err("the document has both fingerprints and url"),
            (_, _) => Err("the document has neither a list of fingerprints nor an url"),
        }
    }
}

/// The sums of a descriptor; hash functions that we do not know count as absent (RFC 7711, section 3.3).
fn sums(descriptor: &Value) -> impl Iterator<Item = Sum> {
    let sum = |name: &str| BASE64.decode(descriptor.get(name)?.as_str()?).ok();
    [sum("sha-256").map(Sum::Sha256), sum("sha-512").map(Sum::Sha512)].into_iter().flatten()
}

/// Whether the domain vouches for the certificate, which is in date and has a strong key (RFC 7711, section 6). Its names
/// do not matter: they are those of whoever hosts the domain.
pub(super) fn proves(fingerprints: &Fingerprints, judged: &Judged<'_>) -> bool {
    let Some(own) = judged.chain.first() else {
        return false;
    };
    let is_it = |sum: &Sum| match sum {
        Sum::Sha256(sum) => digest::digest(&digest::SHA256, own).as_ref() == sum.as_slice(),
        Sum::Sha512(sum) => digest::digest(&digest::SHA512, own).as_ref() == sum.as_slice(),
    };
    fingerprints.sums.iter().any(is_it) && pki::verify_alone(judged.chain, unix(judged.at)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read_padded_or_not() {
        for sum in ["4/mggdlVx8A3pvHAWW5sD+qJyMtUHgiRuPjVC48N0XQ=", "4/mggdlVx8A3pvHAWW5sD+qJyMtUHgiRuPjVC48N0XQ"] {
            let text = format!("{{\"fingerprints\":[{{\"sha-256\":\"{sum}\",\"md5\":\"AA==\"}}],\"expires\":604800}}");
            let Ok(Document::Fingerprints(read)) = Document::parse(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(read.expires, Duration::from_secs(604_800));
            assert!(matches!(&read.sums[..], [Sum::Sha256(sum)] if sum.len() == 32 && sum[..2] == [0xe3, 0xf9]));
        }
        let text = "{\"url\":\"https://hosting.example.net/.well-known/posh/spice.json\",\"expires\":86400}";
        let reference = Document::Reference {
            url: "https://hosting.example.net/.well-known/posh/spice.json".to_owned(),
            expires: Duration::from_secs(86_400),
        };
        assert_eq!(Document::parse(text.as_bytes()), Ok(reference));
    }

    #[test]
    fn what_is_no_document_says_why_and_harms_nobody() {
        let deep = "[".repeat(10_000);
        for text in [
            "",
            "[]",
            "{}",
            "{\"expires\":1}",
            "{\"expires\":0,\"fingerprints\":[]}",
            "{\"expires\":-1,\"fingerprints\":[]}",
            "{\"expires\":\"1\",\"fingerprints\":[]}",
            "{\"expires\":1,\"fingerprints\":{}}",
            "{\"expires\":1,\"fingerprints\":[],\"url\":\"https://x.example/\"}",
            &deep,
        ] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
        }
        let odd = "{\"expires\":1,\"fingerprints\":[1,null,{},{\"sha-256\":1},{\"sha-256\":\"*\"}]}";
        let Ok(Document::Fingerprints(read)) = Document::parse(odd.as_bytes()) else { panic!() };
        assert_eq!(read.sums, []);
    }
}
