//! Sends SIP legs to a capture server: a reader of the recorder, so that it costs the message path nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_shared::metrics::{Catalogue, Kind};
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::admin::administration::InForce;
use crate::trace::{Recorder, hep};

/// How often the recorder is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long the address of a capture server is believed.
const ADDRESS_LIFE: Duration = Duration::from_secs(60);

/// What became of messages for the capture server.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    pub(super) fn register(catalogue: &mut Catalogue) -> Arc<Self> {
        let counts = Arc::new(Self::default());
        let told = Arc::clone(&counts);
        let help =
            "SIP messages for the capture server: sent, or dropped because it cannot be reached or they were too many";
        catalogue.look_up("causeway_hep_messages", help, Kind::Counter, &["outcome"], move || {
            let counts = [("sent", &told.sent), ("dropped", &told.dropped)];
            #[expect(clippy::cast_precision_loss, reason = "a count that a double does not hold is not reached")]
            let sample = |(outcome, count): (&str, &AtomicU64)| {
                (vec![("outcome", outcome.to_owned())], count.load(Ordering::Relaxed) as f64)
            };
            counts.map(sample).to_vec()
        });
        counts
    }

    fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

/// Follows the recorder for ever; sends where the configuration says, which may change.
pub(super) async fn run(recorder: Arc<Recorder>, in_force: watch::Receiver<Arc<InForce>>, counts: Arc<Counts>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut road: Option<Road> = None;
    loop {
        looks.tick().await;
        let config = Arc::clone(&in_force.borrow().config);
        let Some(target) = &config.hep else {
            road = None;
            continue;
        };
        let is_current = road.as_ref().is_some_and(|road| road.is_current(&target.target));
        if !is_current {
            let next = road.take().map_or_else(|| recorder.span().1, |road| road.next);
            road = Some(Road::open(&target.target, next).await);
        }
        let Some(road) = &mut road else { continue };
        let ours = config.sip.listen.first().map(|(_, address)| *address);
        let Some(ours) = ours else { continue };
        road.send(&recorder, ours, target.capture_id, config.logs_bodies, &counts);
    }
}

/// The way to one capture server.
struct Road {
    target: String,
    opened: tokio::time::Instant,
    /// Nothing, if it cannot be found.
    socket: Option<UdpSocket>,
    /// The event that is next.
    next: u64,
}

impl Road {
    async fn open(target: &str, next: u64) -> Self {
        let opened = tokio::time::Instant::now();
        let socket = match connected(target).await {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(target, %error, "the capture server cannot be reached; SIP messages for it are dropped");
                None
            }
        };
        Self { target: target.to_owned(), opened, socket, next }
    }

    fn is_current(&self, target: &str) -> bool {
        self.target == target && self.opened.elapsed() < ADDRESS_LIFE
    }

    /// Sends what was noted since, without waiting.
    fn send(&mut self, recorder: &Recorder, ours: SocketAddr, agent: u32, show_bodies: bool, counts: &Counts) {
        loop {
            let page = recorder.page(self.next);
            counts.dropped(page.missed);
            let is_end = page.events.is_empty();
            self.next = page.next;
            for raw in page.events {
                let Some(packet) = hep::packet(&raw, ours, agent, show_bodies) else { continue };
                match self.socket.as_ref().map(|socket| socket.try_send(&packet)) {
                    Some(Ok(_)) => {
                        counts.sent.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Err(_)) | None => counts.dropped(1),
                }
            }
            if is_end {
                return;
            }
        }
    }
}

async fn connected(target: &str) -> std::io::Result<UdpSocket> {
    let found = lookup_host(target).await?.next();
    let address = found.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}
