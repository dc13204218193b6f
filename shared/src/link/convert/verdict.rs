//! Verdicts to their frame form and back. Text that an edge sent is brought within the bounds again: an edge faces the
//! internet, and what it quotes was chosen there.

use bytes::Bytes;
use causeway_proto::link::v1 as proto;

use super::FrameFault;
use crate::verdict::facts::{CertificateFacts, Facts, TlsFacts};
use crate::verdict::history::Kept;
use crate::verdict::{Code, Direction, Rung, Side, Verdict};

/// Longest cause, remedy and partner of a verdict that is taken from the link; ours are shorter.
const MAX_SENTENCE: usize = 2048;

/// A verdict that is not, or not yet, a kept record.
pub fn verdict_to_proto(verdict: &Verdict) -> proto::Verdict {
    let mut frame = proto::Verdict {
        rung: verdict.rung.as_str().to_owned(),
        side: verdict.side.as_str().to_owned(),
        cause: verdict.cause.clone(),
        remedy: verdict.remedy.clone(),
        partner: verdict.partner.clone(),
        direction: verdict.direction.as_str().to_owned(),
        peer_address: verdict.peer.map_or_else(String::new, |peer| peer.to_string()),
        at_ms: verdict.at_ms,
        code: verdict.code.map_or("", Code::as_str).to_owned(),
        ..proto::Verdict::default()
    };
    if let Some(facts) = verdict.facts.as_deref() {
        frame.domain.clone_from(&facts.domain);
        frame.local_domain.clone_from(&facts.local);
        frame.target.clone_from(&facts.target);
        frame.stream_id.clone_from(&facts.stream_id);
        frame.is_partner = facts.is_partner;
        if let Some(tls) = &facts.tls {
            frame.tls_version.clone_from(&tls.version);
            frame.tls_cipher.clone_from(&tls.cipher);
        }
        frame.certificate = facts.certificate.as_ref().map(certificate_to_proto);
        frame.transcript.clone_from(&facts.transcript);
    }
    frame
}

/// A verdict from its frame form.
pub fn verdict_from_proto(frame: proto::Verdict) -> Result<Verdict, FrameFault> {
    let unknown = |field| FrameFault::Unknown { field };
    let has_tls = !frame.tls_version.is_empty();
    let tls = has_tls.then_some(TlsFacts { version: frame.tls_version, cipher: frame.tls_cipher });
    let facts = Facts {
        domain: frame.domain,
        is_partner: frame.is_partner,
        local: frame.local_domain,
        target: frame.target,
        stream_id: frame.stream_id,
        tls,
        certificate: frame.certificate.map(certificate_from_proto).transpose()?,
        transcript: frame.transcript,
    };
    Ok(Verdict {
        code: Code::parse(&frame.code),
        rung: Rung::parse(&frame.rung).ok_or(unknown("verdict.rung"))?,
        side: Side::parse(&frame.side).ok_or(unknown("verdict.side"))?,
        cause: sentence(frame.cause),
        remedy: sentence(frame.remedy),
        partner: sentence(frame.partner),
        direction: Direction::parse(&frame.direction).ok_or(unknown("verdict.direction"))?,
        peer: frame.peer_address.parse().ok(),
        at_ms: frame.at_ms,
        facts: (facts != Facts::default()).then(|| Box::new(facts.bounded())),
    })
}

/// A kept record to its frame form.
pub fn kept_to_proto(kept: &Kept) -> proto::Verdict {
    proto::Verdict {
        count: kept.count,
        first_ms: kept.first_ms,
        number: kept.number,
        ..verdict_to_proto(&kept.verdict)
    }
}

/// A kept record of the edge process `origin`, which calls itself `edge`.
pub fn kept_from_proto(frame: proto::Verdict, edge: &str, origin: u64) -> Result<Kept, FrameFault> {
    let (number, count, first_ms) = (frame.number, frame.count.max(1), frame.first_ms);
    let verdict = verdict_from_proto(frame)?;
    Ok(Kept { edge: edge.to_owned(), origin, number, count, first_ms, verdict })
}

