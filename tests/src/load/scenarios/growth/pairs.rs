//! Pairs in the store: a thousand to a million, SQLite, the gateway alone between an edge and a pool of our own.
//!
//! Messages of a partner whose users are verified need no look at a pair. A presence event loads its record unless the
//! gateway has it in memory, and commits a step: the two lines are the first event of a pair, and a later one.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use causeway_gateway::presence::record::{InDialog, Pair, PairKey};
use causeway_gateway::shell;
use causeway_gateway::store::Store;
use causeway_gateway::store::sqlite::SqliteStore;
use causeway_shared::jid::BareJid;
use causeway_shared::link::StanzaKind;
use causeway_sip::dialog::Dialog;

use super::super::{ALOFT, Bench, LOCAL, PAIRS, REMOTE};
use super::idle::{Threads, idle_ms};
use super::{BY_PAIRS, Curve, FLAT, IDLE, ratio, road};
use crate::load::ends::{self, FakeEdge};
use crate::load::pace::{self, Pace};
use crate::load::report::{Report, Target, What, Who};
use crate::load::sip::{Client, Counting, Server, messages};
use crate::load::text::{SLOT, Template, user};
use crate::load::{measure, text};
use crate::peer::fault;
use crate::peer::process::Process;
use crate::peer::road::Road;
use crate::scale::{drive, pairs};

/// Pairs in the store.
const SIZES: [u64; 3] = [1_000, 10_000, 100_000];

/// The largest store, which takes its time to fill.
const LARGEST: u64 = 1_000_000;

/// XMPP contacts of a SIP user.
const CONTACTS: u64 = 5;

/// Events of a wave, spread evenly over the store.
const EVENTS: u64 = 4_000;

/// Changes on their way.
const EVENTS_ALOFT: u64 = 512;

/// Longer than a pair's interval between notifications.
const INTERVAL: Duration = Duration::from_millis(5_500);

/// What a start reads at once has been read by then.
const SETTLE: Duration = Duration::from_secs(3);

const CPU: [What; 4] = [
    ratio("growth_pairs_to_sip", "most pairs in the store / 1 000: CPU per message, XMPP -> SIP", FLAT),
    ratio("growth_pairs_to_xmpp", "  per message, SIP -> XMPP", FLAT),
    ratio("growth_pairs_first_event", "  per presence event, the pair's first since the start", FLAT),
    ratio("growth_pairs_event", "  per presence event, a later one", FLAT),
];

const LINES: [&str; 4] = ["message to SIP", "message to XMPP", "first presence event of a pair", "a later one"];

const STORED_BYTES: What = What {
    key: "growth_pair_stored_bytes",
    what: "most pairs in the store: bytes on disk per pair, both watch each other",
    unit: "B",
    target: Target::Below(3_000.0),
};

const PAIR_MEMORY_BYTES: What = What {
    key: "growth_pair_memory_bytes",
    what: "  memory of the gateway per stored pair, soon after its start",
    unit: "B",
    target: Target::Below(1_000.0),
};

const IDLE_MS: What = What {
    key: "growth_pairs_idle_ms",
    what: "  CPU of an idle second while the news of the start are told",
    unit: "ms",
    target: Target::Below(20.0),
};

/// All sizes, smallest first.
pub(in super::super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let sizes = SIZES.into_iter().chain(bench.is_long.then_some(LARGEST));
    let (mut curves, mut memory, mut last) = (<[Curve; 4]>::default(), Vec::new(), (0.0, 0.0));
    for count in sizes {
        let road = road(bench, &format!("pairs-{count}"), |_| {})?;
        fill(&road, count).await?;
        let bytes = std::fs::metadata(database(&road))?.len() as f64 / count as f64;
        let size = Size::start(bench, road, count).await?;
        tokio::time::sleep(SETTLE).await;
        memory.push((count, size.gateway.resident()?));
        let idle: f64 = idle_ms(&[&size.gateway]).await?.iter().sum();
        report.point(IDLE, "pairs, gateway", count as f64, idle);
        let costs = size.costs(report).await?;
        let place = usize::try_from(count).unwrap_or_default();
        for ((curve, line), cost) in curves.iter_mut().zip(LINES).zip(costs) {
            curve.add(report, BY_PAIRS, line, place, cost);
        }
        last = (bytes, idle);
    }
    curves.iter().zip(CPU).for_each(|(curve, row)| curve.ends(report, row));
    report.add(STORED_BYTES, Who::Us, last.0);
    if let (Some((few, first)), Some((many, last))) = (memory.first(), memory.last()) {
        report.add(PAIR_MEMORY_BYTES, Who::Us, last.saturating_sub(*first) as f64 / (many - few) as f64);
    }
    report.add(IDLE_MS, Who::Us, last.1);
    Ok(())
}

/// The gateway's database.
pub(super) fn database(road: &Road) -> std::path::PathBuf {
    road.folder().join("gateway.sqlite")
}

/// Puts pairs into the store of a road whose gateway does not run yet.
pub(in super::super) async fn fill(road: &Road, count: u64) -> io::Result<()> {
    let (path, target) = (database(road), format!("sip:pool@{};transport=tcp", road.plan.pool));
    let store: Arc<dyn Store> = Arc::new(opened(&path).await?);
    let now = shell::now().unix_ms;
    // Refreshes are spread over the hour that follows this one: none of them comes while something is measured.
    let due_at = |number: u64| now + 3_600_000 + number * 3_600_000 / count.max(1);
    let pair = |number| pair(number, now, due_at(number), &target);
    drive::fill(&store, count, pair).await.map_err(io::Error::other)?;
    // The file is closed, and its log folded back, when the last of it is dropped.
    tokio::task::spawn_blocking(move || drop(store)).await.map_err(io::Error::other)
}

