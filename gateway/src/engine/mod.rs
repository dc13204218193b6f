//! The core of the gateway: what partners send, what the pool sends, what the store says, what time brings. Sans-IO.
//!
//! [`Engine`] owns the SIP endpoint and knows every stanza and request under way, so that each accepted one ends exactly
//! once: delivered, or answered with the reason. One file per road: `messages` (pager messages), `pairs` (presence,
//! through the store), `requests` (SIP in and out, next hops), `sessions` (chats in INVITE dialogs), `queries` (iq),
//! `echo` (the echo contact), `operator` (what is asked from inside), `duties` (what one gateway of a pool does for all), `reach` and `edges` (partners and edges that are gone). `lanes`, `records` and `conversations` are its memory. The shell is `crate::shell`.
//!
//! Not here: what a message or document means in the other protocol (`translate`), what a pair's state becomes
//! (`presence`), whether something may pass (`policy`).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::BareJid;
use causeway_shared::link::{Failure, Outcome, StanzaKind, TraceContext};
use causeway_shared::telemetry::{Span, SpanKind};
use causeway_shared::verdict::{Code, Verdict};
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::endpoint::{self, Endpoint, SendTag, ServerTransaction};
use causeway_sip::ids::IdSource;
use causeway_sip::msrp::switch::{self, Switch};
use causeway_sip::target::Destination;

use crate::chat::notices::Notices;
use crate::iq::Addressee;
use crate::link::{LinkEvent, Receipt, StanzaIn, StanzaOut};
use crate::metrics::{Metrics, Turn};
use crate::presence::PairInput;
use crate::presence::record::{Pair, PairKey};
use crate::quota::Quotas;
use crate::store::operator::ArchivedMessage;
use crate::store::pool::Duty;
use crate::store::{Committed, PairChange, StoreError};

mod conversations;
mod crowd;
mod duties;
mod echo;
mod edges;
mod hops;
mod lanes;
mod messages;
mod msrp;
pub mod operator;
mod order;
mod pairs;
mod queries;
mod reach;
mod records;
mod requests;
mod rounds;
mod sessions;
pub mod settings;
mod sweep;

pub use duties::{ALIVE, DutyCall};
pub use rounds::{News, Round};
pub use settings::{SessionSettings, Settings};

/// Both clocks at one moment: the first for deadlines of this process, the second for what is stored.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// Unix milliseconds.
    pub unix_ms: u64,
}

/// What the world tells the engine.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an input is moved once; a box would cost an allocation each")]
pub enum Input {
    /// Something from the edges.
    Link(LinkEvent),
    /// Something from the SIP transports, in the order in which it came.
    Sip(Vec<endpoint::Input>),
    /// Something from the MSRP sockets, in the order in which it came.
    Msrp(Vec<switch::Input>),
    /// The store answered [`Outputs::loads`].
    Loaded(PairKey, Result<Option<Pair>, StoreError>),
    /// The store answered [`Outputs::commits`].
    Committed(Vec<PairKey>, Result<Vec<Committed>, StoreError>),
    /// The store answered [`Outputs::claim_due`].
    Claimed(Result<Vec<Pair>, StoreError>),
    /// The store answered [`Outputs::pages`].
    Page(Round, Result<Vec<Pair>, StoreError>),
    /// The store answered [`Outputs::sweep`].
    Swept(Result<Vec<Pair>, StoreError>),
    /// The store answered a [`DutyCall::Claim`].
    Duty {
        /// Which duty.
        duty: String,
        /// Which occasion of it.
        token: String,
        /// Whose it is.
        answer: Result<Duty, StoreError>,
    },
    /// The configuration changed.
    Settings(Arc<Settings>),
    /// An operator wants something.
    Operator(operator::Ticket, operator::Order),
    /// [`Engine::deadline`] has passed.
    DeadlinePassed,
}

