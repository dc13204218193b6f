//! Verdicts as JSON, for `/verdicts` of both services: what an operator, a panel or a script reads.

use serde_json::{Value, json};

use super::facts::{CertificateFacts, Facts, fingerprint};
use super::history::Kept;
use super::{Code, printable, unmistakable_domain};

/// Several verdicts, in the order given.
pub fn kept(kept: &[Kept]) -> Value {
    Value::Array(kept.iter().map(one).collect())
}

fn one(kept: &Kept) -> Value {
    let verdict = &kept.verdict;
    let mut value = json!({
        "code": verdict.code.map(Code::as_str),
        "rung": verdict.rung.as_str(),
        "side": verdict.side.as_str(),
        "direction": verdict.direction.as_str(),
        "partner": unmistakable_domain(&verdict.partner),
        "peer": verdict.peer.map(|peer| peer.to_string()),
        "cause": printable(&verdict.cause),
        "remedy": verdict.remedy,
        "count": kept.count,
        "first_ms": kept.first_ms,
        "last_ms": verdict.at_ms,
    });
    if let Value::Object(fields) = &mut value {
        if !kept.edge.is_empty() {
            fields.insert("edge".to_owned(), json!(kept.edge));
        }
        if let Some(facts) = verdict.facts.as_deref() {
            self::facts(facts, verdict.at_ms, fields);
        }
    }
    value
}

fn facts(facts: &Facts, at_ms: u64, fields: &mut serde_json::Map<String, Value>) {
    let texts = [
        ("domain", &facts.domain),
        ("local", &facts.local),
        ("target", &facts.target),
        ("stream_id", &facts.stream_id),
    ];
    for (name, text) in texts {
        if !text.is_empty() {
            fields.insert(name.to_owned(), json!(printable(text)));
        }
    }
    fields.insert("is_partner".to_owned(), json!(facts.is_partner));
    if let Some(tls) = &facts.tls {
        fields.insert("tls".to_owned(), json!({ "version": tls.version, "cipher": tls.cipher }));
    }
    if let Some(certificate) = &facts.certificate {
        fields.insert("certificate".to_owned(), self::certificate(certificate, at_ms));
    }
    if !facts.transcript.is_empty() {
        fields.insert("transcript".to_owned(), json!(facts.transcript));
    }
}

/// A certificate, with the days it still had at a time.
pub fn certificate(certificate: &CertificateFacts, at_ms: u64) -> Value {
    json!({
        "names": certificate.names,
        "more_names": certificate.more_names,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "days_left": certificate.days_left(at_ms),
        "sha256": fingerprint(&certificate.sha256),
        "key_sha256": fingerprint(&certificate.key_sha256),
        "key": certificate.key,
        "extended_key_usage": certificate.extended_key_usage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Direction, Verdict};

    #[test]
    fn a_verdict_shows_what_is_known_and_leaves_out_what_is_not() {
        let verdict = Verdict {
            partner: "a.example".to_owned(),
            direction: Direction::Out,
            at_ms: 86_400_000,
            facts: Some(Box::new(Facts {
                domain: "a.example".to_owned(),
                certificate: Some(CertificateFacts { not_after: 172_800, ..CertificateFacts::default() }),
                ..Facts::default()
            })),
            ..Verdict::of(Code::ChainExpired, "expired\u{202e}")
        };
        let value = kept(&[Kept { edge: String::new(), origin: 0, number: 1, count: 3, first_ms: 1, verdict }]);
        assert_eq!(value[0]["rung"], "chain");
        assert_eq!(value[0]["code"], "chain-expired");
        assert_eq!(value[0]["count"], 3);
        assert_eq!(value[0]["cause"], "expired\\u{202e}");
        assert_eq!(value[0]["certificate"]["days_left"], 1);
        assert!(value[0].get("edge").is_none() && value[0].get("tls").is_none());
    }
}
