//! Presence of everybody at once: subscriptions that are all due when a gateway comes up, and states that all change.
//!
//! The store holds ten thousand pairs whose dialogs a gateway had that is gone, and whose refreshes are all due: that is
//! what a fail-over leaves. Messages go on meanwhile. Then each of the watched users changes his state three times in one
//! burst of NOTIFYs, and whoever watches has to see the last.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use causeway_gateway::presence::record::{InDialog, Outbound, Pair, PairKey};
use causeway_gateway::store::sqlite::SqliteStore;
use causeway_gateway::store::{PairChange, Store};
use causeway_shared::jid::BareJid;
use tokio::sync::oneshot;

use super::{LOOK, PATIENCE, Spent, below, settled, told};
use crate::load::flight::Flight;
use crate::load::measure::WARM_UP;
use crate::load::pace::Pace;
use crate::load::presence_server::{self, PresenceServer};
use crate::load::report::{Plot, Report, What, Who};
use crate::load::scenarios::overload::{Load, stream_of};
use crate::load::scenarios::{Bench, LOCAL, PARTNER, REMOTES};
use crate::load::sip::{self, Client, Counting, Server};
use crate::load::text::{self, user};
use crate::load::xmpp;
use crate::peer::process::Process;
use crate::peer::road::Road;
use crate::peer::xmpp::{Partner, PartnerConfig};
use crate::peer::{fault, tls};

/// Pairs in the store.
const PAIRS: usize = 10_000;

/// Records of one commit while the store is filled.
const FILL: usize = 200;

/// Changes of each user's state in the burst.
const CHANGES: usize = 3;

/// Messages per second that go on meanwhile.
const MESSAGES: f64 = 300.0;

/// Users who write them.
const WRITERS: usize = 100;

/// What is the last state only time tells: when nothing has come for so long.
const CALM: Duration = Duration::from_secs(2);

const RESUBSCRIBED: What = below(
    "storm_resubscribe_settled_s",
    "re-subscription storm: 10 000 dialogs due at a start, all refreshed",
    "s",
    30.0,
);
const RESUBSCRIBE_PEAK: What =
    below("storm_resubscribe_peak", "  most SUBSCRIBEs within a second at the next hop", "/s", 2_500.0);
const RESUBSCRIBE_AGAIN: What = below("storm_resubscribe_again", "  dialogs that were asked for twice", "", 1.0);
const RESUBSCRIBE_P99: What = below("storm_resubscribe_message_p99_ms", "  messages meanwhile, p99", "ms", 100.0);
const RESUBSCRIBE_LOST: What =
    below("storm_resubscribe_message_lost", "  messages meanwhile that were lost or bounced", "", 1.0);
const RESUBSCRIBE_CPU: What = told("storm_resubscribe_cpu_s", "  CPU of the gateway", "s");
const RESUBSCRIBE_PEAK_MB: What = told("storm_resubscribe_peak_mb", "  most memory of the gateway", "MB");

const NOTIFIED: What = below(
    "storm_notify_settled_s",
    "NOTIFY storm: 30 000 changes of 10 000 users, the last state of all seen",
    "s",
    30.0,
);
const NOTIFY_ANSWERED: What = told("storm_notify_answered", "  NOTIFYs accepted", "");
const NOTIFY_REFUSED: What = told("storm_notify_refused", "  NOTIFYs refused, to be sent again", "");
const NOTIFY_UNADVISED: What = below("storm_notify_unadvised", "  of these without Retry-After", "", 1.0);
const NOTIFY_UNTRUE: What =
    below("storm_notify_untrue", "  users whose last accepted state is not what is seen", "", 1.0);
const NOTIFY_STANZAS: What = told("storm_notify_stanzas", "  stanzas that told of them", "");
const NOTIFY_CPU: What = told("storm_notify_cpu_s", "  CPU of the gateway", "s");
const NOTIFY_PEAK_MB: What = told("storm_notify_peak_mb", "  most memory of the gateway", "MB");

const RESUBSCRIPTION: Plot = Plot {
    key: "resubscription_storm",
    title: "10 000 dialogs due at once: refreshed over time",
    x: "seconds since the first",
    y: "SUBSCRIBEs",
    is_x_logarithmic: false,
    is_y_logarithmic: false,
};

