//! A partner's users watch SIP users: the gateway has a dialog at the pool for each of them, and each NOTIFY in it becomes
//! a presence stanza.

use std::io;
use std::sync::Arc;

use causeway_shared::link::StanzaKind;

use super::{ALOFT, BATCH, CROWDS, Cost, Crowd, Measured, wave};
use crate::load::notifier::Notifier;
use crate::load::pace::Wire;
use crate::load::report::{Report, Who};
use crate::load::scenarios::{LOCAL, REMOTE};
use crate::load::sip::Client;
use crate::load::text::Template;
use crate::peer::until;

/// Changes of each pair, one after the other.
const WAVES: u64 = 3;

/// NOTIFY in, presence stanza acknowledged by the partner's side.
pub(super) async fn measure(measured: &Measured<'_>, notifier: &Notifier, report: &mut Report) -> io::Result<()> {
    let Measured { bench, gateway, .. } = measured;
    let (pool, sip) = (bench.road.plan.pool, bench.road.plan.sip);
    for crowd in &CROWDS {
        subscribe(measured, notifier, crowd).await?;
        let notifications = notifier.notifications(pool)?;
        let connect = |flight| Client::connect(pool.ip(), sip, None, notifications.clone(), flight, false);
        // The first one approves as well.
        let flight = bench.flight();
        wave(connect(Arc::clone(&flight))?, &flight, ALOFT, crowd.total()).await?;
        let (flight, total, mut cost) = (bench.flight(), WAVES * crowd.total(), Cost::default());
        let wire = connect(Arc::clone(&flight))?;
        cost.of(gateway, async { Ok((total, wave(wire, &flight, ALOFT, total).await?)) }).await?;
        cost.tell(crowd, "Causeway, SIP to XMPP", Who::Us, crowd.to_xmpp, report);
    }
    Ok(())
}

/// Every user of the partner asks to watch; ends when the gateway has subscribed for all of them.
async fn subscribe(measured: &Measured<'_>, notifier: &Notifier, crowd: &Crowd) -> io::Result<()> {
    let requests = crowd.pairs(REMOTE, LOCAL).map(|(watcher, watched)| {
        Template::new(&format!("<presence from='{watcher}' to='{watched}' type='subscribe'/>"))
    });
    let mut wire = measured.edge.wire(StanzaKind::Presence, REMOTE, LOCAL, requests.collect())?;
    let pairs = crowd.total();
    let sender = tokio::task::spawn_blocking(move || {
        for pair in 0..pairs {
            wire.send(pair)?;
            if pair % BATCH as u64 == 0 || pair + 1 == pairs {
                wire.flush()?;
            }
        }
        Ok::<(), io::Error>(())
    });
    sender.await.map_err(io::Error::other)??;
    until("the gateway has subscribed", async || (notifier.dialogs() >= crowd.pairs).then_some(())).await
}
