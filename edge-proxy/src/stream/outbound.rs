//! One outbound connection: carries bytes between the socket and [`super::negotiation_out`], stanzas from the queues of
//! its pairs ([`super::carriage`]), and on a bidirectional stream those of the partner to the link ([`super::intake`]).

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::metrics::UNKNOWN;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use rustls::ClientConfig;
use tokio::time::timeout_at;

use super::carriage::Carriage;
use super::carriers::{Call, Join, Terms, called};
use super::conn::Connection;
use super::connect::Connected;
use super::dialback::Answer;
use super::frames::{Frame, Frames};
use super::inbound::{at, progress, tls_alert};
use super::intake::{Intake, Seen};
use super::lane::Lane;
use super::negotiation_out::{Failure, Goal, Initiating, Input, Next, Output};
use super::pool::Pool;
use super::transcript::Transcript;
use super::{Method, secured};
use crate::admission::Ticket;
use crate::edge::{Edge, gone};
use crate::limits::Throttle;
use crate::live::Live;
use crate::resolve::{Mode, Security};
use crate::verdict::{Code, Direction, Facts, Finding};

pub mod probing;

/// One outbound connection.
pub struct Outbound {
    edge: Arc<Edge>,
    connection: Connection,
    machine: Initiating,
    frames: Frames,
    outputs: Vec<Output>,
    end: Option<End>,
    answer: Option<Answer>,
    /// What was said, until stanzas may be written.
    transcript: Option<Box<Transcript>>,
    /// What a probe wants to know.
    probing: Option<Box<probing::Probing>>,
    /// The host that the address belongs to.
    target: String,
    intake: Intake,
    /// What operators see, and what they order.
    live: Arc<Live>,
    throttle: Throttle,
    /// Further pairs that are, or will not be, carried; the shell has not looked yet.
    joined: Vec<(DomainPair, Result<(), Failure>)>,
    /// What the peer acknowledged; likewise.
    acknowledged: Vec<u32>,
    /// Held while the connection lives.
    _ticket: Arc<Ticket>,
}

/// How a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// In order.
    Close,
    /// Without a word.
    Abort,
    /// With a reason, in order or not.
    Failed(Failure),
}

/// Where an attempt goes, and for what.
pub struct Attempt<'a> {
    /// The pair.
    pub pair: &'a DomainPair,
    /// The goal.
    pub goal: Goal,
    /// The connection to carry it.
    pub connected: Connected,
    /// When this attempt is over.
    pub establish_by: std::time::Instant,
    /// Whether TLS is left out, for it has just failed with this partner and its options permit that.
    pub without_tls: bool,
}

/// What an attempt came to.
pub enum Attained {
    /// A stream that carries stanzas.
    Stream(Box<Outbound>),
    /// What the authoritative server says.
    Answer(Answer),
}

impl Outbound {
    /// Makes one attempt on one connection.
    pub async fn attempt(edge: &Arc<Edge>, ticket: Arc<Ticket>, attempt: Attempt<'_>) -> Result<Attained, Failure> {
        let peer = attempt.connected.address.socket;
        let attained = Self::negotiate(edge, ticket, attempt).await;
        attained.map_err(|failure| Failure { peer: Some(peer), ..failure })
    }

    fn new(edge: &Arc<Edge>, ticket: Arc<Ticket>, attempt: Attempt<'_>) -> Self {
        let Connected { tcp, address } = attempt.connected;
        let mut machine = Initiating::new(attempt.pair.clone(), attempt.goal, attempt.establish_by, &edge.moment());
        machine = machine.to(address.socket);
        if attempt.without_tls {
            machine = machine.without_tls();
        }
        let target = format!("{}:{}", address.host, address.socket.port());
        let entry = edge.streams.enter(Direction::Out, address.socket);
        let live = Arc::clone(entry.live());
        live.began(&target, address.mode == Mode::Direct, address.security == Security::Secure);
        live.claimed(Some(&attempt.pair.remote), "");
        Self {
            edge: Arc::clone(edge),
            connection: Connection::new(tcp, entry, address.socket, edge.limits().timeouts),
            machine,
            frames: Frames::new(edge.limits().xml),
            outputs: Vec::new(),
            end: None,
            answer: None,
            transcript: Some(Box::new(Transcript::new(std::time::Instant::now()))),
            probing: None,
            target,
            intake: Intake::new(Arc::clone(edge), Arc::clone(&live)),
            live,
            throttle: Throttle::default(),
            joined: Vec::new(),
            acknowledged: Vec::new(),
            _ticket: ticket,
        }
    }