/// Both storms of presence.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let road = &bench.road;
    fill(road).await?;
    let via = road.plan.pool.to_string();
    let notifier = Arc::new(PresenceServer::default());
    let own = road.authority.issue(&[&road.plan.pool.ip().to_string(), LOCAL])?;
    let stage = bench.stage.clone();
    let counting: Counting = Arc::new(move || stage.flight());
    let answer = presence_server::answering(&notifier, &via, sip::accepting(counting));
    let _pool = Server::answering(road.plan.pool, Some(tls::server(&road.authority, &own)?), answer)?;
    let seen = Arc::new(Seen::default());
    let _partner = seen.partner(bench).await?;
    let _edge = road.start_edge().await?;
    let gateway = road.start_gateway().await?;
    resubscribe(bench, &notifier, &gateway, report).await?;
    notify(bench, &notifier, &seen, &gateway, report).await
}

async fn resubscribe(
    bench: &Bench,
    notifier: &PresenceServer,
    gateway: &Process,
    report: &mut Report,
) -> io::Result<()> {
    let mut spent = Spent::by(gateway)?;
    let began = Instant::now();
    bench.road.ready().await?;
    let wire = stream_of(&bench.road, REMOTES[0], WRITERS).await?;
    let messages = Load::start(Pace::Steady { per_second: MESSAGES }, wire, bench.flight());
    let done = settled(|_| {
        spent.look()?;
        Ok(notifier.subscribed() >= PAIRS)
    });
    let done = done.await?;
    let took = notifier.asked().1.map_or(PATIENCE, |last| last.saturating_duration_since(began));
    // Long enough for what would be asked for twice, and for a p99 if it was over at once.
    tokio::time::sleep(WARM_UP.max(CALM)).await;
    let flight = Arc::clone(&messages.flight);
    messages.end().await?;
    if done.is_none() {
        report.broken("re-subscription storm", format!("{} of {PAIRS} dialogs were refreshed", notifier.subscribed()));
    }
    report.add(RESUBSCRIBED, Who::Us, took.as_secs_f64());
    report.add(RESUBSCRIBE_PEAK, Who::Us, notifier.peak() as f64);
    report.add(RESUBSCRIBE_AGAIN, Who::Us, notifier.asked().0.saturating_sub(notifier.subscribed()) as f64);
    report.add(RESUBSCRIBE_P99, Who::Us, flight.latencies.quantile(0.99).as_secs_f64() * 1e3);
    report.add(RESUBSCRIBE_LOST, Who::Us, (flight.aloft() + flight.failed()) as f64);
    report.add(RESUBSCRIBE_CPU, Who::Us, spent.cpu_seconds()?);
    report.add(RESUBSCRIBE_PEAK_MB, Who::Us, spent.peak_mb());
    let steps = u32::try_from(took.as_millis() / LOOK.as_millis()).unwrap_or_default() + 1;
    let counts = notifier.asked_by((0..=steps).map(|step| began + LOOK * step));
    for (step, count) in (0_u32..).zip(counts) {
        report.point(RESUBSCRIPTION, "SUBSCRIBEs", (LOOK * step).as_secs_f64(), count as f64);
    }
    Ok(())
}

async fn notify(
    bench: &Bench,
    notifier: &PresenceServer,
    seen: &Arc<Seen>,
    gateway: &Process,
    report: &mut Report,
) -> io::Result<()> {
    let road = &bench.road;
    let requests = notifier.notifies(&road.plan.pool.to_string());
    let count = requests.len();
    if count == 0 {
        return Err(fault("there is no dialog to notify in"));
    }
    let own = road.authority.issue(&[LOCAL])?;
    let tls = Some((tls::client(&road.authority, Some(&own))?, LOCAL));
    let flight = bench.flight();
    let client = Client::connect(road.plan.pool.ip(), road.plan.sip, tls, requests, Arc::clone(&flight), true)?;
    let mut spent = Spent::by(gateway)?;
    seen.begin(count);
    // All of them, whatever comes back meanwhile.
    let all = Pace::Wave { aloft: u64::MAX, total: (count * CHANGES) as u64 };
    let storm = Load::start(all, client, Arc::clone(&flight));
    let done = settled(|_| {
        spent.look()?;
        Ok(flight.is_stopped() && flight.aloft() == 0 && seen.is_calm())
    });
    let done = done.await?;
    storm.end().await?;
    let took = done.map_or(PATIENCE, |took| took.saturating_sub(CALM));
    let untrue = seen.untrue(&flight);
    if done.is_none() || untrue > 0 {
        report.broken(
            "NOTIFY storm",
            format!("{} have no answer, {untrue} of {count} users are not seen as they are", flight.aloft()),
        );
    }
    report.add(NOTIFIED, Who::Us, took.as_secs_f64());
    report.add(NOTIFY_ANSWERED, Who::Us, flight.arrived() as f64);
    report.add(NOTIFY_REFUSED, Who::Us, flight.failed() as f64);
    report.add(NOTIFY_UNADVISED, Who::Us, flight.failed().saturating_sub(flight.advised().0) as f64);
    report.add(NOTIFY_UNTRUE, Who::Us, untrue as f64);
    report.add(NOTIFY_STANZAS, Who::Us, seen.stanzas.load(Ordering::Relaxed) as f64);
    report.add(NOTIFY_CPU, Who::Us, spent.cpu_seconds()?);
    report.add(NOTIFY_PEAK_MB, Who::Us, spent.peak_mb());
    Ok(())
}

