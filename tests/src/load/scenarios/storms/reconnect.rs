//! A thousand partners lose their streams at once, for the edge is killed, and come back together when it is started again;
//! messages for all of them wait at the gateway meanwhile, so that the edge dials all of them, too.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::task::JoinSet;

use super::{PARTNERS, PATIENCE, Spent, address, below, domain, settled, told};
use crate::load::flight::Flight;
use crate::load::pace::Pace;
use crate::load::report::{Plot, Report, What, Who};
use crate::load::scenarios::overload::Load;
use crate::load::scenarios::{Bench, LOCAL};
use crate::load::sip::{self, Client, Counting, Server, messages};
use crate::load::text;
use crate::load::xmpp;
use crate::peer::road::{Road, retry};
use crate::peer::tls;
use crate::peer::xmpp::{Partner, PartnerConfig, Stream};

/// Messages per second from SIP: each partner is written to every five seconds.
const TO_PARTNERS: f64 = 200.0;

/// How long a partner waits after its first attempt that failed; twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How long partners find the edge gone.
const OUTAGE: Duration = Duration::from_millis(500);

const ESTABLISHED: What =
    below("storm_reconnect_established_s", "reconnect storm: 1 000 partners, streams in established", "s", 30.0);
const FLOWING: What = below("storm_reconnect_settled_s", "  messages flow both ways with all of them", "s", 30.0);
const REFUSED: What = told("storm_reconnect_refused", "  attempts that were refused, and tried again", "");
const LOST: What = below("storm_reconnect_lost", "  messages lost, bounced or delivered twice", "", 1.0);
const EDGE_CPU: What = told("storm_reconnect_edge_cpu_s", "  CPU of the edge, from its start", "s");
const EDGE_PEAK: What = below("storm_reconnect_edge_peak_mb", "  most memory of the edge", "MB", 256.0);
const GATEWAY_CPU: What = told("storm_reconnect_gateway_cpu_s", "  CPU of the gateway", "s");

const STREAMS: Plot = Plot {
    key: "reconnect_storm",
    title: "1 000 partners come back at once: streams over time",
    x: "seconds since the edge was started",
    y: "streams",
    is_x_logarithmic: false,
    is_y_logarithmic: false,
};

