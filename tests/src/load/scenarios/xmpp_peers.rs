//! Prosody and ejabberd at the work of the edge: the same generator, the same texts, the same partner, the same counts.
//!
//! The edge relays every stanza it is sent, so two figures of a peer stand beside its one: stanzas received and
//! discarded, the least that a server can do, and stanzas received and delivered to a local component that reads them.
//! To send, the component hands over what the edge gets from a gateway.

use std::io;
use std::sync::Arc;

use super::edge::{self, EDGE_INBOUND_PER_CPU_SECOND, EDGE_INBOUND_PER_SECOND, EDGE_INBOUND_STEADY_CPU_US};
use super::edge::{EDGE_OUTBOUND_PER_CPU_SECOND, EDGE_OUTBOUND_PER_SECOND, EDGE_OUTBOUND_STEADY_CPU_US};
use super::{ALOFT, Bench, LOCAL, PAIRS, REMOTE, STEADY};
use crate::load::component::{Component, MARK_EVERY, Marked, Tells};
use crate::load::measure::{self, Sample};
use crate::load::pace::Pace;
use crate::load::report::{Report, Target, What, Who};
use crate::load::servers::{COMPONENT_SECRET, DISCARDING, Federated, Server, ejabberd, prosody};
use crate::load::text::{self, Template};
use crate::peer::dns::Dns;
use crate::peer::fault;

/// A server that is asked for the steady rate must be able to do this many times as much: below, what is measured is
/// how it drowns.
const HEADROOM: f64 = 1.25;

/// Stanzas received and delivered to a local component, per CPU-second.
pub(super) const S2S_DELIVERED_PER_CPU_SECOND: What = What {
    key: "s2s_delivered_per_cpu_second",
    what: "  of peers: the same, and delivered to a local component",
    unit: "/CPU-s",
    target: Target::None,
};

/// All figures of one peer.
pub(super) async fn measure(bench: &Bench, who: Who, report: &mut Report) -> io::Result<()> {
    let plan = &bench.road.plan;
    let federated = Federated {
        authority: &bench.road.authority,
        domain: LOCAL,
        s2s: plan.edge,
        component: plan.link,
        dns: plan.dns,
    };
    let _dns = dns(bench, who).await?;
    let server = match who {
        Who::Prosody => prosody::start(&federated).await?,
        Who::Ejabberd => ejabberd::start(&federated).await?,
        Who::Us | Who::Kamailio => return Err(fault(format!("{} is not measured here", who.name()))),
    };
    let stage = bench.stage.clone();
    let component = Component::attach(plan.link, LOCAL, COMPONENT_SECRET, move || stage.flight()).await?;
    let _partner = edge::partner(bench).await?;
    edge::idle(&bench.road, &server.process, who, report).await?;
    edge::handshakes(&bench.road, &server.process, who, report).await?;
    discarded(bench, &server, &component, who, report).await?;
    delivered(bench, &server, &component, who, report).await?;
    sent(bench, &server, &component, who, report).await
}

/// ejabberd asks its name server for SRV records only and libc for addresses, which needs no name server for what is an
/// address already.
async fn dns(bench: &Bench, who: Who) -> io::Result<Dns> {
    if who != Who::Ejabberd {
        return bench.dns().await;
    }
    let dns = Dns::start(bench.road.plan.dns).await?;
    dns.xmpp(REMOTE, &bench.partner.ip().to_string(), bench.partner.port());
    Ok(dns)
}

/// Received and discarded, but for the last of each row of [`MARK_EVERY`], which tells that the row was read.
async fn discarded(
    bench: &Bench,
    server: &Server,
    component: &Component,
    who: Who,
    report: &mut Report,
) -> io::Result<()> {
    component.tells(Tells::Row);
    let flight = bench.flight();
    let wire = Marked { wire: edge::sender_of(&bench.road, rows()).await?, flight: Arc::clone(&flight) };
    let (sample, marked) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &flight, &[&server.process]).await?;
    report.losses(&format!("{}: received and discarded", who.name()), &sample);
    report.add(EDGE_INBOUND_PER_CPU_SECOND, who, sample.per_cpu_second(0));
    report.add(EDGE_INBOUND_PER_SECOND, who, sample.per_second);
    let mut wire = marked.wire;
    if can_keep_up(&sample) {
        let flight = bench.flight();
        let marked = Marked { wire, flight: Arc::clone(&flight) };
        let pace = Pace::Steady { per_second: STEADY };
        let (sample, marked) = measure::run(pace, marked, &flight, &[&server.process]).await?;
        report.losses(&format!("{}: received at a steady rate", who.name()), &sample);
        report.add(EDGE_INBOUND_STEADY_CPU_US, who, sample.cpu_us.first().copied().unwrap_or_default());
        wire = marked.wire;
    }
    wire.close()
}

/// The texts of the edge's scenario, to a domain where they are discarded, but for the last of each row.
fn rows() -> Vec<Template> {
    let mut stanzas = text::stanzas(PAIRS, REMOTE, DISCARDING);
    let marks = text::stanzas(PAIRS, REMOTE, LOCAL);
    for ((number, stanza), mark) in (1..).zip(&mut stanzas).zip(marks) {
        if u64::is_multiple_of(number, MARK_EVERY) {
            *stanza = mark;
        }
    }
    stanzas
}

async fn delivered(
    bench: &Bench,
    server: &Server,
    component: &Component,
    who: Who,
    report: &mut Report,
) -> io::Result<()> {
    component.tells(Tells::Itself);
    let wire = edge::sender(&bench.road).await?;
    let (sample, wire) =
        measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &[&server.process]).await?;
    report.losses(&format!("{}: received and delivered", who.name()), &sample);
    report.add(S2S_DELIVERED_PER_CPU_SECOND, who, sample.per_cpu_second(0));
    wire.close()
}

async fn sent(bench: &Bench, server: &Server, component: &Component, who: Who, report: &mut Report) -> io::Result<()> {
    component.tells(Tells::Nothing);
    let wire = component.wire(edge::outbound_stanzas())?;
    let (sample, wire) =
        measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &[&server.process]).await?;
    report.losses(&format!("{}: sent", who.name()), &sample);
    report.add(EDGE_OUTBOUND_PER_CPU_SECOND, who, sample.per_cpu_second(0));
    report.add(EDGE_OUTBOUND_PER_SECOND, who, sample.per_second);
    if can_keep_up(&sample) {
        let pace = Pace::Steady { per_second: STEADY };
        let (sample, _) = measure::run(pace, wire, &bench.flight(), &[&server.process]).await?;
        report.losses(&format!("{}: sent at a steady rate", who.name()), &sample);
        report.add(EDGE_OUTBOUND_STEADY_CPU_US, who, sample.cpu_us.first().copied().unwrap_or_default());
    }
    Ok(())
}

/// Whether the steady rate is one that this server can be asked for.
fn can_keep_up(saturated: &Sample) -> bool {
    saturated.per_second > STEADY * HEADROOM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_row_is_delivered_and_the_others_are_not() {
        for (number, mut stanza) in (0..).zip(rows()) {
            let is_delivered = memchr::memmem::find(stanza.with(number), LOCAL.as_bytes()).is_some();
            assert_eq!(is_delivered, number % MARK_EVERY == MARK_EVERY - 1, "{number}");
            assert_eq!(stanza.with(number).len(), text::STANZA_BYTES);
        }
        assert_eq!(PAIRS as u64 % MARK_EVERY, 0);
    }
}
