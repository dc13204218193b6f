//! Pairs under way: loading, stepping, committing, and doing what a step asked for once it is stored.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::link::{Failure, Outcome, StanzaKind, TraceContext};
use causeway_shared::verdict::{Code, Verdict};
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::endpoint::ServerTransaction;
use causeway_sip::message::Request;

use super::crowd::{Crowd, Place};
use super::messages::{ANSWER_PATIENCE, Answered, Due};
use super::operator::{Removed, Reply, Ticket};
use super::records::{Offer, Records, Setback};
use super::requests::{Purpose, Route};
use super::{CLAIM_INTERVAL, CLAIM_LIMIT, CLAIM_PAUSE, Engine, Now, Outputs, StanzaPurpose};
use crate::link::{Receipt, StanzaIn, StanzaOut};
use crate::policy::{self, Admission, Intent, PartnerEntry, Standing};
use crate::presence::record::{Change, Pair, PairKey};
use crate::presence::{PairContext, PairInput, PairOutput};
use crate::quota::Counted;
use crate::store::{Committed, PairChange, StoreError};
use crate::translate::presence::{PresenceKind, PresenceOut, PresenceStanza, read_presence};

/// How long to wait after the store failed.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long a record waits that the store could not load or commit.
const STORE_RETRY: Duration = Duration::from_secs(3);

/// Pairs that are asked again after the store was away; of more, the next change or refresh says what there is.
const MISSED: usize = super::records::RECORDS_IN_MEMORY;

/// All pairs in memory.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) records: Records<PairKey, Held, PairEvent, PairOutput>,
    pub(super) crowd: Crowd,
    /// Records to load again, and when.
    retries: VecDeque<(Instant, PairKey)>,
    /// Pairs of which something was handed back, until the store answers again.
    missed: HashSet<PairKey>,
}

/// A record with what the store knows of it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The record, shared with the store while it is written.
    pub(super) pair: Arc<Pair>,
    /// Whether the store has it.
    is_stored: bool,
    /// What of it is in [`Pairs::crowd`].
    counted: Place,
}

/// Something that happens to a pair, or needs to look at it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an event is moved a few times; a box would cost an allocation each")]
pub(super) enum PairEvent {
    /// A message of an unverified partner's user.
    Message(Box<StanzaIn>, PartnerEntry),
    /// An iq to a user.
    Iq(Box<StanzaIn>, PartnerEntry),
    /// Something that the XMPP user may hear if he is authorised.
    Due(Box<Due>),
    /// A presence stanza.
    Presence(Box<Arrived>),
    /// Anything else.
    Step {
        /// What happened.
        input: PairInput,
        /// Who waits for it.
        origin: Origin,
    },
}

/// A presence stanza, read.
#[derive(Debug)]
pub(super) struct Arrived {
    receipt: Receipt,
    trace: TraceContext,
    from: causeway_shared::jid::Jid,
    to: causeway_shared::jid::Jid,
    partner: PartnerEntry,
    stanza: PresenceStanza,
}

/// Who waits for a step.
#[derive(Debug)]
pub(super) enum Origin {
    /// Nobody.
    Nobody,
    /// A partner's stanza, finished when the step is stored.
    Stanza(Receipt),
    /// A SIP request, answered by the step.
    Request(ServerTransaction, Request),
    /// An operator, who hears what there was before.
    Operator(Ticket, Removed),
}

impl PairEvent {
    /// A step that nobody waits for.
    pub(super) const fn quiet(input: PairInput) -> Self {
        Self::Step { input, origin: Origin::Nobody }
    }
}

impl Pairs {
    /// The record, if it is in memory, to be believed, and nothing is under way.
    pub(super) fn settled(&self, key: &PairKey, now: Now) -> Option<&Held> {
        self.records.settled(key, now.instant)
    }

    /// The same, though another replica may know better by now: only for what looks again before it changes anything.
    pub(super) fn glance(&self, key: &PairKey) -> Option<&Held> {
        self.records.glance(key)
    }

    /// When a record is to be loaded again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retries.front().map(|(at, _)| *at)
    }

    /// Records that the store works on.
    pub(super) fn under_way(&self) -> usize {
        self.records.under_way()
    }
}

/// Whether presence for one device concerns that device alone; the rest of it is for the user (RFC 6121, section 8.5.3).
fn is_for_a_device(kind: PresenceKind) -> bool {
    match kind {
        PresenceKind::Available
        | PresenceKind::Unavailable
        | PresenceKind::Subscribed
        | PresenceKind::Unsubscribe
        | PresenceKind::Unsubscribed => true,
        PresenceKind::Subscribe | PresenceKind::Probe | PresenceKind::Error => false,
    }
}

