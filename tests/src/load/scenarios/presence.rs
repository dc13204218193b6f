//! Presence: one change of somebody's state, and all who watch him are told.
//!
//! At the gateway in both directions, with its records in SQLite on disk: a partner's users change their state and the
//! SIP users who watch them are notified ([`sip_watchers`]); SIP users change theirs and the partner's users who watch
//! them are told ([`xmpp_watchers`]). Beside it Debian's Kamailio, which stays within SIP ([`kamailio`]).
//!
//! Watchers of one presentity share nothing at the gateway: a partner's server sends a stanza for each of them, and a
//! SIP presence server a NOTIFY in each one's dialog (RFC 8048, section 8.2). A presence server reads one document and
//! sends it many times. So what counts is the cost of a notification, and how it changes with their number.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_edge_proxy::link::{InboundStanza, LinkHandle};
use causeway_shared::link::StanzaKind;
use causeway_shared::telemetry::Span;
use tokio::sync::mpsc;

use super::{Bench, LOCAL, REMOTE};
use crate::load::ends::{self, FakeEdge, Stage};
use crate::load::flight::Flight;
use crate::load::notifier::Notifier;
use crate::load::pace::{self, Pace, Wire};
use crate::load::report::{Plot, Report, Target, What, Who};
use crate::load::sip::{self, Counting};
use crate::load::text::user;
use crate::peer::fault;
use crate::peer::process::Process;
use crate::peer::road::Road;

mod kamailio;
mod sip_watchers;
mod xmpp_watchers;

pub(super) use kamailio::measure as measure_kamailio;

/// Changes on their way.
const ALOFT: u64 = 512;

/// Answers that wait for the link.
const ANSWERS: usize = 1024;

/// Stanzas in one batch of answers.
const BATCH: usize = 32;

/// Gateway: presence event -> NOTIFY answered, SQLite, per CPU-second.
pub(super) const PRESENCE_PER_CPU_SECOND: What = What {
    key: "presence_per_cpu_second",
    what: "gateway: presence event -> NOTIFY answered, SQLite, per CPU-second",
    unit: "/CPU-s",
    target: Target::AtLeast(12_000.0),
};

/// Throughput of that run.
pub(super) const PRESENCE_PER_SECOND: What = told("presence_per_second", "  throughput of that run", "/s");

/// What a notification costs, and what it costs more with many watchers.
const COST: Plot = Plot {
    key: "presence_cost",
    title: "CPU time of one notification",
    x: "watchers of each presentity",
    y: "microseconds",
    is_x_logarithmic: true,
    is_y_logarithmic: false,
};

/// Presentities that have the same number of watchers.
struct Crowd {
    /// Watchers of each presentity.
    watchers: usize,
    /// Pairs of a watcher and a presentity.
    pairs: usize,
    /// Notifications of SIP users.
    to_sip: What,
    /// The same, where a peer keeps its state on disk, as ours always does.
    on_disk: What,
    /// Notifications of a partner's users.
    to_xmpp: What,
    /// Changes of one presentity, each told to all watchers; with one watcher it is the same as notifications.
    changes: Option<What>,
}

const CROWDS: [Crowd; 3] = [
    Crowd {
        watchers: 1,
        pairs: 4000,
        to_sip: PRESENCE_PER_CPU_SECOND,
        on_disk: told("presence_on_disk_1", "  with Kamailio's state in SQLite, too", "/CPU-s"),
        to_xmpp: told("presence_to_xmpp_1", "gateway: NOTIFY -> XMPP presence, SQLite, 1 watcher", "/CPU-s"),
        changes: None,
    },
    Crowd {
        watchers: 10,
        pairs: 2000,
        to_sip: told("presence_to_sip_10", "gateway: presence event -> NOTIFY, SQLite, 10 watchers", "/CPU-s"),
        on_disk: told("presence_on_disk_10", "  with Kamailio's state in SQLite, too", "/CPU-s"),
        to_xmpp: told("presence_to_xmpp_10", "gateway: NOTIFY -> XMPP presence, SQLite, 10 watchers", "/CPU-s"),
        changes: Some(told("presence_changes_10", "  changes told to 10 SIP watchers", "/CPU-s")),
    },
    Crowd {
        watchers: 200,
        pairs: 2000,
        to_sip: told("presence_to_sip_200", "gateway: presence event -> NOTIFY, SQLite, 200 watchers", "/CPU-s"),
        on_disk: told("presence_on_disk_200", "  with Kamailio's state in SQLite, too", "/CPU-s"),
        to_xmpp: told("presence_to_xmpp_200", "gateway: NOTIFY -> XMPP presence, SQLite, 200 watchers", "/CPU-s"),
        changes: Some(told("presence_changes_200", "  changes told to 200 SIP watchers", "/CPU-s")),
    },
];

/// A row that is told, not judged.
const fn told(key: &'static str, what: &'static str, unit: &'static str) -> What {
    What { key, what, unit, target: Target::None }
}