pub(super) fn certificate_to_proto(facts: &CertificateFacts) -> proto::Certificate {
    proto::Certificate {
        names: facts.names.clone(),
        more_names: facts.more_names,
        subject: facts.subject.clone(),
        issuer: facts.issuer.clone(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        sha256: Bytes::copy_from_slice(&facts.sha256),
        key_sha256: Bytes::copy_from_slice(&facts.key_sha256),
        key: facts.key.clone(),
        has_extended_key_usage: facts.extended_key_usage.is_some(),
        extended_key_usage: facts.extended_key_usage.clone().unwrap_or_default(),
    }
}

pub(super) fn certificate_from_proto(frame: proto::Certificate) -> Result<CertificateFacts, FrameFault> {
    let digest =
        |field, bytes: &Bytes| bytes.as_ref().try_into().map_err(|_| FrameFault::Length { field, len: bytes.len() });
    Ok(CertificateFacts {
        sha256: digest("certificate.sha256", &frame.sha256)?,
        key_sha256: digest("certificate.key_sha256", &frame.key_sha256)?,
        names: frame.names,
        more_names: frame.more_names,
        subject: frame.subject,
        issuer: frame.issuer,
        not_before: frame.not_before,
        not_after: frame.not_after,
        key: frame.key,
        extended_key_usage: frame.has_extended_key_usage.then_some(frame.extended_key_usage),
    })
}

pub(super) fn sentence(text: String) -> String {
    match text.char_indices().map(|(index, _)| index).find(|index| *index > MAX_SENTENCE) {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::facts::MAX_LINES;

    fn verdict() -> Verdict {
        Verdict {
            partner: "fabrikam.example".to_owned(),
            direction: Direction::Out,
            peer: Some("192.0.2.1:5269".parse().unwrap()),
            at_ms: 5,
            facts: Some(Box::new(Facts {
                domain: "im.fabrikam.example".to_owned(),
                is_partner: true,
                local: "contoso.example".to_owned(),
                target: "xmpp.fabrikam.example:5269".to_owned(),
                stream_id: "s1".to_owned(),
                tls: Some(TlsFacts { version: "TLSv1_3".to_owned(), cipher: "TLS13_AES_256_GCM_SHA384".to_owned() }),
                certificate: Some(CertificateFacts {
                    names: vec!["DNS:fabrikam.example".to_owned()],
                    more_names: 2,
                    subject: "CN=fabrikam".to_owned(),
                    issuer: "CN=issuer".to_owned(),
                    not_before: 1,
                    not_after: 2,
                    sha256: [3; 32],
                    key_sha256: [4; 32],
                    key: "ECDSA".to_owned(),
                    extended_key_usage: Some(vec![]),
                }),
                transcript: vec!["sent a header".to_owned()],
            })),
            ..Verdict::of(Code::ChainExpired, "the certificate has expired")
        }
    }

    #[test]
    fn a_kept_verdict_survives_the_link() {
        let kept = Kept { edge: "e".to_owned(), origin: 9, number: 7, count: 3, first_ms: 2, verdict: verdict() };
        assert_eq!(kept_from_proto(kept_to_proto(&kept), "e", 9), Ok(kept));
        let plain = Verdict { facts: None, ..verdict() };
        assert_eq!(verdict_from_proto(verdict_to_proto(&plain)), Ok(plain));
    }

    #[test]
    fn a_kind_of_a_newer_build_leaves_a_verdict_without_a_code() {
        let frame = proto::Verdict { code: "future-kind".to_owned(), ..verdict_to_proto(&verdict()) };
        assert_eq!(verdict_from_proto(frame), Ok(Verdict { code: None, ..verdict() }));
    }

    #[test]
    fn a_verdict_beyond_the_bounds_is_cut_and_one_that_breaks_the_contract_is_none() {
        let mut frame = verdict_to_proto(&verdict());
        frame.transcript = vec!["\u{202e}".repeat(1000); 1000];
        frame.cause = "x".repeat(1_000_000);
        let read = verdict_from_proto(frame).unwrap();
        assert!(read.cause.len() <= MAX_SENTENCE + 1);
        assert_eq!(read.facts.unwrap().transcript.len(), MAX_LINES);
        let mut frame = verdict_to_proto(&verdict());
        frame.certificate.as_mut().unwrap().sha256 = Bytes::from_static(b"short");
        assert_eq!(verdict_from_proto(frame).unwrap_err(), FrameFault::Length { field: "certificate.sha256", len: 5 });
    }
}