/// What the partners' users see of ours: the number of the last state of each.
#[derive(Default)]
struct Seen {
    last: RwLock<Vec<AtomicU64>>,
    stanzas: AtomicU64,
    /// When the last one came.
    at: Mutex<Option<Instant>>,
}

impl Seen {
    /// The partners' server, which sees what comes.
    async fn partner(self: &Arc<Self>, bench: &Bench) -> io::Result<Partner> {
        let road = &bench.road;
        let own = road.authority.issue(&REMOTES)?;
        let config = PartnerConfig {
            domain: REMOTES[0].to_owned(),
            tls: Some(tls::server(&road.authority, &own)?),
            offers_external: true,
            offers_management: false,
            dialback_secret: String::new(),
        };
        let seen = Arc::clone(self);
        let taker = xmpp::taking(move |bytes| text::bracketed(bytes, |number| seen.see(number)));
        Partner::start_with((PARTNER, bench.partner.port()).into(), config, Some(taker)).await
    }

    /// From now on the states of so many users count.
    fn begin(&self, users: usize) {
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        *last = (0..users).map(|_| AtomicU64::new(0)).collect();
        self.stanzas.store(0, Ordering::Relaxed);
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn see(&self, number: u64) {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = index(number, last.len()).and_then(|user| last.get(user)) else { return };
        slot.store(number, Ordering::Relaxed);
        self.stanzas.fetch_add(1, Ordering::Relaxed);
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_calm(&self) -> bool {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_none_or(|at| at.elapsed() >= CALM)
    }

    /// Users whose last accepted state is not the last one seen.
    fn untrue(&self, flight: &Flight) -> usize {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let mut truth = vec![0; last.len()];
        for number in flight.numbers().filter(|number| flight.has_arrived(*number)) {
            if let Some(state) = index(number, last.len()).and_then(|user| truth.get_mut(user)) {
                *state = number;
            }
        }
        last.iter().zip(truth).filter(|(seen, truth)| seen.load(Ordering::Relaxed) != *truth).count()
    }
}

/// Whose state a number is, of so many users: they take turns.
fn index(number: u64, users: usize) -> Option<usize> {
    usize::try_from(number).ok()?.checked_rem(users)
}

/// Puts the pairs into the store, as a gateway leaves them that was killed a while ago.
async fn fill(road: &Road) -> io::Result<()> {
    let store = SqliteStore::open(road.folder().join("gateway.sqlite")).map_err(io::Error::other)?;
    let now_ms = crate::load::ends::unix_ms();
    for first in (0..PAIRS).step_by(FILL) {
        let pairs = (first..(first + FILL).min(PAIRS)).filter_map(|number| pair(road, number, now_ms));
        let changes: Vec<_> = pairs.map(|after| PairChange { before: None, after: Arc::new(after) }).collect();
        if changes.len() < FILL {
            return Err(fault("a pair cannot be made"));
        }
        let (done, answered) = oneshot::channel();
        store.commit(changes, Box::new(move |committed| drop(done.send(committed.map(|_| ())))));
        answered.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
    }
    Ok(())
}

/// An XMPP user watches a SIP user in a dialog that should be refreshed now.
fn pair(road: &Road, number: usize, now_ms: u64) -> Option<Pair> {
    let mut pair = crate::scale::pairs::pair(number as u64, now_ms, now_ms)?;
    let remote = REMOTES.get(number % REMOTES.len())?;
    let (local, remote) = (user("a", number, LOCAL), user("u", number, remote));
    pair.key = PairKey { local: BareJid::parse(&local).ok()?, remote: BareJid::parse(&remote).ok()? };
    pair.outbound = Outbound::default();
    if let InDialog::Live { dialog, expires_at, .. } = &mut pair.inbound.dialog {
        *expires_at = now_ms + 3_600_000;
        let dialog = &mut dialog.dialog;
        dialog.local_uri = format!("sip:{remote}").parse().ok()?;
        dialog.remote_uri = format!("sip:{local}").parse().ok()?;
        dialog.remote_target = format!("sip:{};transport=tls", road.plan.pool).parse().ok()?;
        dialog.route_set = Vec::new();
    }
    Some(pair)
}
