//! Fingerprints of certificates in session descriptions (RFC 8122 section 5): what makes a self-signed certificate the
//! right one (RFC 4975 section 14.4).

use std::fmt::Write as _;

use aws_lc_rs::digest;

/// Fingerprints of one stream that are read; more are left out.
pub const MAX_FINGERPRINTS: usize = 8;

/// Hash functions in the order of preference, the weakest first. MD2 and MD5 must not be used (RFC 8122 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashFunction {
    /// The example of RFC 4975 has it, and so have its older implementations.
    Sha1,
    /// What everybody must have.
    Sha256,
    /// Stronger.
    Sha384,
    /// The strongest.
    Sha512,
}

impl HashFunction {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// The value of `a=fingerprint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: HashFunction,
    digest: Vec<u8>,
}

/// A text that is no fingerprint, or of a hash function that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint that can be used")]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8], hash: HashFunction) -> Self {
        Self { hash, digest: digest::digest(hash.algorithm(), certificate).as_ref().to_vec() }
    }

    /// Whether a certificate is one of those that were announced: only the strongest hash function among them counts
    /// (RFC 8122 section 5.1). `false` if none was announced.
    pub fn any_matches(announced: &[Self], certificate: &[u8]) -> bool {
        let Some(strongest) = announced.iter().map(|fingerprint| fingerprint.hash).max() else {
            return false;
        };
        let presented = Self::of(certificate, strongest);
        announced.contains(&presented)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.hash.name())?;
        for (at, byte) in self.digest.iter().enumerate() {
            f.write_char(if at == 0 { ' ' } else { ':' })?;
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let (name, digits) = text.trim().split_once(' ').ok_or(InvalidFingerprint)?;
        let hash = HashFunction::ALL.into_iter().find(|hash| name.eq_ignore_ascii_case(hash.name()));
        let hash = hash.ok_or(InvalidFingerprint)?;
        let byte = |pair: &str| match pair.as_bytes() {
            [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => u8::from_str_radix(pair, 16).ok(),
            _ => None,
        };
        let digest: Vec<_> =
            digits.trim().split(':').take(65).map(byte).collect::<Option<_>>().ok_or(InvalidFingerprint)?;
        if digest.len() == hash.algorithm().output_len() { Ok(Self { hash, digest }) } else { Err(InvalidFingerprint) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule: msrp.tls
    #[test]
    fn a_fingerprint_is_printed_and_read() {
        let text = "SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";
        let read: Fingerprint = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        let ours = Fingerprint::of(b"certificate", HashFunction::Sha256);
        assert_eq!(ours.to_string().parse(), Ok(ours.clone()));
        assert_eq!(ours.to_string().to_lowercase().parse(), Ok(ours));
    }

    // Rule: msrp.tls
    #[test]
    fn what_is_no_fingerprint_or_of_a_broken_hash_function_is_not_used() {
        let md5 = format!("MD5 {}", ["00"; 16].join(":"));
        let short = format!("SHA-256 {}", ["00"; 31].join(":"));
        let long = format!("SHA-512 {}", ["00"; 100].join(":"));
        for bad in ["", "SHA-256", "SHA-256 0", "SHA-1 +1:00", "SHA-1 4A:AD", &md5, &short, &long] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(InvalidFingerprint), "{bad}");
        }
    }

    // Rule: msrp.tls
    #[test]
    fn only_the_strongest_hash_function_that_was_announced_counts() {
        let of = |certificate: &[u8], hash| Fingerprint::of(certificate, hash);
        let announced =
            [of(b"other", HashFunction::Sha1), of(b"one", HashFunction::Sha256), of(b"two", HashFunction::Sha256)];
        assert!(Fingerprint::any_matches(&announced, b"one") && Fingerprint::any_matches(&announced, b"two"));
        assert!(!Fingerprint::any_matches(&announced, b"other"), "its hash function is weaker than what was announced");
        assert!(!Fingerprint::any_matches(&[], b"one"));
    }
}
