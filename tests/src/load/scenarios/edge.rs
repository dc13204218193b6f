//! The edge alone: idle streams, handshakes, stanzas in and out, between partners and a gateway of our own.

use std::io;
use std::iter::repeat_n;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::JoinSet;

use super::{ALOFT, Bench, LOCAL, PAIRS, PARTNER, REMOTE, REMOTES, STEADY};
use crate::load::ends::{self, FakeGateway};
use crate::load::measure;
use crate::load::pace::Pace;
use crate::load::report::{Report, What, Who};
use crate::load::text::{self, Template};
use crate::load::xmpp::{self, Sender};
use crate::peer::process::Process;
use crate::peer::road::{Road, retry};
use crate::peer::xmpp::{Partner, PartnerConfig, Stream, Taker};
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

pub(super) const EDGE_IDLE_STREAM_KB: What =
    What::below("edge_idle_stream_kb", "edge: memory per idle authenticated TLS stream", "kB", 24.0);

pub(super) const EDGE_HANDSHAKE_CPU_MS: What =
    What::below("edge_handshake_cpu_ms", "edge: CPU per inbound handshake (STARTTLS, TLS 1.3, EXTERNAL)", "ms", 0.4);

pub(super) const EDGE_FRESH_HANDSHAKE_CPU_MS: What =
    What::told("edge_fresh_handshake_cpu_ms", "  the same, each with a certificate never seen before", "ms");

pub(super) const EDGE_INBOUND_PER_CPU_SECOND: What = What::at_least(
    "edge_inbound_per_cpu_second",
    "edge: stanzas received, checked, relayed, acknowledged per CPU-second",
    "/CPU-s",
    300_000.0,
);

/// Ours is the same figure: a gateway has them all.
pub(super) const EDGE_DELIVERED_PER_CPU_SECOND: What = What::told(
    "edge_delivered_per_cpu_second",
    "  beside peers that deliver them to a component, not discard them",
    "/CPU-s",
);

pub(super) const EDGE_INBOUND_PER_SECOND: What =
    What::told("edge_inbound_per_second", "  throughput of that run, one stream", "/s");

pub(super) const EDGE_INBOUND_STEADY_CPU_US: What =
    What::below("edge_inbound_steady_cpu_us", "edge: inbound at a steady 20 000/s, CPU per stanza", "us", 25.0);

pub(super) const EDGE_OUTBOUND_PER_CPU_SECOND: What = What::at_least(
    "edge_outbound_per_cpu_second",
    "edge: outbound, link to TLS stream, per CPU-second",
    "/CPU-s",
    300_000.0,
);

pub(super) const EDGE_OUTBOUND_PER_SECOND: What =
    What::told("edge_outbound_per_second", "  throughput of that run, one stream", "/s");

pub(super) const EDGE_OUTBOUND_STEADY_CPU_US: What =
    What::below("edge_outbound_steady_cpu_us", "edge: outbound at a steady 20 000/s, CPU per stanza", "us", 25.0);

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
    let stage = bench.stage.clone();
    partner_with(bench, bench.partner, xmpp::counting(move || stage.flight())).await
}

/// The same, somewhere else and with somebody else who takes the streams.
pub(super) async fn partner_with(bench: &Bench, address: SocketAddr, taker: Taker) -> io::Result<Partner> {
    let road = &bench.road;
    let own = road.authority.issue(&REMOTES)?;
    let config = PartnerConfig {
        domain: REMOTE.to_owned(),
        tls: Some(tls::server(&road.authority, &own)?),
        offers_external: true,
        offers_management: false,
        dialback_secret: String::new(),
    };
    Partner::start_with(address, config, Some(taker)).await
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

/// What partners show: one certificate for all of them.
fn known(road: &Road) -> io::Result<Arc<ClientConfig>> {
    tls::client(&road.authority, Some(&road.authority.issue(&REMOTES)?))
}

/// Opens a stream with each of these certificates, from many addresses and all partners, a few at a time.
async fn streams(road: &Road, shown: impl Iterator<Item = Arc<ClientConfig>>) -> io::Result<Vec<Stream>> {
    let (mut open, mut tasks) = (Vec::new(), JoinSet::new());
    for (number, config) in shown.enumerate() {
        if tasks.len() >= AT_ONCE {
            open.push(tasks.join_next().await.ok_or_else(|| fault("no task"))?.map_err(io::Error::other)??);
        }
        let edge = road.plan.edge;
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
    let known = known(road)?;
    let _first = streams(road, repeat_n(Arc::clone(&known), FIRST_STREAMS)).await?;
    tokio::time::sleep(SETTLE).await;
    let before = server.resident()?;
    let _idle = streams(road, repeat_n(known, IDLE_STREAMS)).await?;
    tokio::time::sleep(SETTLE).await;
    let grown = server.resident()?.saturating_sub(before);
    report.add(EDGE_IDLE_STREAM_KB, who, grown as f64 / IDLE_STREAMS as f64 / 1000.0);
    Ok(())
}

/// CPU of the measured server, which listens where the edge does otherwise: by partners that come back, then by partners
/// whose certificates are all new.
pub(super) async fn handshakes(road: &Road, server: &Process, who: Who, report: &mut Report) -> io::Result<()> {
    let come_back = known(road)?;
    drop(streams(road, repeat_n(Arc::clone(&come_back), FIRST_STREAMS)).await?);
    let fresh = (0..HANDSHAKES).map(|_| known(road)).collect::<io::Result<Vec<_>>>()?;
    let known = vec![come_back; HANDSHAKES];
    for (row, shown) in [(EDGE_HANDSHAKE_CPU_MS, known), (EDGE_FRESH_HANDSHAKE_CPU_MS, fresh)] {
        let before = server.cpu()?;
        drop(streams(road, shown.into_iter()).await?);
        // The end of a stream belongs to its cost.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let spent = server.cpu()?.saturating_sub(before);
        report.add(row, who, spent.as_secs_f64() * 1e3 / HANDSHAKES as f64);
    }
    Ok(())
}

async fn inbound(bench: &Bench, edge: &Process, report: &mut Report) -> io::Result<()> {
    let wire = sender(&bench.road).await?;
    let (sample, wire) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &[edge]).await?;
    report.losses("edge inbound", &sample);
    for row in [EDGE_INBOUND_PER_CPU_SECOND, EDGE_DELIVERED_PER_CPU_SECOND] {
        report.add(row, Who::Us, sample.per_cpu_second(0));
    }
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
