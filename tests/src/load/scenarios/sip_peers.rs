//! What Debian's Kamailio needs to pass on the MESSAGEs of the gateway's scenarios, from our client to our server.
//!
//! The same requests, the same number on their way, one connection on each side. It is compared with both directions of
//! the gateway: Kamailio has one, since it only passes on. It does not translate, acknowledges nothing to a second
//! protocol, and has neither policy nor store in the way.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::datagrams::{UDP_TO_SIP_PER_CPU_SECOND, UDP_TO_XMPP_PER_CPU_SECOND};
use super::gateway::{GATEWAY_TO_SIP_PER_CPU_SECOND, GATEWAY_TO_XMPP_PER_CPU_SECOND};
use super::{ALOFT, Bench, LOCAL, PAIRS, REMOTE};
use crate::load::pace::Pace;
use crate::load::report::{Report, Who};
use crate::load::servers::kamailio::Kamailio;
use crate::load::{datagrams, measure, sip};

/// Where Kamailio listens.
pub(super) const KAMAILIO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 20, 30));

/// Over TCP, then over UDP.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let (pool, listen) = (bench.road.plan.pool, SocketAddr::new(KAMAILIO, bench.road.plan.sip.port()));
    let _streams = sip::Server::start(pool, None, bench.counting())?;
    let _datagrams = datagrams::Server::start(pool, bench.counting())?;
    let kamailio = Kamailio::relay(listen, pool).await?;

    let flight = bench.flight();
    let requests = sip::messages(PAIRS, LOCAL, REMOTE, &pool.to_string());
    let wire = sip::Client::connect(pool.ip(), listen, None, requests, Arc::clone(&flight), false)?;
    let pace = Pace::Saturate { aloft: ALOFT };
    let (sample, _) = measure::run(pace, wire, &flight, &[kamailio.process()]).await?;
    report.losses("Kamailio over TCP", &sample);
    report.add(GATEWAY_TO_SIP_PER_CPU_SECOND, Who::Kamailio, sample.per_cpu_second(0));
    report.add(GATEWAY_TO_XMPP_PER_CPU_SECOND, Who::Kamailio, sample.per_cpu_second(0));

    let flight = bench.flight();
    let wire = super::datagrams::client(bench, listen, &flight)?;
    let (sample, _) = measure::wave(super::datagrams::WAVE, wire, &flight, &[kamailio.process()]).await?;
    super::datagrams::losses("Kamailio over UDP", &sample, report);
    report.add(UDP_TO_SIP_PER_CPU_SECOND, Who::Kamailio, sample.per_cpu_second(0));
    report.add(UDP_TO_XMPP_PER_CPU_SECOND, Who::Kamailio, sample.per_cpu_second(0));
    Ok(())
}
