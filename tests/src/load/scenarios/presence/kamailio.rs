//! Debian's Kamailio as a presence server: each PUBLISH becomes a NOTIFY to every watcher.
//!
//! It authorises everybody, keeps to one protocol, does not hold back changes that come too fast, and reads one document
//! however many are told of it. It is measured twice: with everything in memory, gone when it ends, and with what ours
//! keeps on disk there, too.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{ALOFT, CROWDS, Cost, sip_watchers, wave};
use crate::load::publish::Publisher;
use crate::load::report::{Report, Who};
use crate::load::scenarios::sip_peers::KAMAILIO;
use crate::load::scenarios::{Bench, LOCAL};
use crate::load::servers::kamailio::{Kamailio, Keeps};
use crate::load::sip::{Counting, Server};
use crate::load::text::user;
use crate::peer::until;

/// NOTIFYs that are measured with each crowd, from memory.
const NOTIFICATIONS: u64 = 60_000;

/// And from disk, which waits for it with each change.
const NOTIFICATIONS_ON_DISK: u64 = 6_000;

/// PUBLISH accepted and all NOTIFYs answered.
pub(in crate::load::scenarios) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let (pool_at, port) = (bench.road.plan.pool, bench.road.plan.sip.port());
    // The publisher counts arrivals, since each is told of many times.
    let counting: Counting = Arc::new(|| None);
    let pool = Server::start(pool_at, None, counting)?;
    let both = CROWDS.iter().flat_map(|crowd| [(crowd, Keeps::InMemory), (crowd, Keeps::OnDisk)]);
    for (offset, (crowd, keeps)) in (0_u16..).zip(both) {
        // A server for each crowd: subscriptions of another would be in its tables. And a port, since the processes of the
        // last one may hold theirs for a moment.
        let listen = SocketAddr::new(KAMAILIO, port + offset);
        let kamailio = Kamailio::presence(listen, keeps).await?;
        let watchers = u64::try_from(crowd.watchers).unwrap_or_default();
        let notified = pool.answered() + crowd.total();
        sip_watchers::subscribe(bench, crowd, LOCAL, listen).await?;
        until("all watchers are active", async || (pool.answered() >= notified).then_some(())).await?;

        let presentities = crowd.total() / watchers;
        let aloft = (ALOFT / watchers).clamp(1, presentities);
        let publish = async |publisher: Publisher, changes: u64| {
            let (flight, notified) = (bench.flight(), pool.answered() + changes * watchers);
            let publisher = wave(publisher.in_flight(Arc::clone(&flight)), &flight, aloft, changes).await?;
            until("all are notified", async || (pool.answered() >= notified).then_some(())).await?;
            Ok((changes * watchers, publisher))
        };
        let addresses = 0..crowd.pairs / crowd.watchers;
        let addresses = addresses.map(|presentity| user(&format!("p{watchers}-"), presentity, LOCAL)).collect();
        let publisher = Publisher::connect(pool_at.ip(), listen, addresses, bench.flight())?;
        // The first document of each is new; the measured ones replace it.
        let (_, publisher) = publish(publisher, presentities).await?;
        let mut cost = Cost::default();
        let notifications = match keeps {
            Keeps::InMemory => NOTIFICATIONS,
            Keeps::OnDisk => NOTIFICATIONS_ON_DISK,
        };
        cost.of(kamailio.process(), publish(publisher, (notifications / watchers).max(1))).await?;
        if keeps == Keeps::OnDisk {
            report.add(crowd.on_disk, Who::Kamailio, cost.per_cpu_second());
            continue;
        }
        cost.tell(crowd, "Kamailio", Who::Kamailio, crowd.to_sip, report);
        report.add(crowd.to_xmpp, Who::Kamailio, cost.per_cpu_second());
        if let Some(changes) = crowd.changes {
            report.add(changes, Who::Kamailio, cost.per_cpu_second() / crowd.watchers as f64);
        }
    }
    Ok(())
}
