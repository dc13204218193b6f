//! The administration's way to the engine and to what is known of a pair: one handle for explaining, simulating, test
//! messages and removing authorisations. The queue is short and every wait has an end: an operator is told that the
//! gateway is busy rather than kept waiting, and nothing of this ever holds up a message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::verdict::{Code, Verdict, printable, unmistakable};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use utoipa::ToSchema;

use super::event::{Event, Kind, Way};
use super::explain::{Explanation, Known, explain};
use super::ladder::{Builder, Ladder, MAX_STEPS, Query};
use super::read::Head;
use super::recorder::Recorder;
use super::simulate::{Attempt, Simulation, simulate};
use crate::engine::Settings;
use crate::engine::operator::{Order, Reply, Seen, TEST_INTERVAL, TEST_PATIENCE, TestEnd};
use crate::link::Links;
use crate::policy::RequestRefusal;
use crate::presence::record::{InAuthorisation, OutAuthorisation, Pair, PairKey};
use crate::store::{Store, StoreError};

/// Orders that wait for the shell; each is a click of a person.
const ORDERS: usize = 32;

/// How long the engine may take for what needs no stream: a commit of the store, and its retries.
const ENGINE_PATIENCE: Duration = Duration::from_secs(15);

/// How long the store may take for one record.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// How long an error of the partner is awaited after a test message has left: servers answer at once for users that
/// they do not have.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Characters of a test message.
pub const MAX_TEST_TEXT: usize = 500;

/// What a test message says where its sender did not say otherwise.
pub const TEST_TEXT: &str = "This is a test message of the XMPP gateway.";

/// An order, and where its answer goes.
pub type Asked = (Order, oneshot::Sender<Reply>);

/// The handle.
#[derive(Clone)]
pub struct Operator {
    orders: mpsc::Sender<Asked>,
    recorder: Arc<Recorder>,
    pairs: Arc<dyn Store>,
    links: Links,
    settings: watch::Receiver<Arc<Settings>>,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorFault {
    /// Too many orders wait.
    #[error("the gateway is busy with {ORDERS} other orders; try again in a moment")]
    Busy,
    /// No answer in time.
    #[error("the gateway did not answer in time; whether the order is still carried out is not known")]
    Silent,
    /// The process ends.
    #[error("the gateway is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine could not do it.
    #[error("it could not be done: {0}")]
    Failed(&'static str),
    /// The text of a test message is empty or too long.
    #[error("the text of a test message has 1 to {MAX_TEST_TEXT} characters")]
    Text,
}

/// How far a test message came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestRung {
    /// `policy`, `translation`, `stream` or `answer`.
    pub rung: String,
    /// Whether it was passed.
    pub passed: bool,
    /// What happened.
    pub text: String,
}

/// What became of a test message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestReport {
    /// Whether it was delivered to the partner's stream, and the partner did not send it back.
    pub is_delivered: bool,
    /// What happened, in a sentence.
    pub outcome: String,
    /// What to do, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The code of the verdict, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Rung by rung.
    pub rungs: Vec<TestRung>,
    /// The `id` of the stanza, by which the ladder shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How long it took until it had left, or failed.
    pub took_ms: u64,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Removal {
    /// Whether there was anything.
    pub is_changed: bool,
    /// What the partner's user had: `none`, `held`, `pending` or `authorised`. He was told `unsubscribed`.
    pub inbound: String,
    /// What the SIP user had: `none`, `pending` or `to`. Her contact was told `unsubscribe`.
    pub outbound: String,
    /// Her subscriptions that were ended.
    pub dialogs: usize,
}

impl Operator {
    /// A handle, and what the shell reads.
    pub fn new(
        recorder: Arc<Recorder>,
        pairs: Arc<dyn Store>,
        links: Links,
        settings: watch::Receiver<Arc<Settings>>,
    ) -> (Self, mpsc::Receiver<Asked>) {
        let (orders, asked) = mpsc::channel(ORDERS);
        (Self { orders, recorder, pairs, links, settings }, asked)
    }

    async fn order(&self, order: Order, patience: Duration) -> Result<Reply, OperatorFault> {
        let (answer, answered) = oneshot::channel();
        self.orders.try_send((order, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OperatorFault::Busy,
            mpsc::error::TrySendError::Closed(_) => OperatorFault::Stopping,
        })?;
        let reply = tokio::time::timeout(patience, answered).await.map_err(|_| OperatorFault::Silent)?;
        match reply.map_err(|_| OperatorFault::Busy)? {
            Reply::Failed(why) => Err(OperatorFault::Failed(why)),
            reply @ (Reply::Tested { .. } | Reply::Removed(_) | Reply::Seen(_)) => Ok(reply),
        }
    }

