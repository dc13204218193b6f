//! The front-end pool under load: users who write to partners' users through any gateway that answers, and a server that
//! takes what the gateways send.
//!
//! It fails over as a front end does: to the next gateway on 503, and to those whose connection stands. A request whose
//! connection is lost is not sent again; its answer may still come over another connection (RFC 3261, section 18.2.2).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::ledger::{Ledger, Way};
use super::load::USERS;
use super::network::Party;
use super::partner::number;
use super::presence::Watchers;
use super::world::LOCAL;
use crate::peer::sip::{Message, request};

/// The SIP port of all parties.
pub const SIP: u16 = 5060;

/// Texts that wait for a connection.
const WAITING: usize = 1000;

/// Until a lost connection is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// A connection whose requests stay without any answer for so long is given up.
const SILENCE: Duration = Duration::from_secs(8);

/// How long a gateway that said 503 is left alone, where there is another.
const BUSY: Duration = Duration::from_secs(2);

/// A client transaction ends by itself (RFC 3261, Timer F).
const TIMER_F: Duration = Duration::from_secs(32);

/// A pool asks its users' devices before it answers, so that at any moment messages are under way.
const USUAL_LAG: Duration = Duration::from_millis(100);

/// How often transactions and subscriptions are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The pool of a run; it ends when dropped.
pub struct LoadedPool {
    inner: Arc<Inner>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for LoadedPool {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Inner {
    ledger: Arc<Ledger>,
    local: String,
    watchers: Watchers,
    lag_ms: AtomicU64,
    gateways: Vec<Gateway>,
    turn: AtomicUsize,
    transactions: Mutex<HashMap<u64, Transaction>>,
    /// Users whose subscription has not been accepted.
    unwatched: Mutex<HashMap<String, Unwatched>>,
    /// All users who watch, with whom: domain and number.
    watching: Mutex<BTreeMap<String, (String, u64)>>,
    /// SUBSCRIBEs so far.
    attempts: AtomicU64,
}

/// A subscription that is asked for until it is accepted.
struct Unwatched {
    domain: String,
    pair: u64,
    asked: Option<Instant>,
}

/// A gateway as the pool sees it.
struct Gateway {
    address: SocketAddr,
    is_connected: AtomicBool,
    out: mpsc::Sender<String>,
    /// When the oldest request without an answer was sent.
    asked: Mutex<Option<Instant>>,
    /// Until when it is left alone, as it asked.
    busy_until: Mutex<Option<Instant>>,
}

/// A MESSAGE without a final response.
struct Transaction {
    domain: &'static str,
    sent: Instant,
    /// Which gateways were asked; the last one has it.
    asked: Vec<usize>,
}

impl LoadedPool {
    /// Listens, and connects to the gateways.
    pub async fn start(party: &Party, gateways: &[SocketAddr], ledger: &Arc<Ledger>) -> io::Result<Self> {
        let local = SocketAddr::new(party.ip(), SIP);
        let (mut known, mut outs) = (Vec::new(), Vec::new());
        for address in gateways {
            let (out, from) = mpsc::channel(WAITING);
            outs.push(from);
            known.push(Gateway {
                address: *address,
                is_connected: AtomicBool::new(false),
                out,
                asked: Mutex::new(None),
                busy_until: Mutex::new(None),
            });
        }
        let inner = Arc::new(Inner {
            ledger: Arc::clone(ledger),
            local: local.to_string(),
            watchers: Watchers::default(),
            lag_ms: AtomicU64::new(USUAL_LAG.as_millis() as u64),

            gateways: known,
            turn: AtomicUsize::new(0),
            transactions: Mutex::default(),
            unwatched: Mutex::default(),
            watching: Mutex::default(),
            attempts: AtomicU64::new(0),
        });
        let listener = party.run(async move { TcpListener::bind(local).await }).await?;
        let mut tasks = vec![party.spawn(listen(listener, Arc::clone(&inner))), party.spawn(look(Arc::clone(&inner)))];
        for (which, out) in outs.into_iter().enumerate() {
            tasks.push(party.spawn(connect(Arc::clone(&inner), which, local, out)));
        }
        Ok(Self { inner, tasks })
    }

    /// A user writes to a user of this partner; false when no gateway is connected.
    pub fn send(&self, domain: &'static str, counts: bool) -> bool {
        let Some((which, gateway)) = self.inner.next(&[]) else { return false };
        let number = self.inner.ledger.sent(Way::ToXmpp, domain, counts);
        let transaction = Transaction { domain, sent: Instant::now(), asked: vec![which] };
        self.inner.transactions.lock().unwrap_or_else(PoisonError::into_inner).insert(number, transaction);
        if !gateway.ask(self.inner.message(domain, number, 1)) {
            self.inner.end(number, "the pool's own queue is full");
        }
        true
    }

    /// Answers to the gateways come so much later than they usually do.
    pub fn lag(&self, lag: Duration) {
        let lag = USUAL_LAG + lag;
        self.inner.lag_ms.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What its users show and see.
    pub fn watchers(&self) -> &Watchers {
        &self.inner.watchers
    }

    /// One of its users watches a partner's user from now on.
    pub fn watch(&self, domain: &str, pair: u64) {
        let who = super::presence::carol(domain, pair);
        let mut watching = self.inner.watching.lock().unwrap_or_else(PoisonError::into_inner);
        watching.insert(who.clone(), (domain.to_owned(), pair));
        let mut unwatched = self.inner.unwatched.lock().unwrap_or_else(PoisonError::into_inner);
        unwatched.insert(who, Unwatched { domain: domain.to_owned(), pair, asked: None });
    }

    /// How many gateways are connected.
    pub fn connected(&self) -> usize {
        self.inner.gateways.iter().filter(|gateway| gateway.is_connected.load(Ordering::Relaxed)).count()
    }
}

impl Gateway {
    fn ask(&self, text: String) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.out.try_send(text).is_ok()
    }

    fn is_busy(&self) -> bool {
        self.busy_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until > Instant::now())
    }

    fn is_silent(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|asked| asked.elapsed() > SILENCE)
    }

