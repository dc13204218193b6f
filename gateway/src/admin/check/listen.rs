//! Whether our own ports can be reached, from this machine at least.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use causeway_sip::target::TransportKind;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Check;
use crate::config::Config;

/// Time to connect to this very machine.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn check(config: &Config) -> Vec<Check> {
    let mut places: Vec<(String, SocketAddr)> = Vec::new();
    for (kind, address) in &config.sip.listen {
        match kind {
            TransportKind::Tcp | TransportKind::Tls => {
                places.push((format!("listener sip {kind} {address}"), *address));
            }
            // Nothing tells whether a port of UDP is heard.
            TransportKind::Udp => {}
        }
    }
    if let Some(msrp) = &config.sip.msrp {
        places.extend(msrp.tls.iter().chain(&msrp.tcp).map(|address| (format!("listener msrp {address}"), *address)));
    }
    places.push((format!("listener health {}", config.admin), config.admin));
    places.extend(config.panel.listen.map(|address| (format!("listener panel {address}"), address)));
    let mut trials = JoinSet::new();
    for (index, (name, address)) in places.into_iter().enumerate() {
        trials.spawn(async move { (index, one(name, address).await) });
    }
    let mut found = trials.join_all().await;
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, check)| check).collect()
}

async fn one(name: String, address: SocketAddr) -> Check {
    let remedy = "see the gateway's log: another program may have the port, or the address is not this machine's";
    match tokio::time::timeout(PATIENCE, TcpStream::connect(reachable(address))).await {
        Ok(Ok(_)) => Check::ok(name, "it accepts connections"),
        Ok(Err(error)) => Check::failed(name, error.to_string(), remedy),
        Err(_) => Check::failed(name, "nobody accepts within 2 seconds", remedy),
    }
}

/// Where something that listens on all addresses is found.
const fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