    /// Negotiates until stanzas may be written, or nothing more is said.
    async fn establish(&mut self, mode: Mode, pair: &DomainPair, establish_by: std::time::Instant) {
        let first = self.begin(mode, pair, establish_by).await;
        self.step(first, pair).await;
        while self.end.is_none() && !self.machine.is_ready() {
            let moment = self.edge.moment();
            let (deadline, not_before) = (self.machine.deadline(&moment), self.throttle.not_before(moment.now));
            tokio::select! {
                biased;
                read = self.connection.read(), if not_before.is_none() => self.read(read, pair).await,
                () = at(not_before) => {
                    self.edge.metrics.throttled.inc();
                }
                () = at(deadline) => self.step(Input::DeadlinePassed, pair).await,
                () = self.live.called() => {
                    if let Some(order) = self.live.order() {
                        self.step(Input::Ordered(order.reason), pair).await;
                    }
                }
            }
        }
    }

    async fn negotiate(edge: &Arc<Edge>, ticket: Arc<Ticket>, attempt: Attempt<'_>) -> Result<Attained, Failure> {
        let (pair, mode, establish_by) = (attempt.pair, attempt.connected.address.mode, attempt.establish_by);
        let mut this = Self::new(edge, ticket, attempt);
        this.establish(mode, pair, establish_by).await;
        match (this.end.take(), this.answer) {
            (None, _) => Ok(Attained::Stream(Box::new(this))),
            (Some(_), Some(answer)) => {
                tokio::spawn(this.connection.close());
                Ok(Attained::Answer(answer))
            }
            (Some(End::Failed(failure)), None) => {
                let failure = this.with_facts(failure, pair);
                tokio::spawn(this.connection.close());
                Err(failure)
            }
            (Some(End::Close | End::Abort), None) => Err(this.with_facts(ended_early(), pair)),
        }
    }