/// What the engine asks of the world; the shell empties it after each step.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Messages for the SIP transports.
    pub sip: Vec<(Destination, Bytes, SendTag)>,
    /// What the MSRP sockets are to do; no events.
    pub msrp: Vec<switch::Output>,
    /// Stanzas for partners.
    pub stanzas: Vec<StanzaOut>,
    /// Stanzas of partners that ended.
    pub finished: Vec<(Receipt, Outcome)>,
    /// Records to load.
    pub loads: Vec<PairKey>,
    /// Records to commit.
    pub commits: Vec<PairChange>,
    /// Whether due records are wanted: up to this many.
    pub claim_due: Option<usize>,
    /// Records of a domain that are wanted, behind the one named.
    pub pages: Vec<(Round, Option<PairKey>)>,
    /// Whether records of all domains are wanted, behind the one named.
    pub sweep: Option<Option<PairKey>>,
    /// Duties that are wanted or over.
    pub duties: Vec<DutyCall>,
    /// What operators should know.
    pub verdicts: Vec<Verdict>,
    /// What became of operators' orders.
    pub replies: Vec<(operator::Ticket, operator::Reply)>,
    /// Delivered messages that are archived.
    pub archived: Vec<ArchivedMessage>,
}

/// How often due records are asked for. Presence is paced in seconds.
const CLAIM_INTERVAL: Duration = Duration::from_millis(250);

/// Due records taken at a time.
const CLAIM_LIMIT: usize = 200;

/// The pause after as many as that were due: 2000 a second. After an outage everything is due at once, and each of it is
/// a SUBSCRIBE or a NOTIFY: the next hop, which may just be back itself, is not asked faster. It is four times what is due
/// steadily in the largest pool of ARCHITECTURE.md, so that what was late is caught up.
const CLAIM_PAUSE: Duration = Duration::from_millis(100);

/// How long a claimed record is ours before another replica may take it.
pub const CLAIM_TIME: Duration = Duration::from_secs(30);

/// Pairs told something per second, after a start or a change of their partner.
const ROUND_RATE: u32 = 20;

/// The same for a partner that is back: each pair costs him a probe and its answer.
const PROBE_RATE: u32 = 10;

/// As many as that are in such a time are told together: they share reads, a transaction and its flush.
const TELL_INTERVAL: Duration = Duration::from_millis(500);

/// Pairs that may wait for that; beyond it no further page is read. About 200 bytes each.
const TOLD_LATER: usize = 10_000;

/// Records of one page when the store is read through.
pub const PAGE: usize = 200;

/// The engine.
pub struct Engine {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    endpoint: Endpoint,
    sip_out: Vec<endpoint::Output>,
    /// If there are message streams.
    switch: Option<Switch>,
    lanes: lanes::Lanes<messages::Pager>,
    requests: HashMap<u64, requests::Pending>,
    stanzas: HashMap<u64, StanzaPurpose>,
    /// The spans of SIP requests that are not answered yet, where their traces are chosen.
    asked: HashMap<ServerTransaction, Span>,
    /// The trace of what is being done.
    cause: TraceContext,
    pairs: pairs::Pairs,
    conversations: conversations::Conversations,
    notices: Notices,
    /// SIP users whose devices take no CPIM.
    unwrapping: HashSet<BareJid>,
    sessions: sessions::Sessions,
    quotas: Quotas,
    /// What users of partners ask of the echo contact.
    echoes: Quotas,
    tests: operator::Tests,
    last_key: u64,
    next_claim: Option<Instant>,
    /// When this life of the gateway began, by the clock of the store.
    started_ms: u64,
    rounds: rounds::Rounds,
    alive: duties::Presences,
    order: order::Order,
    to_tell: VecDeque<(PairKey, PairInput)>,
    /// Pairs that are told that an edge died, when nobody else waits; a page of them at most.
    to_ask: VecDeque<PairKey>,
    tell_next_at: Option<Instant>,
    sweep: sweep::Sweep,
    reach: reach::Reach,
    edges: edges::Edges,
    hops: hops::Hops,
}

/// Whose message it is that went to a partner, and when it came.
#[derive(Debug)]
struct Sent {
    partner: DomainName,
    at: Instant,
    /// What is kept of it, if it is archived.
    archived: Option<Box<ArchivedMessage>>,
}