/// The storm, once everybody was there.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let road = &bench.road;
    let crowd = Arc::new(Crowd::default());
    let own = road.authority.issue(&[&road.plan.pool.ip().to_string(), LOCAL])?;
    let stage = bench.stage.clone();
    let counting: Counting = Arc::new(move || stage.flight());
    let heard = Arc::clone(&crowd);
    let accept = sip::accepting(counting);
    let answer: sip::Answering = Arc::new(move |request, out| {
        heard.wrote(request.head);
        accept(request, out);
    });
    let own = tls::server(&road.authority, &own)?;
    // What the storm before has left may hold the places a moment longer.
    let pool = retry("the pool listens", async || {
        Server::answering(road.plan.pool, Some(Arc::clone(&own)), Arc::clone(&answer))
    });
    let _pool = pool.await?;
    let partner = retry("the partners listen", async || crowd.partner(bench).await).await?;
    let mut edge = road.start_edge().await?;
    let gateway = road.start_gateway().await?;
    road.ready().await?;

    let config = tls::client(&road.authority, Some(&road.authority.issue(&["*.storm.example"])?))?;
    let mut partners = JoinSet::new();
    for number in 0..PARTNERS {
        partners.spawn(Arc::clone(&crowd).stay(number, road.plan.edge, Arc::clone(&config)));
    }
    let flight = send(bench, &config_of_pool(road)?, &crowd)?;
    let calm = settled(|_| Ok(crowd.is_flowing())).await?;
    let first = flight.end().await;
    first?;
    if calm.is_none() {
        report.broken("reconnect storm", format!("before it, {}", crowd.state()));
        return Ok(());
    }

    edge.kill()?;
    tokio::time::sleep(OUTAGE).await;
    crowd.begin();
    let before = partner.streams.load(Ordering::Relaxed);
    let mut gateway_spent = Spent::by(&gateway)?;
    let began = Instant::now();
    let to_partners = send(bench, &config_of_pool(road)?, &crowd)?;
    edge = road.start_edge().await?;
    let mut edge_spent = Spent { before: Duration::ZERO, ..Spent::by(&edge)? };
    let mut established = None;
    let done = settled(|_| {
        edge_spent.look()?;
        gateway_spent.look()?;
        let at = began.elapsed();
        let (inbound, outbound) = (crowd.open(), partner.streams.load(Ordering::Relaxed) - before);
        report.point(STREAMS, "inbound", at.as_secs_f64(), inbound as f64);
        report.point(STREAMS, "outbound", at.as_secs_f64(), outbound as f64);
        if inbound == PARTNERS {
            established.get_or_insert(at);
        }
        Ok(established.is_some() && crowd.is_flowing())
    });
    let done = done.await?.map(|_| began.elapsed());
    let flight = Arc::clone(&to_partners.flight);
    to_partners.end().await?;
    let outward = flight.aloft() + flight.failed() + flight.contradicted();
    let inward = crowd.unheard();
    if done.is_none() || outward + inward > 0 {
        report.broken(
            "reconnect storm",
            format!(
                "{}; towards partners {} neither arrived nor came back, {} came back, {} ended twice; of theirs {inward} \
                 did not arrive once",
                crowd.state(),
                flight.aloft(),
                flight.failed(),
                flight.contradicted(),
            ),
        );
    }
    report.add(ESTABLISHED, Who::Us, established.unwrap_or(PATIENCE).as_secs_f64());
    report.add(FLOWING, Who::Us, done.unwrap_or(PATIENCE).as_secs_f64());
    report.add(REFUSED, Who::Us, crowd.refused.load(Ordering::Relaxed) as f64);
    report.add(LOST, Who::Us, (outward + inward) as f64);
    report.add(EDGE_CPU, Who::Us, edge_spent.cpu_seconds()?);
    report.add(EDGE_PEAK, Who::Us, edge_spent.peak_mb());
    report.add(GATEWAY_CPU, Who::Us, gateway_spent.cpu_seconds()?);
    Ok(())
}

fn config_of_pool(road: &Road) -> io::Result<Arc<ClientConfig>> {
    tls::client(&road.authority, Some(&road.authority.issue(&[LOCAL])?))
}

/// The SIP pool writes to all partners in turn from now on.
fn send(bench: &Bench, tls: &Arc<ClientConfig>, crowd: &Crowd) -> io::Result<Load<Client>> {
    let road = &bench.road;
    let via = road.plan.pool.to_string();
    let requests = (0..PARTNERS).flat_map(|number| messages(1, LOCAL, &domain(number), &via)).collect();
    let flight: Arc<Flight> = bench.flight();
    let tls = Some((Arc::clone(tls), LOCAL));
    let client = Client::connect(road.plan.pool.ip(), road.plan.sip, tls, requests, Arc::clone(&flight), false)?;
    crowd.first.store(flight.numbers().start, Ordering::Relaxed);
    Ok(Load::start(Pace::Steady { per_second: TO_PARTNERS }, client, flight))
}

/// What became of one partner.
#[derive(Default)]
struct One {
    is_open: AtomicBool,
    /// Messages it has written on streams that stood.
    wrote: AtomicUsize,
    /// Those that arrived.
    arrived: AtomicUsize,
    /// Messages that it got.
    got: AtomicUsize,
}

/// All partners.
struct Crowd {
    each: Vec<One>,
    refused: AtomicUsize,
    /// The number of the first message to them.
    first: AtomicU64,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            each: (0..PARTNERS).map(|_| One::default()).collect(),
            refused: AtomicUsize::new(0),
            first: AtomicU64::new(0),
        }
    }
}