    /// Carries the stanzas of a queue, and of further pairs, until the stream ends; tells why, if not in order.
    pub async fn carry(mut self, pool: &Pool, lane: &Arc<Lane>, pair: &DomainPair) -> Option<Failure> {
        let mut policy = self.edge.policy_changes();
        let mut draining = self.edge.draining();
        let live = Arc::clone(&self.live);
        let mut carriage = pool.carriage(&live);
        carriage.add(pair.clone(), Arc::clone(lane), None);
        let mut registration = self.terms(pair).map(|terms| pool.carriers().register(terms));
        let wake = carriage.wake();
        let mut joining = Vec::new();
        if self.machine.carries_reverse() {
            self.frames.authenticated();
            self.intake.forward();
            live.both_ways();
        }
        while self.end.is_none() {
            self.settle_joins(&mut joining, &mut carriage);
            // What is queued waits for the next stream where this one is to end.
            let order = live.order();
            let load = if order.is_none() { carriage.take(self.machine.max_bytes()) } else { None };
            let carried = match load {
                Some(load) => {
                    let written = self.connection.write(&load.bytes()).await;
                    if let Err(error) = written {
                        carriage.not_written(load, self.machine.is_managed());
                        return Some(broken(&error));
                    }
                    let count = carriage.written(load, self.machine.is_managed());
                    self.step(Input::Written(count), pair).await;
                    true
                }
                None => false,
            };
            let moment = self.edge.moment();
            let part_at = order.map(|order| order.at + moment.limits.timeouts.close);
            if let Some(order) = order
                && (carriage.is_settled() || part_at.is_some_and(|part_at| part_at <= moment.now))
            {
                self.step(Input::Ordered(order.reason), pair).await;
                continue;
            }
            let deadline = [self.machine.deadline(&moment), carriage.deadline()].into_iter().flatten().min();
            let (awaited, not_before) = (self.machine.awaited(), self.throttle.not_before(moment.now));
            let read = async {
                self.intake.ready().await;
                self.connection.read().await
            };
            tokio::select! {
                biased;
                read = read, if not_before.is_none() => self.read(read, pair).await,
                () = at(not_before) => {
                    self.edge.metrics.throttled.inc();
                }
                Ok(()) = policy.changed() => {
                    self.step(Input::PolicyChanged, pair).await;
                    if self.end.is_some() {
                        self.edge.streams.fell(&live, &self.edge.moment().federation);
                    }
                }
                () = progress(awaited) => self.step(Input::Progress, pair).await,
                () = at(deadline) => {
                    carriage.expire();
                    self.step(Input::DeadlinePassed, pair).await;
                }
                // More may be queued: this was only a look at everything else.
                () = std::future::ready(()), if carried => {}
                call = called(&wake, registration.as_mut()) => match call {
                    Call::Queued => {}
                    Call::Join(join) => {
                        self.step(Input::Join(join.pair.clone()), pair).await;
                        joining.push(join);
                    }
                },
                () = live.called() => {}
                () = at(part_at) => {}
                // Only here, where nothing is queued or unacknowledged: what was taken is sent first.
                () = gone(&mut draining), if carriage.is_settled() => self.step(Input::Drain, pair).await,
            }
            for count in std::mem::take(&mut self.acknowledged) {
                carriage.acknowledged(count);
            }
        }
        drop(registration);
        match self.end.take() {
            Some(End::Failed(failure)) => {
                let peer = Some(self.connection.peer);
                let failure = self.with_facts(failure, pair);
                tokio::spawn(self.connection.close());
                Some(Failure { peer, ..failure })
            }
            Some(End::Close) => {
                tokio::spawn(self.connection.close());
                None
            }
            Some(End::Abort) | None => None,
        }
    }

    /// Which further pairs the stream may carry.
    fn terms(&self, pair: &DomainPair) -> Option<Terms> {
        let takes = self.machine.takes_pairs(&self.edge.moment())?;
        Some(Terms::Dialback { remote: pair.remote.clone(), peer: self.connection.peer, takes })
    }

    /// Carries the pairs that have proved themselves, and lets go of those that could not.
    fn settle_joins(&mut self, joining: &mut Vec<Join>, carriage: &mut Carriage) {
        for (pair, joined) in std::mem::take(&mut self.joined) {
            for join in joining.extract_if(.., |join| join.pair == pair) {
                match &joined {
                    Ok(()) => carriage.add(join.pair, join.lane, Some(join.until)),
                    Err(failure) => tracing::debug!(%pair, cause = failure.finding.cause, "the stream is not for it"),
                }
            }
        }
    }

    async fn read(&mut self, read: io::Result<usize>, pair: &DomainPair) {
        match read {
            Ok(count) if count > 0 => {}
            Ok(_) => return self.step(Input::Eof, pair).await,
            Err(error) => {
                let input = self.broken(&error);
                return self.step(input, pair).await;
            }
        }
        let moment = self.edge.moment();
        if let Ok(count) = read {
            self.throttle.bytes(count, self.machine.is_ready(), &moment.limits.rates, moment.now);
        }
        let mut canonical = BytesMut::new();
        while self.end.is_none() {
            let input = match self.frames.next(&mut self.connection.buffer, &mut canonical) {
                Ok(None) => break,
                Ok(Some(Frame::Header(header))) => Input::Header(header),
                Ok(Some(Frame::Element(element))) => {
                    Input::Element { element, followed: !self.connection.buffer.is_empty() }
                }
                // Only the reader of a bidirectional stream is told that stanzas may come.
                Ok(Some(Frame::Stanza(checked, xml))) => {
                    match self.machine.admit(checked.from.domain(), checked.to.domain()) {
                        Ok(context) => {
                            self.intake.add(context, checked, xml, self.machine.receipt(), &moment);
                            continue;
                        }
                        Err(fault) => Input::Fault(fault),
                    }
                }
                Ok(Some(Frame::Whitespace)) => Input::Whitespace,
                Ok(Some(Frame::Close)) => Input::Close,
                Err(fault) => Input::Fault(fault),
            };
            self.step(input, pair).await;
        }
        if let Ok(Seen { stanzas, count }) = self.intake.finish().await
            && stanzas > 0
        {
            self.throttle.stanzas(stanzas, &moment.limits.rates, moment.now);
            self.step(Input::Stanzas { count }, pair).await;
        }
    }