impl Engine {
    /// A presence stanza of a partner.
    pub(super) fn presence_from_xmpp(&mut self, stanza: StanzaIn, partner: &PartnerEntry, now: Now, out: &mut Outputs) {
        let Some(read) = read_presence(&stanza.xml, &stanza.from, &stanza.to).filter(|_| stanza.to.local().is_some())
        else {
            // Presence of a domain says nothing to anybody here.
            return out.finished.push((stanza.receipt, Outcome::Done));
        };
        let counted = match read.kind {
            PresenceKind::Subscribe | PresenceKind::Unsubscribe => Some(Counted::Subscribe),
            PresenceKind::Probe => Some(Counted::Probe),
            PresenceKind::Available
            | PresenceKind::Unavailable
            | PresenceKind::Subscribed
            | PresenceKind::Unsubscribed
            | PresenceKind::Error => None,
        };
        if let Some(what) = counted
            && self.is_too_much(&stanza, partner, what, now)
        {
            return out.finished.push((stanza.receipt, Outcome::Done));
        }
        if matches!(read.kind, PresenceKind::Available | PresenceKind::Unavailable) {
            self.conversations.unlock(&stanza.to.bare(), &stanza.from);
        }
        let key = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
        let arrived = Arrived {
            receipt: stanza.receipt,
            trace: stanza.trace,
            from: stanza.from,
            to: stanza.to,
            partner: partner.clone(),
            stanza: read,
        };
        self.pair_event(key, PairEvent::Presence(Box::new(arrived)), now, out);
    }

    /// Presence of ours has arrived, or not.
    pub(super) fn presence_sent(&mut self, pair: PairKey, serial: u32, outcome: &Outcome, now: Now, out: &mut Outputs) {
        let failure = match outcome {
            Outcome::Done => None,
            Outcome::Failed(failure) => Some(failure.condition),
        };
        let shown = self.order.ended(&pair, serial);
        self.pair_event(pair, PairEvent::quiet(PairInput::PresenceOutcome { serial, failure, shown }), now, out);
    }

    /// Brings an event to its pair.
    pub(super) fn pair_event(&mut self, key: PairKey, event: PairEvent, now: Now, out: &mut Outputs) {
        // Presence and SIP's requests and answers follow what some replica has said.
        let is_answer = matches!(event, PairEvent::Presence(_) | PairEvent::Step { .. });
        match self.pairs.records.offer(&key, event, is_answer, now.instant) {
            Offer::Load => out.loads.push(key),
            Offer::Run => self.run_pair(&key, now, out),
            Offer::Queued => {}
            Offer::Refused(event) => self.event_failed(event, "too many events wait for this pair", now, out),
        }
    }

    /// Runs the events of a ready pair until one of them has to be committed.
    fn run_pair(&mut self, key: &PairKey, now: Now, out: &mut Outputs) {
        while let Some((held, event)) = self.pairs.records.next(key) {
            let (input, origin) = match event {
                PairEvent::Message(stanza, partner) => {
                    self.message_of_contact(*stanza, partner, held.pair.is_added(), now, out);
                    continue;
                }
                PairEvent::Iq(stanza, partner) => {
                    self.iq_of_contact(*stanza, &partner, &held, out);
                    continue;
                }
                PairEvent::Due(due) => {
                    self.tell_authorised(key, *due, held.pair.inbound.authorisation, out);
                    continue;
                }
                PairEvent::Presence(arrived) => match self.admit_presence(*arrived, &held, out) {
                    Some(step) => step,
                    None => continue,
                },
                PairEvent::Step { input, origin } => (input, origin),
            };
            if self.step(key, held, input, origin, now, out) {
                return;
            }
        }
        if self.pairs.records.is_too_old(key) {
            out.loads.push(key.clone());
        }
    }

    /// Runs one event on a copy of the record. Returns whether it has to be committed.
    fn step(
        &mut self,
        key: &PairKey,
        held: Held,
        input: PairInput,
        mut origin: Origin,
        now: Now,
        out: &mut Outputs,
    ) -> bool {
        Self::note_removed(&mut origin, &held.pair);
        let random = self.endpoint.ids().number();
        let context = self.context_of(key, held.counted.is_watched, random, now);
        let mut after = Pair::clone(&held.pair);
        let mut effects = Vec::new();
        after.handle(&input, &context, &mut effects);
        let change = match after.change_since(&held.pair) {
            // A record of which nothing is left is deleted by being stored.
            Change::None if held.is_stored && after.is_blank() => Change::Durable,
            change => change,
        };
        let before = held.is_stored.then_some(held.pair);
        let next = Held { pair: Arc::new(after), is_stored: true, counted: held.counted };
        match change {
            Change::None => {
                self.perform(key, origin, effects, now, out);
                return false;
            }
            // Losing the confirmation costs one repetition, so its effects need not wait for the disk. They come last:
            // what they bring about at once must find the record under way.
            Change::Lazy => {
                out.commits.push(PairChange { before, after: Arc::clone(&next.pair) });
                self.pairs.records.commit(key, next, PairEvent::quiet(input), Vec::new());
                self.perform(key, origin, effects, now, out);
            }
            Change::Durable => {
                out.commits.push(PairChange { before, after: Arc::clone(&next.pair) });
                self.pairs.records.commit(key, next, PairEvent::Step { input, origin }, effects);
            }
        }
        true
    }

