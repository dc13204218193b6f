//! Idle streams: a hundred to ten thousand at one edge, from a hundred addresses, and one among them that works.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::edge::EDGE_IDLE_STREAM_KB;
use super::super::{ALOFT, Bench, LOCAL};
use super::idle::idle_ms;
use super::spread::{Spread, WILDCARD, domain};
use super::{BY_STREAMS, Curve, FLAT, IDLE, MEMORY_BY_STREAMS, ratio, road};
use crate::load::ends::{self, FakeGateway};
use crate::load::measure;
use crate::load::pace::Pace;
use crate::load::report::{Report, Target, What, Who};
use crate::peer::road::{PartnerPlan, Road};
use crate::peer::xmpp::Stream;
use crate::peer::{fault, tls};

/// Idle streams.
const SIZES: [usize; 3] = [100, 1_000, 10_000];

/// Partners that share them; one may have a thousand.
const PARTNERS: usize = 20;

/// Streams that are opened before memory is looked at, so that one-time costs are not counted.
const FIRST: usize = 50;

/// Handshakes at the same time.
const AT_ONCE: usize = 8;

/// Memory is looked at when buffers of the handshake have been given back.
const SETTLE: Duration = Duration::from_secs(3);

const KB: What =
    What { key: "growth_stream_kb", what: "10 000 idle streams: memory of the edge per stream", ..EDGE_IDLE_STREAM_KB };

const MEMORY: What =
    ratio("growth_stream_memory_ratio", "  the same in parts of what it is with 100", Target::Below(1.2));

const CPU: What = ratio("growth_streams_cpu", "10 000 idle streams / 100: CPU of the edge per stanza of another", FLAT);

const IDLE_MS: What =
    What { key: "growth_streams_idle_ms", what: "  CPU of an idle second", unit: "ms", target: Target::Below(10.0) };

/// All sizes, smallest first; streams stay open.
pub(in super::super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let road = road(bench, "streams", |plan| {
        plan.partners = (0..PARTNERS).map(|number| PartnerPlan::external(&domain(number))).collect();
    })?;
    let edge = road.start_edge().await?;
    let link = (road.plan.link, Road::EDGE_NAME, ends::gateway_tls(&road)?);
    let _gateway = FakeGateway::start(link.0, link.1, link.2, ends::snapshot(&road)?, bench.stage.clone()).await?;
    let mut open = streams(&road, 0..FIRST).await?;
    tokio::time::sleep(SETTLE).await;
    let before = edge.resident()?;
    let (mut memory, mut cpu, mut idle) = (Curve::default(), Curve::default(), 0.0);
    for size in SIZES {
        open.extend(streams(&road, open.len()..FIRST + size).await?);
        tokio::time::sleep(SETTLE).await;
        let grown = edge.resident()?.saturating_sub(before) as f64 / size as f64 / 1e3;
        memory.add(report, MEMORY_BY_STREAMS, "an authenticated stream", size, grown);
        idle = idle_ms(&[&edge]).await?.iter().sum();
        report.point(IDLE, "streams, edge", size as f64, idle);
        let wire = Spread::open(&road, 1, &[road.plan.edge]).await?;
        let saturated = Pace::Saturate { aloft: ALOFT };
        let (sample, _) = measure::run(saturated, wire, &bench.flight(), &[&edge]).await?;
        report.losses("growth, streams", &sample);
        cpu.add(report, BY_STREAMS, "a stanza", size, sample.cpu_us.first().copied().unwrap_or_default());
    }
    memory.0.last().iter().for_each(|(_, kilobytes)| report.add(KB, Who::Us, *kilobytes));
    memory.ends(report, MEMORY);
    cpu.ends(report, CPU);
    report.add(IDLE_MS, Who::Us, idle);
    Ok(())
}

/// Opens streams, a few at a time.
async fn streams(road: &Road, numbers: Range<usize>) -> io::Result<Vec<Stream>> {
    let config = tls::client(&road.authority, Some(&road.authority.issue(&[WILDCARD])?))?;
    let (mut open, mut opening) = (Vec::with_capacity(numbers.len()), JoinSet::new());
    for number in numbers {
        if opening.len() >= AT_ONCE {
            open.push(opened(&mut opening).await?);
        }
        let (config, edge) = (Arc::clone(&config), road.plan.edge);
        let last = u8::try_from(100 + number % 100).unwrap_or(100);
        let bind = IpAddr::V4(Ipv4Addr::new(127, 0, 20, last));
        let from = domain(number % PARTNERS);
        opening.spawn(async move { Stream::establish(Some(bind), edge, &from, LOCAL, &config).await });
    }
    while !opening.is_empty() {
        open.push(opened(&mut opening).await?);
    }
    Ok(open)
}

async fn opened(opening: &mut JoinSet<io::Result<Stream>>) -> io::Result<Stream> {
    opening.join_next().await.ok_or_else(|| fault("no stream is being opened"))?.map_err(io::Error::other)?
}
