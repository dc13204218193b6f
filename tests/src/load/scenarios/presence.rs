//! Presence at the gateway: a partner's users change their state, the SIP users who watch them are notified.
//!
//! A pair is notified at most once in five seconds (RFC 3856, section 6.10), so waves go over many pairs.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_edge_proxy::link::{InboundStanza, LinkHandle};
use causeway_shared::link::StanzaKind;
use causeway_shared::telemetry::Span;
use tokio::sync::mpsc;

use super::{Bench, LOCAL, REMOTE};
use crate::load::ends::{self, FakeEdge};
use crate::load::pace::{self, Pace};
use crate::load::report::{Report, Target, What, Who};
use crate::load::sip::{Client, Counting, Server, request};
use crate::load::text::{SLOT, Template, user};
use crate::peer::road::Road;
use crate::peer::{fault, until};

/// Pairs with a dialog.
const WATCHED: usize = 4000;

/// Waves of one change per pair.
const WAVES: usize = 3;

/// Changes on their way.
const ALOFT: u64 = 512;

/// Longer than a pair's interval between notifications.
const INTERVAL: Duration = Duration::from_millis(5_500);

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
pub(super) const PRESENCE_PER_SECOND: What =
    What { key: "presence_per_second", what: "  throughput of that run", unit: "/s", target: Target::None };

/// Presence events per CPU-second.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let (road, stage) = (&bench.road, bench.stage.clone());
    let _dns = bench.dns().await?;
    let edge = FakeEdge::start(road.plan.link, Road::GATEWAY_NAME, ends::edge_tls(road)?, stage.clone(), approving);
    let edge = edge.await?;
    let counting: Counting = Arc::new(move || stage.flight());
    let pool = Server::start(road.plan.pool, None, counting)?;
    let gateway = road.start_gateway().await?;
    edge.attached().await?;
    subscribe(bench, &pool).await?;

    let changes = (0..WATCHED).map(|pair| {
        let (from, to) = (user("u", pair, REMOTE), user("a", pair, LOCAL));
        Template::new(&format!(
            "<presence from='{from}/desk' to='{to}'><show>away</show><status>[{SLOT}] back soon</status></presence>"
        ))
    });
    let mut wire = edge.wire(StanzaKind::Presence, REMOTE, LOCAL, changes.collect())?;
    let (mut notified, mut spent, mut took) = (0, Duration::ZERO, Duration::ZERO);
    for _ in 0..WAVES {
        tokio::time::sleep(INTERVAL).await;
        let (flight, cpu, began) = (bench.flight(), gateway.cpu()?, Instant::now());
        let driven = Arc::clone(&flight);
        let total = u64::try_from(WATCHED).unwrap_or_default();
        let driver = tokio::task::spawn_blocking(move || {
            (pace::drive(Pace::Wave { aloft: ALOFT, total }, &driven, &mut wire), wire)
        });
        let (ended, back) = driver.await.map_err(io::Error::other)?;
        ended?;
        wire = back;
        notified += flight.arrived();
        spent += gateway.cpu()?.saturating_sub(cpu);
        took += began.elapsed();
    }
    if notified == 0 {
        return Err(fault("no NOTIFY arrived"));
    }
    report.add(PRESENCE_PER_CPU_SECOND, Who::Us, notified as f64 / spent.as_secs_f64().max(1e-6));
    report.add(PRESENCE_PER_SECOND, Who::Us, notified as f64 / took.as_secs_f64().max(1e-6));
    Ok(())
}

/// A partner whose users approve every subscription.
fn approving(link: LinkHandle) -> ends::OnStanza {
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
        if stanza.kind != StanzaKind::Presence || memchr::memmem::find(&stanza.xml, b"type='subscribe'").is_none() {
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

/// Every SIP user watches his partner; ends when all are approved and have been notified of it.
async fn subscribe(bench: &Bench, pool: &Server) -> io::Result<()> {
    let plan = &bench.road.plan;
    let extra = format!(
        "Contact: <sip:pool@{};transport=tcp>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n",
        plan.pool
    );
    let requests = (0..WATCHED).map(|pair| {
        request("SUBSCRIBE", &user("a", pair, LOCAL), &user("u", pair, REMOTE), &plan.pool.to_string(), &extra, "")
    });
    let flight = bench.flight();
    let total = u64::try_from(WATCHED).unwrap_or_default();
    let mut wire = Client::connect(plan.pool.ip(), plan.sip, None, requests.collect(), Arc::clone(&flight), true)?;
    let driven = Arc::clone(&flight);
    let driver = tokio::task::spawn_blocking(move || pace::drive(Pace::Wave { aloft: 200, total }, &driven, &mut wire));
    driver.await.map_err(io::Error::other)??;
    if flight.arrived() < total {
        return Err(fault(format!("{} of {total} SUBSCRIBEs were accepted", flight.arrived())));
    }
    // Pending at first, then active.
    until("all watchers are active", async || (pool.answered() >= 2 * total).then_some(())).await
}
