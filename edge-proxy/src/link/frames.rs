//! What the gRPC server is given: a connection whose peer is known, and the frames that go out on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use causeway_proto::link::v1 as proto;
use causeway_shared::link::outgoing::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::Status;
use tonic::transport::server::Connected;

use super::hub::{EdgeExtra, EdgeOutgoing, GatewayPeer};

/// The frames to one gateway: whatever waits, as soon as the connection takes a frame.
pub(super) struct Frames {
    pub(super) outgoing: Arc<EdgeOutgoing>,
    /// Why the other direction ended; told after the last frame.
    pub(super) status: Option<oneshot::Receiver<Option<Status>>>,
}

impl Stream for Frames {
    type Item = Result<proto::EdgeFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.outgoing.poll_parts(cx) {
            Poll::Ready(Some(parts)) => Poll::Ready(Some(Ok(frame(parts, &self.outgoing)))),
            Poll::Ready(None) => {
                let status = self.status.take().and_then(|mut status| status.try_recv().ok()).flatten();
                Poll::Ready(status.map(Err))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// One part of one report goes into a frame, made outside of all locks; the rest waits for the next frame.
fn frame(mut parts: Parts<EdgeExtra>, outgoing: &EdgeOutgoing) -> proto::EdgeFrame {
    let report = parts.extra.reports.next_part();
    let rest = parts.extra.reports;
    if !rest.is_empty() {
        outgoing.say(|extra| extra.reports.put_back(rest));
    }
    proto::EdgeFrame {
        hello: parts.extra.hello,
        snapshot_applied: parts.extra.applied,
        contexts: parts.contexts,
        stanzas: parts.stanzas,
        acks: parts.acks,
        verdicts: parts.verdicts,
        draining: parts.extra.draining,
        probe_reports: parts.extra.probe_reports,
        report,
        close_answers: parts.extra.close_answers,
        sent_ms: crate::clock::unix_ms(),
    }
}

/// A connection that passed the handshake.
pub(super) struct GatewayConnection {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) peer: GatewayPeer,
}

impl Connected for GatewayConnection {
    type ConnectInfo = GatewayPeer;

    fn connect_info(&self) -> GatewayPeer {
        self.peer.clone()
    }
}

impl AsyncRead for GatewayConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for GatewayConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
