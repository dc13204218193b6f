//! For which domains a certificate speaks (RFC 6120, section 13.7.1; RFC 9525).
//!
//! Three presented identifiers count: DNS-ID, SRV-ID and XmppAddr, all in the subject alternative name. The subject's
//! common name never does. A name with anything odd in it matches nothing; a certificate that cannot be read has no
//! names. Not here: whether anyone trusted vouches for it, which is [`super::chain`].

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::{Any, ObjectIdentifier, UintRef};
use x509_cert::der::{DateTime, Decode, Reader as _, SliceReader, Tag, Tagged};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};

use super::chain::ChainFault;
use crate::domain::DomainName;

/// How many entries of a subject alternative name are read: a shared host has dozens, an attack thousands.
pub const MAX_NAMES: usize = 500;

/// id-on-dnsSRV (RFC 4985, section 2).
const SRV_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.7");
/// id-on-xmppAddr (RFC 6120, section 13.7.1.4).
const XMPP_ADDR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.5");
/// The service label of a SRV-ID between servers.
const SERVICE: &str = "_xmpp-server.";

/// What a certificate says, and nothing about whether to believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Names of the subject alternative name, by kind, as they stand there.
    names: Vec<PresentedName>,
    /// The subject as text, for operators; never compared with anything.
    pub subject: String,
    /// The issuer as text, for operators.
    pub issuer: String,
    /// Whether subject and issuer are one.
    pub is_self_issued: bool,
    /// From when it holds, in Unix seconds.
    pub not_before: u64,
    /// Until when it holds, in Unix seconds.
    pub not_after: u64,
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
    /// SHA-256 of the public key with its algorithm: what a pin names.
    pub key_sha256: [u8; 32],
    /// What the key may be used for; `None` without the extension.
    pub extended_key_usage: Option<Vec<String>>,
    /// The kind and size of the key.
    pub key: KeyKind,
}

/// A presented identifier (RFC 6120, section 13.7.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
enum PresentedName {
    Dns(String),
    Srv(String),
    XmppAddr(String),
}

/// A public key as far as its strength goes (RFC 9325, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with the bits of its modulus.
    Rsa(usize),
    /// ECDSA on a curve of at least 256 bits that we know: P-256, P-384, P-521.
    Ecdsa,
    /// Ed25519.
    Ed25519,
    /// Anything else.
    Unknown,
}

impl KeyKind {
    /// The least RSA modulus (RFC 9325, section 4.5).
    const LEAST_RSA_BITS: usize = 2048;

    /// Whether the key is above the floor.
    pub fn is_strong(self) -> bool {
        match self {
            Self::Rsa(bits) => bits >= Self::LEAST_RSA_BITS,
            Self::Ecdsa | Self::Ed25519 => true,
            Self::Unknown => false,
        }
    }

    pub(super) fn of(info: &SubjectPublicKeyInfoOwned) -> Self {
        const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
        const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
        const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
        const CURVES: [ObjectIdentifier; 3] = [
            ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
            ObjectIdentifier::new_unwrap("1.3.132.0.34"),
            ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        ];
        let curve = || info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok();
        match info.algorithm.oid {
            RSA => rsa_bits(info.subject_public_key.raw_bytes()).map_or(Self::Unknown, Self::Rsa),
            EC if curve().is_some_and(|curve| CURVES.contains(&curve)) => Self::Ecdsa,
            ED25519 => Self::Ed25519,
            _ => Self::Unknown,
        }
    }
}

/// The bits of the modulus in an RSAPublicKey (RFC 8017, appendix A.1.1).
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(key).ok()?;
    let modulus: Vec<u8> = reader
        .sequence(|inner| {
            let modulus = UintRef::decode(inner)?.as_bytes().to_vec();
            UintRef::decode(inner)?;
            Ok::<_, x509_cert::der::Error>(modulus)
        })
        .ok()?;
    let first = modulus.first()?;
    Some(modulus.len() * 8 - usize::try_from(first.leading_zeros()).ok()?)
}

impl PeerCertificate {
    /// Reads the peer's own certificate, the first of the chain it presented.
    pub fn read(chain: &[CertificateDer<'_>]) -> Result<Self, ChainFault> {
        let der = chain.first().ok_or(ChainFault::Absent)?;
        let certificate = Certificate::from_der(der).map_err(|_| ChainFault::Malformed)?;
        let content = certificate.tbs_certificate();
        let names = match content.get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().take(MAX_NAMES).filter_map(presented).collect(),
            Ok(None) => Vec::new(),
            Err(_) => return Err(ChainFault::Malformed),
        };
        let usage = content.get_extension::<ExtendedKeyUsage>().map_err(|_| ChainFault::Malformed)?;
        let validity = content.validity();
        Ok(Self {
            names,
            subject: content.subject().to_string(),
            issuer: content.issuer().to_string(),
            is_self_issued: content.subject() == content.issuer(),
            not_before: seconds(&validity.not_before),
            not_after: seconds(&validity.not_after),
            sha256: sha256(der),
            key_sha256: key_digest(content.subject_public_key_info())?,
            extended_key_usage: usage.map(|(_, usage)| usage.0.iter().map(ToString::to_string).collect()),
            key: KeyKind::of(content.subject_public_key_info()),
        })
    }

    /// Whether the certificate speaks for a domain: any one identifier suffices.
    pub fn names_domain(&self, domain: &DomainName) -> bool {
        self.names.iter().any(|name| name.matches(domain))
    }

