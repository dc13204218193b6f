//! The edge alone: idle streams, handshakes, stanzas in and out, between partners and a gateway of our own.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{ALOFT, Bench, LOCAL, PAIRS, PARTNER, REMOTE, REMOTES, STEADY};
use crate::load::ends::{self, FakeGateway};
use crate::load::measure;
use crate::load::pace::Pace;
use crate::load::report::{Report, Target, What, Who};
use crate::load::text::{self, Template};
use crate::load::xmpp::{self, Sender};
use crate::peer::process::Process;
use crate::peer::road::{Road, retry};
use crate::peer::xmpp::{Partner, PartnerConfig, Stream};
use crate::peer::{fault, tls};

/// Streams that are opened before memory is looked at, so that one-time costs are not counted.
const FIRST_STREAMS: usize = 50;

/// Idle streams whose memory is counted.
const IDLE_STREAMS: usize = 1500;

/// Handshakes that are counted: the kernel tells CPU time in ticks of 10 ms, which shall be a hundredth of the sum.
const HANDSHAKES: usize = 2000;

/// Handshakes at the same time.
const AT_ONCE: usize = 4;

/// Memory is looked at when buffers of the handshake have been given back.
const SETTLE: Duration = Duration::from_secs(3);

/// Edge: memory per idle authenticated TLS stream.
pub(super) const EDGE_IDLE_STREAM_KB: What = What {
    key: "edge_idle_stream_kb",
    what: "edge: memory per idle authenticated TLS stream",
    unit: "kB",
    target: Target::Below(24.0),
};

/// Edge: CPU per inbound handshake (STARTTLS, TLS 1.3, EXTERNAL).
pub(super) const EDGE_HANDSHAKE_CPU_MS: What = What {
    key: "edge_handshake_cpu_ms",
    what: "edge: CPU per inbound handshake (STARTTLS, TLS 1.3, EXTERNAL)",
    unit: "ms",
    target: Target::Below(0.4),
};

/// Edge: stanzas received, checked, relayed, acknowledged per CPU-second.
pub(super) const EDGE_INBOUND_PER_CPU_SECOND: What = What {
    key: "edge_inbound_per_cpu_second",
    what: "edge: stanzas received, checked, relayed, acknowledged per CPU-second",
    unit: "/CPU-s",
    target: Target::AtLeast(300_000.0),
};

/// Throughput of that run, one stream.
pub(super) const EDGE_INBOUND_PER_SECOND: What = What {
    key: "edge_inbound_per_second",
    what: "  throughput of that run, one stream",
    unit: "/s",
    target: Target::None,
};

/// Edge: inbound at a steady 20 000/s, CPU per stanza.
pub(super) const EDGE_INBOUND_STEADY_CPU_US: What = What {
    key: "edge_inbound_steady_cpu_us",
    what: "edge: inbound at a steady 20 000/s, CPU per stanza",
    unit: "us",
    target: Target::Below(25.0),
};

/// Edge: outbound, link to TLS stream, per CPU-second.
pub(super) const EDGE_OUTBOUND_PER_CPU_SECOND: What = What {
    key: "edge_outbound_per_cpu_second",
    what: "edge: outbound, link to TLS stream, per CPU-second",
    unit: "/CPU-s",
    target: Target::AtLeast(300_000.0),
};

/// Throughput of that run, one stream.
pub(super) const EDGE_OUTBOUND_PER_SECOND: What = What {
    key: "edge_outbound_per_second",
    what: "  throughput of that run, one stream",
    unit: "/s",
    target: Target::None,
};

/// Edge: outbound at a steady 20 000/s, CPU per stanza.
pub(super) const EDGE_OUTBOUND_STEADY_CPU_US: What = What {
    key: "edge_outbound_steady_cpu_us",
    what: "edge: outbound at a steady 20 000/s, CPU per stanza",
    unit: "us",
    target: Target::Below(25.0),
};

/// All figures of the edge.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let _dns = bench.dns().await?;
    let edge = bench.road.start_edge().await?;
    let gateway = attach(bench).await?;
    let _partner = partner(bench).await?;
    idle(&bench.road, &edge, Who::Us, report).await?;
    handshakes(&bench.road, &edge, Who::Us, report).await?;
    inbound(bench, &edge, report).await?;
    outbound(bench, &edge, &gateway, report).await
}

async fn attach(bench: &Bench) -> io::Result<FakeGateway> {
    let road = &bench.road;
    FakeGateway::start(
        road.plan.link,
        Road::EDGE_NAME,
        ends::gateway_tls(road)?,
        ends::snapshot(road)?,
        bench.stage.clone(),
    )
    .await
}

/// The partner's server, where all its domains live.
pub(super) async fn partner(bench: &Bench) -> io::Result<Partner> {
    let road = &bench.road;
    let own = road.authority.issue(&REMOTES)?;
    let config = PartnerConfig {
        domain: REMOTE.to_owned(),
        tls: Some(tls::server(&road.authority, &own)?),
        offers_external: true,
        offers_management: false,
        dialback_secret: String::new(),
    };
    let stage = bench.stage.clone();
    let taker = xmpp::counting(move || stage.flight());
    Partner::start_with(bench.partner, config, Some(taker)).await
}