impl Crowd {
    /// Each pair: the watcher, and whom he watches.
    fn pairs(&self, watcher_at: &str, watched_at: &str) -> impl Iterator<Item = (String, String)> {
        let (watcher, watched) = (format!("w{}-", self.watchers), format!("p{}-", self.watchers));
        (0..self.pairs)
            .map(move |pair| (user(&watcher, pair, watcher_at), user(&watched, pair / self.watchers, watched_at)))
    }

    /// All pairs, as flights count.
    fn total(&self) -> u64 {
        u64::try_from(self.pairs).unwrap_or_default()
    }
}

/// Both directions, with one watcher and with many.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let (road, stage) = (&bench.road, bench.stage.clone());
    let _dns = bench.dns().await?;
    let told = stage.clone();
    let edge = FakeEdge::start(road.plan.link, Road::GATEWAY_NAME, ends::edge_tls(road)?, stage.clone(), |link| {
        approving(link, told)
    })
    .await?;
    let counting: Counting = Arc::new(move || stage.flight());
    let (pool_at, notifier) = (road.plan.pool, Notifier::default());
    let pool = sip::Server::answering(pool_at, None, notifier.answering(pool_at, sip::accepting(counting)))?;
    // One partner has all the watchers of the bench.
    let unlimited = |toml: &str| toml.replace("[quotas]\n", "[quotas]\nwatched_per_partner = 0\n");
    let gateway = road.start_another_gateway("gateway", &road.plan, unlimited).await?;
    edge.attached().await?;
    let gateway = Measured { bench, edge: &edge, gateway: &gateway };
    sip_watchers::measure(&gateway, &pool, report).await?;
    xmpp_watchers::measure(&gateway, &notifier, report).await
}

/// The gateway between its two ends.
struct Measured<'a> {
    bench: &'a Bench,
    edge: &'a FakeEdge,
    gateway: &'a Process,
}

/// What notifications cost so far.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    notified: u64,
    cpu: Duration,
    took: Duration,
}

impl Cost {
    /// Runs something that notifies so many, and adds what it cost a process.
    async fn of<T>(&mut self, process: &Process, work: impl Future<Output = io::Result<(u64, T)>>) -> io::Result<T> {
        let (cpu, began) = (process.cpu()?, Instant::now());
        let (notified, done) = work.await?;
        self.cpu += process.cpu()?.saturating_sub(cpu);
        self.took += began.elapsed();
        self.notified += notified;
        Ok(done)
    }

    fn per_cpu_second(&self) -> f64 {
        self.notified as f64 / self.cpu.as_secs_f64().max(1e-6)
    }

    fn per_second(&self) -> f64 {
        self.notified as f64 / self.took.as_secs_f64().max(1e-6)
    }

    fn micros(&self) -> f64 {
        1e6 / self.per_cpu_second().max(1e-6)
    }

    /// Adds the rows and the point of a crowd.
    fn tell(&self, crowd: &Crowd, line: &str, who: Who, row: What, report: &mut Report) {
        report.add(row, who, self.per_cpu_second());
        report.point(COST, line, crowd.watchers as f64, self.micros());
    }
}

/// One message for each of `total`; gives the wire back, and an error if any came to nothing.
async fn wave<W: Wire + Send + 'static>(mut wire: W, flight: &Arc<Flight>, aloft: u64, total: u64) -> io::Result<W> {
    let driven = Arc::clone(flight);
    let driver =
        tokio::task::spawn_blocking(move || (pace::drive(Pace::Wave { aloft, total }, &driven, &mut wire), wire));
    let (ended, wire) = driver.await.map_err(io::Error::other)?;
    ended?;
    if flight.arrived() < total || flight.contradicted() > 0 {
        return Err(fault(format!(
            "{} of {total} arrived, {} were refused, {} ended twice",
            flight.arrived(),
            flight.failed(),
            flight.contradicted()
        )));
    }
    Ok(wire)
}

/// A partner whose users approve every subscription, and count what they are told.
fn approving(link: LinkHandle, stage: Stage) -> ends::OnStanza {
    let (approve, mut approvals) = mpsc::channel::<InboundStanza>(ANSWERS);
    tokio::spawn(async move {
        let context = ends::context(REMOTE, LOCAL)?;
        let mut batch = Vec::new();
        while approvals.recv_many(&mut batch, BATCH).await > 0 {
            link.submit(&context, std::mem::take(&mut batch)).await.map_err(io::Error::other)?;
        }
        Ok::<(), io::Error>(())
    });
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |stanza| {
        if memchr::memmem::find(&stanza.xml, b"type='subscribe'").is_none() {
            if let Some(flight) = stage.flight() {
                ends::count(&flight, &stanza.xml);
            }
            return;
        }
        let xml = format!(
            "<presence xmlns='jabber:server' from='{}' to='{}' type='subscribed'/>",
            stanza.to.as_str(),
            stanza.from.as_str()
        );
        let approval = InboundStanza {
            kind: StanzaKind::Presence,
            from: stanza.to.clone(),
            to: stanza.from.clone(),
            xml: xml.into(),
            span: Span::NONE,
            arrived_ms: ends::unix_ms(),
            receipt: None,
        };
        let approve = approve.clone();
        runtime.spawn(async move { approve.send(approval).await });
    })
}