    /// The names it presents, for operators: at most `most`, odd characters escaped.
    pub fn presented_names(&self, most: usize) -> Vec<String> {
        self.names.iter().take(most).map(PresentedName::describe).collect()
    }

    /// The one of these names that a certificate bears as a DNS name, for peers that are known by a list of names: the
    /// two ends of the link. No wildcards. The chain is the caller's business.
    pub fn one_of<'n>(&self, allowed: &'n [String]) -> Option<&'n String> {
        let bears = |name: &String| {
            self.names.iter().any(|presented| match presented {
                PresentedName::Dns(presented) => presented.eq_ignore_ascii_case(name),
                _ => false,
            })
        };
        allowed.iter().find(|name| bears(name))
    }

    /// Whether the key is one of these, named by their SHA-256. Takes the same time for each wrong one.
    pub fn has_key_of(&self, pins: &[[u8; 32]]) -> bool {
        pins.iter().any(|pin| verify_slices_are_equal(pin, &self.key_sha256).is_ok())
    }

    /// Whether the certificate bears a host's name as a DNS name, wildcards included: for hosts that signed records of
    /// DNS lead to (RFC 7673, section 4.1), never for what a peer claims.
    pub fn names_host(&self, host: &str) -> bool {
        self.names.iter().any(|name| matches!(name, PresentedName::Dns(name) if dns_matches(name, host)))
    }

    /// SHA-256 of the certificate as operators compare it: hexadecimal, colons between bytes.
    pub fn fingerprint(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }
}

impl PresentedName {
    fn matches(&self, domain: &DomainName) -> bool {
        let reference = domain.as_str();
        match self {
            // A reference is lower-case A-labels without trailing dot, so whatever equals one has nothing odd in it.
            Self::Dns(name) => dns_matches(name, reference),
            Self::Srv(name) => {
                let (service, rest) = name.split_at_checked(SERVICE.len()).unwrap_or_default();
                service.eq_ignore_ascii_case(SERVICE) && rest.eq_ignore_ascii_case(reference)
            }
            // Legacy; an address of a user or a resource names no server. Preparation forgives a trailing dot of a
            // reference, but a certificate has no business with one.
            Self::XmppAddr(name) => !name.ends_with(DOTS) && DomainName::parse(name).as_ref() == Ok(domain),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Dns(name) => format!("DNS:{}", name.escape_debug()),
            Self::Srv(name) => format!("SRV:{}", name.escape_debug()),
            Self::XmppAddr(name) => format!("xmppAddr:{}", name.escape_debug()),
        }
    }
}

/// What IDNA takes for a dot (RFC 3490, section 3.1).
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

fn dns_matches(name: &str, reference: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => wildcard_matches(parent, reference),
        None => name.eq_ignore_ascii_case(reference),
    }
}

/// `*.parent` stands for exactly one label, and never for all names below a public suffix.
fn wildcard_matches(parent: &str, reference: &str) -> bool {
    !is_public_suffix(parent) && reference.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
}

/// What country registries sell names below, besides the country's own label.
const REGISTRY_LABELS: [&str; 14] =
    ["ac", "co", "com", "edu", "go", "gov", "gob", "mil", "ne", "net", "nom", "or", "org", "sch"];

/// Whether strangers can have names below a domain: every top-level domain, and the registry labels of countries. The
/// full list of public suffixes changes weekly and is longer than this program; public issuers are bound to it, so what
/// this rule lets through only a partner's own authority could sign, and that counts for the partner's domains alone.
fn is_public_suffix(domain: &str) -> bool {
    match domain.split_once('.') {
        None => true,
        Some((label, country)) => {
            country.len() == 2 && REGISTRY_LABELS.iter().any(|known| label.eq_ignore_ascii_case(known))
        }
    }
}

fn presented(name: &GeneralName) -> Option<PresentedName> {
    match name {
        GeneralName::DnsName(name) => Some(PresentedName::Dns(name.as_str().to_owned())),
        GeneralName::OtherName(other) if other.type_id == SRV_NAME => text(&other.value).map(PresentedName::Srv),
        GeneralName::OtherName(other) if other.type_id == XMPP_ADDR => text(&other.value).map(PresentedName::XmppAddr),
        _ => None,
    }
}

/// A UTF8String or IA5String: RFC 4985 asks for the latter in SRVName, many issuers write the former.
fn text(value: &Any) -> Option<String> {
    let text = std::str::from_utf8(value.value()).ok()?;
    match value.tag() {
        Tag::Utf8String => Some(text.to_owned()),
        Tag::Ia5String if text.is_ascii() => Some(text.to_owned()),
        _ => None,
    }
}

/// A time of a certificate as RFC 3339 has it, for operators.
pub fn date(unix_s: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(unix_s))
        .map_or_else(|_| unix_s.to_string(), |time| time.to_string())
}

fn seconds(time: &Time) -> u64 {
    time.to_unix_duration().as_secs()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut sum = [0; 32];
    for (to, from) in sum.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    sum
}

/// The SubjectPublicKeyInfo of a certificate, in DER.
pub fn public_key_info(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, ChainFault> {
    use x509_cert::der::Encode as _;
    let certificate = Certificate::from_der(certificate).map_err(|_| ChainFault::Malformed)?;
    certificate.tbs_certificate().subject_public_key_info().to_der().map_err(|_| ChainFault::Malformed)
}

fn key_digest(info: &SubjectPublicKeyInfoOwned) -> Result<[u8; 32], ChainFault> {
    use x509_cert::der::Encode as _;
    Ok(sha256(&info.to_der().map_err(|_| ChainFault::Malformed)?))
}
