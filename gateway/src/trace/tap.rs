//! Live readers: what passes, as it passes, filtered and redacted.
//!
//! A tap is a position in the recorder's rings that follows them. It looks several times a second instead of being
//! woken, so that it costs the message path nothing; if more passes than it can read, it leaves out the oldest and says
//! how many.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use causeway_shared::verdict::unmistakable;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{Event, Kind, Leg, Way};
use super::read::Head;
use super::recorder::{MAX_READERS, Place, Recorder};

/// How often a tap looks: often enough for somebody who watches.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Events that a tap looks at in one turn, a few milliseconds of parsing. Ten times a second that is more than any
/// connection to an operator shows, and less than a core.
const TURN: u64 = 4_096;

/// Stanzas and dialogs that a tap remembers to show what becomes of them; about 60 bytes each.
const REMEMBERED: usize = 8_192;

/// What is to be shown, as it is asked for. Everything that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FilterQuery {
    /// The domain of the partner's user.
    pub partner: Option<String>,
    /// The SIP user, as `alice@contoso.example`.
    pub local: Option<String>,
    /// The partner's user, as `bob@fabrikam.example`.
    pub remote: Option<String>,
    /// `message`, `presence`, `iq`, `outcome`, `verdict`, `edge`, or a SIP method.
    pub kind: Option<String>,
    /// `in` or `out`, seen from the gateway.
    pub direction: Option<String>,
    /// `xmpp`, `sip`, `msrp` or `inside`.
    pub leg: Option<String>,
}

/// What of a filter cannot be read, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {found:?} is not {expected}")]
pub struct BadFilter {
    /// Which part.
    pub key: &'static str,
    /// What it says.
    pub found: String,
    /// What it could say.
    pub expected: &'static str,
}

/// What is to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    partner: Option<DomainName>,
    local: Option<BareJid>,
    remote: Option<BareJid>,
    kind: Option<Wanted>,
    way: Option<Way>,
    leg: Option<Leg>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Kind(Kind),
    Method(String),
}

impl Filter {
    /// Reads what was asked for.
    pub fn read(query: &FilterQuery) -> Result<Self, BadFilter> {
        fn part<T>(
            key: &'static str,
            found: Option<&String>,
            expected: &'static str,
            read: impl Fn(&str) -> Option<T>,
        ) -> Result<Option<T>, BadFilter> {
            let Some(found) = found.filter(|found| !found.is_empty()) else { return Ok(None) };
            read(found).map(Some).ok_or_else(|| BadFilter { key, found: unmistakable(found), expected })
        }
        const USER: &str = "an address such as bob@fabrikam.example";
        Ok(Self {
            partner: part("partner", query.partner.as_ref(), "a domain name", |text| DomainName::parse(text).ok())?,
            local: part("local", query.local.as_ref(), USER, |text| BareJid::parse(text).ok())?,
            remote: part("remote", query.remote.as_ref(), USER, |text| BareJid::parse(text).ok())?,
            kind: part(
                "kind",
                query.kind.as_ref(),
                "message, presence, iq, outcome, verdict, edge or a SIP method",
                kind,
            )?,
            way: part("direction", query.direction.as_ref(), "in or out", |text| match text {
                "in" => Some(Way::In),
                "out" => Some(Way::Out),
                _ => None,
            })?,
            leg: part("leg", query.leg.as_ref(), "xmpp, sip, msrp or inside", |text| match text {
                "xmpp" => Some(Leg::Xmpp),
                "sip" => Some(Leg::Sip),
                "msrp" => Some(Leg::Msrp),
                "inside" => Some(Leg::Inside),
                _ => None,
            })?,
        })
    }

    /// Whether an event fits as far as it says itself whom it concerns.
    fn fits(&self, head: &Head<'_>) -> bool {
        let is_partner =
            |partner: &DomainName| head.remote.as_ref().is_some_and(|user| user.domain() == partner.as_str());
        self.partner.as_ref().is_none_or(is_partner)
            && self.local.as_ref().is_none_or(|local| head.local.as_ref() == Some(local))
            && self.remote.as_ref().is_none_or(|remote| head.remote.as_ref() == Some(remote))
            && self.fits_form(head)
    }

