//! Chains that held, remembered by partner: all its streams show one certificate, and each has it judged several times.
//!
//! Whether a chain holds depends on the chain, the anchors, the revocation lists and the time, and nothing else. So the
//! memory is that of one policy of the partner, with whose anchors it goes; an entry counts under the trust it was
//! verified by, from then until time alone can change the answer. Only what holds is remembered: who is not vouched for
//! pushes nobody out. Names and pins are compared every time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use causeway_shared::pki::{self, Trust};
use rustls::pki_types::UnixTime;

use super::Presented;
use super::presented::ChainSum;

/// Chains of one partner: its servers in a cluster may have one each, and one more while they are renewed.
const MOST: usize = 8;

/// The memory of one partner's policy.
#[derive(Debug, Default)]
pub struct Vouched(Mutex<VecDeque<Entry>>);

#[derive(Debug)]
struct Entry {
    chain: ChainSum,
    /// Weak, so that the trust can go, and that no other can be taken for it.
    trust: Weak<Trust>,
    /// Unix seconds.
    verified: u64,
    until: u64,
}

impl Vouched {
    /// Whether this chain held, and still does.
    pub(super) fn knows(&self, chain: &ChainSum, trust: &Arc<Trust>, now: UnixTime) -> bool {
        let is_in_time = |entry: &Entry| (entry.verified..entry.until).contains(&now.as_secs());
        self.lock().iter().any(|entry| entry.chain == *chain && entry.is_under(trust) && is_in_time(entry))
    }

    /// This chain holds now.
    pub(super) fn learn(&self, chain: &Presented, trust: &Arc<Trust>, now: UnixTime) {
        let changes = [pki::next_end(&chain.chain, now), trust.revocation.next_change(now)];
        let Some(until) = changes.into_iter().flatten().min() else { return };
        let mut entries = self.lock();
        entries.retain(|entry| entry.is_under(trust) && entry.chain != chain.sum);
        entries.truncate(MOST - 1);
        entries.push_front(Entry { chain: chain.sum, trust: Arc::downgrade(trust), verified: now.as_secs(), until });
    }

    /// Entries are sound between any two statements.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_under(&self, trust: &Arc<Trust>) -> bool {
        std::ptr::eq(self.trust.as_ptr(), Arc::as_ptr(trust))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stream::identity::PeerIdentity;
    use crate::stream::test_support::{self, Flaw, NOW_MS, REMOTE, identity, trust};

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(NOW_MS / 1000 + seconds))
    }

    #[test]
    fn a_chain_is_known_from_its_verification_to_its_end_and_under_the_same_trust() {
        let (memory, trust) = (Vouched::default(), Arc::new(trust()));
        let flaw = Flaw::EndsIn(Duration::from_secs(60));
        let (peer, other) = (identity(&[REMOTE], flaw), identity(&[REMOTE], flaw));
        memory.learn(&peer.presented, &trust, at(10));
        let knows = |peer: &PeerIdentity, seconds| memory.knows(&peer.presented.sum, &trust, at(seconds));
        assert!(knows(&peer, 10) && knows(&peer, 60));
        assert!(!knows(&peer, 61), "its last second is over");
        assert!(!knows(&peer, 9), "the clock was put back");
        assert!(!knows(&other, 10));
        assert!(!memory.knows(&peer.presented.sum, &Arc::new(test_support::trust()), at(10)));
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let (memory, trust) = (Vouched::default(), Arc::new(trust()));
        let peers: Vec<_> = (0..=MOST).map(|_| identity(&[REMOTE], Flaw::Nothing)).collect();
        for peer in &peers {
            memory.learn(&peer.presented, &trust, at(0));
        }
        let known: Vec<_> = peers.iter().map(|peer| memory.knows(&peer.presented.sum, &trust, at(0))).collect();
        assert_eq!(known.iter().filter(|known| **known).count(), MOST);
        assert_eq!(known.first(), Some(&false));
    }
}
