//! What is known about the connection of a failed attempt: enough to mend it without asking for a second one.
//!
//! Everything in here may be shown to operators of both sides: no keys, no SASL payloads, no bodies. What the other
//! side chose is escaped and cut when it enters.

use super::{printable, unmistakable_domain};
use crate::pki::PeerCertificate;
use crate::pki::identity::KeyKind;

/// Names of a certificate that a verdict quotes; a shared host has dozens, and the first ones tell what it is.
pub const MAX_NAMES: usize = 16;

/// Lines of a transcript: a negotiation with TLS, SASL and dialback takes about 30.
pub const MAX_LINES: usize = 40;

/// Bytes of a line of a transcript, of a name and of any other text in a verdict's facts.
pub const MAX_TEXT: usize = 200;

/// What is known about an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The domain of the partner that the attempt was about, as claimed or as wanted.
    pub domain: String,
    /// Whether the domain is one of a configured partner.
    pub is_partner: bool,
    /// Our domain of the pair.
    pub local: String,
    /// The SRV target or proxy that was dialled, as `host:port`.
    pub target: String,
    /// The id of the stream.
    pub stream_id: String,
    /// The TLS session, if one was established.
    pub tls: Option<TlsFacts>,
    /// The other side's certificate, if it presented one.
    pub certificate: Option<CertificateFacts>,
    /// What was sent and received, without secrets, the oldest line first.
    pub transcript: Vec<String>,
}

/// A TLS session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// A certificate as operators compare it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateFacts {
    /// Identifiers of the subject alternative name, with their kind.
    pub names: Vec<String>,
    /// How many there are beyond these.
    pub more_names: u32,
    /// The subject; never compared with anything.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// From when it holds, in Unix seconds.
    pub not_before: u64,
    /// Until when it holds, in Unix seconds.
    pub not_after: u64,
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
    /// SHA-256 of the subject's public key with its algorithm: what a pin names.
    pub key_sha256: [u8; 32],
    /// The kind of the key.
    pub key: String,
    /// The extended key usage; `None` without the extension.
    pub extended_key_usage: Option<Vec<String>>,
}

impl CertificateFacts {
    /// What a certificate says.
    pub fn of(certificate: &PeerCertificate) -> Self {
        let mut names = certificate.presented_names(usize::MAX);
        let more_names = u32::try_from(names.len().saturating_sub(MAX_NAMES)).unwrap_or(u32::MAX);
        names.truncate(MAX_NAMES);
        Self {
            names: names.iter().map(|name| cut(name)).collect(),
            more_names,
            subject: cut(&certificate.subject),
            issuer: cut(&certificate.issuer),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            sha256: certificate.sha256,
            key_sha256: certificate.key_sha256,
            key: match certificate.key {
                KeyKind::Rsa(bits) => format!("RSA {bits}"),
                KeyKind::Ecdsa => "ECDSA".to_owned(),
                KeyKind::Ed25519 => "Ed25519".to_owned(),
                KeyKind::Unknown => "unknown".to_owned(),
            },
            extended_key_usage: certificate
                .extended_key_usage
                .as_ref()
                .map(|usages| usages.iter().take(MAX_NAMES).map(|usage| usage_name(usage)).collect()),
        }
    }

    /// Whole days from a Unix time in milliseconds to the end; negative when it is over.
    pub fn days_left(&self, unix_ms: u64) -> i64 {
        let (end, now) = (i64::try_from(self.not_after), i64::try_from(unix_ms / 1000));
        (end.unwrap_or(i64::MAX).saturating_sub(now.unwrap_or(i64::MAX))).div_euclid(86_400)
    }
}

/// Operators know usages by name (RFC 5280, section 4.2.1.12).
fn usage_name(oid: &str) -> String {
    match oid {
        "1.3.6.1.5.5.7.3.1" => "serverAuth".to_owned(),
        "1.3.6.1.5.5.7.3.2" => "clientAuth".to_owned(),
        "2.5.29.37.0" => "anyExtendedKeyUsage".to_owned(),
        _ => cut(oid),
    }
}

