//! Reports of what is live to their frame form and back, within bounds. A certificate that many streams have goes over
//! the link once in each part.

use std::sync::Arc;

use causeway_proto::link::v1 as proto;

use super::verdict::{certificate_from_proto, certificate_to_proto, sentence};
use super::{FrameFault, domain, method_from_proto, method_to_proto, methods_from_proto, methods_to_proto};
use crate::domain::DomainPair;
use crate::live::{
    Close, CloseReason, MAX_OWN, PART, PART_PAIRS, Pair, Part, Queue, Request, SnapshotEffect, Stream, StreamState,
    Subject, Waiting,
};
use crate::verdict::Direction;
use crate::verdict::facts::{CertificateFacts, Facts, TlsFacts, cut};

/// A request to its frame form.
pub fn report_request_to_proto(request: &Request) -> proto::ReportRequest {
    let subject = match request.subject {
        Subject::Streams => proto::ReportSubject::Streams,
        Subject::Queues => proto::ReportSubject::Queues,
    };
    proto::ReportRequest { id: request.id, subject: subject.into(), partner: request.partner.clone() }
}

/// A request from its frame form; none where it is about something that this build does not know.
pub fn report_request_from_proto(frame: proto::ReportRequest) -> Option<Request> {
    let subject = match frame.subject() {
        proto::ReportSubject::Streams => Subject::Streams,
        proto::ReportSubject::Queues => Subject::Queues,
        proto::ReportSubject::Unspecified => return None,
    };
    Some(Request { id: frame.id, subject, partner: frame.partner })
}

/// An order to its frame form.
pub fn close_to_proto(close: &Close) -> proto::CloseRequest {
    let reason = match close.reason {
        CloseReason::NoError => proto::CloseReason::NoError,
        CloseReason::Reset => proto::CloseReason::Reset,
        CloseReason::PolicyViolation => proto::CloseReason::PolicyViolation,
    };
    proto::CloseRequest { id: close.id, number: close.number, reason: reason.into() }
}

/// An order from its frame form. A reason that this build does not know is no error to the peer.
pub fn close_from_proto(frame: proto::CloseRequest) -> Close {
    let reason = match frame.reason() {
        proto::CloseReason::NoError | proto::CloseReason::Unspecified => CloseReason::NoError,
        proto::CloseReason::Reset => CloseReason::Reset,
        proto::CloseReason::PolicyViolation => CloseReason::PolicyViolation,
    };
    Close { id: frame.id, number: frame.number, reason }
}

/// A part of a report to its frame form.
pub fn report_part_to_proto(part: &Part) -> proto::Report {
    let mut certificates: Vec<&Arc<CertificateFacts>> = Vec::new();
    let mut streams = Vec::with_capacity(part.streams.len());
    for stream in &part.streams {
        let place = stream.certificate.as_ref().map_or(0, |certificate| {
            let known = certificates.iter().rposition(|known| Arc::ptr_eq(known, certificate));
            known.map_or_else(
                || {
                    certificates.push(certificate);
                    certificates.len()
                },
                |index| index + 1,
            )
        });
        streams.push(stream_to_proto(stream, u32::try_from(place).unwrap_or_default()));
    }
    proto::Report {
        id: part.id,
        streams,
        certificates: certificates.into_iter().map(|certificate| certificate_to_proto(certificate)).collect(),
        queues: part.queues.iter().map(queue_to_proto).collect(),
        effect: part.effect.map(effect_to_proto),
        own_certificates: part.own_certificates.iter().map(certificate_to_proto).collect(),
        is_last: part.is_last,
        refused: part.refused.clone(),
    }
}

