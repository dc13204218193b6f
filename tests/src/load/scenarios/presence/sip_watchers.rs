//! SIP users watch a partner's users: each presence stanza to one of them becomes a NOTIFY in her dialog.
//!
//! A pair is notified at most once in five seconds (RFC 3856, section 6.10), so waves go over many pairs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_shared::link::StanzaKind;

use super::{ALOFT, CROWDS, Cost, Crowd, Measured, PRESENCE_PER_SECOND, wave};
use crate::load::report::{Report, Who};
use crate::load::scenarios::{Bench, LOCAL, REMOTE};
use crate::load::sip::{Client, Server, request};
use crate::load::text::{SLOT, Template};
use crate::peer::until;

/// Waves of one change per pair.
const WAVES: usize = 3;

/// Longer than a pair's interval between notifications.
const INTERVAL: Duration = Duration::from_millis(5_500);

/// SUBSCRIBEs on their way.
const SUBSCRIBING: u64 = 200;

/// Presence stanza in, NOTIFY answered.
pub(super) async fn measure(measured: &Measured<'_>, pool: &Server, report: &mut Report) -> io::Result<()> {
    let Measured { bench, edge, gateway } = measured;
    for crowd in &CROWDS {
        // Pending at first, then active.
        let notified = pool.answered() + 2 * crowd.total();
        subscribe(bench, crowd, REMOTE, bench.road.plan.sip).await?;
        until("all watchers are active", async || (pool.answered() >= notified).then_some(())).await?;
    }
    let mut costs = CROWDS.map(|_| Cost::default());
    for _ in 0..WAVES {
        tokio::time::sleep(INTERVAL).await;
        for (crowd, cost) in CROWDS.iter().zip(&mut costs) {
            let changes = crowd.pairs(LOCAL, REMOTE).map(|(watcher, watched)| {
                Template::new(&format!(
                    "<presence from='{watched}/desk' to='{watcher}'>\
                     <show>away</show><status>[{SLOT}] back soon</status></presence>"
                ))
            });
            let wire = edge.wire(StanzaKind::Presence, REMOTE, LOCAL, changes.collect())?;
            let flight = bench.flight();
            cost.of(gateway, async { Ok((crowd.total(), wave(wire, &flight, ALOFT, crowd.total()).await?)) }).await?;
        }
    }
    for (crowd, cost) in CROWDS.iter().zip(&costs) {
        cost.tell(crowd, "Causeway, XMPP to SIP", Who::Us, crowd.to_sip, report);
        report.add(crowd.on_disk, Who::Us, cost.per_cpu_second());
        match crowd.changes {
            Some(changes) => report.add(changes, Who::Us, cost.per_cpu_second() / crowd.watchers as f64),
            None => report.add(PRESENCE_PER_SECOND, Who::Us, cost.per_second()),
        }
    }
    Ok(())
}

/// Every SIP user of a crowd watches those that he watches at `server`; ends when all SUBSCRIBEs are accepted.
pub(super) async fn subscribe(bench: &Bench, crowd: &Crowd, watched_at: &str, server: SocketAddr) -> io::Result<()> {
    let pool = bench.road.plan.pool;
    let extra = format!(
        "Contact: <sip:pool@{pool};transport=tcp>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n"
    );
    let requests = crowd
        .pairs(LOCAL, watched_at)
        .map(|(watcher, watched)| request("SUBSCRIBE", &watcher, &watched, &pool.to_string(), &extra, ""));
    let flight = bench.flight();
    let wire = Client::connect(pool.ip(), server, None, requests.collect(), Arc::clone(&flight), true)?;
    wave(wire, &flight, SUBSCRIBING, crowd.total()).await?;
    Ok(())
}
