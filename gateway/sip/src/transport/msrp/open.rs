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
