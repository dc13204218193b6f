//! The gateway alone: messages in both directions between an edge of our own and a SIP pool over TCP.

use std::io;
use std::sync::Arc;

use causeway_shared::link::StanzaKind;

use super::{ALOFT, Bench, LOCAL, PAIRS, REMOTE};
use crate::load::ends::{self, FakeEdge};
use crate::load::pace::Pace;
use crate::load::report::{Report, What, Who};
use crate::load::sip::{Client, Server, messages};
use crate::load::{measure, text};
use crate::peer::process::Process;

pub(super) const GATEWAY_TO_SIP_PER_CPU_SECOND: What = What::at_least(
    "gateway_to_sip_per_cpu_second",
    "gateway: XMPP message -> SIP MESSAGE -> 200 -> acknowledged, per CPU-s",
    "/CPU-s",
    100_000.0,
);

const GATEWAY_TO_SIP_PER_SECOND: What =
    What::told("gateway_to_sip_per_second", "  throughput of that run, one TCP connection", "/s");

pub(super) const GATEWAY_TO_XMPP_PER_CPU_SECOND: What = What::at_least(
    "gateway_to_xmpp_per_cpu_second",
    "gateway: SIP MESSAGE -> XMPP -> acknowledged, per CPU-second",
    "/CPU-s",
    100_000.0,
);

const GATEWAY_TO_XMPP_PER_SECOND: What =
    What::told("gateway_to_xmpp_per_second", "  throughput of that run, one TCP connection", "/s");

/// Both directions.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let _dns = bench.dns().await?;
    let edge = ends::taking(&bench.road, &bench.stage).await?;
    let _pool = Server::start(bench.road.plan.pool, None, bench.counting())?;
    let gateway = bench.road.start_gateway().await?;
    edge.attached().await?;
    to_sip(bench, &edge, &gateway, report).await?;
    to_xmpp(bench, &gateway, report).await
}

async fn to_sip(bench: &Bench, edge: &FakeEdge, gateway: &Process, report: &mut Report) -> io::Result<()> {
    let wire = edge.wire(StanzaKind::Message, REMOTE, LOCAL, text::stanzas(PAIRS, REMOTE, LOCAL))?;
    let (sample, _) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &[gateway]).await?;
    report.losses("gateway to SIP", &sample);
    report.add(GATEWAY_TO_SIP_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    report.add(GATEWAY_TO_SIP_PER_SECOND, Who::Us, sample.per_second);
    Ok(())
}

async fn to_xmpp(bench: &Bench, gateway: &Process, report: &mut Report) -> io::Result<()> {
    let flight = bench.flight();
    let plan = &bench.road.plan;
    let requests = messages(PAIRS, LOCAL, REMOTE, &plan.pool.to_string());
    let wire = Client::connect(plan.pool.ip(), plan.sip, None, requests, Arc::clone(&flight), false)?;
    let (sample, _) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &flight, &[gateway]).await?;
    report.losses("gateway to XMPP", &sample);
    report.add(GATEWAY_TO_XMPP_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    report.add(GATEWAY_TO_XMPP_PER_SECOND, Who::Us, sample.per_second);
    Ok(())
}
