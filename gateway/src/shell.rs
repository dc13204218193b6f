//! The loop around the engine: feeds it what came, performs what it asks. It decides nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use causeway_shared::supervisor;
use causeway_sip::endpoint::Input as SipInput;
use causeway_sip::msrp::switch;
use causeway_sip::transport::msrp::MsrpTransport;
use causeway_sip::transport::{Inbound, Intake, Rarely, Transport};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Interval;

use crate::admin::archive::Archive;
use crate::engine::operator::{Reply, Ticket};
use crate::engine::{CLAIM_TIME, DutyCall, Engine, Input, Now, Outputs, PAGE, Settings};
use crate::link::{LinkEvent, Links};
use crate::metrics::Metrics;
use crate::pool::drift::CLOCK_TOLERANCE_MS;
use crate::store::Store;
use crate::store::pool::PoolStore;
use crate::trace::Recorder;
use crate::trace::operator::Asked;

/// Stanzas and SIP messages taken before the outputs are performed: what came together shares writes and commits, and what
/// is ready waits for little work on what came behind it. With 256 a message beside a flood took 10 ms (p99) instead of 4,
/// and nothing was done for less.
const TURN: usize = 16;

/// What the loop works with.
pub struct Shell {
    /// The core.
    pub engine: Engine,
    /// The edges.
    pub links: Links,
    /// What they send.
    pub link_events: mpsc::Receiver<LinkEvent>,
    /// The SIP sockets.
    pub transport: Transport,
    /// What they receive.
    pub inbound: Intake,
    /// The MSRP sockets and what they receive, if there are any.
    pub msrp: Option<(MsrpTransport, mpsc::Receiver<Vec<switch::Input>>)>,
    /// The records.
    pub store: Arc<dyn Store>,
    /// What gateways on one store share out.
    pub pool: Arc<dyn PoolStore>,
    /// The name under which this process takes duties: not that of its life before.
    pub holder: String,
    /// How far this machine's clock is before the store's.
    pub clock_ahead_ms: Arc<AtomicI64>,
    /// The configuration, whenever it changes.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Becomes true when the process shall end.
    pub draining: watch::Receiver<bool>,
    /// Told when nothing is under way any more.
    pub drained: Arc<Notify>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// How often connections that come to nothing are logged.
    pub complaints: Rarely,
    /// Keeps messages of partners whose messages are kept.
    pub archive: Archive,
    /// Notes what passes.
    pub recorder: Arc<Recorder>,
    /// What operators want of the engine.
    pub orders: mpsc::Receiver<Asked>,
}

/// Orders of operators under way; of more the newest get no answer. Each ends within seconds.
const MAX_ORDERS: usize = 64;

/// Operators who wait, by the order.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    answers: HashMap<Ticket, oneshot::Sender<Reply>>,
}

impl Waiting {
    /// The order as the engine gets it. Whoever is refused learns it by the end of his channel.
    fn admit(&mut self, (order, answer): Asked) -> Option<Input> {
        self.answers.retain(|_, answer| !answer.is_closed());
        if self.answers.len() >= MAX_ORDERS {
            return None;
        }
        self.last += 1;
        self.answers.insert(Ticket(self.last), answer);
        Some(Input::Operator(Ticket(self.last), order))
    }

    fn answer(&mut self, ticket: Ticket, reply: Reply) {
        // Whoever asked may have gone away: then nobody wants the answer.
        if let Some(answer) = self.answers.remove(&ticket) {
            drop(answer.send(reply));
        }
    }
}

/// Where the store's threads leave their answers. There are never more of them than calls under way.
#[derive(Default)]
struct Mailbox {
    answers: Mutex<Vec<Input>>,
    filled: Notify,
}

