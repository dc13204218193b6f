//! The gateway alone, with a SIP pool over UDP: the same messages as in the gateway's scenario over TCP.
//!
//! Over UDP each answered request is kept for 32 seconds, so that its retransmission is answered and not delivered again
//! (Timer J, RFC 3261, section 17.2.2). What is kept is bounded, so what goes on for longer ends at 503 and is a different
//! figure: measured is a wave of messages that fits below the bound, through a gateway that has kept nothing before.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_shared::link::StanzaKind;
use causeway_sip::limits::MAX_SERVER_TRANSACTIONS;

use super::{Bench, LOCAL, PAIRS, REMOTE};
use crate::load::ends::{self, FakeEdge};
use crate::load::flight::Flight;
use crate::load::measure::{Sample, Wave};
use crate::load::report::{Report, What, Who};
use crate::load::{datagrams, measure, sip, text};
use crate::peer::process::Process;

/// On their way all at once: they fit into one socket's buffer, as the kernel counts, so that none is lost.
pub(super) const WAVE: Wave = Wave { aloft: 256, warm_up: 20_000, counted: 100_000 };

const _: () = assert!(WAVE.warm_up + WAVE.counted < MAX_SERVER_TRANSACTIONS as u64);

pub(super) const UDP_TO_SIP_PER_CPU_SECOND: What = What::told(
    "gateway_to_sip_udp_per_cpu_second",
    "gateway over UDP: 100 000 XMPP messages -> SIP MESSAGE -> 200, per CPU-second",
    "/CPU-s",
);

pub(super) const UDP_TO_XMPP_PER_CPU_SECOND: What = What::told(
    "gateway_to_xmpp_udp_per_cpu_second",
    "gateway over UDP: 100 000 SIP MESSAGEs -> XMPP -> acknowledged, per CPU-second",
    "/CPU-s",
);

const UDP_KEPT_MB: What =
    What::told("gateway_udp_kept_mb", "  memory of the gateway then, 120 000 answered ones kept (Timer J)", "MB");

/// Both directions.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let _dns = bench.dns().await?;
    let edge = ends::taking(&bench.road, &bench.stage).await?;
    let _pool = datagrams::Server::start(bench.road.plan.pool, bench.counting())?;
    let over_udp =
        |toml: &str| toml.replace("next_hops = ['tcp:", "next_hops = ['udp:").replace("transport=tcp", "transport=udp");
    let start = async || {
        let gateway = bench.road.start_another_gateway("gateway", &bench.road.plan, over_udp).await?;
        edge.attached().await?;
        Ok::<_, io::Error>(gateway)
    };
    let gateway = start().await?;
    to_sip(bench, &edge, &gateway, report).await?;
    drop(gateway);
    edge.detached().await?;
    to_xmpp(bench, &start().await?, report).await
}

async fn to_sip(bench: &Bench, edge: &FakeEdge, gateway: &Process, report: &mut Report) -> io::Result<()> {
    let wire = edge.wire(StanzaKind::Message, REMOTE, LOCAL, text::stanzas(PAIRS, REMOTE, LOCAL))?;
    let (sample, _) = measure::wave(WAVE, wire, &bench.flight(), &[gateway]).await?;
    report.losses("gateway to SIP over UDP", &sample);
    report.add(UDP_TO_SIP_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    Ok(())
}

async fn to_xmpp(bench: &Bench, gateway: &Process, report: &mut Report) -> io::Result<()> {
    let flight = bench.flight();
    let wire = client(bench, bench.road.plan.sip, &flight)?;
    let (sample, _) = measure::wave(WAVE, wire, &flight, &[gateway]).await?;
    let resident = gateway.resident()?;
    losses("gateway to XMPP over UDP", &sample, report);
    report.add(UDP_TO_XMPP_PER_CPU_SECOND, Who::Us, sample.per_cpu_second(0));
    report.add(UDP_KEPT_MB, Who::Us, resident as f64 / 1e6);
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
