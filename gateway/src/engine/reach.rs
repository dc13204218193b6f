//! Partners that cannot be reached: as long as that lasts, what they last said of their users may be wrong.
//!
//! That a stream ended says little, for servers close idle ones. That a stanza could not be delivered says it: from the
//! first such failure on the domain is pinged (XEP-0199) once a minute, which makes the edge look for a stream, and
//! when that fails too, its pairs are told that the stream is lost. Whatever is delivered or comes says that it is back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::Jid;
use causeway_shared::link::{Outcome, StanzaKind, TraceContext};
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use super::messages::ANSWER_PATIENCE;
use super::{Engine, News, Now, Outputs, Round, StanzaPurpose};
use crate::link::StanzaOut;
use crate::presence::PairInput;
use crate::presence::record::PairKey;

/// From one ping to the next.
const PING_INTERVAL: Duration = Duration::from_secs(60);

/// The domains that did not answer, of the partners that there are.
#[derive(Debug, Default)]
pub(super) struct Reach {
    silent: HashMap<DomainName, Silence>,
}

#[derive(Debug)]
struct Silence {
    /// The domain of ours that could not reach it.
    local: DomainName,
    ping_at: Instant,
    /// How often in a row.
    pings: u32,
    is_told: bool,
}

impl Reach {
    /// Whether every partner answers; then nobody has to be looked for.
    pub(super) fn is_clear(&self) -> bool {
        self.silent.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.silent.values().map(|silence| silence.ping_at).min()
    }
}

fn is_out_of_reach(condition: StanzaCondition) -> bool {
    matches!(condition, StanzaCondition::RemoteServerTimeout | StanzaCondition::RemoteServerNotFound)
}

impl Engine {
    /// Presence or a ping for a domain ended.
    pub(super) fn delivery_ended(&mut self, pair: &DomainPair, outcome: &Outcome, now: Now, out: &mut Outputs) {
        match outcome {
            Outcome::Failed(failure) if is_out_of_reach(failure.condition) => self.out_of_reach(pair, now, out),
            // Some server answered, with whatever.
            Outcome::Failed(_) | Outcome::Done => self.within_reach(&pair.remote, now, out),
        }
    }

    fn out_of_reach(&mut self, pair: &DomainPair, now: Now, out: &mut Outputs) {
        let silence = self.reach.silent.entry(pair.remote.clone()).or_insert_with(|| Silence {
            local: pair.local.clone(),
            ping_at: now.instant + PING_INTERVAL,
            pings: 0,
            is_told: false,
        });
        if silence.pings > 0 && !silence.is_told {
            silence.is_told = true;
            self.tell_domain(&pair.remote, PairInput::StreamLost, now, out);
        }
    }

    /// The pairs of the domain were told that it is lost, by this gateway or by another one of its pool: it is pinged until
    /// it is back.
    pub(super) fn known_silent(&mut self, pair: &PairKey, now: Now) {
        if self.is_shared() {
            self.reach.silent.entry(pair.remote.domain_name()).or_insert_with(|| Silence {
                local: pair.local.domain_name(),
                ping_at: now.instant,
                pings: 0,
                is_told: true,
            });
        }
    }

    /// The domain took or sent something.
    pub(super) fn within_reach(&mut self, domain: &DomainName, now: Now, out: &mut Outputs) {
        if self.reach.silent.remove(domain).is_some() {
            self.tell_domain(domain, PairInput::StreamBack, now, out);
        }
    }

    fn tell_domain(&mut self, domain: &DomainName, input: PairInput, now: Now, out: &mut Outputs) {
        self.add_round(Round { domain: domain.clone(), news: News::All(input) }, now);
        self.read_page(now, out);
    }

    /// Pings whom it is time to ping.
    pub(super) fn ping_silent(&mut self, now: Now, out: &mut Outputs) {
        let mut due = Vec::new();
        self.reach.silent.retain(|remote, silence| {
            if silence.ping_at <= now.instant {
                silence.ping_at = now.instant + PING_INTERVAL;
                silence.pings = silence.pings.saturating_add(1);
                due.push(DomainPair { local: silence.local.clone(), remote: remote.clone() });
            }
            self.settings.partner(remote).is_some()
        });
        for pair in due {
            self.ping(pair, out);
        }
    }

    fn ping(&mut self, pair: DomainPair, out: &mut Outputs) {
        let (Ok(from), Ok(to)) = (Jid::parse(pair.local.as_str()), Jid::parse(pair.remote.as_str())) else { return };
        let key = self.next_key();
        let xml = format!(
            "<iq xmlns='jabber:server' type='get' id='reach-{key}' from='{from}' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
        self.stanzas.insert(key, StanzaPurpose::Ping(pair));
        out.stanzas.push(StanzaOut {
            key,
            kind: StanzaKind::Iq,
            from,
            to,
            xml: Bytes::from(xml),
            patience: ANSWER_PATIENCE,
            trace: TraceContext::default(),
            is_owed: false,
        });
    }
}
