//! Opening connections for MSRP: the addresses of the host in their order (RFC 4975 section 6.2), TCP, TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::msrp::switch::{self, Certificate, ConnectionId, Hop, Input, Peer};
use crate::transport::connect::connect_tcp;
use crate::transport::msrp::{MAX_ADDRESSES, MsrpTls, OPEN_PATIENCE, Shared, connection};
use crate::transport::{ConnectFault, HANDSHAKE_PATIENCE};

/// One connection of ours, from the look-up to its end. It is given up when its queue is taken away.
pub(super) async fn open(
    id: ConnectionId,
    to: Hop,
    mut queue: mpsc::Receiver<Bytes>,
    source_ip: Option<IpAddr>,
    tls: Option<Arc<MsrpTls>>,
    shared: Arc<Shared>,
) {
    let mut alive = shared.alive.clone();
    let opened = tokio::select! {
        opened = tokio::time::timeout(OPEN_PATIENCE, reach(&to, source_ip, tls)) => opened,
        None = queue.recv() => return,
        _ = alive.changed() => return,
    };
    let fault = match opened {
        Ok(Ok((Reached::Tcp(socket), peer))) => {
            return connection::run(socket, Input::Connected { connection: id, peer }, id, queue, shared).await;
        }
        Ok(Ok((Reached::Tls(socket), peer))) => {
            return connection::run(*socket, Input::Connected { connection: id, peer }, id, queue, shared).await;
        }
        Ok(Err(fault)) => fault,
        Err(_) => switch::ConnectFault::Timeout,
    };
    tracing::warn!(host = to.host, port = to.port, %fault, "an MSRP peer cannot be reached");
    shared.queues().remove(&id);
    let _ = shared.inbound.send(vec![Input::ConnectFailed { connection: id, fault }]).await;
}

enum Reached {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn reach(
    to: &Hop,
    source_ip: Option<IpAddr>,
    tls: Option<Arc<MsrpTls>>,
) -> Result<(Reached, Peer), switch::ConnectFault> {
    let mut last = switch::ConnectFault::Unresolved;
    for addr in addresses(to).await {
        if !may_be_reached(addr.ip(), source_ip) {
            tracing::warn!(%addr, host = to.host, "a session description leads to this machine or this link");
            last = switch::ConnectFault::Forbidden;
            continue;
        }
        let socket = match connect_tcp(addr, source_ip).await {
            Ok((socket, _)) => socket,
            Err(fault) => {
                tracing::debug!(%addr, %fault, "MSRP connect");
                last = fault.for_switch();
                continue;
            }
        };
        let mut peer = Peer { remote: addr, is_secure: to.is_secure, certificate: None };
        if !to.is_secure {
            return Ok((Reached::Tcp(socket), peer));
        }
        let secured = match &tls {
            Some(tls) => handshake(socket, to, addr, tls).await,
            None => Err(ConnectFault::NoTls),
        };
        let (socket, certificate) = secured.map_err(|fault| {
            tracing::debug!(%addr, %fault, "MSRP TLS");
            fault.for_switch()
        })?;
        peer.certificate = certificate;
        return Ok((Reached::Tls(Box::new(socket)), peer));
    }
    Err(last)
}

/// Whether a session description may lead us there: it comes from users, and services of this machine or link may believe
/// whoever connects. Where we ourselves live on the loopback, so do our peers.
fn may_be_reached(ip: IpAddr, source_ip: Option<IpAddr>) -> bool {
    let ip = ip.to_canonical();
    let is_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets().first() == Some(&0),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let is_home = ip.is_loopback() && source_ip.is_none_or(|source| !source.to_canonical().is_loopback());
    !(is_local || is_home || ip.is_unspecified() || ip.is_multicast())
}

/// A numeric address is used as it is; a name has its A and AAAA records, and no others.
async fn addresses(to: &Hop) -> Vec<SocketAddr> {
    if let Some(ip) = crate::uri::host_ip(&to.host) {
        return vec![SocketAddr::new(ip, to.port)];
    }
    let found = tokio::net::lookup_host((to.host.as_str(), to.port)).await;
    found.map(|found| found.take(MAX_ADDRESSES).collect()).unwrap_or_default()
}

/// The certificate is looked at when the handshake is over: its fingerprint may make it the right one, whoever issued
/// it. What that needs is what the switch is told.
async fn handshake(
    socket: TcpStream,
    to: &Hop,
    addr: SocketAddr,
    tls: &MsrpTls,
) -> Result<(TlsStream<TcpStream>, Option<Certificate>), ConnectFault> {
    // The name goes into the extension server_name, an address does not (RFC 6066 section 3).
    let name = match crate::uri::host_ip(&to.host) {
        Some(_) => ServerName::IpAddress(addr.ip().into()),
        None => ServerName::try_from(to.host.clone()).map_err(|error| ConnectFault::Tls(error.to_string().into()))?,
    };
    let connector = TlsConnector::from(Arc::clone(&tls.client));
    let socket = match tokio::time::timeout(HANDSHAKE_PATIENCE, connector.connect(name.clone(), socket)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Err(ConnectFault::Tls(error.to_string().into())),
        Err(_) => return Err(ConnectFault::TlsTimeout),
    };
    let certificates = socket.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.split_first().map(|(leaf, others)| Certificate {
        der: Bytes::copy_from_slice(leaf),
        speaks_for_host: tls.speaks_for(leaf, others, &name),
    });
    Ok((socket, certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule: msrp.hosts
    #[test]
    fn a_session_description_leads_neither_to_this_machine_nor_to_this_link() {
        let reach = |ip: &str, source: Option<&str>| {
            may_be_reached(ip.parse().unwrap(), source.map(|source| source.parse().unwrap()))
        };
        for good in ["10.0.0.5", "192.0.2.1", "2001:db8::1", "fd00::1"] {
            assert!(reach(good, None) && reach(good, Some("10.0.0.1")), "{good}");
        }
        let bad = ["0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "169.254.169.254", "::", "fe80::1", "ff02::1"];
        for bad in bad {
            assert!(!reach(bad, None) && !reach(bad, Some("127.0.0.1")), "{bad}");
        }
        for home in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(!reach(home, None) && !reach(home, Some("10.0.0.1")) && reach(home, Some("127.0.0.2")), "{home}");
        }
    }
}
