//! Opening connections: TCP with a deadline, TLS with the server's name verified.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::endpoint::SendTag;
use crate::target::{FlowId, Source, Target, TransportKind};
use crate::transport::connection::{self, Connection};
use crate::transport::{CONNECT_PATIENCE, ConnectFault, HANDSHAKE_PATIENCE, Inbound, Queued, Shared, tls};

/// One connection of ours, from connect to end. Its queue fills while it is being opened.
pub(super) async fn open(
    flow: FlowId,
    target: Target,
    queue: mpsc::Receiver<Queued>,
    source_ip: Option<IpAddr>,
    tls: Option<Arc<rustls::ClientConfig>>,
    shared: Arc<Shared>,
) {
    let fault = match connect(&target, source_ip).await {
        Err(fault) => fault,
        Ok((stream, mut source)) => {
            source.flow = flow;
            match (target.transport, tls) {
                (TransportKind::Udp | TransportKind::Tcp, _) => {
                    return Connection::new(stream, source, Some(target), queue, shared).run().await;
                }
                (TransportKind::Tls, None) => ConnectFault::NoTls,
                (TransportKind::Tls, Some(config)) => match handshake(stream, &target, config).await {
                    Err(fault) => fault,
                    Ok(stream) => {
                        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                        source.certificate = certificates.first().map(|leaf| Arc::new(tls::identities(leaf)));
                        return Connection::new(stream, source, Some(target), queue, shared).run().await;
                    }
                },
            }
        }
    };
    tracing::debug!(%target, %fault, "target unreachable");
    shared.forget(flow, std::slice::from_ref(&target));
    let mut batch = vec![Inbound::Unreachable { target: target.clone(), fault }];
    connection::drain_unsent(queue, &mut batch);
    batch.push(Inbound::Closed { flow, target: Some(target), last: SendTag::NONE });
    let _ = shared.entrance.tell(batch).await;
}

async fn connect(target: &Target, source_ip: Option<IpAddr>) -> Result<(TcpStream, Source), ConnectFault> {
    let (stream, local) = connect_tcp(target.addr, source_ip).await?;
    let (transport, remote) = (target.transport, target.addr);
    Ok((stream, Source { flow: FlowId(0), transport, local, remote, certificate: None, peer: None }))
}

/// Connects to an address; gives the connection and our end of it.
pub(super) async fn connect_tcp(
    addr: SocketAddr,
    source_ip: Option<IpAddr>,
) -> Result<(TcpStream, SocketAddr), ConnectFault> {
    let connecting = async {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(ip) = source_ip.filter(|ip| ip.is_ipv4() == addr.is_ipv4()) {
            socket.bind((ip, 0).into())?;
        }
        let stream = socket.connect(addr).await?;
        let local = stream.local_addr()?;
        Ok((stream, local))
    };
    let connected: Result<std::io::Result<_>, _> = tokio::time::timeout(CONNECT_PATIENCE, connecting).await;
    let (stream, local) = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(ConnectFault::Connect(error.kind())),
        Err(_) => return Err(ConnectFault::ConnectTimeout),
    };
    connection::prepare(&stream);
    Ok((stream, local))
}

async fn handshake(
    stream: TcpStream,
    target: &Target,
    config: Arc<rustls::ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectFault> {
    let name = match &target.name {
        Some(name) => {
            ServerName::try_from(name.to_string()).map_err(|error| ConnectFault::Tls(error.to_string().into()))
        }
        None => Ok(ServerName::IpAddress(target.addr.ip().into())),
    }?;
    match tokio::time::timeout(HANDSHAKE_PATIENCE, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(ConnectFault::Tls(error.to_string().into())),
        Err(_) => Err(ConnectFault::TlsTimeout),
    }
}