/// A part of a report from its frame form. What is said in words of a newer build is counted and left out: one stream
/// that cannot be shown hides no other.
pub fn report_part_from_proto(frame: proto::Report) -> Part {
    let certificates = frame.certificates.into_iter().take(PART);
    let certificates: Vec<_> = certificates.map(|frame| bounded_certificate(frame).map(Arc::new)).collect();
    let mut unreadable = 0;
    let mut room = PART_PAIRS * 2;
    let mut streams = Vec::with_capacity(frame.streams.len().min(PART));
    for stream in frame.streams {
        let pairs = stream.pairs.len();
        let read =
            if streams.len() < PART && pairs <= room { stream_from_proto(stream, &certificates).ok() } else { None };
        match read {
            Some(stream) => {
                room -= pairs;
                streams.push(stream);
            }
            None => unreadable += 1,
        }
    }
    let mut queues = Vec::with_capacity(frame.queues.len().min(PART));
    for queue in frame.queues {
        match if queues.len() < PART { queue_from_proto(queue) } else { None } {
            Some(queue) => queues.push(queue),
            None => unreadable += 1,
        }
    }
    Part {
        id: frame.id,
        streams,
        queues,
        unreadable,
        effect: frame.effect.map(effect_from_proto),
        own_certificates: frame.own_certificates.into_iter().take(MAX_OWN).filter_map(bounded_certificate).collect(),
        is_last: frame.is_last,
        refused: sentence(frame.refused),
    }
}

fn stream_to_proto(stream: &Stream, certificate: u32) -> proto::LiveStream {
    let (tls_version, tls_cipher) =
        stream.tls.as_ref().map(|tls| (tls.version.clone(), tls.cipher.clone())).unwrap_or_default();
    proto::LiveStream {
        number: stream.number,
        direction: stream.direction.as_str().to_owned(),
        is_bidi: stream.is_bidi,
        state: stream.state.as_str().to_owned(),
        partner: stream.partner.clone(),
        is_partner: stream.is_partner,
        stream_id: stream.stream_id.clone(),
        pairs: stream.pairs.iter().map(pair_to_proto).collect(),
        peer_address: stream.peer.map_or_else(String::new, |peer| peer.to_string()),
        target: stream.target.clone(),
        is_direct_tls: stream.is_direct_tls,
        is_dnssec: stream.is_dnssec,
        tls_version,
        tls_cipher,
        certificate,
        is_managed: stream.is_managed,
        unacknowledged: stream.unacknowledged,
        since_ms: stream.since_ms,
        last_stanza_ms: stream.last_stanza_ms,
        stanzas_in: stream.stanzas_in,
        stanzas_out: stream.stanzas_out,
        bytes_in: stream.bytes_in,
        bytes_out: stream.bytes_out,
        row: stream.row.map_or(0, u32::from),
        methods: methods_to_proto(stream.methods),
        waiting: Some(waiting_to_proto(stream.waiting)),
    }
}

type Certificates = [Option<Arc<CertificateFacts>>];

fn stream_from_proto(frame: proto::LiveStream, certificates: &Certificates) -> Result<Stream, FrameFault> {
    let unknown = |field| FrameFault::Unknown { field };
    let has_tls = !frame.tls_version.is_empty();
    let tls = has_tls.then_some(TlsFacts { version: frame.tls_version, cipher: frame.tls_cipher });
    // The bounds are those of verdicts.
    let facts =
        Facts { domain: frame.partner, target: frame.target, stream_id: frame.stream_id, tls, ..Facts::default() }
            .bounded();
    let place = usize::try_from(frame.certificate).unwrap_or_default().checked_sub(1);
    Ok(Stream {
        number: frame.number,
        direction: Direction::parse(&frame.direction).ok_or(unknown("stream.direction"))?,
        is_bidi: frame.is_bidi,
        state: StreamState::parse(&frame.state).ok_or(unknown("stream.state"))?,
        partner: facts.domain,
        is_partner: frame.is_partner,
        stream_id: facts.stream_id,
        pairs: frame.pairs.iter().map(pair_from_proto).collect::<Result<_, _>>()?,
        peer: frame.peer_address.parse().ok(),
        target: facts.target,
        is_direct_tls: frame.is_direct_tls,
        is_dnssec: frame.is_dnssec,
        tls: facts.tls,
        certificate: place.and_then(|place| certificates.get(place).cloned()).flatten(),
        is_managed: frame.is_managed,
        unacknowledged: frame.unacknowledged,
        since_ms: frame.since_ms,
        last_stanza_ms: frame.last_stanza_ms,
        stanzas_in: frame.stanzas_in,
        stanzas_out: frame.stanzas_out,
        bytes_in: frame.bytes_in,
        bytes_out: frame.bytes_out,
        row: u8::try_from(frame.row).ok().filter(|row| *row > 0),
        methods: methods_from_proto(frame.methods),
        waiting: waiting_from_proto(frame.waiting),
    })
}