/// Hexadecimal, colons between bytes: how operators compare digests.
pub fn fingerprint(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Foreign text in facts: escaped, and cut at [`MAX_TEXT`] bytes.
pub fn cut(text: &str) -> String {
    let mut text = printable(text);
    if text.len() > MAX_TEXT {
        let room = MAX_TEXT - '…'.len_utf8();
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Facts {
    /// About how many bytes it takes, for the bounds of those who keep it.
    pub fn weight(&self) -> usize {
        let certificate = self.certificate.as_ref().map_or(0, |certificate| {
            let usages = certificate.extended_key_usage.iter().flatten();
            let names: usize = certificate.names.iter().chain(usages).map(String::len).sum();
            names + certificate.subject.len() + certificate.issuer.len() + size_of::<CertificateFacts>()
        });
        let lines: usize = self.transcript.iter().map(|line| line.len() + size_of::<String>()).sum();
        size_of::<Self>()
            + self.domain.len()
            + self.local.len()
            + self.target.len()
            + self.stream_id.len()
            + certificate
            + lines
    }

    /// Brings what another service sent within the bounds.
    pub fn bounded(mut self) -> Self {
        for text in [&mut self.domain, &mut self.local, &mut self.target, &mut self.stream_id] {
            *text = cut_domain(text);
        }
        self.transcript.truncate(MAX_LINES);
        self.transcript.iter_mut().for_each(|line| *line = cut(line));
        if let Some(tls) = &mut self.tls {
            (tls.version, tls.cipher) = (cut(&tls.version), cut(&tls.cipher));
        }
        if let Some(certificate) = &mut self.certificate {
            certificate.names.truncate(MAX_NAMES);
            certificate.names.iter_mut().for_each(|name| *name = cut(name));
            let texts = [&mut certificate.subject, &mut certificate.issuer, &mut certificate.key];
            texts.into_iter().for_each(|text| *text = cut(text));
            if let Some(usages) = &mut certificate.extended_key_usage {
                usages.truncate(MAX_NAMES);
                usages.iter_mut().for_each(|usage| *usage = cut(usage));
            }
        }
        self
    }
}

/// Longest domain with port, spelled out; domains are not cut as short as other text, or they would be others.
const MAX_DOMAIN: usize = 512;

/// Who reads it again reads the same, so what shows the cut is ASCII as well.
fn cut_domain(text: &str) -> String {
    let mut domain = unmistakable_domain(text);
    if domain.len() > MAX_DOMAIN {
        let ascii = domain.chars().take(MAX_DOMAIN - 3).filter(char::is_ascii);
        domain = ascii.chain("...".chars()).collect();
    }
    domain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_at_a_character_and_escaped() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"ü".repeat(300));
        assert!(long.len() <= MAX_TEXT && long.ends_with("ü…"), "{long}");
        assert_eq!(cut("a\nb"), "a\\u{a}b");
    }

    #[test]
    fn a_domain_that_is_spelled_out_is_bounded_and_the_same_when_it_is_read_again() {
        for text in
            ["\u{1}".repeat(100), "ü ".repeat(300), "a".repeat(600), "a".repeat(2_000), "b\u{fc}cher.example".into()]
        {
            let cut = cut_domain(&text);
            assert!(cut.len() <= MAX_DOMAIN, "{cut}");
            assert_eq!(cut_domain(&cut), cut);
        }
    }

    #[test]
    fn days_left_are_whole_and_negative_after_the_end() {
        let facts = CertificateFacts { not_after: 10 * 86_400, ..CertificateFacts::default() };
        assert_eq!(facts.days_left(0), 10);
        assert_eq!(facts.days_left(9 * 86_400_000 + 1000), 0);
        assert_eq!(facts.days_left(10 * 86_400_000 + 1000), -1);
    }

    #[test]
    fn what_another_service_sent_is_brought_within_the_bounds() {
        let facts = Facts {
            transcript: vec!["x".repeat(10_000); 100],
            certificate: Some(CertificateFacts { names: vec!["y".repeat(10_000); 100], ..CertificateFacts::default() }),
            ..Facts::default()
        }
        .bounded();
        assert!(facts.weight() < MAX_LINES * 256 + MAX_NAMES * 256 + 1024, "{}", facts.weight());
    }
}
