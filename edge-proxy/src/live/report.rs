//! Reports of what is live, made part by part as the link takes them: the values are those of that moment, and nothing
//! is held meanwhile but the list of streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use causeway_shared::link::Methods;
use causeway_shared::live::{MAX_OWN, PART, PART_PAIRS, Part, Queue, Request, Stream, StreamState, Subject, Waiting};
use causeway_shared::verdict::facts::{CertificateFacts, TlsFacts};

use super::Live;
#[cfg(test)]
use super::Streams;
use crate::link::Parts;
use crate::policy::{Federation, PartnerPolicy};
use crate::stream::pool::Pool;

/// Begins a report.
pub fn begin(pool: &Arc<Pool>, request: Request) -> Parts {
    match request.subject {
        Subject::Streams => {
            let left = pool.edge().streams.all().into_iter();
            Box::new(Walk { pool: Arc::clone(pool), request, left, is_over: false })
        }
        Subject::Queues => queues(&request, &pool.queues(&request.partner, Instant::now())),
    }
}

/// The parts of a report about queues.
pub fn queues(request: &Request, queues: &[Queue]) -> Parts {
    let id = request.id;
    let mut parts: Vec<_> =
        queues.chunks(PART).map(|chunk| Part { id, queues: chunk.to_vec(), ..Part::default() }).collect();
    parts.push(Part { id, is_last: true, ..Part::default() });
    Box::new(parts.into_iter())
}

/// Through all streams.
struct Walk {
    pool: Arc<Pool>,
    request: Request,
    left: std::vec::IntoIter<Arc<Live>>,
    is_over: bool,
}

impl Iterator for Walk {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.is_over {
            return None;
        }
        let edge = self.pool.edge();
        let at = edge.moment();
        let view = View { federation: &at.federation, is_draining: *edge.draining().borrow(), now: at.now };
        let mut part = Part { id: self.request.id, ..Part::default() };
        let mut pairs = 0;
        while part.streams.len() < PART && pairs < PART_PAIRS {
            let Some(live) = self.left.next() else {
                self.is_over = true;
                part.is_last = true;
                part.effect = Some(edge.streams.effect(at.federation.version));
                let own = edge.tls.certificates();
                part.own_certificates = own.iter().take(MAX_OWN).map(CertificateFacts::of).collect();
                break;
            };
            // Nobody else holds what has ended meanwhile.
            let is_live = Arc::strong_count(&live) > 1;
            if let Some(stream) = view.of(&live, &self.request.partner).filter(|_| is_live) {
                pairs += stream.pairs.len();
                part.streams.push(stream);
            }
        }
        Some(part)
    }
}

/// How streams are looked at.
struct View<'a> {
    federation: &'a Federation,
    is_draining: bool,
    now: Instant,
}

impl View<'_> {
    /// A stream as it is now, if it is of the partner that was asked for.
    fn of(&self, live: &Live, partner: &str) -> Option<Stream> {
        let about = live.about();
        let domain = about.pairs.first().map(|pair| &pair.pair.remote).or(about.claimed.as_ref());
        let policy = domain.and_then(|domain| self.federation.partner(domain.as_str()));
        let name = policy.map(|policy| &policy.name).or(domain).map_or("", |name| name.as_str());
        if !partner.is_empty() && partner != name {
            return None;
        }
        let counts = &live.counts;
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let state = if counts.is_closing.load(Ordering::Relaxed) {
            StreamState::Closing
        } else if about.pairs.is_empty() {
            StreamState::Negotiating
        } else if self.is_draining || counts.is_finishing.load(Ordering::Relaxed) || live.order().is_some() {
            StreamState::Draining
        } else {
            StreamState::Authenticated
        };
        let waiting = about.lanes.iter().map(|lane| lane.waiting(self.now)).fold(Waiting::default(), Waiting::and);
        let tls = about
            .session
            .map(|(version, suite)| TlsFacts { version: format!("{version:?}"), cipher: format!("{suite:?}") });
        Some(Stream {
            number: live.number,
            direction: live.direction,
            is_bidi: about.is_bidi,
            state,
            partner: name.to_owned(),
            is_partner: policy.is_some(),
            stream_id: about.stream_id.clone(),
            pairs: about.pairs.clone(),
            peer: Some(live.peer),
            target: about.target.clone(),
            is_direct_tls: about.is_direct_tls,
            is_dnssec: about.is_dnssec,
            tls,
            certificate: about.certificate.clone(),
            is_managed: counts.is_managed.load(Ordering::Relaxed),
            unacknowledged: u32::try_from(load(&counts.unacknowledged)).unwrap_or(u32::MAX),
            since_ms: live.since_ms,
            last_stanza_ms: load(&counts.last_stanza_ms).max(live.since_ms),
            stanzas_in: load(&counts.stanzas_in),
            stanzas_out: load(&counts.stanzas_out),
            bytes_in: load(&counts.bytes_in),
            bytes_out: load(&counts.bytes_out),
            row: policy.map(|policy| policy.row),
            methods: policy.map_or(Methods::default(), |policy: &Arc<PartnerPolicy>| policy.methods),
            waiting,
        })
    }
}

#[cfg(test)]
impl Streams {
    /// All streams as they are now, under this policy.
    pub(super) fn look(&self, federation: &Federation) -> Vec<Stream> {
        let view = View { federation, is_draining: false, now: Instant::now() };
        self.all().iter().filter_map(|live| view.of(live, "")).collect()
    }
}