    fn fits_form(&self, head: &Head<'_>) -> bool {
        let is_kind = self.kind.as_ref().is_none_or(|wanted| match (wanted, &head.kind) {
            (Wanted::Kind(wanted), kind) => wanted == kind,
            (Wanted::Method(wanted), Kind::Request(method) | Kind::Response(_, method)) => wanted == method,
            (Wanted::Method(_), _) => false,
        });
        is_kind && self.way.is_none_or(|way| way == head.way) && self.leg.is_none_or(|leg| leg == head.leg)
    }
}

fn kind(text: &str) -> Option<Wanted> {
    Some(Wanted::Kind(match text {
        "message" => Kind::Message,
        "presence" => Kind::Presence,
        "iq" => Kind::Iq,
        "outcome" => Kind::Outcome,
        "verdict" => Kind::Verdict,
        "edge" => Kind::Edge,
        // A method is a word in capitals (RFC 3261, section 7.1).
        _ if text.bytes().all(|byte| byte.is_ascii_uppercase()) => return Some(Wanted::Method(text.to_owned())),
        _ => return None,
    }))
}

/// Too many taps are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_READERS} live readers are connected already; close one of them")]
pub struct TooManyReaders;

/// A live reader.
#[derive(Debug)]
pub struct Tap {
    place: Place,
    filter: Filter,
    next: u64,
    /// Of what was shown.
    ties: HashSet<String>,
}

/// What a tap shows in one turn.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events in order.
    pub events: Vec<Event>,
    /// Events before them that were not looked at, because they came too fast.
    pub left_out: u64,
}

impl Recorder {
    /// Opens a live reader that shows what passes from now on.
    pub fn subscribe(self: &Arc<Self>, filter: Filter) -> Result<Tap, TooManyReaders> {
        let place = self.reader().ok_or(TooManyReaders)?;
        let next = self.span().1;
        Ok(Tap { place, filter, next, ties: HashSet::new() })
    }
}