fn pair_to_proto(pair: &Pair) -> proto::LivePair {
    proto::LivePair {
        remote_domain: pair.pair.remote.as_str().to_owned(),
        local_domain: pair.pair.local.as_str().to_owned(),
        method: method_to_proto(pair.method).into(),
        proof: pair.proof.clone(),
    }
}

fn pair_from_proto(frame: &proto::LivePair) -> Result<Pair, FrameFault> {
    let method = method_from_proto("pair.method", frame.method())?;
    let pair = DomainPair {
        local: domain("pair.local_domain", &frame.local_domain)?,
        remote: domain("pair.remote_domain", &frame.remote_domain)?,
    };
    Ok(Pair { pair, method, proof: cut(&frame.proof) })
}

/// One that breaks the contract is none.
fn bounded_certificate(frame: proto::Certificate) -> Option<CertificateFacts> {
    let facts = Facts { certificate: certificate_from_proto(frame).ok(), ..Facts::default() }.bounded();
    facts.certificate
}

fn queue_to_proto(queue: &Queue) -> proto::Queue {
    proto::Queue {
        direction: queue.direction.as_str().to_owned(),
        partner: queue.partner.clone(),
        remote_domain: queue.remote.clone(),
        local_domain: queue.local.clone(),
        waiting: Some(waiting_to_proto(queue.waiting)),
        most_stanzas: queue.most_stanzas,
        most_bytes: queue.most_bytes,
    }
}

fn queue_from_proto(frame: proto::Queue) -> Option<Queue> {
    let bounded = |text: String| Facts { domain: text, ..Facts::default() }.bounded().domain;
    Some(Queue {
        direction: Direction::parse(&frame.direction)?,
        partner: bounded(frame.partner),
        remote: bounded(frame.remote_domain),
        local: bounded(frame.local_domain),
        waiting: waiting_from_proto(frame.waiting),
        most_stanzas: frame.most_stanzas,
        most_bytes: frame.most_bytes,
    })
}

const fn waiting_to_proto(waiting: Waiting) -> proto::Waiting {
    let Waiting { stanzas, bytes, oldest_ms } = waiting;
    proto::Waiting { stanzas, bytes, oldest_ms }
}

fn waiting_from_proto(frame: Option<proto::Waiting>) -> Waiting {
    let proto::Waiting { stanzas, bytes, oldest_ms } = frame.unwrap_or_default();
    Waiting { stanzas, bytes, oldest_ms }
}

const fn effect_to_proto(effect: SnapshotEffect) -> proto::SnapshotEffect {
    let SnapshotEffect { version, partner_gone, not_permitted } = effect;
    proto::SnapshotEffect { version, partner_gone, not_permitted }
}

