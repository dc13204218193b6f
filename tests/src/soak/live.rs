//! The streams that idle: each is pinged once a minute, and none may end.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::world::{Answers, LOCAL, World};
use crate::peer::fault;
use crate::peer::xmpp::Stream;

/// Streams that are opened at the same time.
const AT_ONCE: usize = 8;

/// Between two pings on one stream; an answer has to be there by then.
const BETWEEN_PINGS: Duration = Duration::from_secs(60);

/// Until all pings of a round are answered.
const ANSWERED_BY: Duration = Duration::from_secs(60);

/// The streams.
pub struct Live {
    count: usize,
    streams: JoinSet<()>,
    orders: watch::Sender<Order>,
    shared: Arc<Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Idle,
    /// Everybody pings, in this round.
    Ping(u64),
    Close,
}

struct Shared {
    answers: Answers,
    lost: AtomicUsize,
    pings: AtomicU64,
    unanswered: AtomicU64,
}

/// What became of them.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// Streams that ended before they were closed.
    pub lost: usize,
    /// Pings sent.
    pub pings: u64,
    /// Of these, not answered.
    pub unanswered: u64,
}

/// Rounds that everybody pings in; far above those of a stream's own.
const COMMON_ROUNDS: u64 = 1_000_000;

impl Live {
    /// Opens them, each from an address of its own, a few at a time.
    pub async fn open(world: &World, count: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            answers: world.answers.clone(),
            lost: AtomicUsize::default(),
            pings: AtomicU64::default(),
            unanswered: AtomicU64::default(),
        });
        let orders = watch::Sender::new(Order::Idle);
        let (mut opening, mut streams) = (JoinSet::new(), JoinSet::new());
        let mut next = 0;
        while next < count || !opening.is_empty() {
            if next < count && opening.len() < AT_ONCE {
                let (tls, edge) = (Arc::clone(&world.tls), world.road.plan.edge);
                let domain = world.partners.get(next % world.partners.len()).cloned().unwrap_or_default();
                let number = next;
                opening.spawn(async move {
                    let stream = Stream::establish(Some(address(number)), edge, &domain, LOCAL, &tls).await?;
                    io::Result::Ok((number, domain, stream))
                });
                next += 1;
                continue;
            }
            let opened = opening.join_next().await.ok_or_else(|| fault("no stream is being opened"))?;
            let (number, domain, stream) = opened.map_err(io::Error::other)??;
            let one = One { number, domain, stream, round: 0, shared: Arc::clone(&shared) };
            streams.spawn(one.live(orders.subscribe()));
        }
        Ok(Self { count, streams, orders, shared })
    }

    /// Streams that have ended.
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Pings on every stream, and waits for all answers, but not for ever.
    pub async fn ping_all(&self) -> io::Result<()> {
        let mut round = COMMON_ROUNDS;
        self.orders.send_modify(|order| {
            if let Order::Ping(before) = order {
                round = *before + COMMON_ROUNDS;
            }
            *order = Order::Ping(round);
        });
        let missing = || (0..self.count).filter(|stream| self.shared.answers.last(*stream) < round).count();
        let all = async {
            loop {
                let news = self.shared.answers.news().notified();
                if missing() == 0 {
                    return;
                }
                news.await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(ANSWERED_BY, all).await.is_err() {
            let missing = u64::try_from(missing()).unwrap_or(u64::MAX);
            self.shared.unanswered.fetch_add(missing, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Closes them in order.
    pub async fn close(mut self) -> Streams {
        self.orders.send_replace(Order::Close);
        while self.streams.join_next().await.is_some() {}
        Streams {
            lost: self.lost(),
            pings: self.shared.pings.load(Ordering::Relaxed),
            unanswered: self.shared.unanswered.load(Ordering::Relaxed),
        }
    }
}

/// One of them.
struct One {
    number: usize,
    domain: String,
    stream: Stream,
    round: u64,
    shared: Arc<Shared>,
}

impl One {
    async fn live(mut self, mut orders: watch::Receiver<Order>) {
        // Spread over the minute, so that pings are a trickle.
        let first = BETWEEN_PINGS.mul_f64((self.number % 1000) as f64 / 1000.0);
        let mut minute = interval_at(Instant::now() + first, BETWEEN_PINGS);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let alive = tokio::select! {
                heard = self.stream.next() => matches!(heard, Err(error) if error.kind() == io::ErrorKind::TimedOut),
                _ = minute.tick() => self.ping_again().await,
                Ok(()) = orders.changed() => {
                    let order = *orders.borrow_and_update();
                    match order {
                        Order::Idle => true,
                        Order::Ping(round) => {
                            minute.reset();
                            self.ping(round).await
                        }
                        Order::Close => {
                            let _it_may_be_gone = self.stream.send("</stream:stream>").await;
                            self.stream.rest().await;
                            return;
                        }
                    }
                }
            };
            if !alive {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// The next ping, when the last one was answered; otherwise that is told.
    async fn ping_again(&mut self) -> bool {
        if self.shared.answers.last(self.number) < self.round {
            self.shared.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        self.ping(self.round + 1).await
    }

    async fn ping(&mut self, round: u64) -> bool {
        self.round = round;
        self.shared.pings.fetch_add(1, Ordering::Relaxed);
        let (domain, number) = (&self.domain, self.number);
        let ping = format!(
            "<iq from='{domain}' to='{LOCAL}' type='get' id='ping-{number}-{round}'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
        self.stream.send(&ping).await.is_ok()
    }
}

/// One address for each stream, apart from those of the strangers.
fn address(number: usize) -> IpAddr {
    let [_, _, high, low] = (u32::try_from(number).unwrap_or_default() + 1).to_be_bytes();
    IpAddr::from([127, 32, high, low])
}