    async fn pair(&self, key: &PairKey) -> Result<Option<Pair>, OperatorFault> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone away: then nobody wants the answer.
        self.pairs.load_pair(key.clone(), Box::new(move |loaded| drop(answer.send(loaded))));
        let loaded = tokio::time::timeout(STORE_PATIENCE, answered).await.map_err(|_| OperatorFault::Silent)?;
        Ok(loaded.map_err(|_| OperatorFault::Stopping)??)
    }

    /// What memory knows; without it the rest can still be said.
    async fn seen(&self, key: &PairKey) -> Option<Seen> {
        match self.order(Order::Look(key.clone()), STORE_PATIENCE).await {
            Ok(Reply::Seen(seen)) => Some(seen),
            Ok(Reply::Tested { .. } | Reply::Removed(_) | Reply::Failed(_)) | Err(_) => None,
        }
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Why they see each other as they do.
    pub async fn explain(&self, key: &PairKey, now_ms: u64) -> Result<Explanation, OperatorFault> {
        let (pair, seen) = (self.pair(key).await?, self.seen(key).await);
        let settings = self.settings();
        let events = self.events_of(key).await;
        let partner = settings.partner(&key.remote.domain_name());
        let domain = partner.map_or(key.remote.domain(), |partner| partner.primary.as_str());
        Ok(explain(&Known {
            key,
            pair: pair.as_ref(),
            settings: &settings,
            seen: seen.as_ref(),
            verdicts: &self.links.verdicts().latest(domain),
            events: &events,
            edges: self.links.edges().len(),
            now_ms,
        }))
    }

    /// What passed of a pair.
    async fn events_of(&self, key: &PairKey) -> Vec<Event> {
        let (recorder, key) = (Arc::clone(&self.recorder), key.clone());
        let read = tokio::task::spawn_blocking(move || recorder.events_of(&key));
        read.await.unwrap_or_default()
    }

    /// What would become of it.
    pub async fn simulate(&self, attempt: &Attempt) -> Result<Simulation, OperatorFault> {
        let key = attempt.pair();
        let (pair, seen) = (self.pair(&key).await?, self.seen(&key).await);
        Ok(simulate(attempt, pair.as_ref(), &self.settings(), seen.as_ref()))
    }

    /// The ladder of a pair.
    pub async fn ladder(&self, query: Query, show_bodies: bool) -> Ladder {
        let recorder = Arc::clone(&self.recorder);
        let empty = Builder::new(&query, show_bodies);
        let read = tokio::task::spawn_blocking(move || Ladder::read(&recorder, &query, show_bodies));
        read.await.unwrap_or_else(|_| empty.finish())
    }

    /// Sends a test message and waits for what becomes of it (Test-CsXmppIM).
    pub async fn test_im(&self, pair: &PairKey, text: Option<&str>) -> Result<TestReport, OperatorFault> {
        let text = text.unwrap_or(TEST_TEXT);
        if text.trim().is_empty() || text.chars().count() > MAX_TEST_TEXT {
            return Err(OperatorFault::Text);
        }
        let begun = Instant::now();
        let first = self.recorder.span().1;
        let order = Order::TestIm { pair: pair.clone(), text: text.to_owned() };
        let reply = self.order(order, TEST_PATIENCE + ENGINE_PATIENCE).await?;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Reply::Tested { id, end } = reply else { return Err(OperatorFault::Failed("another answer came")) };
        let sent_back = match (&end, &id) {
            (TestEnd::Delivered, Some(id)) => self.sent_back(pair, id, first).await,
            _ => None,
        };
        Ok(report(pair, id, &end, sent_back, took_ms))
    }

    /// The error that a partner sent for a test message, if one comes soon.
    async fn sent_back(&self, pair: &PairKey, id: &str, first: u64) -> Option<String> {
        let give_up_at = Instant::now() + ANSWER_PATIENCE;
        let mut next = first;
        loop {
            loop {
                let page = self.recorder.page(next);
                if page.events.is_empty() {
                    break;
                }
                next = page.next;
                let heads = page.events.iter().map(Head::read);
                let mut of_pair = heads.filter(|head| head.concerns(pair) && head.way == Way::In);
                let error = of_pair.find(|head| head.kind == Kind::Message && head.ties.id.as_deref() == Some(id));
                if let Some(error) = error.filter(Head::is_error) {
                    return Some(error.event(false).label);
                }
            }
            if Instant::now() >= give_up_at {
                return None;
            }
            tokio::time::sleep(super::tap::INTERVAL).await;
        }
    }

    /// Ends both authorisations of a pair.
    pub async fn remove_pair(&self, pair: &PairKey) -> Result<Removal, OperatorFault> {
        let Reply::Removed(removed) = self.order(Order::Remove(pair.clone()), ENGINE_PATIENCE).await? else {
            return Err(OperatorFault::Failed("another answer came"));
        };
        let inbound = match removed.inbound {
            InAuthorisation::None => "none",
            InAuthorisation::Held => "held",
            InAuthorisation::Pending => "pending",
            InAuthorisation::Authorised => "authorised",
        };
        let outbound = match removed.outbound {
            OutAuthorisation::None => "none",
            OutAuthorisation::PendingOut => "pending",
            OutAuthorisation::To => "to",
        };
        Ok(Removal {
            is_changed: inbound != "none" || outbound != "none" || removed.dialogs > 0,
            inbound: inbound.to_owned(),
            outbound: outbound.to_owned(),
            dialogs: removed.dialogs,
        })
    }
}

impl Recorder {
    /// What passed of a pair, in order, redacted.
    pub fn events_of(&self, key: &PairKey) -> Vec<Event> {
        let mut events = Vec::new();
        let (mut next, end) = self.span();
        while next < end {
            let page = self.page(next);
            if page.events.is_empty() {
                break;
            }
            let heads = page.events.iter().map(Head::read);
            events.extend(heads.filter(|head| head.concerns(key)).map(|head| head.event(false)));
            next = page.next;
        }
        let excess = events.len().saturating_sub(MAX_STEPS);
        events.drain(..excess);
        events
    }
}

/// What became of a test, in words.
fn report(pair: &PairKey, id: Option<String>, end: &TestEnd, sent_back: Option<String>, took_ms: u64) -> TestReport {
    let rung = |rung: &str, passed, text: &str| TestRung { rung: rung.to_owned(), passed, text: text.to_owned() };
    let allowed = || rung("policy", true, "the policy lets it pass");
    let translated = || rung("translation", true, "it became a stanza");
    let domain = unmistakable(pair.remote.domain());
    let mut report = TestReport {
        is_delivered: false,
        outcome: String::new(),
        remedy: None,
        code: None,
        rungs: Vec::new(),
        id,
        took_ms,
    };
    match end {
        TestEnd::Delivered => {
            report.rungs = vec![allowed(), translated(), rung("stream", true, "delivered to the partner's stream")];
            report.is_delivered = sent_back.is_none();
            report.outcome = match &sent_back {
                None => format!("delivered to the stream of {domain} in {took_ms} ms"),
                Some(error) => format!("delivered to the stream of {domain}, which sent it back: {error}"),
            };
            if let Some(error) = sent_back {
                report.rungs.push(rung("answer", false, &error));
                report.remedy = Some(format!("Check that {} exists there.", unmistakable(pair.remote.as_str())));
            }
        }
        TestEnd::Undelivered(failure) => {
            let text = format!("{}: {}", failure.condition.as_str(), printable(&failure.text));
            report.rungs = vec![allowed(), translated(), rung("stream", false, &text)];
            report.outcome = format!("not delivered to {domain}: {text}");
            report.remedy = failure.verdict.as_ref().map(|verdict| verdict.remedy.clone());
            report.code =
                failure.verdict.as_ref().and_then(|verdict| verdict.code).map(|code| code.as_str().to_owned());
        }
        TestEnd::Untranslatable(why) => {
            report.rungs = vec![allowed(), rung("translation", false, &printable(why))];
            report.outcome = format!("not sent: {}", printable(why));
        }
        TestEnd::Refused(refusal) => {
            let code = match refusal {
                RequestRefusal::NotAPartner => Code::PolicySipNoPartner,
                RequestRefusal::Sips => Code::PolicySips,
                RequestRefusal::Loop => Code::PolicySipLoop,
                RequestRefusal::NotLocal => Code::PolicySipSender,
                RequestRefusal::NotAllowed => Code::PolicyAccess,
            };
            let verdict = Verdict::of(code, refusal.to_string());
            report.rungs = vec![rung("policy", false, &verdict.cause)];
            report.outcome = format!("not sent: {}", verdict.cause);
            report.remedy = Some(verdict.remedy);
            report.code = Some(code.as_str().to_owned());
        }
        TestEnd::TooSoon => {
            let text = format!("{domain} got a test message less than {} seconds ago", TEST_INTERVAL.as_secs());
            report.rungs = vec![rung("policy", false, &text)];
            report.outcome = format!("not sent: {text}");
            report.remedy = Some("Wait a few seconds.".to_owned());
        }
    }
    report
}
