//! The gateway alone: messages in both directions between an edge of our own and a SIP pool over TCP.

use std::io;
use std::sync::Arc;

use causeway_shared::link::StanzaKind;

use super::{ALOFT, Bench, LOCAL, PAIRS, REMOTE};
use crate::load::ends::{self, FakeEdge};
use crate::load::pace::Pace;
use crate::load::report::{Report, Target, What, Who};
use crate::load::sip::{Client, Counting, Server, messages};
use crate::load::{measure, text};
use crate::peer::process::Process;
use crate::peer::road::Road;

/// Gateway: XMPP message -> SIP MESSAGE -> 200 -> acknowledged, per CPU-s.
pub(super) const GATEWAY_TO_SIP_PER_CPU_SECOND: What = What {
    key: "gateway_to_sip_per_cpu_second",
    what: "gateway: XMPP message -> SIP MESSAGE -> 200 -> acknowledged, per CPU-s",
    unit: "/CPU-s",
    target: Target::AtLeast(100_000.0),
};

/// Throughput of that run, one TCP connection.
pub(super) const GATEWAY_TO_SIP_PER_SECOND: What = What {
    key: "gateway_to_sip_per_second",
    what: "  throughput of that run, one TCP connection",
    unit: "/s",
    target: Target::None,
};

/// Gateway: SIP MESSAGE -> XMPP -> acknowledged, per CPU-second.
pub(super) const GATEWAY_TO_XMPP_PER_CPU_SECOND: What = What {
    key: "gateway_to_xmpp_per_cpu_second",
    what: "gateway: SIP MESSAGE -> XMPP -> acknowledged, per CPU-second",
    unit: "/CPU-s",
    target: Target::AtLeast(100_000.0),
};

/// Throughput of that run, one TCP connection.
pub(super) const GATEWAY_TO_XMPP_PER_SECOND: What = What {
    key: "gateway_to_xmpp_per_second",
    what: "  throughput of that run, one TCP connection",
    unit: "/s",
    target: Target::None,
};

/// Both directions.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let (road, stage) = (&bench.road, bench.stage.clone());
    let _dns = bench.dns().await?;
    let counted = stage.clone();
    let edge = FakeEdge::start(road.plan.link, Road::GATEWAY_NAME, ends::edge_tls(road)?, stage.clone(), |_| {
        Box::new(move |stanza| {
            if let Some(flight) = counted.flight() {
                ends::count(&flight, &stanza.xml);
            }
        })
    })
    .await?;
    let counting: Counting = Arc::new(move || stage.flight());
    let _pool = Server::start(road.plan.pool, None, counting)?;
    let gateway = road.start_gateway().await?;
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