const fn effect_from_proto(frame: proto::SnapshotEffect) -> SnapshotEffect {
    let proto::SnapshotEffect { version, partner_gone, not_permitted } = frame;
    SnapshotEffect { version, partner_gone, not_permitted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DomainName;
    use crate::link::Method;
    use crate::partner::Methods;

    fn stream(number: u64) -> Stream {
        let pair = DomainPair {
            local: DomainName::parse("contoso.example").unwrap(),
            remote: DomainName::parse("fabrikam.example").unwrap(),
        };
        Stream {
            number,
            direction: Direction::Out,
            is_bidi: true,
            state: StreamState::Authenticated,
            partner: "fabrikam.example".to_owned(),
            is_partner: true,
            stream_id: "s1".to_owned(),
            pairs: vec![Pair { pair, method: Method::SaslExternal, proof: "pkix".to_owned() }],
            peer: Some("192.0.2.1:5269".parse().unwrap()),
            target: "xmpp.fabrikam.example:5269".to_owned(),
            is_direct_tls: true,
            is_dnssec: true,
            tls: Some(TlsFacts { version: "TLSv1_3".to_owned(), cipher: "x".to_owned() }),
            certificate: None,
            is_managed: true,
            unacknowledged: 1,
            since_ms: 2,
            last_stanza_ms: 3,
            stanzas_in: 4,
            stanzas_out: 5,
            bytes_in: 6,
            bytes_out: 7,
            row: Some(8),
            methods: Methods { sasl_external: true, tls_dialback: false, tcp_dialback: true },
            waiting: Waiting { stanzas: 9, bytes: 10, oldest_ms: 11 },
        }
    }

    #[test]
    fn a_report_survives_the_link_and_a_certificate_that_is_shared_goes_once() {
        let one = Arc::new(CertificateFacts { subject: "CN=one".to_owned(), ..CertificateFacts::default() });
        let other = Arc::new(CertificateFacts { subject: "CN=other".to_owned(), ..CertificateFacts::default() });
        let certificates = [Some(&one), None, Some(&other), Some(&one)];
        let streams = (0..).zip(certificates);
        let queue = Queue {
            direction: Direction::In,
            partner: "fabrikam.example".to_owned(),
            remote: "im.fabrikam.example".to_owned(),
            local: String::new(),
            waiting: Waiting { stanzas: 1, bytes: 2, oldest_ms: 3 },
            most_stanzas: 4,
            most_bytes: 5,
        };
        let part = Part {
            id: 7,
            streams: streams
                .map(|(number, certificate)| Stream { certificate: certificate.cloned(), ..stream(number) })
                .collect(),
            queues: vec![queue],
            unreadable: 0,
            own_certificates: vec![CertificateFacts { subject: "CN=ours".to_owned(), ..CertificateFacts::default() }],
            effect: Some(SnapshotEffect { version: 3, partner_gone: 1, not_permitted: 2 }),
            is_last: true,
            refused: "busy".to_owned(),
        };
        let frame = report_part_to_proto(&part);
        assert_eq!(frame.certificates.len(), 2);
        assert_eq!(report_part_from_proto(frame), part);
    }

    #[test]
    fn what_a_newer_or_hostile_edge_says_is_counted_and_bounded_and_hides_nothing_else() {
        let mut frame = report_part_to_proto(&Part { streams: vec![stream(1), stream(2)], ..Part::default() });
        frame.streams[0].state = "future".to_owned();
        frame.streams[1].certificate = 9;
        frame.streams[1].stream_id = "\u{202e}".repeat(100_000);
        let read = report_part_from_proto(frame);
        assert_eq!((read.streams.len(), read.unreadable, read.streams[0].number), (1, 1, 2));
        assert!(read.streams[0].certificate.is_none() && read.streams[0].stream_id.len() < 4096);
        let many = Part { streams: (0..2000).map(stream).collect(), ..Part::default() };
        let read = report_part_from_proto(report_part_to_proto(&many));
        assert_eq!((read.streams.len(), read.unreadable), (PART, 2000 - 256));
    }

    #[test]
    fn requests_and_orders_survive_the_link() {
        for subject in [Subject::Streams, Subject::Queues] {
            let request = Request { id: 1, subject, partner: "fabrikam.example".to_owned() };
            assert_eq!(report_request_from_proto(report_request_to_proto(&request)), Some(request));
        }
        for reason in CloseReason::ALL {
            let close = Close { id: 1, number: 2, reason };
            assert_eq!(close_from_proto(close_to_proto(&close)), close);
            assert_eq!(CloseReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(report_request_from_proto(proto::ReportRequest::default()), None);
    }
}
