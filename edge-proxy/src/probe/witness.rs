//! What partners ask our authoritative server while they are probed (XEP-0220, section 2.2.2): the return leg of
//! dialback, as far as it leads to this edge.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use causeway_shared::domain::DomainPair;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;

use crate::policy::Moment;
use crate::stream::dialback::{self, Answer, Dialback};

/// Questions that are remembered of one probe; each connection of it makes one.
const MAX_SEEN: usize = 32;

/// Watches over the questions about the pairs that are being probed.
#[derive(Debug, Default)]
pub struct Witness {
    /// How many watch: nearly always none, and then nothing is looked at.
    watching: AtomicUsize,
    watches: Mutex<Vec<Watch>>,
}

#[derive(Debug)]
struct Watch {
    pair: DomainPair,
    seen: Vec<Seen>,
}

/// A question, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The stream that the key was offered on.
    pub stream_id: String,
    /// Who asked.
    pub peer: SocketAddr,
    /// What we said.
    pub answer: Answer,
}

impl Witness {
    /// Looks at an element that some peer sent.
    pub fn look(&self, element: &Element, peer: SocketAddr, at: &Moment) {
        if self.watching.load(Ordering::Relaxed) == 0 || element.namespace() != ns::DIALBACK {
            return;
        }
        let Ok(Dialback::Question { from, to, id, key }) = Dialback::read(element) else { return };
        let pair = DomainPair { local: to, remote: from };
        let mut watches = self.lock();
        let Some(watch) = watches.iter_mut().find(|watch| watch.pair == pair) else { return };
        if watch.seen.len() < MAX_SEEN {
            let answer = dialback::authoritative_answer(&pair.remote, &pair.local, &id, &key, at);
            watch.seen.push(Seen { stream_id: id, peer, answer });
        }
    }

    /// Watches over a pair until the returned value is dropped.
    pub fn watch(&self, pair: &DomainPair) -> Watching<'_> {
        self.lock().push(Watch { pair: pair.clone(), seen: Vec::new() });
        self.watching.fetch_add(1, Ordering::Relaxed);
        Watching { witness: self, pair: pair.clone() }
    }

    /// Every change of the list is whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches over one pair.
pub struct Watching<'a> {
    witness: &'a Witness,
    pair: DomainPair,
}

impl Watching<'_> {
    /// The question about the key of a stream, if it came here.
    pub fn seen(&self, stream_id: &str) -> Option<Seen> {
        let watches = self.witness.lock();
        let watch = watches.iter().find(|watch| watch.pair == self.pair)?;
        watch.seen.iter().find(|seen| seen.stream_id == stream_id).cloned()
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.witness.watching.fetch_sub(1, Ordering::Relaxed);
        self.witness.lock().retain(|watch| watch.pair != self.pair);
    }
}

#[cfg(test)]
mod tests {
    use causeway_shared::xmpp::dialback::key;

    use super::*;
    use crate::stream::test_support::{LOCAL, OTHER, REMOTE, domain, element, moment, settings, snapshot};

    #[test]
    fn only_questions_about_a_watched_pair_are_seen_and_with_the_answer_they_got() {
        let (witness, at) = (Witness::default(), moment(&snapshot(settings('O', 'O', true))));
        let pair = DomainPair { local: domain(LOCAL), remote: domain(REMOTE) };
        let peer: SocketAddr = "192.0.2.1:40000".parse().unwrap();
        let ask = |from: &str, id: &str| {
            let key = key(b"current", &domain(from), &domain(LOCAL), "a");
            element(&format!("<db:verify from='{from}' to='{LOCAL}' id='{id}'>{key}</db:verify>"))
        };
        witness.look(&ask(REMOTE, "a"), peer, &at);
        let watching = witness.watch(&pair);
        assert_eq!(watching.seen("a"), None, "that was before");
        witness.look(&ask(REMOTE, "a"), peer, &at);
        witness.look(&ask(REMOTE, "b"), peer, &at);
        witness.look(&ask(OTHER, "c"), peer, &at);
        assert_eq!(watching.seen("a").map(|seen| seen.answer), Some(Answer::Valid));
        assert_eq!(watching.seen("b").map(|seen| seen.answer), Some(Answer::Invalid));
        assert_eq!(watching.seen("c"), None);
        drop(watching);
        assert_eq!(witness.watch(&pair).seen("a"), None);
    }
}