    /// What surrounds a step of the pair.
    pub(super) fn context_of(&self, key: &PairKey, is_watched: bool, random: u64, now: Now) -> PairContext<'_> {
        let domain = key.remote.domain_name();
        let partner = self.settings.partner(&domain);
        PairContext {
            now_ms: now.unix_ms,
            random,
            is_partner: partner.is_some(),
            has_access: self.settings.may_federate(&key.local),
            partner: partner.map(|partner| partner.partner_type).unwrap_or_default(),
            may_hold: self.pairs.crowd.may_hold(&domain),
            may_watch: is_watched || self.pairs.crowd.may_watch(key, &self.settings.watches),
            contact: &self.settings.contact,
            settings: &self.settings.presence,
        }
    }

    /// Whether a presence stanza may reach its pair.
    fn admit_presence(&mut self, arrived: Arrived, held: &Held, out: &mut Outputs) -> Option<(PairInput, Origin)> {
        let Arrived { receipt, trace, from, to, partner, stanza } = arrived;
        // RFC 6121, section 8.5.3.2.2: there is no such device.
        if is_for_a_device(stanza.kind) && to.resource().is_some_and(|resource| !held.pair.shows(resource)) {
            out.finished.push((receipt, Outcome::Done));
            return None;
        }
        let standing = Standing {
            partner: partner.partner_type,
            is_allowed: self.settings.may_federate(&to.bare()),
            is_added: held.pair.is_added(),
            may_reply: false,
        };
        match policy::admit_stanza(Intent::Presence(stanza.kind), standing) {
            Admission::Pass => Some((PairInput::Presence(Box::new(stanza)), Origin::Stanza(receipt))),
            Admission::Drop => {
                out.finished.push((receipt, Outcome::Done));
                None
            }
            Admission::Error(error) => {
                let answered =
                    Answered { kind: StanzaKind::Presence, from: &from, to: &to, id: stanza.id.as_deref(), trace };
                self.refuse_stanza(&answered, receipt, &error, out);
                None
            }
            Admission::Unsubscribed => {
                let presence = PresenceOut {
                    kind: PresenceKind::Unsubscribed,
                    from: to.bare().as_jid().clone(),
                    to: from.bare(),
                    id: None,
                    presence: None,
                    delayed: false,
                };
                let bare = from.bare();
                let answered =
                    Answered { kind: StanzaKind::Presence, from: bare.as_jid(), to: &presence.from, id: None, trace };
                self.answer_stanza(&answered, receipt, presence.to_xml(&self.settings.directory.clients), out);
                None
            }
        }
    }

    /// Does what a stored step asked for.
    fn perform(&mut self, key: &PairKey, origin: Origin, effects: Vec<PairOutput>, now: Now, out: &mut Outputs) {
        self.cause = match &origin {
            Origin::Nobody | Origin::Operator(..) => TraceContext::default(),
            Origin::Stanza(receipt) => receipt.trace(),
            Origin::Request(transaction, _) => self.trace_of(*transaction),
        };
        let mut waiting = match origin {
            Origin::Nobody => None,
            Origin::Stanza(receipt) => {
                out.finished.push((receipt, Outcome::Done));
                None
            }
            Origin::Request(transaction, request) => Some((transaction, request)),
            Origin::Operator(ticket, removed) => {
                out.replies.push((ticket, Reply::Removed(removed)));
                None
            }
        };
        for effect in effects {
            match effect {
                PairOutput::Presence { presence, serial } => self.send_presence(key, &presence, serial, out),
                PairOutput::Subscribe { request, next_hop } => {
                    let route = next_hop.map_or(Route::Pool, Route::Along);
                    self.send_subscribe(key, request, &route, now, out);
                }
                PairOutput::Notify { request, next_hop } => {
                    self.send_notify(key, request, &Route::Along(next_hop), now, out);
                }
                PairOutput::Respond(response) => {
                    if let Some((transaction, _)) = waiting.take() {
                        self.respond(transaction, response, now, out);
                    }
                }
                PairOutput::Overtaken { serial, shown } => self.presence_overtaken(key, (serial, shown), now, out),
                PairOutput::Mended(drift) => {
                    self.metrics.drift_mended(drift);
                    self.sweep.mended(drift);
                }
                PairOutput::Verdict(verdict) => out.verdicts.push(Verdict {
                    partner: key.remote.domain().to_owned(),
                    at_ms: now.unix_ms,
                    ..Verdict::of(verdict.code(), verdict.cause())
                }),
            }
        }
        if let Some((transaction, request)) = waiting {
            // Every step on a request answers it; if one did not, the sender shall not wait for nothing.
            self.respond_unable(transaction, &request, now, out);
        }
    }

    fn send_presence(&mut self, key: &PairKey, presence: &PresenceOut, serial: u32, out: &mut Outputs) {
        let number = self.next_key();
        self.stanzas.insert(number, StanzaPurpose::Presence(key.clone(), serial));
        self.order.sent(key, serial, presence);
        self.metrics.presence_to_xmpp();
        out.stanzas.push(StanzaOut {
            key: number,
            kind: StanzaKind::Presence,
            from: presence.from.clone(),
            to: presence.to.as_jid().clone(),
            xml: presence.to_xml(&self.settings.directory.clients),
            patience: ANSWER_PATIENCE,
            trace: self.cause,
            is_owed: false,
        });
    }

    fn send_subscribe(&mut self, key: &PairKey, request: Request, route: &Route, now: Now, out: &mut Outputs) {
        let (Ok(call_id), Ok(cseq)) = (request.headers.call_id(), request.headers.cseq()) else { return };
        let purpose = Purpose::Subscribe { pair: key.clone(), call_id: call_id.detached(), cseq: cseq.number };
        self.send_request(request, route, purpose, None, now, out);
    }

    fn send_notify(&mut self, key: &PairKey, request: Request, route: &Route, now: Now, out: &mut Outputs) {
        let headers = &request.headers;
        let (Ok(call_id), Ok(cseq), Ok(from)) = (headers.call_id(), headers.cseq(), headers.from()) else { return };
        let Some(local_tag) = from.tag() else { return };
        self.metrics.notify_out();
        let purpose = Purpose::Notify { pair: key.clone(), call_id: call_id.detached(), local_tag, cseq: cseq.number };
        self.send_request(request, route, purpose, None, now, out);
    }

    /// The store has loaded a record, or not.
    pub(super) fn pair_loaded(
        &mut self,
        key: &PairKey,
        loaded: Result<Option<Pair>, StoreError>,
        now: Now,
        out: &mut Outputs,
    ) {
        match loaded {
            Ok(stored) => {
                let is_stored = stored.is_some();
                let pair = Arc::new(stored.unwrap_or_else(|| Pair::new(key.clone())));
                let counted = Place::of(&pair);
                let Pairs { records, crowd, .. } = &mut self.pairs;
                if let Some(before) = records.loaded(key, Held { pair, is_stored, counted }, now.instant) {
                    crowd.count(key, before.counted, counted);
                }
                self.run_pair(key, now, out);
            }
            Err(error) => {
                self.store_failed(&error, now, out);
                self.set_back(key, &error, now, out);
            }
        }
    }

    /// The store has committed, or not.
    pub(super) fn pairs_committed(
        &mut self,
        keys: Vec<PairKey>,
        committed: Result<Vec<Committed>, StoreError>,
        now: Now,
        out: &mut Outputs,
    ) {
        let results = match committed {
            Ok(results) => results,
            Err(error) => {
                self.store_failed(&error, now, out);
                keys.iter().for_each(|key| self.set_back(key, &error, now, out));
                return;
            }
        };
        for (key, result) in keys.into_iter().zip(results) {
            match result {
                Committed::Stored { version } => {
                    let Pairs { records, crowd, .. } = &mut self.pairs;
                    let settled = records.committed(&key, now.instant, |held| {
                        let place = Place::of(&held.pair);
                        crowd.count(&key, held.counted, place);
                        held.counted = place;
                        if held.pair.is_blank() {
                            held.pair = Arc::new(Pair::new(held.pair.key.clone()));
                            held.is_stored = false;
                        } else {
                            // The store has let go of it by now: nothing is copied.
                            Arc::make_mut(&mut held.pair).version = version;
                        }
                    });
                    if let Some((PairEvent::Step { origin, .. }, effects)) = settled {
                        self.perform(&key, origin, effects, now, out);
                    }
                    self.run_pair(&key, now, out);
                }
                Committed::Conflict => {
                    if self.pairs.records.conflicted(&key) {
                        out.loads.push(key);
                    }
                }
            }
        }
    }

    /// The store did not do what a record needs: again after a pause, for nothing of it may be lost.
    fn set_back(&mut self, key: &PairKey, error: &StoreError, now: Now, out: &mut Outputs) {
        match self.pairs.records.failed(key, error.fault.may_pass()) {
            Setback::Again => self.pairs.retries.push_back((now.instant + STORE_RETRY, key.clone())),
            Setback::GivenUp(events) => {
                let is_said = |event: &PairEvent| matches!(event, PairEvent::Presence(_) | PairEvent::Step { .. });
                if error.fault.may_pass() && self.pairs.missed.len() < MISSED && events.iter().any(is_said) {
                    self.pairs.missed.insert(key.clone());
                }
                events.into_iter().for_each(|event| self.event_failed(event, "the store failed", now, out));
            }
        }
    }

    /// Loads again what waited for the store.
    pub(super) fn ask_store_again(&mut self, now: Now, out: &mut Outputs) {
        while self.pairs.deadline().is_some_and(|at| at <= now.instant) {
            out.loads.extend(self.pairs.retries.pop_front().map(|(_, key)| key));
        }
    }

    /// Pairs whose time has come.
    pub(super) fn pairs_claimed(&mut self, claimed: Result<Vec<Pair>, StoreError>, now: Now, out: &mut Outputs) {
        let pause = match &claimed {
            Ok(pairs) if pairs.len() >= CLAIM_LIMIT => CLAIM_PAUSE,
            Ok(_) => CLAIM_INTERVAL,
            Err(error) => {
                self.store_failed(error, now, out);
                STORE_PAUSE
            }
        };
        self.next_claim = Some(now.instant + pause);
        self.say_again(now, out);
        if claimed.is_ok() && !self.pairs.missed.is_empty() {
            self.to_tell.extend(self.pairs.missed.drain().map(|key| (key, PairInput::Missed)));
            self.tell_next_at.get_or_insert(now.instant);
        }
        if let Ok(pairs) = &claimed {
            let partner = |pair: &Pair| self.settings.partner(&pair.key.remote.domain_name());
            self.metrics.presence_claimed(pairs.iter().filter_map(|pair| {
                let late_ms = now.unix_ms.saturating_sub(pair.due_at?);
                Some((partner(pair)?.primary.as_str(), late_ms))
            }));
        }
        for pair in claimed.unwrap_or_default() {
            if pair.outbound.stale_at.is_some_and(|at| at <= now.unix_ms) {
                // Whoever found the partner silent may have gone, and nobody would notice that it is back.
                self.known_silent(&pair.key, now);
            }
            self.tell_pair(pair.key, PairInput::Due, now, out);
        }
    }

    fn event_failed(&mut self, event: PairEvent, why: &'static str, now: Now, out: &mut Outputs) {
        let failed = || Outcome::Failed(Failure::new(StanzaCondition::ResourceConstraint, why));
        let busy = StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint);
        match event {
            PairEvent::Message(stanza, _) => self.refuse_or_drop(*stanza, &busy, out),
            PairEvent::Iq(stanza, _) => self.refuse_query(*stanza, out),
            // A receipt is not owed to anybody.
            PairEvent::Due(_) => {}
            PairEvent::Presence(arrived) => {
                // RFC 6121, section 3.1.3: a subscribe that cannot be served is answered; availability comes again.
                if arrived.stanza.kind == PresenceKind::Subscribe {
                    let id = arrived.stanza.id.as_deref();
                    let answered = Answered {
                        kind: StanzaKind::Presence,
                        from: &arrived.from,
                        to: &arrived.to,
                        id,
                        trace: arrived.trace,
                    };
                    self.refuse_stanza(&answered, arrived.receipt, &busy, out);
                } else {
                    out.finished.push((arrived.receipt, failed()));
                }
            }
            PairEvent::Step { origin, .. } => match origin {
                Origin::Nobody => {}
                Origin::Stanza(receipt) => out.finished.push((receipt, failed())),
                Origin::Request(transaction, request) => self.respond_unable(transaction, &request, now, out),
                Origin::Operator(ticket, _) => out.replies.push((ticket, Reply::Failed(why))),
            },
        }
    }

    pub(super) fn store_failed(&mut self, error: &StoreError, now: Now, out: &mut Outputs) {
        out.verdicts.push(Verdict { at_ms: now.unix_ms, ..Verdict::of(Code::StoreFailed, error.to_string()) });
    }
}