/// Why a stanza of ours is under way.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the hot one: a box would cost an allocation each")]
enum StanzaPurpose {
    /// A SIP MESSAGE whose sender waits for the answer.
    Message(messages::Inquiry),
    /// An error or answer for a partner's stanza, which is finished when this has arrived.
    Answer(Receipt),
    /// Presence of a pair, and its serial.
    Presence(PairKey, u32),
    /// A ping of a domain that did not answer.
    Ping(DomainPair),
    /// A test message of an operator, with its `id`.
    Test(operator::Ticket, String),
    /// A chat state or receipt; nobody waits.
    Unasked,
    /// A text of a stream whose sender may want a report, and what is kept of it.
    Stream(switch::SessionId, causeway_sip::msrp::session::Receipt, Sent),
}

impl Engine {
    /// An engine that knows nothing yet. [`Engine::start`] makes it take up what the store holds.
    pub fn new(settings: Arc<Settings>, metrics: Arc<Metrics>, ids: IdSource) -> Self {
        let mut endpoint = Endpoint::new(settings.endpoint.clone(), ids);
        endpoint.set_next_hops(settings.pool.clone());
        let switch = settings.msrp.clone().map(|config| Switch::new(config, IdSource::os()));
        Self {
            settings,
            metrics,
            endpoint,
            sip_out: Vec::new(),
            switch,
            lanes: lanes::Lanes::default(),
            requests: HashMap::new(),
            stanzas: HashMap::new(),
            asked: HashMap::new(),
            cause: TraceContext::default(),
            pairs: pairs::Pairs::default(),
            conversations: conversations::Conversations::default(),
            notices: Notices::default(),
            unwrapping: HashSet::new(),
            sessions: sessions::Sessions::default(),
            quotas: Quotas::default(),
            echoes: Quotas::default(),
            tests: operator::Tests::default(),
            last_key: 0,
            next_claim: None,
            started_ms: 0,
            rounds: rounds::Rounds::default(),
            alive: duties::Presences::default(),
            order: order::Order::default(),
            to_tell: VecDeque::new(),
            to_ask: VecDeque::new(),
            tell_next_at: None,
            sweep: sweep::Sweep::default(),
            reach: reach::Reach::default(),
            edges: edges::Edges::default(),
            hops: hops::Hops::default(),
        }
    }

    /// Takes up what another life of this gateway left in the store.
    pub fn start(&mut self, now: Now, out: &mut Outputs) {
        self.started_ms = now.unix_ms;
        self.next_claim = Some(now.instant);
        self.hops.ask_at = self.settings.options_interval.map(|_| now.instant);
        self.sweep.start(now.instant);
        self.pairs.records.share(self.is_shared());
        if self.is_shared() {
            self.alive.say_at = Some(now.instant);
            self.say_alive(now, out);
        } else {
            self.begin(true, now, out);
        }
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Outputs) {
        self.cause = TraceContext::default();
        match input {
            Input::Link(LinkEvent::Stanzas(stanzas)) => {
                for stanza in stanzas {
                    self.stanza(stanza, now, out);
                }
            }
            Input::Link(LinkEvent::Outcomes(outcomes)) => {
                for (key, outcome) in outcomes {
                    self.stanza_ended(key, &outcome, now, out);
                }
            }
            Input::Link(LinkEvent::Verdicts(verdicts)) => self.metrics.edge_verdicts(&verdicts),
            Input::Link(LinkEvent::Streams(origin, partners)) => self.partners_came(origin, &partners, now, out),
            Input::Link(LinkEvent::EdgeUp(edge)) => self.edge_came(&edge),
            Input::Link(LinkEvent::EdgeDown(edge, parting)) => self.edge_went(&edge, parting, now),
            Input::Sip(inputs) => {
                for input in inputs {
                    self.endpoint.handle(input, now.instant, &mut self.sip_out);
                    self.drain_sip(now, out);
                }
            }
            Input::Msrp(inputs) => inputs.into_iter().for_each(|input| self.tell_switch(input, now, out)),
            Input::Loaded(key, loaded) => self.pair_loaded(&key, loaded, now, out),
            Input::Committed(keys, committed) => self.pairs_committed(keys, committed, now, out),
            Input::Claimed(claimed) => self.pairs_claimed(claimed, now, out),
            Input::Page(round, page) => self.page_read(&round, page, now, out),
            Input::Swept(page) => self.swept(page, now, out),
            Input::Duty { duty, token, answer } => self.duty_answered(&duty, &token, &answer, now, out),
            Input::Settings(settings) => self.settings_changed(settings, now, out),
            Input::Operator(ticket, order) => self.ordered(ticket, order, now, out),
            Input::DeadlinePassed => self.deadline_passed(now, out),
        }
        self.metrics.sessions(self.sessions.len());
    }

