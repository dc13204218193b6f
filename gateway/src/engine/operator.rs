//! What an operator asks of the engine: to send a test message over the road of real ones, to remove the authorisations
//! of a pair, to say what only memory knows. Each order ends in exactly one [`Reply`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;
use causeway_shared::jid::Jid;
use causeway_shared::link::{Failure, Outcome, StanzaKind, TraceContext};
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::Request;

use super::pairs::{Origin, PairEvent};
use super::requests::Ends;
use super::{Engine, Now, Outputs, StanzaPurpose};
use crate::link::StanzaOut;
use crate::policy::RequestRefusal;
use crate::presence::PairInput;
use crate::presence::record::{InAuthorisation, OutAuthorisation, Pair, PairKey};
use crate::quota::Counted;
use crate::translate::content::{Content, Reading, SipBody};
use crate::translate::message::{self, StanzaKey, ToXmppContext, Unread};

/// How long a test message may take: an operator waits for it, and a stream that is to be opened takes some seconds.
pub const TEST_PATIENCE: Duration = Duration::from_secs(10);

/// Between two test messages to one partner: it is a person's inbox.
pub const TEST_INTERVAL: Duration = Duration::from_secs(5);

/// Names an order until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A message of a local user to a partner's user, as if the pool had sent it.
    TestIm {
        /// Who writes to whom.
        pair: PairKey,
        /// What.
        text: String,
    },
    /// The end of both authorisations of a pair.
    Remove(PairKey),
    /// What memory knows of a pair.
    Look(PairKey),
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A test message ended.
    Tested {
        /// The `id` of its stanza, if there was one.
        id: Option<String>,
        /// How.
        end: TestEnd,
    },
    /// What was removed; it is stored.
    Removed(Removed),
    /// What memory knows.
    Seen(Seen),
    /// The store failed, or too much waits for the pair.
    Failed(&'static str),
}

/// How a test message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestEnd {
    /// It was written to the partner's stream, or the partner confirmed it where it counts stanzas (XEP-0198).
    Delivered,
    /// The policy refuses it.
    Refused(RequestRefusal),
    /// There is no stanza for it.
    Untranslatable(String),
    /// The edges or the partner did not take it.
    Undelivered(Box<Failure>),
    /// Another test to this partner was not long enough ago.
    TooSoon,
}

/// What a pair had before an operator removed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Whether the XMPP user could see the SIP user.
    pub inbound: InAuthorisation,
    /// Whether the SIP user could see the XMPP user.
    pub outbound: OutAuthorisation,
    /// Her subscriptions that end.
    pub dialogs: usize,
}

impl Removed {
    fn of(pair: &Pair) -> Self {
        Self {
            inbound: pair.inbound.authorisation,
            outbound: pair.outbound.authorisation,
            dialogs: pair.outbound.dialogs.len(),
        }
    }
}

/// What only memory knows of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whether the XMPP user may answer though he was not added, because she has just written to him.
    pub may_reply: bool,
    /// What he, and all users of his partner, have done in this minute.
    pub used: Vec<(Counted, u32, u32)>,
    /// Held requests of users of his domain.
    pub held: u64,
}

/// Test messages lately, by partner.
#[derive(Debug, Default)]
pub(super) struct Tests(HashMap<DomainName, Instant>);

impl Tests {
    /// Whether a partner may get another one now. Partners are configured, so their number is bounded.
    fn may_send(&mut self, partner: &DomainName, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < TEST_INTERVAL;
        self.0.retain(|_, at| is_recent(at));
        let may = !self.0.contains_key(partner);
        if may {
            self.0.insert(partner.clone(), now);
        }
        may
    }
}

impl Engine {
    /// Takes an order.
    pub(super) fn ordered(&mut self, ticket: Ticket, order: Order, now: Now, out: &mut Outputs) {
        match order {
            Order::TestIm { pair, text } => self.test_im(ticket, &pair, &text, now, out),
            Order::Remove(pair) => {
                let origin = Origin::Operator(ticket, Removed::default());
                let event = PairEvent::Step { input: PairInput::OperatorRemoved, origin };
                self.pair_event(pair, event, now, out);
            }
            Order::Look(pair) => out.replies.push((ticket, Reply::Seen(self.seen(&pair, now)))),
        }
    }

