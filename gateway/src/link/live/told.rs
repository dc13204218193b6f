//! From what edges told to what operators read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_shared::link::Method;
use causeway_shared::live;
use causeway_shared::partner::Methods;
use causeway_shared::verdict::Direction;
use causeway_shared::verdict::facts::{self, CertificateFacts};
use causeway_shared::verdict::history::Kept;

use super::{
    Certificate, EdgeQueue, EdgeStreams, LivePair, LiveStream, PartnerCertificate, SnapshotEffect, StreamDirection,
    StreamState, Waiting,
};

impl LiveStream {
    /// Of an edge; days are counted from `now_ms`.
    pub(in crate::link) fn new(edge: &str, stream: live::Stream, now_ms: u64) -> Self {
        let opened = StreamDirection::from(stream.direction);
        let (tls_version, tls_cipher) = stream.tls.map(|tls| (tls.version, tls.cipher)).unzip();
        Self {
            edge: edge.to_owned(),
            id: stream.number,
            direction: if stream.is_bidi { StreamDirection::Both } else { opened },
            opened,
            state: stream.state.into(),
            partner: stream.partner,
            is_partner: stream.is_partner,
            stream_id: stream.stream_id,
            pairs: stream.pairs.into_iter().map(LivePair::from).collect(),
            peer: stream.peer,
            target: stream.target,
            direct_tls: stream.is_direct_tls,
            dnssec: stream.is_dnssec,
            tls_version,
            tls_cipher,
            certificate: stream.certificate.map(|facts| Certificate::new(&facts, now_ms)),
            stream_management: stream.is_managed,
            unacknowledged: stream.unacknowledged,
            since_ms: stream.since_ms,
            idle_since_ms: stream.last_stanza_ms,
            stanzas_in: stream.stanzas_in,
            stanzas_out: stream.stanzas_out,
            bytes_in: stream.bytes_in,
            bytes_out: stream.bytes_out,
            row: stream.row,
            permitted: permitted(stream.methods),
            waiting: stream.waiting.into(),
        }
    }
}

/// By the names that pairs have.
fn permitted(methods: Methods) -> Vec<String> {
    let held = [
        (methods.sasl_external, Method::SaslExternal),
        (methods.tls_dialback, Method::TlsDialback),
        (methods.tcp_dialback, Method::TcpDialback),
    ];
    held.into_iter().filter(|(held, _)| *held).map(|(_, method)| method.as_str().to_owned()).collect()
}

impl Certificate {
    /// Days are counted from `now_ms`.
    pub fn new(facts: &CertificateFacts, now_ms: u64) -> Self {
        Self {
            names: facts.names.clone(),
            more_names: facts.more_names,
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            days_left: facts.days_left(now_ms),
            sha256: facts::fingerprint(&facts.sha256),
            key_sha256: facts::fingerprint(&facts.key_sha256),
            key: facts.key.clone(),
        }
    }
}

impl From<Direction> for StreamDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::In => Self::In,
            Direction::Out => Self::Out,
        }
    }
}

impl From<live::StreamState> for StreamState {
    fn from(state: live::StreamState) -> Self {
        match state {
            live::StreamState::Negotiating => Self::Negotiating,
            live::StreamState::Authenticated => Self::Authenticated,
            live::StreamState::Draining => Self::Draining,
            live::StreamState::Closing => Self::Closing,
        }
    }
}

impl From<live::Pair> for LivePair {
    fn from(pair: live::Pair) -> Self {
        Self {
            remote: pair.pair.remote.as_str().to_owned(),
            local: pair.pair.local.as_str().to_owned(),
            method: pair.method.as_str().to_owned(),
            proof: pair.proof,
        }
    }
}

impl From<live::Waiting> for Waiting {
    fn from(waiting: live::Waiting) -> Self {
        let live::Waiting { stanzas, bytes, oldest_ms } = waiting;
        Self { stanzas, bytes, oldest_ms }
    }
}

impl From<live::SnapshotEffect> for SnapshotEffect {
    fn from(effect: live::SnapshotEffect) -> Self {
        let live::SnapshotEffect { version, partner_gone, not_permitted } = effect;
        Self { version, partner_gone, not_permitted }
    }
}

impl From<live::Queue> for EdgeQueue {
    fn from(queue: live::Queue) -> Self {
        let bound = |most: u64| (most > 0).then_some(most);
        Self {
            direction: queue.direction.into(),
            partner: queue.partner,
            remote: queue.remote,
            local: queue.local,
            waiting: queue.waiting.into(),
            most_stanzas: bound(queue.most_stanzas),
            most_bytes: bound(queue.most_bytes),
        }
    }
}

/// The newest certificate of each partner and server: from live streams, and from verdicts where there is none. What
/// strangers show is left out.
pub fn partner_certificates(edges: &[EdgeStreams], verdicts: &[Kept], now_ms: u64) -> Vec<PartnerCertificate> {
    let mut newest: BTreeMap<(String, Option<IpAddr>), PartnerCertificate> = BTreeMap::new();
    let mut see = |seen: PartnerCertificate| {
        let known = newest.get(&(seen.partner.clone(), seen.peer));
        // What a live stream shows is newer than any verdict.
        if known.is_none_or(|known| (known.is_live, known.seen_ms) < (seen.is_live, seen.seen_ms)) {
            newest.insert((seen.partner.clone(), seen.peer), seen);
        }
    };
    for stream in edges.iter().flat_map(|edge| &edge.streams).filter(|stream| stream.is_partner) {
        let Some(certificate) = &stream.certificate else { continue };
        see(PartnerCertificate {
            partner: stream.partner.clone(),
            peer: stream.peer.map(|peer| peer.ip()),
            edge: stream.edge.clone(),
            seen_ms: stream.since_ms,
            is_live: true,
            certificate: certificate.clone(),
        });
    }
    for kept in verdicts {
        let facts = kept.verdict.facts.as_deref().filter(|facts| facts.is_partner);
        let Some(certificate) = facts.and_then(|facts| facts.certificate.as_ref()) else { continue };
        see(PartnerCertificate {
            partner: kept.verdict.partner.clone(),
            peer: kept.verdict.peer.map(|peer| peer.ip()),
            edge: kept.edge.clone(),
            seen_ms: kept.verdict.at_ms,
            is_live: false,
            certificate: Certificate::new(certificate, now_ms),
        });
    }
    newest.into_values().collect()
}
