//! Presence of several gateways about one pair: what was sent last shall be what the partner has heard last.
//!
//! Each gateway keeps the order of what it sends itself, but two of them reach a partner by different roads: one may send
//! what it took up before it was frozen, or keep it until its link is back, while another has sent what is newer. The
//! record settles it. A stanza that has passed a newer one is finished after that one was stored, so its end finds a
//! greater serial in the record than its own. Then, unless this gateway itself has something newer under way, whose own
//! end decides, the state is said again; and of the devices that it has shown meanwhile, those that have gone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Engine, Now, Outputs};
use crate::presence::PairInput;
use crate::presence::record::PairKey;
use crate::translate::presence::{PresenceKind, PresenceOut};

/// How often the state of a pair is said again for that: what is said again meets what another gateway says again, and
/// two of them must not answer each other without end.
const AGAIN: Duration = Duration::from_secs(10);

/// What a gateway has under way, and said again lately.
#[derive(Debug, Default)]
pub(super) struct Order {
    sent: HashMap<PairKey, UnderWay>,
    /// By pair: when its state was said again, and what was overtaken since.
    again: HashMap<PairKey, (Instant, Option<Overtaken>)>,
}

/// The presence of a pair that is under way; there are no more of them than stanzas.
#[derive(Debug)]
struct UnderWay {
    newest: u32,
    count: u32,
    shown: Vec<String>,
}

/// What came after newer presence of another gateway: its serial, and the devices that it has shown.
pub(super) type Overtaken = (u32, Vec<String>);

impl Order {
    /// Presence of a pair leaves.
    pub(super) fn sent(&mut self, pair: &PairKey, serial: u32, presence: &PresenceOut) {
        if !self.sent.contains_key(pair) {
            self.sent.insert(pair.clone(), UnderWay { newest: serial, count: 0, shown: Vec::new() });
        }
        let Some(known) = self.sent.get_mut(pair) else { return };
        (known.newest, known.count) = (serial, known.count + 1);
        let device = presence.from.resource().unwrap_or_default();
        if matches!(presence.kind, PresenceKind::Available | PresenceKind::Unavailable) {
            known.shown.retain(|shown| shown != device);
        }
        if presence.kind == PresenceKind::Available {
            known.shown.push(device.to_owned());
        }
    }

    /// Presence of a pair has ended. If nothing newer of this gateway is under way, returns the devices that have been shown
    /// by what was.
    pub(super) fn ended(&mut self, pair: &PairKey, serial: u32) -> Option<Vec<String>> {
        let Some(known) = self.sent.get_mut(pair) else { return Some(Vec::new()) };
        known.count -= 1;
        if known.count == 0 {
            return self.sent.remove(pair).map(|ended| ended.shown);
        }
        (known.newest == serial).then(|| known.shown.clone())
    }

    /// What is said again now of a pair of which this was overtaken. If its state was said again just before, [`Order::due`]
    /// names it later.
    fn overtaken(&mut self, pair: &PairKey, (serial, shown): Overtaken, now: Instant) -> Option<Overtaken> {
        let Some((_, later)) = self.again.get_mut(pair) else {
            self.again.insert(pair.clone(), (now, None));
            return Some((serial, shown));
        };
        let (last, devices) = later.get_or_insert_default();
        *last = serial;
        devices.retain(|device| !shown.contains(device));
        devices.extend(shown);
        None
    }

    /// Pairs that were overtaken while their state had been said again just before, now that this is a while ago.
    fn due(&mut self, now: Instant) -> Vec<(PairKey, Overtaken)> {
        let mut due = Vec::new();
        self.again.retain(|pair, (at, later)| {
            let is_over = now.saturating_duration_since(*at) >= AGAIN;
            if let Some(overtaken) = later.take_if(|_| is_over) {
                due.push((pair.clone(), overtaken));
            }
            !is_over
        });
        due
    }
}

impl Engine {
    /// Presence may have passed newer presence of another gateway: the state is said again, at once or, if that was done
    /// just now, a little later.
    pub(super) fn presence_overtaken(&mut self, pair: &PairKey, what: Overtaken, now: Now, out: &mut Outputs) {
        // What was stored when it ended, and sent since, is newer: its own end decides.
        if self.order.sent.contains_key(pair) {
            return;
        }
        if let Some((after, shown)) = self.order.overtaken(pair, what, now.instant) {
            self.tell_pair(pair.clone(), PairInput::SayAgain { after, shown }, now, out);
        }
    }

    /// Says again what was put off.
    pub(super) fn say_again(&mut self, now: Now, out: &mut Outputs) {
        for (pair, overtaken) in self.order.due(now.instant) {
            self.presence_overtaken(&pair, overtaken, now, out);
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

    /// Presence of a device.
    fn presence(kind: PresenceKind, device: &str) -> PresenceOut {
        let (from, to) = (pair().local.with_resource(device).unwrap(), pair().remote);
        PresenceOut { kind, from, to, id: None, presence: None, delayed: false }
    }

    fn shown(devices: &[&str]) -> Vec<String> {
        devices.iter().map(|device| (*device).to_owned()).collect()
    }

    #[test]
    fn only_the_end_of_the_newest_stanza_of_this_gateway_decides() {
        let (mut order, desk) = (Order::default(), presence(PresenceKind::Available, "desk"));
        order.sent(&pair(), 7, &desk);
        order.sent(&pair(), 8, &desk);
        assert_eq!(order.ended(&pair(), 7), None, "the eighth follows on the same road");
        assert_eq!(order.ended(&pair(), 8), Some(shown(&["desk"])));
        assert!(order.sent.is_empty());
        // By another road, the older one may end last.
        order.sent(&pair(), 9, &desk);
        order.sent(&pair(), 10, &desk);
        assert!(order.ended(&pair(), 10).is_some());
        assert!(order.ended(&pair(), 9).is_some());
    }

    #[test]
    fn the_devices_are_known_that_were_shown_and_not_taken_back() {
        let mut order = Order::default();
        for (serial, kind, device) in [
            (1, PresenceKind::Available, "desk"),
            (2, PresenceKind::Available, "phone"),
            (3, PresenceKind::Available, "desk"),
            (4, PresenceKind::Unavailable, "phone"),
            (5, PresenceKind::Probe, "desk"),
        ] {
            order.sent(&pair(), serial, &presence(kind, device));
        }
        assert_eq!(order.ended(&pair(), 5), Some(shown(&["desk"])));
    }

    #[test]
    fn what_is_overtaken_again_soon_is_named_later_and_once() {
        let (mut order, now) = (Order::default(), Instant::now());
        let what = |serial, devices: &[&str]| (serial, shown(devices));
        assert_eq!(order.overtaken(&pair(), what(7, &["desk"]), now), Some(what(7, &["desk"])));
        assert_eq!(order.overtaken(&pair(), what(9, &["desk"]), now), None);
        assert_eq!(order.overtaken(&pair(), what(11, &["phone", "desk"]), now), None);
        assert_eq!(order.due(now + AGAIN / 2), []);
        assert_eq!(order.due(now + AGAIN), [(pair(), what(11, &["phone", "desk"]))]);
        assert!(order.again.is_empty());
        assert!(order.overtaken(&pair(), what(12, &[]), now + AGAIN).is_some());
        assert_eq!(order.due(now + 2 * AGAIN), []);
        assert!(order.again.is_empty());
    }
}