    /// When the engine wants [`Input::DeadlinePassed`].
    pub fn deadline(&self) -> Option<Instant> {
        let others = [self.lanes.deadline(), self.conversations.deadline(), self.next_claim, self.tell_next_at];
        let switch = self.switch.as_ref().and_then(Switch::deadline);
        let machines = [self.endpoint.deadline(), self.sessions.deadline(), switch];
        let gone = [self.reach.deadline(), self.edges.deadline(), self.hops.ask_at];
        let care = [self.pairs.deadline(), self.sweep.next_at, self.alive.deadline(), self.rounds.count_at];
        others.into_iter().chain(machines).chain(gone).chain(care).flatten().min()
    }

    /// How it stands after a turn that began then.
    pub(crate) fn turn(&self, began: Now, waiting: usize) -> Turn {
        let oldest = self.lanes.deadline().map(|at| at.saturating_duration_since(began.instant));
        Turn {
            busy: began.instant.elapsed(),
            waiting,
            under_way: self.under_way(),
            lanes: self.lanes.waiting(),
            lanes_oldest: oldest.map(|left| lanes::LANE_PATIENCE.saturating_sub(left)).unwrap_or_default(),
            hops: self.endpoint.hops(began.instant),
        }
    }

    /// How SIP transactions ended, for metrics.
    pub fn sip_counts(&self) -> endpoint::Counts {
        self.endpoint.counts()
    }

    /// Stanzas and requests under way, and pairs that the store works on, for draining.
    pub fn under_way(&self) -> usize {
        self.requests.len().saturating_sub(self.hops.asked.len())
            + self.stanzas.len()
            + self.lanes.waiting()
            + self.pairs.under_way()
            + self.sessions.under_way()
    }

    /// Answers OPTIONS with 503 from now on, and ends the sessions.
    pub fn drain(&mut self, now: Now, out: &mut Outputs) {
        self.endpoint.drain();
        self.hops.ask_at = None;
        self.drain_sessions(now, out);
    }

    /// A partner's stanza: checked again, for the edge is believed only that the domain was authenticated.
    fn stanza(&mut self, stanza: StanzaIn, now: Now, out: &mut Outputs) {
        self.metrics.stanza_in(stanza.kind);
        if stanza.redelivered {
            self.metrics.stanza_redelivered();
        }
        let pair = &stanza.context.pair;
        let authentic = stanza.from.domain() == pair.remote.as_str() && stanza.to.domain() == pair.local.as_str();
        let partner = self.settings.domains.between(&pair.local, &pair.remote).cloned();
        let (Ok(partner), true) = (partner, authentic) else {
            let failure = Failure::new(StanzaCondition::PolicyViolation, "the pair is not allowed here");
            let cause = "an edge passed on a stanza of a pair that this gateway does not allow";
            out.verdicts.push(Verdict {
                partner: stanza.from.domain().to_owned(),
                peer: stanza.context.peer_address.parse().ok(),
                at_ms: now.unix_ms,
                ..Verdict::of(Code::PolicyPair, cause)
            });
            match authentic {
                true => self.refuse_unallowed(stanza, out),
                // Whoever it names as its sender has not sent it.
                false => out.finished.push((stanza.receipt, Outcome::Failed(failure))),
            }
            return;
        };
        if !self.reach.is_clear() {
            self.within_reach(&stanza.from.domain_name(), now, out);
        }
        let _decision = Span::below(stanza.trace, "decide", SpanKind::Internal);
        self.cause = stanza.trace;
        if let Some(contact) = self.echo_contact(&stanza.to) {
            return self.echo(&contact, stanza, &partner, now, out);
        }
        match stanza.kind {
            StanzaKind::Message => self.message_from_xmpp(stanza, &partner, now, out),
            StanzaKind::Presence => self.presence_from_xmpp(stanza, &partner, now, out),
            StanzaKind::Iq => self.iq_from_xmpp(stanza, &partner, now, out),
        }
    }