impl Crowd {
    /// From now on what comes and goes counts.
    fn begin(&self) {
        for one in &self.each {
            [&one.wrote, &one.arrived, &one.got].iter().for_each(|count| count.store(0, Ordering::Relaxed));
        }
        self.refused.store(0, Ordering::Relaxed);
    }

    /// A partner that opens a stream, writes a message, and does so again whenever it loses the stream.
    async fn stay(
        self: Arc<Self>,
        number: usize,
        edge: std::net::SocketAddr,
        tls: Arc<ClientConfig>,
    ) -> io::Result<()> {
        let (bind, domain) = (Some(address(number)), domain(number));
        let Some(one) = self.each.get(number) else { return Ok(()) };
        // Each to somebody else: one user takes one message at a time.
        let to = text::user("a", number, LOCAL);
        let text =
            format!("<message from='u@{domain}/desk' to='{to}' type='chat' id='back'><body>I am back</body></message>");
        let mut pause = FIRST_PAUSE;
        loop {
            match Stream::establish(bind, edge, &domain, LOCAL, &tls).await {
                Ok(mut stream) => {
                    one.is_open.store(true, Ordering::Relaxed);
                    one.wrote.fetch_add(1, Ordering::Relaxed);
                    pause = FIRST_PAUSE;
                    stream.send(&text).await?;
                    // As long as the bench lasts.
                    let _it_has_ended = stream.wait_for_end(2 * PATIENCE).await;
                    one.is_open.store(false, Ordering::Relaxed);
                }
                Err(_) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    // Servers do not keep time together.
                    let part = u32::try_from(number % 100).unwrap_or_default();
                    tokio::time::sleep(pause + pause * part / 100).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The partners' server, which takes what the edge sends to any of them.
    async fn partner(self: &Arc<Self>, bench: &Bench) -> io::Result<Partner> {
        let road = &bench.road;
        let own = road.authority.issue(&["*.storm.example"])?;
        let config = PartnerConfig {
            domain: domain(0),
            tls: Some(tls::server(&road.authority, &own)?),
            offers_external: true,
            offers_management: false,
            dialback_secret: String::new(),
        };
        let (crowd, stage) = (Arc::clone(self), bench.stage.clone());
        let taker = xmpp::taking(move |bytes| {
            text::bracketed(bytes, |number| {
                let turn = number.checked_sub(crowd.first.load(Ordering::Relaxed)).map(|turn| turn as usize % PARTNERS);
                if let Some(one) = turn.and_then(|turn| crowd.each.get(turn)) {
                    one.got.fetch_add(1, Ordering::Relaxed);
                }
                if let Some(flight) = stage.flight() {
                    flight.arrives(number);
                }
            })
        });
        Partner::start_with(bench.partner, config, Some(taker)).await
    }

    /// A partner's message has arrived at the pool.
    fn wrote(&self, head: &[u8]) {
        let one = memchr::memmem::find(head, b"sip:u@p").and_then(|at| {
            let digits = std::str::from_utf8(head.get(at + 7..at + 11)?).ok()?;
            self.each.get(digits.parse::<usize>().ok()?)
        });
        if let Some(one) = one {
            one.arrived.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&self) -> usize {
        self.each.iter().filter(|one| one.is_open.load(Ordering::Relaxed)).count()
    }

    fn is_flowing(&self) -> bool {
        let has_some = |count: &AtomicUsize| count.load(Ordering::Relaxed) > 0;
        self.each.iter().all(|one| has_some(&one.arrived) && has_some(&one.got))
    }

    /// Messages that partners wrote and that did not arrive, or arrived once more.
    fn unheard(&self) -> u64 {
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        self.each.iter().map(|one| count(&one.wrote).abs_diff(count(&one.arrived))).sum()
    }

    fn state(&self) -> String {
        let with = |count: fn(&One) -> &AtomicUsize| {
            self.each.iter().filter(|one| count(one).load(Ordering::Relaxed) > 0).count()
        };
        format!(
            "{} of {PARTNERS} have a stream, {} were heard, {} have heard",
            self.open(),
            with(|one| &one.arrived),
            with(|one| &one.got)
        )
    }
}