    fn heard(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Inner {
    /// The next gateway in turn that is connected and was not asked before, and better one that is not busy.
    fn next(&self, asked: &[usize]) -> Option<(usize, &Gateway)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.gateways.len();
        let in_turn = (0..count).map(|step| (turn + step) % count);
        let connected = in_turn
            .filter(|which| !asked.contains(which))
            .filter_map(|which| Some((which, self.gateways.get(which)?)))
            .filter(|(_, gateway)| gateway.is_connected.load(Ordering::Relaxed));
        let mut connected = connected.collect::<Vec<_>>().into_iter();
        let first = connected.as_slice().first().copied();
        connected.find(|(_, gateway)| !gateway.is_busy()).or(first)
    }

    fn message(&self, domain: &str, number: u64, attempt: usize) -> String {
        let user = number % USERS;
        let (from, to) = (format!("alice{user}@{LOCAL}"), format!("bob{user}@{domain}"));
        let body = format!("load {number} of {domain}");
        let text = request(
            "MESSAGE",
            &from,
            &to,
            &format!("load{number}"),
            SocketAddr::from(([0, 0, 0, 0], 0)),
            "Content-Type: text/plain\r\n",
            &body,
        );
        let via = format!("{};branch=z9hG4bKload{number}x{attempt}", self.local);
        text.replace(&format!("0.0.0.0:0;branch=z9hG4bKload{number}"), &via)
    }

    /// A message ends without an answer of the gateways.
    fn end(&self, number: u64, why: &str) {
        if self.transactions.lock().unwrap_or_else(PoisonError::into_inner).remove(&number).is_some() {
            self.ledger.bounced(number, why);
        }
    }

    /// Takes a message; there may be an answer to write, late or at once.
    fn hear(&self, message: &Message, answers: &mpsc::Sender<String>) {
        let answer = match message.method() {
            None => {
                self.response(message);
                None
            }
            Some("MESSAGE") => {
                if let Some(number) = number(&message.body) {
                    self.ledger.delivered(number);
                }
                Some(message.respond("200 OK", ""))
            }
            Some("NOTIFY") => {
                let is_new = self.watchers.notified(message);
                let is_over = message.header("Subscription-State").is_some_and(|state| state.starts_with("terminated"));
                if is_over {
                    self.watch_again(message);
                }
                Some(message.respond(if is_new { "200 OK" } else { "500 Server Internal Error" }, ""))
            }
            Some("SUBSCRIBE") => self.watchers.subscribed(message, &self.local),
            Some("ACK") => None,
            Some(_) => Some(message.respond("200 OK", "")),
        };
        let Some(answer) = answer else { return };
        let lag = self.lag_ms.load(Ordering::Relaxed);
        let answers = answers.clone();
        if lag == 0 {
            let _nobody_reads_any_more = answers.try_send(answer);
        } else {
            tokio::spawn(async move {
                sleep(Duration::from_millis(lag)).await;
                answers.send(answer).await
            });
        }
    }

    fn response(&self, response: &Message) {
        let (Some(status), Some(id)) = (response.status(), response.header("Call-ID")) else { return };
        if status < 200 {
            return;
        }
        if let Some(number) = id.strip_prefix("load").and_then(|number| number.parse::<u64>().ok()) {
            self.message_answered(number, status, &response.start);
        } else if let Some(who) = watcher_of(id) {
            if status < 300 {
                self.unwatched.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
            }
        } else {
            self.watchers.answered(response);
        }
    }

    fn message_answered(&self, number: u64, status: u16, line: &str) {
        let mut transactions = self.transactions.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(transaction) = transactions.get_mut(&number) else { return };
        if status == 503 {
            if let Some(gateway) = transaction.asked.last().and_then(|which| self.gateways.get(*which)) {
                // Whoever says so is left alone for a while (RFC 3261, section 21.5.4).
                *gateway.busy_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + BUSY);
            }
            // Each of the others is asked once (RFC 3263, section 4.3).
            if let Some((which, gateway)) = self.next(&transaction.asked) {
                transaction.asked.push(which);
                if gateway.ask(self.message(transaction.domain, number, transaction.asked.len())) {
                    return;
                }
            }
        }
        transactions.remove(&number);
        drop(transactions);
        if status < 300 {
            self.ledger.acknowledged(number);
            self.ledger.over(number);
        } else {
            self.ledger.bounced(number, line);
        }
    }