    /// Tells the machine, and does what it asks.
    async fn step(&mut self, input: Input, pair: &DomainPair) {
        let mut next = Some(input);
        while let Some(mut input) = next.take() {
            if let Input::Secured(identity) = &mut input {
                self.edge.complete(identity, &pair.remote).await;
            }
            let moment = self.edge.moment();
            if let Some(transcript) = &mut self.transcript {
                transcript.told_initiating(&input, moment.now);
            }
            if let Some(probing) = &mut self.probing {
                probing.look(&input);
            }
            let is_header = matches!(input, Input::Header(_));
            self.machine.handle(input, &moment, &mut self.outputs);
            self.live.stands(self.machine.is_managed(), false);
            if is_header {
                self.live.claimed(Some(&pair.remote), self.machine.stream_id().unwrap_or_default());
            }
            if let Some(transcript) = &mut self.transcript {
                // All of it at once: a report is to show what is said with it.
                let sent = self.outputs.iter().filter_map(Output::sent);
                sent.for_each(|bytes| transcript.sent(bytes, moment.now));
            }
            let mut unsent = BytesMut::new();
            for output in std::mem::take(&mut self.outputs) {
                if let Output::Send(bytes) = output {
                    unsent.extend_from_slice(&bytes);
                    continue;
                }
                self.write(&mut unsent).await;
                match output {
                    Output::Send(_) => {}
                    Output::StartTls(name) => {
                        let deadline = self.machine.deadline(&moment);
                        next = Some(self.start_tls(&name, pair, deadline).await);
                    }
                    Output::Restart => self.frames.restart(),
                    Output::Ready(method) => self.ready(pair, method),
                    Output::Joined(joined) => {
                        self.live.authenticated(&joined, self.machine.dialback_method(), None);
                        self.joined.push((joined, Ok(())));
                    }
                    Output::NotJoined(refused, failure) => self.joined.push((refused, Err(failure))),
                    Output::Acknowledged(count) => self.acknowledged.push(count),
                    Output::Verdict(answer) => self.answer = Some(answer),
                    Output::Report(finding) => self.report(finding, pair),
                    Output::Unsolicited => {
                        self.edge.metrics.unsolicited_dialback.inc();
                    }
                    Output::Failed(failure) => self.end = Some(End::Failed(failure)),
                    Output::Close => {
                        self.end.get_or_insert(End::Close);
                    }
                    Output::Abort => {
                        self.end.get_or_insert(End::Abort);
                    }
                }
            }
            self.write(&mut unsent).await;
        }
    }

    fn ready(&mut self, pair: &DomainPair, method: Method) {
        let moment = self.edge.moment();
        // Without EXTERNAL nobody needed the certificate to prove anything.
        let judged = (method == Method::SaslExternal).then(|| self.machine.judged(&moment)).flatten();
        let proof = judged.and_then(Result::ok);
        secured::tell(Direction::Out, pair, method, proof, &self.connection, &moment);
        if let Some(proof) = proof {
            self.edge.metrics.proved("out", proof);
        }
        if let Some(probing) = &mut self.probing {
            return probing.ready(method);
        }
        self.transcript = None;
        self.live.authenticated(pair, method, proof);
        let partner = moment.federation.partner(pair.remote.as_str()).map_or(UNKNOWN, |partner| partner.name.as_str());
        self.edge.metrics.authenticated("out", method.as_str(), partner);
    }

