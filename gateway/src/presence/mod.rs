//! Presence that outlives one message: authorisations, which last, and dialogs, which expire (RFC 8048).
//!
//! A [`Pair`] is everything known about one SIP user and one XMPP user. It is plain data that a store keeps; an event
//! runs on a copy of it, and only when the copy is stored do the event's outputs leave. Time and randomness are
//! arguments. One file per direction: `inbound` is "the XMPP user watches the SIP user", where the gateway subscribes (`subscriber`);
//! `outbound` is "the SIP user watches the XMPP user", where the gateway notifies; [`refresh`] is what time brings.
//!
//! Not here: whether a stanza or request may pass at all (`policy`), transactions, streams, the store.

mod access;
pub mod drift;
mod inbound;
mod outbound;
pub mod record;
pub mod refresh;
mod subscriber;
pub mod verdict;

use causeway_shared::jid::{BareJid, Jid};
use causeway_shared::partner::PartnerType;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_sip::field::{CallId, Token};
use causeway_sip::message::{Request, Response};
use causeway_sip::uri::Uri;

use crate::translate::hex;
use crate::translate::presence::{PidfStyle, PresenceKind, PresenceOut, PresenceStanza, ResourcePresence};
use drift::Drift;
use record::{InAuthorisation, OutAuthorisation, Owed, Pair};
use verdict::PairVerdict;

/// What an operator may choose about presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceSettings {
    /// Seconds that the gateway asks for when it subscribes: the package's default (RFC 3856, section 6.4).
    pub expires_s: u32,
    /// The shortest subscription that the gateway grants; shorter ones below an hour get 423.
    pub min_expires_s: u32,
    /// The longest subscription that the gateway grants.
    pub max_expires_s: u32,
    /// How long the gateway keeps watching for an XMPP user who gives no sign of life.
    pub lease_ms: u64,
    /// After how many days without a SUBSCRIBE an OUT authorisation is given up; 0 is never.
    pub idle_days: u32,
    /// Whether a pending subscription approves an XMPP user's wish to watch, for pools that never say more to strangers.
    pub approve_on_pending: bool,
    /// How presence documents are written for this pool.
    pub pidf: PidfStyle,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self {
            expires_s: 3_600,
            min_expires_s: 60,
            max_expires_s: 3_600,
            // SubscriptionRefreshInterval of the product that this one follows.
            lease_ms: 28_800_000,
            idle_days: 30,
            approve_on_pending: false,
            pidf: PidfStyle::default(),
        }
    }
}

/// What surrounds a step.
#[derive(Debug, Clone, Copy)]
pub struct PairContext<'a> {
    /// Now, in Unix milliseconds.
    pub now_ms: u64,
    /// A random number, fresh for each step: tags, Call-IDs and jitter come from it.
    pub random: u64,
    /// Whether the XMPP user's domain is a partner.
    pub is_partner: bool,
    /// Whether the SIP user may reach partners.
    pub has_access: bool,
    /// The type of the XMPP user's partner.
    pub partner: PartnerType,
    /// Whether the partner may have one more held `subscribe`.
    pub may_hold: bool,
    /// Whether the XMPP user may make us watch the SIP user, or does so already.
    pub may_watch: bool,
    /// Where the pool reaches the gateway: Contact of what it sends.
    pub contact: &'a Uri,
    /// The operator's choices.
    pub settings: &'a PresenceSettings,
}