async fn opened(path: &Path) -> io::Result<SqliteStore> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || SqliteStore::open(path))
        .await
        .map_err(io::Error::other)?
        .map_err(io::Error::other)
}

/// A pair of one of our users and one of the partner's whose dialogs lead to our pool.
fn pair(number: u64, now_ms: u64, due_at: u64, target: &str) -> Option<Pair> {
    let of = |prefix, number: u64, domain| BareJid::parse(&user(prefix, usize::try_from(number).ok()?, domain)).ok();
    let key = PairKey { local: of("a", number / CONTACTS, LOCAL)?, remote: of("u", number, REMOTE)? };
    let mut pair = pairs::pair_of(key, number, now_ms, due_at)?;
    let lead = |dialog: &mut Dialog| {
        dialog.route_set.clear();
        target.parse().map(|target| dialog.remote_target = target).ok()
    };
    if let InDialog::Live { dialog, .. } = &mut pair.inbound.dialog {
        lead(&mut dialog.dialog)?;
    }
    pair.outbound.dialogs.iter_mut().try_for_each(|dialog| lead(&mut dialog.dialog.dialog))?;
    Some(pair)
}

/// A gateway with so many pairs, and what is around it.
struct Size<'a> {
    bench: &'a Bench,
    road: Road,
    count: u64,
    gateway: Process,
    edge: FakeEdge,
    _pool: Server,
}

impl<'a> Size<'a> {
    async fn start(bench: &'a Bench, road: Road, count: u64) -> io::Result<Self> {
        let (seen, counted) = (bench.stage.clone(), bench.stage.clone());
        let tls = ends::edge_tls(&road)?;
        let edge = FakeEdge::start(road.plan.link, Road::GATEWAY_NAME, tls, bench.stage.clone(), |_| {
            Box::new(move |stanza| {
                if let Some(flight) = seen.flight() {
                    ends::count(&flight, &stanza.xml);
                }
            })
        });
        let edge = edge.await?;
        let counting: Counting = Arc::new(move || counted.flight());
        let pool = Server::start(road.plan.pool, None, counting)?;
        let gateway = road.start_gateway().await?;
        edge.attached().await?;
        Ok(Self { bench, road, count, gateway, edge, _pool: pool })
    }

    /// CPU per message to SIP and to XMPP, per first event of a pair, and per later one.
    async fn costs(&self, report: &mut Report) -> io::Result<[f64; 4]> {
        let first = self.wave().await?;
        tokio::time::sleep(INTERVAL).await;
        let later = self.wave().await?;
        let (pace, plan) = (Pace::Saturate { aloft: ALOFT }, &self.road.plan);
        let wire = self.edge.wire(StanzaKind::Message, REMOTE, LOCAL, text::stanzas(PAIRS, REMOTE, LOCAL))?;
        let (to_sip, _) = measure::run(pace, wire, &self.bench.flight(), &[&self.gateway]).await?;
        report.losses("growth, pairs, to SIP", &to_sip);
        let flight = self.bench.flight();
        let requests = messages(PAIRS, LOCAL, REMOTE, &plan.pool.to_string());
        let wire = Client::connect(plan.pool.ip(), plan.sip, None, requests, Arc::clone(&flight), false)?;
        let (to_xmpp, _) = measure::run(pace, wire, &flight, &[&self.gateway]).await?;
        report.losses("growth, pairs, to XMPP", &to_xmpp);
        let cost = |sample: &measure::Sample| sample.cpu_us.first().copied().unwrap_or_default();
        Ok([cost(&to_sip), cost(&to_xmpp), first, later])
    }

    /// A change of presence of pairs from all over the store; the gateway's CPU for each.
    async fn wave(&self) -> io::Result<f64> {
        let total = self.count.min(EVENTS);
        let changes = (0..total).map(|event| {
            let number = event * self.count / total;
            let of = |prefix, number: u64, domain| user(prefix, usize::try_from(number).unwrap_or_default(), domain);
            let (from, to) = (of("u", number, REMOTE), of("a", number / CONTACTS, LOCAL));
            Template::new(&format!(
                "<presence from='{from}/desk' to='{to}'><show>away</show><status>[{SLOT}] back soon</status></presence>"
            ))
        });
        let mut wire = self.edge.wire(StanzaKind::Presence, REMOTE, LOCAL, changes.collect())?;
        let (flight, before) = (self.bench.flight(), Threads::of(&self.gateway)?);
        let (driven, pace) = (Arc::clone(&flight), Pace::Wave { aloft: EVENTS_ALOFT, total });
        tokio::task::spawn_blocking(move || pace::drive(pace, &driven, &mut wire))
            .await
            .map_err(io::Error::other)??;
        let spent = Threads::of(&self.gateway)?.since(&before);
        if flight.arrived() < total {
            return Err(fault(format!("{} of {total} changes were notified", flight.arrived())));
        }
        Ok(spent.as_secs_f64() * 1e6 / total as f64)
    }
}
