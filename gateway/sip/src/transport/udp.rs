//! Datagrams: one task receives for one socket; sending does not wait.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::UdpSocket;

use crate::limits::MAX_MESSAGE;
use crate::parse::{Datagram, parse_datagram};
use crate::target::{FlowId, Source, TransportKind};
use crate::transport::{Inbound, MAX_BATCH, NotSent, Shared};

/// Bytes that the system may hold for a socket in each direction; it grants at most net.core.rmem_max and wmem_max. What it
/// takes by itself holds some 160 requests, which a pool sends within a few milliseconds; what does not fit is lost and
/// comes again half a second later.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// A bound datagram socket.
#[derive(Debug, Clone)]
pub(super) struct Socket {
    pub(super) flow: FlowId,
    pub(super) local: SocketAddr,
    pub(super) socket: Arc<UdpSocket>,
}

/// Binds a socket with room for what comes while the engine is busy.
pub(super) async fn bind(addr: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr).await?;
    let options = SockRef::from(&socket);
    options.set_recv_buffer_size(SOCKET_BUFFER)?;
    options.set_send_buffer_size(SOCKET_BUFFER)?;
    Ok(socket)
}

impl Socket {
    /// Sends one datagram. A full socket buffer loses it, as the network may: the transaction repeats it.
    pub(super) fn send(&self, remote: SocketAddr, bytes: &[u8]) -> Result<(), NotSent> {
        match self.socket.try_send_to(bytes, remote) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                tracing::debug!(%remote, %error, "datagram refused by the system");
                Err(NotSent::NoSocket)
            }
        }
    }
}

/// Receives until the transport is dropped; all datagrams that wait become one batch.
pub(super) async fn receive(socket: Socket, shared: Arc<Shared>) {
    let mut buffer = vec![0_u8; MAX_MESSAGE];
    let mut alive = shared.alive.clone();
    let slots = shared.entrance.slots();
    loop {
        tokio::select! {
            ready = socket.socket.readable() => if ready.is_err() { return },
            _ = alive.changed() => return,
        }
        // While the engine is behind, the socket's own buffer fills and the system drops what does not fit.
        let Ok(slot) = slots.reserve().await else { return };
        let batch = read_waiting(&socket, &mut buffer, &shared);
        if !batch.is_empty() && slot.send(batch).is_err() {
            return;
        }
    }
}

fn read_waiting(socket: &Socket, buffer: &mut [u8], shared: &Shared) -> Vec<Inbound> {
    let mut batch = Vec::new();
    let peers = Arc::clone(&shared.peers.borrow());
    while batch.len() < MAX_BATCH {
        let (len, remote) = match socket.socket.try_recv_from(buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            // An ICMP answer to an earlier datagram of ours; the transaction's timers deal with it.
            Err(_) => continue,
        };
        let mut source = Source {
            flow: socket.flow,
            transport: TransportKind::Udp,
            local: socket.local,
            remote,
            certificate: None,
            peer: None,
        };
        source.peer = peers.recognise(&source);
        match parse_datagram(Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default())) {
            Ok(Datagram::Message(message)) => batch.push(Inbound::Message { message, source }),
            Ok(Datagram::KeepAlive) => {}
            Err(error) => batch.push(Inbound::Malformed { error, source }),
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_that_comes_while_the_engine_is_busy_fits_into_the_socket() {
        const BURST: usize = 200;
        let socket = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..BURST {
            sender.send_to(&[b'x'; 400], socket.local_addr().unwrap()).unwrap();
        }
        socket.readable().await.unwrap();
        let mut buffer = [0; 1024];
        let mut received = 0;
        while socket.try_recv_from(&mut buffer).is_ok() {
            received += 1;
        }
        assert_eq!(received, BURST);
    }
}
