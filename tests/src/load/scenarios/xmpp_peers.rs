//! Prosody and ejabberd at the work of the edge: the same generator, the same texts, the same partner, the same counts.
//!
//! The edge relays every stanza it is sent, so two figures of a peer stand beside its one: stanzas received and
//! discarded, the least that a server can do, and stanzas received and delivered to a local component that reads them.
//! To send, the component hands over what the edge gets from a gateway.

use std::io;
use std::sync::Arc;

use super::edge::EDGE_OUTBOUND_STEADY_CPU_US;
use super::edge::{self, EDGE_DELIVERED_PER_CPU_SECOND, EDGE_INBOUND_PER_CPU_SECOND, EDGE_INBOUND_PER_SECOND};
use super::edge::{EDGE_INBOUND_STEADY_CPU_US, EDGE_OUTBOUND_PER_CPU_SECOND, EDGE_OUTBOUND_PER_SECOND};
use super::{ALOFT, Bench, LOCAL, PAIRS, REMOTE, STEADY};
use crate::load::component::{Component, MARK_EVERY, Marked, Tells};
use crate::load::flight::Flight;
use crate::load::measure::{self, Sample};
use crate::load::pace::{Pace, Wire};
use crate::load::report::{Report, Who};
use crate::load::servers::{COMPONENT_SECRET, DISCARDING, Federated, Server, ejabberd, prosody};
use crate::load::text::{self, Template};
use crate::peer::dns::Dns;
use crate::peer::fault;

/// A server that is asked for the steady rate must be able to do this many times as much: below, what is measured is
/// how it drowns.
const HEADROOM: f64 = 1.25;

const SATURATE: Pace = Pace::Saturate { aloft: ALOFT };

const BY_THE_CLOCK: Pace = Pace::Steady { per_second: STEADY };

/// A peer that is measured.
struct Peer<'a> {
    bench: &'a Bench,
    who: Who,
    server: Server,
    component: Component,
}

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
    let peer = Peer { bench, who, server, component };
    peer.discarded(report).await?;
    peer.delivered(report).await?;
    peer.sent(report).await
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

impl Peer<'_> {
    /// One window; what was lost is told.
    async fn window<W: Wire + Send + 'static>(
        &self,
        pace: Pace,
        wire: W,
        flight: &Arc<Flight>,
        doing: &str,
        report: &mut Report,
    ) -> io::Result<(Sample, W)> {
        let (sample, wire) = measure::run(pace, wire, flight, &[&self.server.process]).await?;
        report.losses(&format!("{}: {doing}", self.who.name()), &sample);
        Ok((sample, wire))
    }

    /// Received and discarded, but for the last of each row of [`MARK_EVERY`], which tells that the row was read.
    async fn discarded(&self, report: &mut Report) -> io::Result<()> {
        self.component.tells(Tells::Row);
        let flight = self.bench.flight();
        let wire = Marked { wire: edge::sender_of(&self.bench.road, rows()).await?, flight: Arc::clone(&flight) };
        let (sample, marked) = self.window(SATURATE, wire, &flight, "received and discarded", report).await?;
        report.add(EDGE_INBOUND_PER_CPU_SECOND, self.who, sample.per_cpu_second(0));
        report.add(EDGE_INBOUND_PER_SECOND, self.who, sample.per_second);
        let mut wire = marked.wire;
        if can_keep_up(&sample) {
            let flight = self.bench.flight();
            let marked = Marked { wire, flight: Arc::clone(&flight) };
            let (sample, marked) =
                self.window(BY_THE_CLOCK, marked, &flight, "received at a steady rate", report).await?;
            report.add(EDGE_INBOUND_STEADY_CPU_US, self.who, sample.cpu_us.first().copied().unwrap_or_default());
            wire = marked.wire;
        }
        wire.close()
    }

    async fn delivered(&self, report: &mut Report) -> io::Result<()> {
        self.component.tells(Tells::Itself);
        let wire = edge::sender(&self.bench.road).await?;
        let (sample, wire) =
            self.window(SATURATE, wire, &self.bench.flight(), "received and delivered", report).await?;
        report.add(EDGE_DELIVERED_PER_CPU_SECOND, self.who, sample.per_cpu_second(0));
        wire.close()
    }

    async fn sent(&self, report: &mut Report) -> io::Result<()> {
        self.component.tells(Tells::Nothing);
        let wire = self.component.wire(edge::outbound_stanzas())?;
        let (sample, wire) = self.window(SATURATE, wire, &self.bench.flight(), "sent", report).await?;
        report.add(EDGE_OUTBOUND_PER_CPU_SECOND, self.who, sample.per_cpu_second(0));
        report.add(EDGE_OUTBOUND_PER_SECOND, self.who, sample.per_second);
        if can_keep_up(&sample) {
            let (sample, _) =
                self.window(BY_THE_CLOCK, wire, &self.bench.flight(), "sent at a steady rate", report).await?;
            report.add(EDGE_OUTBOUND_STEADY_CPU_US, self.who, sample.cpu_us.first().copied().unwrap_or_default());
        }
        Ok(())
    }
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