    /// A method that failed while another is tried. A probe has seen it.
    fn report(&self, finding: Finding, pair: &DomainPair) {
        if self.probing.is_none() {
            let finding = finding.with(self.facts(pair));
            self.edge.report(finding, pair.remote.as_str(), Direction::Out, Some(self.connection.peer));
        }
    }

    /// A failure with all that is known about the connection.
    fn with_facts(&self, mut failure: Failure, pair: &DomainPair) -> Failure {
        failure.finding = failure.finding.with(self.facts(pair));
        failure
    }

    fn facts(&self, pair: &DomainPair) -> Facts {
        let (tls, certificate) = self.connection.tls_facts();
        Facts {
            domain: pair.remote.as_str().to_owned(),
            local: pair.local.as_str().to_owned(),
            target: self.target.clone(),
            stream_id: self.machine.stream_id().unwrap_or_default().to_owned(),
            tls,
            certificate,
            transcript: self.transcript.as_deref().map(Transcript::lines).unwrap_or_default(),
            ..Facts::default()
        }
    }

    /// What a read that failed means: an alert of TLS says more than that the connection ended.
    fn broken(&mut self, error: &io::Error) -> Input {
        if let Some(transcript) = &mut self.transcript {
            transcript.note(std::time::Instant::now(), &format!("reading failed: {error}"));
        }
        match tls_alert(error) {
            Some(alert) if !self.machine.is_ready() => Input::TlsFailed(alert),
            Some(_) | None => Input::Eof,
        }
    }

    /// A write that fails is the end; what the machine thinks of it does not matter any more.
    async fn write(&mut self, unsent: &mut BytesMut) {
        let bytes = std::mem::take(unsent);
        if !bytes.is_empty()
            && let Err(error) = self.connection.write(&bytes).await
        {
            self.end.get_or_insert(End::Failed(broken(&error)));
        }
    }

    async fn start_tls(&mut self, name: &DomainName, pair: &DomainPair, deadline: Option<std::time::Instant>) -> Input {
        self.handshake(self.edge.tls.client(&pair.local), name, deadline).await.unwrap_or(Input::DeadlinePassed)
    }

    /// The first that the machine hears: where TLS comes first, it is established before the stream (XEP-0368).
    async fn begin(&mut self, mode: Mode, pair: &DomainPair, establish_by: std::time::Instant) -> Input {
        match mode {
            Mode::StartTls => Input::Connected,
            Mode::Direct => {
                let moment = self.edge.moment();
                let deadline = establish_by.min(moment.now + moment.limits.timeouts.tls_handshake);
                let handshake = self.handshake(self.edge.tls.direct_client(&pair.local), &pair.remote, Some(deadline));
                handshake.await.unwrap_or_else(|| Input::TlsFailed("TLS was not established in time".to_owned()))
            }
        }
    }

    /// What came of a handshake; nothing where the time was over.
    async fn handshake(
        &mut self,
        config: Option<Arc<ClientConfig>>,
        name: &DomainName,
        deadline: Option<std::time::Instant>,
    ) -> Option<Input> {
        let Some(config) = config else {
            return Some(Input::TlsFailed("this edge has no certificate".to_owned()));
        };
        let handshake = self.connection.connect_tls(config, name);
        let result = match deadline {
            Some(deadline) => timeout_at(deadline.into(), handshake).await,
            None => Ok(handshake.await),
        };
        match result {
            Ok(Ok(identity)) => Some(Input::Secured(identity)),
            Ok(Err(cause)) => Some(Input::TlsFailed(cause)),
            Err(_) => None,
        }
    }
}

fn ended_early() -> Failure {
    let cause = "the stream ended before it was established";
    let finding = Finding::new(Code::StreamEnded, cause);
    Failure { condition: StanzaCondition::RemoteServerTimeout, finding, next: Next::Address, peer: None }
}

fn broken(error: &io::Error) -> Failure {
    let finding = Finding::new(Code::StreamBroken, format!("the connection broke: {error}"));
    Failure { condition: StanzaCondition::RemoteServerTimeout, finding, next: Next::Address, peer: None }
}
