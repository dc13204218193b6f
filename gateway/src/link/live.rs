//! What is live on the edges and on the link, as operators read it: plain values with the names of their fields as keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use causeway_shared::live;
pub use causeway_shared::live::CloseReason;
use causeway_shared::verdict::facts::{self, CertificateFacts};
use causeway_shared::verdict::history::Kept;
use serde::Serialize;
use utoipa::ToSchema;

/// An attached edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeFacts {
    /// The name it gave itself.
    pub name: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// The version of its software; empty where it does not say.
    pub build: String,
    /// Since when it is attached, in Unix milliseconds.
    pub since_ms: u64,
    /// The version of the snapshot it has in force.
    pub applied: u64,
    /// Whether it takes no new stanzas: it is going away.
    pub is_draining: bool,
}

/// How whole an edge's answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It told everything.
    Complete,
    /// It began, and did not come to its end in time or left something out.
    Partial,
    /// It said nothing in time: it is stalled, or too old to know the question.
    Silent,
    /// It would not tell, or was not asked; `refused` says why.
    Refused,
}

/// The streams of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeStreams {
    /// The edge.
    pub edge: String,
    /// How whole this is.
    pub answer: Answer,
    /// Why there is nothing, if it would not tell.
    pub refused: String,
    /// Its streams, the oldest first.
    pub streams: Vec<LiveStream>,
    /// What the newest snapshot meant to the streams that were there.
    pub effect: Option<SnapshotEffect>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveStream {
    /// The edge that has it.
    pub edge: String,
    /// Names it on its edge, for the order to close it.
    pub id: u64,
    /// Which way stanzas go.
    pub direction: StreamDirection,
    /// Who opened it: `in` is the partner, `out` are we.
    pub opened: StreamDirection,
    /// How far it is.
    pub state: StreamState,
    /// The primary domain of the partner, or the domain that the peer claims.
    pub partner: String,
    /// Whether `partner` is configured.
    pub is_partner: bool,
    /// The id in its headers.
    pub stream_id: String,
    /// The pairs of domains that are authenticated on it.
    pub pairs: Vec<LivePair>,
    /// The other end.
    #[schema(value_type = Option<String>)]
    pub peer: Option<SocketAddr>,
    /// The `host:port` that was dialled; empty where the partner connected.
    pub target: String,
    /// Whether it began with TLS (XEP-0368).
    pub direct_tls: bool,
    /// Whether DNSSEC proved how its address was found.
    pub dnssec: bool,
    /// Such as `TLSv1_3`; nothing without TLS.
    pub tls_version: Option<String>,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub tls_cipher: Option<String>,
    /// The peer's certificate.
    pub certificate: Option<Certificate>,
    /// Whether stanzas are acknowledged on it (XEP-0198).
    pub stream_management: bool,
    /// Stanzas that the peer has not acknowledged.
    pub unacknowledged: u32,
    /// Since when it is there, in Unix milliseconds.
    pub since_ms: u64,
    /// When its last stanza passed, in Unix milliseconds; its begin while there was none.
    pub idle_since_ms: u64,
    /// Stanzas that came.
    pub stanzas_in: u64,
    /// Stanzas that were written.
    pub stanzas_out: u64,
    /// Bytes of XML that came.
    pub bytes_in: u64,
    /// Bytes of XML that were written.
    pub bytes_out: u64,
    /// The row of the partner's negotiation settings.
    pub row: Option<u8>,
    /// The methods that they leave.
    pub permitted: Vec<String>,
    /// What waits to be written to it.
    pub waiting: Waiting,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamDirection {
    /// From the partner.
    In,
    /// To the partner.
    Out,
    /// Both (XEP-0288).
    Both,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamState {
    /// Nothing is authenticated on it.
    Negotiating,
    /// It carries stanzas.
    Authenticated,
    /// It ends as soon as what is under way is finished.
    Draining,
    /// Our closing tag was sent.
    Closing,
}

/// A pair that is authenticated on a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LivePair {
    /// The partner's domain.
    pub remote: String,
    /// Ours.
    pub local: String,
    /// How, such as `sasl-external`.
    pub method: String,
    /// What made us believe the certificate, such as `pkix`; empty where the pair does not rest on it.
    pub proof: String,
}

/// A certificate as operators compare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Certificate {
    /// Identifiers of the subject alternative name, with their kind.
    pub names: Vec<String>,
    /// How many there are beyond these.
    pub more_names: u32,
    /// The subject.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// From when it holds, in Unix seconds.
    pub not_before: u64,
    /// Until when it holds, in Unix seconds.
    pub not_after: u64,
    /// Whole days until then; negative when it is over.
    pub days_left: i64,
    /// SHA-256 of the certificate.
    pub sha256: String,
    /// SHA-256 of its key: what a pin names.
    pub key_sha256: String,
    /// The kind of the key.
    pub key: String,
}

