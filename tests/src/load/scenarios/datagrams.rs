//! The gateway alone, with a SIP pool over UDP: the same messages as in the gateway's scenario over TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_shared::link::StanzaKind;

use super::{Bench, LOCAL, PAIRS, REMOTE};
use crate::load::ends::{self, FakeEdge};
use crate::load::flight::Flight;
use crate::load::measure::Sample;
use crate::load::pace::Pace;
use crate::load::report::{Report, Target, What, Who};
use crate::load::sip::{self, Counting};
use crate::load::{datagrams, measure, text};
use crate::peer::process::Process;
use crate::peer::road::Road;

/// Messages on their way: all of them fit into one socket's buffer, as the kernel counts, so that none is lost.
pub(super) const ALOFT: u64 = 256;

/// XMPP message -> SIP MESSAGE over UDP -> 200 -> acknowledged, per CPU-second.
pub(super) const UDP_TO_SIP_PER_CPU_SECOND: What = What {
    key: "gateway_to_sip_udp_per_cpu_second",
    what: "gateway over UDP: XMPP message -> SIP MESSAGE -> 200, per CPU-second",
    unit: "/CPU-s",
    target: Target::None,
};

/// SIP MESSAGE over UDP -> XMPP -> acknowledged, per CPU-second.
pub(super) const UDP_TO_XMPP_PER_CPU_SECOND: What = What {
    key: "gateway_to_xmpp_udp_per_cpu_second",
    what: "gateway over UDP: SIP MESSAGE -> XMPP -> acknowledged, per CPU-second",
    unit: "/CPU-s",
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
    let _pool = datagrams::Server::start(road.plan.pool, counting)?;
    let over_udp =
        |toml: &str| toml.replace("next_hops = ['tcp:", "next_hops = ['udp:").replace("transport=tcp", "transport=udp");
    let gateway = road.start_another_gateway("gateway", &road.plan, over_udp).await?;
    edge.attached().await?;
    to_sip(bench, &edge, &gateway, report).await?;
    to_xmpp(bench, &gateway, report).await
}

async fn to_sip(bench: &Bench, edge: &FakeEdge, gateway: &Process, report: &mut Report) -> io::Result<()> {
    let wire = edge.wire(StanzaKind::Message, REMOTE, LOCAL, text::stanzas(PAIRS, REMOTE, LOCAL))?;
    let (sample, _) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &[gateway]).await?;
    report.losses("gateway to SIP over UDP", &sample);
    report.add(UDP_TO_SIP_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    Ok(())
}

async fn to_xmpp(bench: &Bench, gateway: &Process, report: &mut Report) -> io::Result<()> {
    let flight = bench.flight();
    let wire = client(bench, bench.road.plan.sip, &flight)?;
    let (sample, _) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &flight, &[gateway]).await?;
    losses("gateway to XMPP over UDP", &sample, report);
    report.add(UDP_TO_XMPP_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    Ok(())
}

/// A client that sends from the pool, beside the port at which the pool takes requests.
pub(super) fn client(bench: &Bench, server: SocketAddr, flight: &Arc<Flight>) -> io::Result<datagrams::Client> {
    let pool = bench.road.plan.pool;
    let from = SocketAddr::new(pool.ip(), pool.port() + 1);
    let requests = sip::datagrams(PAIRS, LOCAL, REMOTE, &from.to_string());
    datagrams::Client::connect(from, server, requests, Arc::clone(flight))
}

/// What is lost over UDP also shows as requests without an answer.
pub(super) fn losses(scenario: &str, sample: &Sample, report: &mut Report) {
    report.losses(scenario, sample);
    if sample.unanswered > 0 {
        report.broken(scenario, format!("{} requests had no answer", sample.unanswered));
    }
}