    /// The gateways have ended a subscription: the user subscribes again.
    fn watch_again(&self, notify: &Message) {
        let Some(who) = notify.header("Call-ID").and_then(watcher_of) else { return };
        let watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((domain, pair)) = watching.get(who) else { return };
        let again = Unwatched { domain: domain.clone(), pair: *pair, asked: None };
        self.unwatched.lock().unwrap_or_else(PoisonError::into_inner).insert(who.to_owned(), again);
    }

    /// All users subscribe again, each in a new dialog.
    fn watch_anew(&self) {
        let mut unwatched = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, (domain, pair)) in self.watching.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            unwatched.insert(who.clone(), Unwatched { domain: domain.clone(), pair: *pair, asked: None });
        }
    }

    /// Ends transactions that are too old, and sends what subscriptions need.
    fn look(&self) {
        let now = Instant::now();
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner).retain(|number, transaction| {
            let is_young = now.saturating_duration_since(transaction.sent) < TIMER_F;
            if !is_young {
                self.ledger.over(*number);
            }
            is_young
        });
        let mut due = self.watchers.due(&self.local, now);
        for watcher in self.unwatched.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            if watcher.asked.is_none_or(|asked| now.saturating_duration_since(asked) > SILENCE) {
                watcher.asked = Some(now);
                let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
                due.push(self.watchers.subscribe(&watcher.domain, watcher.pair, &self.local, attempt));
            }
        }
        for text in due {
            if let Some((_, gateway)) = self.next(&[]) {
                gateway.ask(text);
            }
        }
    }
}

/// Whose subscription a Call-ID of ours names.
fn watcher_of(call_id: &str) -> Option<&str> {
    Some(call_id.strip_prefix("watch")?.split_once('-')?.1)
}

async fn look(inner: Arc<Inner>) {
    loop {
        sleep(LOOK).await;
        inner.look();
    }
}

async fn listen(listener: TcpListener, inner: Arc<Inner>) {
    while let Ok((io, _)) = listener.accept().await {
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            let (answers, mut out) = mpsc::channel(WAITING);
            converse(io, &inner, None, &answers, &mut out).await
        });
    }
}

/// Keeps a connection to one gateway.
async fn connect(inner: Arc<Inner>, which: usize, local: SocketAddr, mut out: mpsc::Receiver<String>) {
    let Some(gateway) = inner.gateways.get(which) else { return };
    loop {
        let connected = timeout(SILENCE, async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(local.ip(), 0))?;
            socket.connect(gateway.address).await
        });
        if let Ok(Ok(io)) = connected.await {
            gateway.heard();
            // Whoever was left alone has been started again since.
            *gateway.busy_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
            gateway.is_connected.store(true, Ordering::Relaxed);
            let answers = gateway.out.clone();
            let ended = converse(io, &inner, Some(gateway), &answers, &mut out).await;
            gateway.is_connected.store(false, Ordering::Relaxed);
            if ended.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                // Behind a network that swallowed packets, NOTIFYs may have failed and ended their subscriptions (RFC 6665,
                // section 4.2.2): subscribers ask anew.
                inner.watch_anew();
            }
            // What waits was meant for this connection; its senders hear nothing more.
            while out.try_recv().is_ok() {}
        }
        sleep(AGAIN).await;
    }
}

/// Reads and writes until the connection ends or is silent for too long.
async fn converse(
    io: TcpStream,
    inner: &Inner,
    gateway: Option<&Gateway>,
    answers: &mpsc::Sender<String>,
    out: &mut mpsc::Receiver<String>,
) -> io::Result<()> {
    io.set_nodelay(true)?;
    let (mut read, mut write) = io.into_split();
    let mut buffer = Vec::new();
    loop {
        tokio::select! {
            count = read.read_buf(&mut buffer) => if count? == 0 { return Ok(()) },
            Some(text) = out.recv() => {
                let written = timeout(SILENCE, write.write_all(text.as_bytes())).await;
                written.map_err(|_| io::ErrorKind::TimedOut)??;
            }
            () = sleep(LOOK) => {}
        }
        while let Some(message) = Message::take(&mut buffer) {
            if let Some(gateway) = gateway {
                gateway.heard();
            }
            inner.hear(&message, answers);
        }
        if gateway.is_some_and(Gateway::is_silent) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}