/// What waits in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Waiting {
    /// Stanzas.
    pub stanzas: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long the oldest has waited, in milliseconds.
    pub oldest_ms: u64,
}

/// What a snapshot meant to the streams that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotEffect {
    /// Its version.
    pub version: u64,
    /// Streams that were closed because the partner, or our domain, is no more.
    pub partner_gone: u32,
    /// Streams that were closed because how they were authenticated is permitted no more.
    pub not_permitted: u32,
}

/// What waits, everywhere on the road between partners and this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Queues {
    /// On the edges.
    pub edges: Vec<EdgeQueues>,
    /// On this gateway's ends of the link.
    pub links: Vec<LinkLoad>,
    /// On this gateway, by the domain that it is for.
    pub partners: Vec<PartnerLoad>,
}

/// The queues of an edge that have something in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeQueues {
    /// The edge.
    pub edge: String,
    /// How whole this is.
    pub answer: Answer,
    /// Why there is nothing, if it would not tell.
    pub refused: String,
    /// Its queues.
    pub queues: Vec<EdgeQueue>,
}

/// A queue of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeQueue {
    /// `in`: for a gateway; `out`: for a stream to the partner.
    pub direction: StreamDirection,
    /// The primary domain of the partner, or the remote domain where it is none.
    pub partner: String,
    /// The remote domain.
    pub remote: String,
    /// Ours; empty is any.
    pub local: String,
    /// What waits.
    pub waiting: Waiting,
    /// Stanzas that may wait; nothing where there is only a bound on all together.
    pub most_stanzas: Option<u64>,
    /// Bytes that may wait; likewise.
    pub most_bytes: Option<u64>,
}

/// What this gateway has for one edge, or from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkLoad {
    /// The edge; nothing for what waits until some edge is attached.
    pub edge: Option<String>,
    /// Stanzas that the edge has and has not acknowledged.
    pub unacknowledged: Waiting,
    /// Stanzas that wait for the edge.
    pub waiting: Waiting,
    /// Stanzas of the edge that this gateway has not finished.
    pub unfinished: u32,
}

/// What this gateway has for one remote domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartnerLoad {
    /// The remote domain.
    pub remote: String,
    /// Stanzas that an edge has and has not acknowledged.
    pub unacknowledged: Waiting,
    /// Stanzas that wait for an edge.
    pub waiting: Waiting,
}

/// The newest certificate that a server of a partner has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartnerCertificate {
    /// The primary domain.
    pub partner: String,
    /// The server's address.
    #[schema(value_type = Option<String>)]
    pub peer: Option<IpAddr>,
    /// The edge that saw it.
    pub edge: String,
    /// When, in Unix milliseconds.
    pub seen_ms: u64,
    /// Whether a stream is live on which it was shown; else it is from a verdict.
    pub is_live: bool,
    /// The certificate.
    pub certificate: Certificate,
}

impl LiveStream {
    /// Of an edge; days are counted from `now_ms`.
    pub(super) fn new(edge: &str, stream: live::Stream, now_ms: u64) -> Self {
        let opened = StreamDirection::from(stream.direction);
        let (tls_version, tls_cipher) = stream.tls.map(|tls| (tls.version, tls.cipher)).unzip();
        let certificate: Option<Arc<CertificateFacts>> = stream.certificate;
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
            certificate: certificate.map(|facts| Certificate::new(&facts, now_ms)),
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
fn permitted(methods: causeway_shared::partner::Methods) -> Vec<String> {
    use causeway_shared::link::Method;
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

impl From<causeway_shared::verdict::Direction> for StreamDirection {
    fn from(direction: causeway_shared::verdict::Direction) -> Self {
        match direction {
            causeway_shared::verdict::Direction::In => Self::In,
            causeway_shared::verdict::Direction::Out => Self::Out,
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

#[cfg(test)]
mod tests {
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
            effect: None,
        };
        let verdicts = [
            verdict("192.0.2.1:5269", true, 1),
            verdict("192.0.2.2:5269", true, 2),
            verdict("192.0.2.3:5269", false, 3),
        ];
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
}