/// What the world tells a pair.
#[derive(Debug, Clone)]
pub enum PairInput {
    /// A presence stanza of the XMPP user that policy let pass.
    Presence(Box<PresenceStanza>),
    /// The edge has finished with a presence stanza of ours.
    PresenceOutcome {
        /// The serial of [`PairOutput::Presence`].
        serial: u32,
        /// Why it was not delivered; `None` if it was.
        failure: Option<StanzaCondition>,
        /// If nothing newer about the pair is under way here: the devices that what was has shown.
        shown: Option<Vec<String>>,
    },
    /// The XMPP user gave another sign of life, such as a message.
    Activity,
    /// A SUBSCRIBE of the SIP user for the XMPP user that policy let pass.
    Subscribe(Box<Request>),
    /// A NOTIFY about the SIP user.
    Notify(Box<Request>),
    /// The final answer to a SUBSCRIBE of ours.
    SubscribeAnswered {
        /// Call-ID of the SUBSCRIBE.
        call_id: CallId,
        /// Its CSeq.
        cseq: u32,
        /// The answer.
        answer: Answer,
    },
    /// The final answer to a NOTIFY of ours.
    NotifyAnswered {
        /// Call-ID of the NOTIFY.
        call_id: CallId,
        /// Our tag.
        local_tag: Token,
        /// Its CSeq.
        cseq: u32,
        /// The answer.
        answer: Answer,
    },
    /// `due_at` has come.
    Due,
    /// No stream to the XMPP domain is up any more.
    StreamLost,
    /// A stream to the XMPP domain is up again.
    StreamBack,
    /// An edge died that the XMPP domain used: what either side said last may have died with it.
    EdgeLost,
    /// The partner has another type now, which the context names.
    PartnerChanged,
    /// The domain is no partner any more.
    PartnerRemoved,
    /// The SIP user may not reach partners any more.
    AccessLost,
    /// The SIP user may reach partners again.
    AccessBack,
    /// The operator removes the pair.
    OperatorRemoved,
    /// A sweep found that the record has drifted.
    Mend,
    /// The process started: what was under way then has been lost, but not what it has begun itself since.
    Restart {
        /// When it started.
        before_ms: u64,
    },
    /// Presence may have passed what another gateway has sent after it.
    SayAgain {
        /// The serial of what may have come last.
        after: u32,
        /// The devices that it, and what was under way with it, has shown.
        shown: Vec<String>,
    },
    /// Something that was said about the pair was handed back, because the store did not take it in time: both sides are
    /// asked again.
    Missed,
}

/// How a request of ours ended.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With a final response.
    Response(Box<Response>),
    /// With Timer F.
    Timeout,
    /// Without reaching anybody.
    Unreachable,
}

/// What a pair asks of the world, to be done once the pair is stored, in order.
#[derive(Debug, Clone)]
pub enum PairOutput {
    /// Send a presence stanza and report its outcome under the serial.
    Presence {
        /// The stanza.
        presence: PresenceOut,
        /// Names it in [`PairInput::PresenceOutcome`].
        serial: u32,
    },
    /// Send a SUBSCRIBE and report its answer.
    Subscribe {
        /// The request, without Via and Max-Forwards.
        request: Request,
        /// Where it goes first; `None` is the pool.
        next_hop: Option<Uri>,
    },
    /// Send a NOTIFY and report its answer.
    Notify {
        /// The request, without Via and Max-Forwards.
        request: Request,
        /// Where it goes first.
        next_hop: Uri,
    },
    /// Answer the request that this input is.
    Respond(Response),
    /// Tell the operator.
    Verdict(PairVerdict),
    /// What has arrived may have passed what another gateway has sent after it: have the state said again.
    Overtaken {
        /// The serial of what has arrived.
        serial: u32,
        /// The devices that it, and what was under way with it, has shown.
        shown: Vec<String>,
    },
    /// Count what was mended.
    Mended(Drift),
}

impl Pair {
    /// Takes one step. Afterwards `due_at` says when [`PairInput::Due`] must come.
    pub fn handle(&mut self, input: &PairInput, context: &PairContext<'_>, out: &mut Vec<PairOutput>) {
        let mut step = Step { pair: self, context, random: context.random, out };
        match input {
            PairInput::Presence(stanza) => step.presence(stanza),
            PairInput::PresenceOutcome { serial, failure, shown } => {
                step.presence_outcome(*serial, *failure, shown.as_deref());
            }
            PairInput::Activity => step.renew_lease(),
            PairInput::Subscribe(request) => step.subscribe_received(request),
            PairInput::Notify(request) => step.notify_received(request),
            PairInput::SubscribeAnswered { call_id, cseq, answer } => step.subscribe_answered(call_id, *cseq, answer),
            PairInput::NotifyAnswered { call_id, local_tag, cseq, answer } => {
                step.notify_answered(call_id, local_tag, *cseq, answer);
            }
            PairInput::Due => step.due(),
            PairInput::StreamLost => step.stream_lost(),
            PairInput::StreamBack => step.stream_back(),
            PairInput::EdgeLost => step.edge_lost(),
            PairInput::PartnerChanged => step.partner_changed(),
            PairInput::PartnerRemoved => step.partner_removed(),
            PairInput::AccessLost => step.access_lost(),
            PairInput::AccessBack => step.access_back(),
            PairInput::OperatorRemoved => step.operator_removed(),
            PairInput::Mend => step.mend(),
            PairInput::Restart { before_ms } => step.restart(*before_ms),
            PairInput::SayAgain { after, shown } => step.say_again(*after, shown),
            PairInput::Missed => step.missed(),
        }
        step.notify_what_changed();
        self.due_at = self.next_due(context.settings);
    }
}