    /// A stanza of a pair that is not allowed any more: the edge accepted it before it knew, so its sender is told.
    fn refuse_unallowed(&mut self, stanza: StanzaIn, out: &mut Outputs) {
        match stanza.kind {
            StanzaKind::Message => {
                let error = StanzaError::new(ErrorType::Cancel, StanzaCondition::PolicyViolation);
                self.refuse_or_drop(stanza, &error, out);
            }
            StanzaKind::Iq => self.answer_iq(stanza, Addressee::Hidden, out),
            StanzaKind::Presence => out.finished.push((stanza.receipt, Outcome::Done)),
        }
    }

    /// A stanza of ours ended.
    fn stanza_ended(&mut self, key: u64, outcome: &Outcome, now: Now, out: &mut Outputs) {
        match self.stanzas.remove(&key) {
            Some(StanzaPurpose::Message(inquiry)) => self.message_to_xmpp_ended(inquiry, outcome, now, out),
            Some(StanzaPurpose::Answer(receipt)) => {
                // The partner cannot be told: the edge has the verdict of the failed answer already.
                out.finished.push((receipt, Outcome::Done));
            }
            Some(StanzaPurpose::Presence(pair, serial)) => {
                if !self.reach.is_clear() || matches!(outcome, Outcome::Failed(_)) {
                    let domains = DomainPair { local: pair.local.domain_name(), remote: pair.remote.domain_name() };
                    self.delivery_ended(&domains, outcome, now, out);
                }
                self.presence_sent(pair, serial, outcome, now, out);
            }
            Some(StanzaPurpose::Ping(pair)) => self.delivery_ended(&pair, outcome, now, out),
            Some(StanzaPurpose::Stream(stream, receipt, sent)) => {
                self.stream_message_ended(stream, receipt, sent, outcome, now, out);
            }
            Some(StanzaPurpose::Test(ticket, id)) => Self::test_ended(ticket, id, outcome, out),
            Some(StanzaPurpose::Unasked) | None => {}
        }
    }

    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    fn settings_changed(&mut self, settings: Arc<Settings>, now: Now, out: &mut Outputs) {
        if let (Some(switch), Some(config)) = (&mut self.switch, &settings.msrp) {
            switch.configure(config.clone());
        }
        let before = std::mem::replace(&mut self.settings, settings);
        self.endpoint.set_next_hops(self.settings.pool.clone());
        self.hops.ask_at = self.settings.options_interval.map(|_| now.instant);
        self.end_unallowed_sessions(now, out);
        self.partners_changed(&before, now, out);
        self.access_changed(&before, now, out);
    }

    fn deadline_passed(&mut self, now: Now, out: &mut Outputs) {
        if self.endpoint.deadline().is_some_and(|at| at <= now.instant) {
            self.endpoint.handle(endpoint::Input::DeadlinePassed, now.instant, &mut self.sip_out);
            self.drain_sip(now, out);
        }
        if self.switch.as_ref().and_then(Switch::deadline).is_some_and(|at| at <= now.instant) {
            self.tell_switch(switch::Input::DeadlinePassed, now, out);
        }
        self.expire_messages(now, out);
        self.expire_states(now, out);
        self.expire_sessions(now, out);
        if self.next_claim.is_some_and(|at| at <= now.instant) {
            // Set again when the store has answered.
            self.next_claim = None;
            out.claim_due = Some(CLAIM_LIMIT);
        }
        if self.tell_next_at.is_some_and(|at| at <= now.instant) {
            self.tell_next(now, out);
        }
        self.ask_store_again(now, out);
        self.sweep_on(now, out);
        self.say_alive(now, out);
        self.count_anew(now, out);
        self.ping_silent(now, out);
        self.expire_edges(now, out);
        self.ask_hops(now, out);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::settings_for_test;