    /// Notes what a pair has before an operator's step.
    pub(super) fn note_removed(origin: &mut Origin, pair: &Pair) {
        if let Origin::Operator(_, removed) = origin {
            *removed = Removed::of(pair);
        }
    }

    fn seen(&self, pair: &PairKey, now: Now) -> Seen {
        let window_ms = self.settings.messages.unverified_reply_window_ms;
        let domain = pair.remote.domain_name();
        let partner = self.settings.partner(&domain).map_or(&domain, |partner| &partner.primary);
        let used = Counted::ALL.into_iter().map(|what| {
            let (user, all) = self.quotas.used(&pair.remote, partner, what, now.unix_ms);
            (what, user, all)
        });
        Seen {
            may_reply: window_ms != 0 && self.conversations.was_heard(pair, window_ms, now.unix_ms),
            used: used.collect(),
            held: self.pairs.crowd.held_of(&domain),
        }
    }

    fn test_im(&mut self, ticket: Ticket, pair: &PairKey, text: &str, now: Now, out: &mut Outputs) {
        match self.test_stanza(pair, text, now) {
            Ok((stanza, id)) => {
                self.stanzas.insert(stanza.key, StanzaPurpose::Test(ticket, id));
                out.stanzas.push(stanza);
            }
            Err(end) => out.replies.push((ticket, Reply::Tested { id: None, end })),
        }
    }

    /// The stanza of a MESSAGE of the pool, by the policy and the translation of all others.
    fn test_stanza(&mut self, pair: &PairKey, text: &str, now: Now) -> Result<(StanzaOut, String), TestEnd> {
        let key = self.next_key();
        let request = self
            .test_request(pair, text, key)
            .ok_or_else(|| TestEnd::Untranslatable("the addresses have no SIP form".to_owned()))?;
        let (_, partner) = self.parties(&request, Ends::Outside).map_err(TestEnd::Refused)?;
        if !self.tests.may_send(&partner.primary, now.instant) {
            return Err(TestEnd::TooSoon);
        }
        let content = message::read_message(&request, Reading { with_xhtml: false }, now.unix_ms);
        let text = match content {
            Ok(Content::Text(text)) => text,
            Ok(Content::Composing(_) | Content::Notification(_) | Content::Nothing) | Err(Unread::Expired) => {
                return Err(TestEnd::Untranslatable("there is nothing to read in it".to_owned()));
            }
            Err(Unread::Refused(refusal)) => return Err(TestEnd::Untranslatable(refusal.to_string())),
        };
        let context = ToXmppContext {
            now_ms: now.unix_ms,
            is_chat: false,
            max_stanza_bytes: self.settings.max_stanza_bytes,
            with_markers: false,
            chat_state: None,
            thread: None,
        };
        let (from, to): (Jid, Jid) = (pair.local.as_jid().clone(), pair.remote.as_jid().clone());
        let translated = message::message_to_xmpp(&request, text, &from, &to, &context)
            .map_err(|refusal| TestEnd::Untranslatable(refusal.to_string()))?;
        let stanza = StanzaOut {
            key,
            kind: StanzaKind::Message,
            from,
            to,
            xml: translated.xml,
            patience: TEST_PATIENCE,
            trace: TraceContext::default(),
            is_owed: false,
        };
        Ok((stanza, translated.id))
    }

    fn test_request(&mut self, pair: &PairKey, text: &str, key: u64) -> Option<Request> {
        let number = StanzaKey { origin: self.endpoint.ids().number(), key };
        let (from, to) = (pair.local.as_jid(), pair.remote.as_jid());
        let request = message::own_message(from, to, None, SipBody::text(text), number).ok()?;
        let via = format!("SIP/2.0/TCP operator.invalid;branch={}", message::branch_of_key(number).as_str());
        Some(request.with(HeaderName::Via, HeaderValue::new(via).ok()?))
    }

    /// A test message ended.
    pub(super) fn test_ended(ticket: Ticket, id: String, outcome: &Outcome, out: &mut Outputs) {
        let end = match outcome {
            Outcome::Done => TestEnd::Delivered,
            Outcome::Failed(failure) => TestEnd::Undelivered(Box::new(failure.clone())),
        };
        out.replies.push((ticket, Reply::Tested { id: Some(id), end }));
    }
}