/// One step of a pair; the directions add their part to it.
struct Step<'a, 'c> {
    pair: &'a mut Pair,
    context: &'a PairContext<'c>,
    random: u64,
    out: &'a mut Vec<PairOutput>,
}

impl Step<'_, '_> {
    fn now(&self) -> u64 {
        self.context.now_ms
    }

    /// The next random number (SplitMix64).
    fn number(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.number() % bound }
    }

    fn tag(&mut self) -> Token {
        let number = self.number();
        Token::new(hex::numbered("cw", &[number])).expect("letters and digits are token characters")
    }

    fn call_id(&mut self) -> CallId {
        let (a, b) = (self.number(), self.number());
        CallId::new(hex::numbered("cw-", &[a, b])).expect("letters, digits and a hyphen are a word")
    }

    fn verdict(&mut self, verdict: PairVerdict) {
        self.out.push(PairOutput::Verdict(verdict));
    }

    /// A stranger may do nothing before the SIP user has added him.
    fn is_unverified(&self) -> bool {
        !self.context.partner.may_act_unadded()
    }

    /// A presence stanza without content from the SIP user's bare address.
    fn say(&mut self, kind: PresenceKind) {
        self.send(kind, self.pair.key.local.as_jid().clone(), None, None);
    }

    /// The availability of one device of the SIP user.
    fn say_available(&mut self, presence: &ResourcePresence) {
        let from = self.device(&presence.resource);
        let mut presence = presence.clone();
        // The type of the partner may have changed since they were stored.
        if !self.context.partner.sees_notes() {
            presence.notes.clear();
        }
        self.send(PresenceKind::Available, from, None, Some(presence));
    }

    fn say_unavailable(&mut self, resource: &str) {
        let from = self.device(resource);
        self.send(PresenceKind::Unavailable, from, None, None);
    }

    /// None of her devices is available: the answer to a probe, with the time since when where the partner is trusted
    /// with it (RFC 6121, section 4.3.2).
    fn say_absent(&mut self, id: Option<String>) {
        let since_ms = self.pair.inbound.gone_ms.filter(|_| !self.context.partner.is_public());
        let absence = since_ms.map(|_| ResourcePresence { since_ms, ..ResourcePresence::default() });
        self.send(PresenceKind::Unavailable, self.pair.key.local.as_jid().clone(), id, absence);
    }

    fn device(&self, resource: &str) -> Jid {
        let local = &self.pair.key.local;
        local.with_resource(resource).unwrap_or_else(|_| local.as_jid().clone())
    }

    fn send(&mut self, kind: PresenceKind, from: Jid, id: Option<String>, presence: Option<ResourcePresence>) {
        self.pair.serial = self.pair.serial.wrapping_add(1);
        let serial = self.pair.serial;
        // A lost probe is answered by the next one; everything else must be known to have arrived.
        if kind != PresenceKind::Probe {
            let owed = match kind {
                PresenceKind::Unavailable => PresenceKind::Available,
                _ => kind,
            };
            self.pair.owed.retain(|other| other.kind != owed);
            self.pair.owed.push(Owed { serial, kind: owed, resend_at: self.now() + refresh::OUTCOME_PATIENCE_MS });
        }
        let since = presence.as_ref().and_then(|presence| presence.since_ms);
        let delayed = crate::translate::presence::is_worth_a_stamp(since, self.now());
        let presence = PresenceOut { kind, from, to: self.pair.key.remote.clone(), id, presence, delayed };
        self.out.push(PairOutput::Presence { presence, serial });
    }

    fn presence(&mut self, stanza: &PresenceStanza) {
        match stanza.kind {
            PresenceKind::Subscribe => self.subscribe_wanted(),
            PresenceKind::Unsubscribe => self.unsubscribe_wanted(),
            PresenceKind::Probe => self.probed(stanza),
            PresenceKind::Available => {
                self.renew_lease();
                self.watch_again();
                self.contact_presence(stanza);
            }
            PresenceKind::Unavailable => self.contact_presence(stanza),
            PresenceKind::Subscribed => self.contact_approved(),
            PresenceKind::Unsubscribed => self.contact_refused(),
            PresenceKind::Error => self.contact_error(stanza),
        }
    }

    /// What has arrived is owed no more. What has not: the state is sent again when the stream is back, and a
    /// `subscribe` that nobody took counts as answered with the error.
    fn presence_outcome(&mut self, serial: u32, failure: Option<StanzaCondition>, shown: Option<&[String]>) {
        if let Some(shown) = shown
            && serial != self.pair.serial
        {
            self.out.push(PairOutput::Overtaken { serial, shown: shown.to_vec() });
        }
        let Some(index) = self.pair.owed.iter().position(|owed| owed.serial == serial) else { return };
        let owed = self.pair.owed.remove(index);
        match (failure, owed.kind) {
            (None, _) => {}
            (Some(condition), PresenceKind::Subscribe) => self.subscribe_failed(condition, condition.usual_type()),
            (Some(_), PresenceKind::Available) => self.pair.inbound.is_told = false,
            (Some(_), _) => self.pair.owed.push(Owed { resend_at: self.now() + refresh::UNDELIVERED_RETRY_MS, ..owed }),
        }
    }

    fn stream_lost(&mut self) {
        if self.pair.outbound.resources.iter().any(|resource| resource.available)
            && self.pair.outbound.stale_at.is_none()
        {
            self.pair.outbound.stale_at = Some(self.now() + refresh::STALE_AFTER_MS);
        }
    }

    fn stream_back(&mut self) {
        self.pair.outbound.stale_at = None;
        if self.pair.outbound.authorisation == OutAuthorisation::To {
            self.say(PresenceKind::Probe);
        }
        if !self.pair.inbound.is_told {
            self.tell_current();
        }
    }

    fn partner_changed(&mut self) {
        if self.is_unverified() {
            // What is held stays so: a pair may hear of the change twice.
            let is_held = self.pair.inbound.authorisation == InAuthorisation::Held;
            if self.pair.outbound.authorisation == OutAuthorisation::None && !is_held {
                self.revoke_inbound();
            }
        } else if self.pair.inbound.authorisation == InAuthorisation::Held {
            self.release_held();
        }
        if !self.context.partner.sees_notes()
            && self.pair.inbound.resources.iter().any(|resource| !resource.notes.is_empty())
        {
            self.pair.inbound.resources.iter_mut().for_each(|resource| resource.notes.clear());
            self.tell_current();
        }
    }

    fn partner_removed(&mut self) {
        self.cancel_dialog();
        self.pair.inbound = record::Inbound::default();
        self.end_all_dialogs(&record::Ending::no_resource());
        self.pair.outbound = record::Outbound::default();
        self.pair.owed.clear();
    }

    fn operator_removed(&mut self) {
        if self.pair.outbound.authorisation != OutAuthorisation::None {
            self.say(PresenceKind::Unsubscribe);
            self.delete_outbound(&record::Ending::no_resource());
        }
        self.revoke_inbound();
    }

    /// Asks him for his state, for what he said while nobody listened is not known. Where nobody watches, her next
    /// SUBSCRIBE asks.
    fn ask_anew(&mut self) {
        if self.pair.outbound.authorisation == OutAuthorisation::To {
            if self.pair.outbound.dialogs.is_empty() {
                self.pair.outbound.resources.clear();
            } else {
                self.say(PresenceKind::Probe);
            }
        }
    }

    fn edge_lost(&mut self) {
        self.ask_anew();
        self.tell_anew();
    }

    fn restart(&mut self, before_ms: u64) {
        self.ask_anew();
        let now = self.now();
        let is_lost = |until, patience| refresh::is_of_before(until, patience, before_ms, now);
        for owed in self.pair.owed.iter_mut().filter(|owed| is_lost(owed.resend_at, refresh::OUTCOME_PATIENCE_MS)) {
            owed.resend_at = 0;
        }
        let in_flight = self.pair.outbound.dialogs.iter_mut().filter_map(|watcher| watcher.in_flight.as_mut());
        for in_flight in in_flight.filter(|notify| is_lost(notify.resend_at, refresh::NOTIFY_PATIENCE_MS)) {
            in_flight.resend_at = 0;
        }
        self.restart_attempt(before_ms);
        self.due();
    }

    fn say_again(&mut self, after: u32, shown: &[String]) {
        if after == self.pair.serial {
            return;
        }
        // The state names those that are there; who has gone meanwhile must hear it by name.
        for device in shown {
            if self.pair.inbound.resources.iter().all(|known| known.resource != *device) {
                self.say_unavailable(device);
            }
        }
        self.tell_current();
    }

    fn missed(&mut self) {
        self.restart(u64::MAX);
        if matches!(self.pair.inbound.dialog, record::InDialog::Live { refresh: None, .. }) {
            // The NOTIFY that answers has all of her state (RFC 6665, section 4.4.1).
            self.refresh_dialog(self.context.settings.expires_s);
        }
    }

    fn remote(&self) -> &BareJid {
        &self.pair.key.remote
    }
}

#[cfg(test)]
mod tests;
