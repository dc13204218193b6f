//! Presence of several gateways about one pair: what was sent last shall be what the partner has heard last.
//!
//! Each gateway keeps the order of what it sends itself, but two of them reach a partner by different roads: one may send
//! what it took up before it was frozen, or keep it until its link is back, while another has sent what is newer. The
//! record settles it. A stanza that has passed a newer one is finished after that one was stored, so its end finds a
//! greater serial in the record than its own. Then, unless this gateway itself has something newer under way, whose own
//! end decides, the state is said again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Engine, Now, Outputs};
use crate::presence::PairInput;
use crate::presence::record::PairKey;

/// How often the state of a pair is said again for that: what is said again meets what another gateway says again, and
/// two of them must not answer each other without end.
const AGAIN: Duration = Duration::from_secs(10);

/// What a gateway has under way, and said again lately.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// By pair: the newest serial, and how many stanzas; no more of them than stanzas are under way.
    sent: HashMap<PairKey, (u32, u32)>,
    /// By pair: when its state was said again, and the serial of what was overtaken since.
    again: HashMap<PairKey, (Instant, Option<u32>)>,
}

impl Order {
    /// Presence of a pair leaves.
    pub(super) fn sent(&mut self, pair: &PairKey, serial: u32) {
        match self.sent.get_mut(pair) {
            Some((newest, count)) => (*newest, *count) = (serial, *count + 1),
            None => drop(self.sent.insert(pair.clone(), (serial, 1))),
        }
    }

    /// Presence of a pair has ended. Returns whether nothing newer of this gateway is under way.
    pub(super) fn ended(&mut self, pair: &PairKey, serial: u32) -> bool {
        let Some((newest, count)) = self.sent.get_mut(pair) else { return true };
        let is_newest = *newest == serial;
        *count -= 1;
        if *count == 0 {
            self.sent.remove(pair);
            return true;
        }
        is_newest
    }

    /// Whether the state of a pair of which this serial was overtaken is said again now. If it was said again just before,
    /// [`Order::due`] names it later.
    fn overtaken(&mut self, pair: &PairKey, serial: u32, now: Instant) -> bool {
        if let Some((_, later)) = self.again.get_mut(pair) {
            *later = Some(serial);
            return false;
        }
        self.again.insert(pair.clone(), (now, None));
        true
    }

    /// Pairs that were overtaken while their state had been said again just before, now that this is a while ago.
    fn due(&mut self, now: Instant) -> Vec<(PairKey, u32)> {
        let mut due = Vec::new();
        self.again.retain(|pair, (at, later)| {
            let is_over = now.saturating_duration_since(*at) >= AGAIN;
            if let Some(serial) = later.filter(|_| is_over) {
                due.push((pair.clone(), serial));
            }
            !is_over
        });
        due
    }
}

impl Engine {
    /// Presence may have passed newer presence of another gateway: the state is said again, at once or, if that was done
    /// just now, a little later.
    pub(super) fn presence_overtaken(&mut self, pair: &PairKey, serial: u32, now: Now, out: &mut Outputs) {
        // What was stored when it ended, and sent since, is newer: its own end decides.
        if self.order.sent.contains_key(pair) {
            return;
        }
        if self.order.overtaken(pair, serial, now.instant) {
            self.tell_pair(pair.clone(), PairInput::SayAgain { after: serial }, now, out);
        }
    }

    /// Says again what was put off.
    pub(super) fn say_again(&mut self, now: Now, out: &mut Outputs) {
        for (pair, serial) in self.order.due(now.instant) {
            self.presence_overtaken(&pair, serial, now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_shared::jid::BareJid;

    fn pair() -> PairKey {
        PairKey {
            local: BareJid::parse("alice@contoso.example").unwrap(),
            remote: BareJid::parse("bob@fabrikam.example").unwrap(),
        }
    }

    #[test]
    fn only_the_end_of_the_newest_stanza_of_this_gateway_decides() {
        let mut order = Order::default();
        order.sent(&pair(), 7);
        order.sent(&pair(), 8);
        assert!(!order.ended(&pair(), 7), "the eighth follows on the same road");
        assert!(order.ended(&pair(), 8));
        assert!(order.sent.is_empty());
        // By another road, the older one may end last.
        order.sent(&pair(), 9);
        order.sent(&pair(), 10);
        assert!(order.ended(&pair(), 10));
        assert!(order.ended(&pair(), 9));
    }

    #[test]
    fn what_is_overtaken_again_soon_is_named_later_and_once() {
        let (mut order, now) = (Order::default(), Instant::now());
        assert!(order.overtaken(&pair(), 7, now));
        assert!(!order.overtaken(&pair(), 9, now));
        assert_eq!(order.due(now + AGAIN / 2), []);
        assert_eq!(order.due(now + AGAIN), [(pair(), 9)]);
        assert!(order.again.is_empty());
        assert!(order.overtaken(&pair(), 10, now + AGAIN));
        assert_eq!(order.due(now + 2 * AGAIN), []);
        assert!(order.again.is_empty());
    }
}
