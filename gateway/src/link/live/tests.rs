use std::sync::Arc;

use causeway_shared::live;
use causeway_shared::verdict::facts::CertificateFacts;
use causeway_shared::verdict::history::Kept;
use causeway_shared::verdict::{Direction, Facts, Rung, Side, Verdict};

use super::*;

const NOW_MS: u64 = 86_400_000 * 100;

fn facts(days: u64) -> CertificateFacts {
    CertificateFacts { not_after: 86_400 * (100 + days), ..CertificateFacts::default() }
}

fn stream(peer: &str, since_ms: u64, days: u64) -> LiveStream {
    let stream = live::Stream {
        number: since_ms,
        direction: Direction::In,
        is_bidi: true,
        state: live::StreamState::Authenticated,
        partner: "fabrikam.example".to_owned(),
        is_partner: true,
        stream_id: String::new(),
        pairs: Vec::new(),
        peer: Some(peer.parse().unwrap()),
        target: String::new(),
        is_direct_tls: false,
        is_dnssec: false,
        tls: None,
        certificate: Some(Arc::new(facts(days))),
        is_managed: false,
        unacknowledged: 0,
        since_ms,
        last_stanza_ms: 0,
        stanzas_in: 0,
        stanzas_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        row: Some(1),
        methods: causeway_shared::partner::Methods { sasl_external: true, tls_dialback: true, tcp_dialback: false },
        waiting: live::Waiting::default(),
    };
    LiveStream::new("edge1", stream, NOW_MS)
}

fn verdict(peer: &str, is_partner: bool, days: u64) -> Kept {
    let seen = Facts { is_partner, certificate: Some(facts(days)), ..Facts::default() };
    let verdict = Verdict {
        code: None,
        rung: Rung::Chain,
        side: Side::Theirs,
        cause: String::new(),
        remedy: String::new(),
        partner: "fabrikam.example".to_owned(),
        direction: Direction::Out,
        peer: Some(peer.parse().unwrap()),
        at_ms: NOW_MS,
        facts: Some(Box::new(seen)),
    };
    Kept { edge: "edge2".to_owned(), origin: 1, number: 1, count: 1, first_ms: 1, verdict }
}

#[test]
fn the_newest_certificate_of_each_server_is_told_and_a_live_one_before_any_verdict() {
    let streams = vec![stream("192.0.2.1:1", 1, 5), stream("192.0.2.1:2", 2, 6)];
    let edge = EdgeStreams {
        edge: "edge1".to_owned(),
        answer: Answer::Complete,
        refused: String::new(),
        streams,
        certificates: Vec::new(),
        effect: None,
    };
    let verdicts =
        [verdict("192.0.2.1:5269", true, 1), verdict("192.0.2.2:5269", true, 2), verdict("192.0.2.3:5269", false, 3)];
    let seen = partner_certificates(&[edge], &verdicts, NOW_MS);
    let told: Vec<_> = seen.iter().map(|seen| (seen.certificate.days_left, seen.is_live)).collect();
    assert_eq!(told, [(6, true), (2, false)]);
}

#[test]
fn a_stream_is_told_by_the_words_of_the_interface() {
    let json = serde_json::to_value(stream("192.0.2.1:1", 7, 5)).unwrap();
    assert_eq!((json["direction"].as_str(), json["opened"].as_str()), (Some("both"), Some("in")));
    assert_eq!((json["state"].as_str(), json["id"].as_u64()), (Some("authenticated"), Some(7)));
    assert_eq!(json["permitted"][1].as_str(), Some("tls-dialback"));
    assert_eq!(json["peer"].as_str(), Some("192.0.2.1:1"));
}