impl Tap {
    /// Waits until there is something to show, or something was left out. Whether bodies are shown is asked each time: the
    /// setting may change while somebody watches.
    pub async fn more(&mut self, shows_bodies: impl Fn() -> bool) -> Batch {
        loop {
            let batch = self.take(shows_bodies());
            if !batch.events.is_empty() || batch.left_out > 0 {
                return batch;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// What has come since the last look.
    pub fn take(&mut self, show_bodies: bool) -> Batch {
        let recorder = Arc::clone(&self.place.recorder);
        let mut batch = Batch::default();
        let newest = recorder.span().1;
        // Who falls behind sees the newest instead of what is long over.
        let first = newest.saturating_sub(TURN).max(self.next);
        batch.left_out += first - self.next;
        self.next = first;
        while self.next < newest {
            let page = recorder.page(self.next);
            batch.left_out += page.missed;
            if page.events.is_empty() {
                break;
            }
            for raw in &page.events {
                let head = Head::read(raw);
                if self.is_wanted(&head) {
                    batch.events.push(head.event(show_bodies));
                }
            }
            self.next = page.next;
        }
        batch
    }

    /// Whether an event is to be shown: one that fits, and what becomes of it.
    fn is_wanted(&mut self, head: &Head<'_>) -> bool {
        let own = [head.ties.stanza.as_ref(), head.ties.call_id.as_ref()];
        let ties = || own.into_iter().flatten().chain(&head.ties.sessions);
        let names_nobody = head.local.is_none() && head.remote.is_none();
        let is_known = || ties().any(|tie| self.ties.contains(tie));
        let wanted = self.filter.fits(head) || (names_nobody && is_known() && self.filter.fits_form(head));
        if wanted {
            if self.ties.len() > REMEMBERED {
                self.ties.clear();
            }
            self.ties.extend(ties().cloned());
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use causeway_shared::link::{Outcome, StanzaKind, TraceContext};

    use super::*;
    use crate::engine::{Input, Outputs};
    use crate::link::{LinkEvent, StanzaOut};

    fn recorder() -> Arc<Recorder> {
        Arc::new(Recorder::default())
    }

    fn stanza(recorder: &Recorder, key: u64, to: &str) {
        let jid = |text: &str| causeway_shared::jid::Jid::parse(text).unwrap();
        let xml =
            format!("<message xmlns='jabber:server' from='alice@contoso.example' to='{to}'><body>hi</body></message>");
        let stanza = StanzaOut {
            key,
            kind: StanzaKind::Message,
            from: jid("alice@contoso.example"),
            to: jid(to),
            xml: xml.into(),
            patience: Duration::from_secs(1),
            trace: TraceContext::default(),
            is_owed: false,
        };
        recorder.sent(&Outputs { stanzas: vec![stanza], ..Outputs::default() }, 7);
    }

    fn filter(change: impl FnOnce(&mut FilterQuery)) -> Filter {
        let mut query = FilterQuery::default();
        change(&mut query);
        Filter::read(&query).unwrap()
    }

    #[test]
    fn a_tap_shows_what_fits_and_what_becomes_of_it() {
        let recorder = recorder();
        stanza(&recorder, 1, "bob@fabrikam.example");
        let mut tap = recorder.subscribe(filter(|query| query.partner = Some("fabrikam.example".to_owned()))).unwrap();
        stanza(&recorder, 2, "bob@fabrikam.example");
        stanza(&recorder, 3, "eve@wingtip.example");
        let outcomes = LinkEvent::Outcomes(vec![(2, Outcome::Done), (3, Outcome::Done)]);
        recorder.received(&Input::Link(outcomes), 8);
        let events = tap.take(false).events;
        let told: Vec<_> = events.iter().map(|event| (event.at_ms, event.way, event.label.as_str())).collect();
        assert_eq!(told, [(7, Way::Out, "<message>"), (8, Way::In, "delivered")]);
        assert_eq!(events[0].remote.as_deref(), Some("bob@fabrikam.example"));
        assert!(events[0].text.contains("[2 characters]"), "{}", events[0].text);
        assert!(tap.take(false).events.is_empty());
        stanza(&recorder, 4, "bob@fabrikam.example");
        assert!(!tap.take(true).events[0].text.contains("[2 characters]"), "the setting is asked each time");
    }

    #[test]
    fn a_tap_that_falls_behind_says_how_much_it_left_out() {
        let recorder = recorder();
        let mut tap = recorder.subscribe(Filter::default()).unwrap();
        (0..TURN + 10).for_each(|key| stanza(&recorder, key, "bob@fabrikam.example"));
        let begun = Instant::now();
        let batch = tap.take(false);
        assert_eq!((batch.events.len() as u64, batch.left_out), (TURN, 10));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn there_are_only_so_many_taps() {
        let recorder = recorder();
        let mut taps: Vec<_> = (0..MAX_READERS).map(|_| recorder.subscribe(Filter::default()).unwrap()).collect();
        assert_eq!(recorder.subscribe(Filter::default()).map(|_| ()), Err(TooManyReaders));
        taps.pop();
        assert!(recorder.subscribe(Filter::default()).is_ok());
    }

    #[test]
    fn a_filter_that_cannot_be_read_says_what_it_could_be() {
        let fault = |change: fn(&mut FilterQuery)| {
            let mut query = FilterQuery::default();
            change(&mut query);
            Filter::read(&query).unwrap_err().to_string()
        };
        assert_eq!(fault(|query| query.direction = Some("up".to_owned())), "direction: \"up\" is not in or out");
        assert!(fault(|query| query.partner = Some("a b".to_owned())).starts_with("partner: "));
        assert!(fault(|query| query.kind = Some("Message".to_owned())).starts_with("kind: "));
        assert!(filter(|query| query.kind = Some("NOTIFY".to_owned())).kind.is_some());
    }
}