/// An established stream that sends messages.
pub(super) async fn sender(road: &Road) -> io::Result<Sender> {
    sender_of(road, text::stanzas(PAIRS, REMOTE, LOCAL)).await
}

/// The same, with these messages.
pub(super) async fn sender_of(road: &Road, stanzas: Vec<Template>) -> io::Result<Sender> {
    let own = road.authority.issue(&[REMOTE])?;
    let config = tls::client(&road.authority, Some(&own))?;
    let edge = road.plan.edge;
    let stream =
        retry("a stream to the edge", async || Stream::establish(Some(PARTNER), edge, REMOTE, LOCAL, &config).await);
    Sender::new(stream.await?, stanzas)
}

/// Opens streams from many addresses and all partners, a few at a time.
async fn streams(road: &Road, count: usize) -> io::Result<Vec<Stream>> {
    let own = road.authority.issue(&REMOTES)?;
    let config = tls::client(&road.authority, Some(&own))?;
    let (mut open, mut tasks) = (Vec::with_capacity(count), JoinSet::new());
    for number in 0..count {
        if tasks.len() >= AT_ONCE {
            open.push(tasks.join_next().await.ok_or_else(|| fault("no task"))?.map_err(io::Error::other)??);
        }
        let (config, edge) = (Arc::clone(&config), road.plan.edge);
        let from = REMOTES.get(number % REMOTES.len()).copied().unwrap_or(REMOTE);
        let last = u8::try_from(100 + number % 100).unwrap_or(100);
        let bind = IpAddr::V4(Ipv4Addr::new(127, 0, 20, last));
        tasks.spawn(async move { Stream::establish(Some(bind), edge, from, LOCAL, &config).await });
    }
    while let Some(stream) = tasks.join_next().await {
        open.push(stream.map_err(io::Error::other)??);
    }
    Ok(open)
}

/// Memory of the measured server, which listens where the edge does otherwise.
pub(super) async fn idle(road: &Road, server: &Process, who: Who, report: &mut Report) -> io::Result<()> {
    let _first = streams(road, FIRST_STREAMS).await?;
    tokio::time::sleep(SETTLE).await;
    let before = server.resident()?;
    let _idle = streams(road, IDLE_STREAMS).await?;
    tokio::time::sleep(SETTLE).await;
    let grown = server.resident()?.saturating_sub(before);
    report.add(EDGE_IDLE_STREAM_KB, who, grown as f64 / IDLE_STREAMS as f64 / 1000.0);
    Ok(())
}

/// CPU of the measured server, which listens where the edge does otherwise.
pub(super) async fn handshakes(road: &Road, server: &Process, who: Who, report: &mut Report) -> io::Result<()> {
    drop(streams(road, FIRST_STREAMS).await?);
    let before = server.cpu()?;
    drop(streams(road, HANDSHAKES).await?);
    // The end of a stream belongs to its cost.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let spent = server.cpu()?.saturating_sub(before);
    report.add(EDGE_HANDSHAKE_CPU_MS, who, spent.as_secs_f64() * 1e3 / HANDSHAKES as f64);
    Ok(())
}

async fn inbound(bench: &Bench, edge: &Process, report: &mut Report) -> io::Result<()> {
    let wire = sender(&bench.road).await?;
    let (sample, wire) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &[edge]).await?;
    report.losses("edge inbound", &sample);
    report.add(EDGE_INBOUND_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    report.add(EDGE_INBOUND_PER_SECOND, Who::Us, sample.per_second);
    let (sample, wire) = measure::run(Pace::Steady { per_second: STEADY }, wire, &bench.flight(), &[edge]).await?;
    report.add(EDGE_INBOUND_STEADY_CPU_US, Who::Us, sample.cpu_us.first().copied().unwrap_or_default());
    wire.close()
}

/// Messages to the partner's users.
pub(super) fn outbound_stanzas() -> Vec<Template> {
    (0..PAIRS).map(|pair| text::stanza(&text::user("a", pair, LOCAL), &text::user("u", pair, REMOTE))).collect()
}

async fn outbound(bench: &Bench, edge: &Process, gateway: &FakeGateway, report: &mut Report) -> io::Result<()> {
    // Arrival is the partner's receipt; the edge's acknowledgement comes on top and is counted by nobody.
    let flight = bench.flight();
    let wire = gateway.wire(outbound_stanzas(), &flight)?;
    let (sample, _) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &flight, &[edge]).await?;
    report.losses("edge outbound", &sample);
    report.add(EDGE_OUTBOUND_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    report.add(EDGE_OUTBOUND_PER_SECOND, Who::Us, sample.per_second);
    let flight = bench.flight();
    let wire = gateway.wire(outbound_stanzas(), &flight)?;
    let (sample, _) = measure::run(Pace::Steady { per_second: STEADY }, wire, &flight, &[edge]).await?;
    report.add(EDGE_OUTBOUND_STEADY_CPU_US, Who::Us, sample.cpu_us.first().copied().unwrap_or_default());
    Ok(())
}