impl Mailbox {
    fn put(&self, answer: Input) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<Input> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Both clocks.
pub fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

/// Both clocks, the second as the other gateways have it: whoever is an hour ahead would find everything of theirs expired,
/// and take from them what they are at.
fn by_the_store(now: Now, ahead_ms: i64) -> Now {
    if ahead_ms.unsigned_abs() <= CLOCK_TOLERANCE_MS {
        return now;
    }
    Now { unix_ms: now.unix_ms.saturating_add_signed(ahead_ms.saturating_neg()), ..now }
}

fn shared_now(ahead_ms: &AtomicI64) -> Now {
    by_the_store(now(), ahead_ms.load(Ordering::Relaxed))
}

/// Lets the tasks go first that were woken before. Where inputs never end, the engine would keep its thread, and with it the
/// tasks of those sockets for which it has just left something: other threads take them only when they have nothing to do.
/// (Tokio's own `yield_now` would let all else go first, sockets that flood as well.)
async fn after_those_that_were_woken() {
    let mut was_last = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut was_last, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Shell {
    /// Runs until the inputs end. `drained` is told when nothing is under way after draining began.
    pub async fn run(mut self) {
        let mailbox = Arc::new(Mailbox::default());
        let mut out = Outputs::default();
        let mut is_draining = false;
        let mut waiting = Waiting::default();
        let mut heartbeat = supervisor::heartbeat().map(tokio::time::interval);
        self.engine.start(shared_now(&self.clock_ahead_ms), &mut out);
        self.perform(&mut out, &mailbox);
        loop {
            let wake_at = self.engine.deadline();
            let input = tokio::select! {
                Some(event) = self.link_events.recv() => Some(Input::Link(event)),
                Some(batch) = self.inbound.recv() => Some(sip_input(batch, &mut self.complaints)),
                Some(batch) = received(&mut self.msrp) => Some(Input::Msrp(batch)),
                () = mailbox.filled.notified() => None,
                Some(asked) = self.orders.recv() => waiting.admit(asked),
                changed = self.settings.changed() => match changed {
                    Ok(()) => Some(Input::Settings(Arc::clone(&self.settings.borrow_and_update()))),
                    Err(_) => return,
                },
                _ = self.draining.wait_for(|draining| *draining), if !is_draining => {
                    is_draining = true;
                    self.engine.drain(shared_now(&self.clock_ahead_ms), &mut out);
                    None
                }
                () = sleep_until(wake_at) => Some(Input::DeadlinePassed),
                () = beat(&mut heartbeat) => {
                    supervisor::still_turns();
                    None
                }
            };
            let at = shared_now(&self.clock_ahead_ms);
            let waiting_batches = self.link_events.len() + self.inbound.len();
            if let Some(input) = input {
                self.feed(input, at, &mut out);
            }
            self.take_what_is_there(at, &mailbox, &mut out);
            self.perform(&mut out, &mailbox);
            out.replies.drain(..).for_each(|(ticket, reply)| waiting.answer(ticket, reply));
            self.metrics.engine.turned(self.engine.turn(at, waiting_batches));
            if is_draining && self.engine.under_way() == 0 && self.links.load().2 == 0 {
                self.drained.notify_one();
            }
            after_those_that_were_woken().await;
        }
    }

    fn feed(&mut self, input: Input, at: Now, out: &mut Outputs) {
        self.recorder.received(&input, at.unix_ms);
        self.engine.handle(input, at, out);
    }

    /// Takes what has come meanwhile, so that it shares the writes of this turn.
    fn take_what_is_there(&mut self, at: Now, mailbox: &Mailbox, out: &mut Outputs) {
        for answer in mailbox.take() {
            self.engine.handle(answer, at, out);
        }
        let mut taken = 0;
        while taken < TURN {
            let event = self.link_events.try_recv().ok();
            let batch = self.inbound.try_recv();
            let msrp = self.msrp.as_mut().and_then(|(_, inbound)| inbound.try_recv().ok());
            if event.is_none() && batch.is_none() && msrp.is_none() {
                return;
            }
            // A round counts at least once, though all in it may be empty.
            taken += 1 + event.as_ref().map_or(0, weight);
            taken += batch.as_ref().map_or(0, Vec::len) + msrp.as_ref().map_or(0, Vec::len);
            if let Some(batch) = msrp {
                self.engine.handle(Input::Msrp(batch), at, out);
            }
            if let Some(event) = event {
                self.feed(Input::Link(event), at, out);
            }
            if let Some(batch) = batch {
                let input = sip_input(batch, &mut self.complaints);
                self.feed(input, at, out);
            }
        }
    }

    /// Performs what the engine asked, and what comes of that at once.
    fn perform(&mut self, out: &mut Outputs, mailbox: &Arc<Mailbox>) {
        loop {
            self.recorder.sent(out, shared_now(&self.clock_ahead_ms).unix_ms);
            let mut unsent = Vec::new();
            for (to, bytes, tag) in out.sip.drain(..) {
                if let Err(fault) = self.transport.send(to, bytes, tag) {
                    tracing::debug!(%fault, "a SIP message was not sent");
                    unsent.push(SipInput::Unsent { tag });
                }
            }
            if let Some((transport, _)) = &self.msrp {
                out.msrp.drain(..).for_each(|output| transport.perform(output));
            }
            let mut outcomes = Vec::new();
            if !out.stanzas.is_empty() {
                outcomes = self.links.send(std::mem::take(&mut out.stanzas));
            }
            if !out.finished.is_empty() {
                self.links.finish(out.finished.drain(..));
            }
            out.archived.drain(..).for_each(|message| self.archive.keep(message));
            for verdict in out.verdicts.drain(..) {
                let domains = &self.settings.borrow().domains;
                self.metrics.verdict(&self.links.verdicts().own(verdict, domains));
            }
            self.ask_store(out, mailbox);
            if unsent.is_empty() && outcomes.is_empty() {
                return;
            }
            let at = shared_now(&self.clock_ahead_ms);
            self.feed(Input::Sip(unsent), at, out);
            self.feed(Input::Link(LinkEvent::Outcomes(outcomes)), at, out);
        }
    }

    fn ask_store(&self, out: &mut Outputs, mailbox: &Arc<Mailbox>) {
        for key in out.loads.drain(..) {
            let (mailbox, asked) = (Arc::clone(mailbox), key.clone());
            let done = Box::new(move |loaded| mailbox.put(Input::Loaded(asked, loaded)));
            self.store.load_pair(key, self.metrics.store.timed("load", done));
        }
        // Each by itself, so that what the store refuses takes nothing with it; the store joins what waits in one transaction.
        for change in out.commits.drain(..) {
            let (mailbox, key) = (Arc::clone(mailbox), change.after.key.clone());
            let done = Box::new(move |committed| mailbox.put(Input::Committed(vec![key], committed)));
            self.store.commit(vec![change], self.metrics.store.timed("commit", done));
        }
        if let Some(limit) = out.claim_due.take() {
            let at = shared_now(&self.clock_ahead_ms).unix_ms;
            let until = at + u64::try_from(CLAIM_TIME.as_millis()).unwrap_or(u64::MAX);
            let mailbox = Arc::clone(mailbox);
            let done = Box::new(move |claimed| mailbox.put(Input::Claimed(claimed)));
            self.store.claim_due(at, until, limit, self.metrics.store.timed("claim", done));
        }
        if let Some(after) = out.sweep.take() {
            let mailbox = Arc::clone(mailbox);
            let done = Box::new(move |page| mailbox.put(Input::Swept(page)));
            self.store.pairs(after, PAGE, self.metrics.store.timed("sweep", done));
        }
        for call in out.duties.drain(..) {
            self.ask_for_duty(call, mailbox);
        }
        for (round, after) in out.pages.drain(..) {
            let (mailbox, domain) = (Arc::clone(mailbox), round.domain.clone());
            let done = Box::new(move |page| mailbox.put(Input::Page(round, page)));
            self.store.pairs_of_domain(domain, after, PAGE, self.metrics.store.timed("page", done));
        }
    }

    fn ask_for_duty(&self, call: DutyCall, mailbox: &Arc<Mailbox>) {
        match call {
            DutyCall::Claim { duty, token, lease } => {
                let at = shared_now(&self.clock_ahead_ms).unix_ms;
                let until = at.saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
                let (mailbox, claimed, of) = (Arc::clone(mailbox), duty.clone(), token.clone());
                let done = Box::new(move |answer| mailbox.put(Input::Duty { duty: claimed, token: of, answer }));
                let done = self.metrics.store.timed("duty", done);
                self.pool.claim_duty(duty, token, self.holder.clone(), at, until, done);
            }
            DutyCall::Finish { duty, token } => {
                // If it is lost, the duty is done once more when its time is out, and finds nothing to do.
                self.pool.finish_duty(duty, token, Box::new(|_| {}));
            }
        }
    }
}

/// How much of a turn an event of the link takes: what is in it.
fn weight(event: &LinkEvent) -> usize {
    match event {
        LinkEvent::Stanzas(stanzas) => stanzas.len(),
        LinkEvent::Outcomes(outcomes) => outcomes.len(),
        LinkEvent::Verdicts(_) | LinkEvent::Streams(..) | LinkEvent::EdgeUp(_) | LinkEvent::EdgeDown(..) => 0,
    }
}

fn sip_input(batch: Vec<Inbound>, complaints: &mut Rarely) -> Input {
    for inbound in &batch {
        match inbound {
            Inbound::Unreachable { target, fault } => tracing::warn!(%target, %fault, "a SIP target cannot be reached"),
            Inbound::HandshakeFailed { remote, fault } => {
                if let Some(left_out) = complaints.now(Instant::now()) {
                    tracing::warn!(%remote, %fault, left_out, "a SIP peer's connection failed");
                }
            }
            Inbound::Message { .. } | Inbound::Malformed { .. } | Inbound::Unsent { .. } | Inbound::Closed { .. } => {}
        }
    }
    Input::Sip(batch.into_iter().filter_map(Inbound::into_input).collect())
}

async fn received(
    msrp: &mut Option<(MsrpTransport, mpsc::Receiver<Vec<switch::Input>>)>,
) -> Option<Vec<switch::Input>> {
    match msrp {
        Some((_, inbound)) => inbound.recv().await,
        None => std::future::pending().await,
    }
}

/// The next moment for a sign of life; never, if nobody waits for one.
async fn beat(heartbeat: &mut Option<Interval>) {
    match heartbeat {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_far_off_gives_way_to_the_stores() {
        let at = |unix_ms| Now { instant: Instant::now(), unix_ms };
        for (ahead, expected) in
            [(0, 10_000_000), (2_000, 10_000_000), (3_600_000, 6_400_000), (-3_600_000, 13_600_000)]
        {
            assert_eq!(by_the_store(at(10_000_000), ahead).unix_ms, expected);
        }
    }
}
