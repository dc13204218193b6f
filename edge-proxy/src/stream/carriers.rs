//! Streams that may carry further pairs: bidirectional ones for the reverse of their pairs (XEP-0288), and outbound ones
//! on which another pair can prove itself (XEP-0220, section 2.6).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_shared::domain::{DomainName, DomainPair};
use tokio::sync::{Notify, mpsc, oneshot};

use super::lane::Lane;
use super::negotiation_out::TakesPairs;

/// Pairs that wait for one stream to look at them.
const JOINING: usize = 16;

/// A pair that wants to use a stream.
pub struct Join {
    /// The pair.
    pub pair: DomainPair,
    /// Its queue.
    pub lane: Arc<Lane>,
    /// Told when the stream carries the pair no more; dropped when it never did.
    pub until: oneshot::Sender<()>,
}

/// All such streams.
#[derive(Clone, Default)]
pub struct Carriers(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    last: u64,
    streams: HashMap<u64, Carrier>,
}

struct Carrier {
    terms: Terms,
    joins: mpsc::Sender<Join>,
}

/// Which pairs a stream may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// These and no others: the reverse of what the peer proved.
    Reverse(Vec<DomainPair>),
    /// Whatever can prove itself by dialback.
    Dialback {
        /// The remote domain of its first pair.
        remote: DomainName,
        /// Where it leads.
        peer: SocketAddr,
        /// What it has room for.
        takes: TakesPairs,
    },
}

/// A stream's entry, gone when dropped.
pub struct Registration {
    carriers: Carriers,
    id: u64,
    /// Pairs that want to use the stream.
    pub joins: mpsc::Receiver<Join>,
}

impl Carriers {
    /// Enters a stream.
    pub fn register(&self, terms: Terms) -> Registration {
        let (sender, joins) = mpsc::channel(JOINING);
        let mut known = self.lock();
        known.last += 1;
        let id = known.last;
        known.streams.insert(id, Carrier { terms, joins: sender });
        drop(known);
        Registration { carriers: self.clone(), id, joins }
    }

    /// Asks a stream to carry a pair, if there is one that may. The receiver tells the end, see [`Join::until`].
    pub fn join(&self, pair: &DomainPair, lane: &Arc<Lane>) -> Option<oneshot::Receiver<()>> {
        self.join_where(pair, lane, |terms| match terms {
            Terms::Reverse(pairs) => pairs.contains(pair),
            Terms::Dialback { remote, .. } => *remote == pair.remote,
        })
    }

    /// The same for a stream with another remote domain that leads to where this one is served.
    pub fn join_at(
        &self,
        pair: &DomainPair,
        lane: &Arc<Lane>,
        is_served: impl Fn(SocketAddr) -> bool,
    ) -> Option<oneshot::Receiver<()>> {
        self.join_where(pair, lane, |terms| match terms {
            Terms::Reverse(_) => false,
            Terms::Dialback { peer, takes, .. } => takes.other_remotes && is_served(*peer),
        })
    }

    /// Whether there is a stream that another remote domain could use.
    pub fn take_other_remotes(&self) -> bool {
        let takes = |carrier: &Carrier| matches!(carrier.terms, Terms::Dialback { takes, .. } if takes.other_remotes);
        self.lock().streams.values().any(takes)
    }

    fn join_where(
        &self,
        pair: &DomainPair,
        lane: &Arc<Lane>,
        may_carry: impl Fn(&Terms) -> bool,
    ) -> Option<oneshot::Receiver<()>> {
        let known = self.lock();
        for carrier in known.streams.values().filter(|carrier| may_carry(&carrier.terms)) {
            let (until, ended) = oneshot::channel();
            let join = Join { pair: pair.clone(), lane: Arc::clone(lane), until };
            if carrier.joins.try_send(join).is_ok() {
                return Some(ended);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// The stream may carry other pairs now.
    pub fn renew(&self, terms: Terms) {
        if let Some(carrier) = self.carriers.lock().streams.get_mut(&self.id) {
            carrier.terms = terms;
        }
    }
}

/// What calls a stream that carries stanzas.
pub enum Call {
    /// Something may be queued.
    Queued,
    /// A pair wants to use the stream.
    Join(Join),
}

/// Waits until a stream is wanted; for ever where it is not to be had. Cancel-safe.
pub async fn called(wake: &Notify, registration: Option<&mut Registration>) -> Call {
    let Some(registration) = registration else {
        wake.notified().await;
        return Call::Queued;
    };
    tokio::select! {
        biased;
        () = wake.notified() => Call::Queued,
        // The registration holds the sender's entry, so the channel does not end.
        Some(join) = registration.joins.recv() => Call::Join(join),
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.carriers.lock().streams.remove(&self.id);
    }
}
