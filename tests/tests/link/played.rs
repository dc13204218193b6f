//! An edge that says what a test wants: the frames of its own, and an answer to each frame of a gateway.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, iter};

use causeway_proto::link::v1::link_server::{Link, LinkServer};
use causeway_proto::link::v1::{EdgeFrame, EdgeHello, GatewayFrame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::{Connected, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::support::*;

/// Starts one; it ends with its runtime.
pub(crate) fn play_edge(
    authority: &Authority,
    frames: Vec<EdgeFrame>,
    answer: fn(GatewayFrame) -> Vec<EdgeFrame>,
) -> (Runtime, SocketAddr) {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::clone(&server_config(&authority.files(EDGE_NAME))));
    let connections = iter::repeat_with(move || acceptor.clone());
    runtime.spawn(async move {
        let (connected, incoming) = mpsc::channel(1);
        let server = LinkServer::new(PlayedEdge { frames, answer });
        tokio::spawn(Server::builder().serve_with_incoming(server, ReceiverStream::new(incoming)));
        for acceptor in connections {
            let (socket, _) = listener.accept().await.unwrap();
            let connection = acceptor.accept(socket).await.map(Connection);
            connected.send(connection).await.unwrap();
        }
    });
    (runtime, address)
}

/// An edge that says what a test wants.
struct PlayedEdge {
    frames: Vec<EdgeFrame>,
    answer: fn(GatewayFrame) -> Vec<EdgeFrame>,
}

#[tonic::async_trait]
impl Link for PlayedEdge {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<EdgeFrame, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<GatewayFrame>>) -> Result<Response<Self::AttachStream>, Status> {
        let answer = self.answer;
        let (said, answers) = mpsc::channel(64);
        let mut heard = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(frame)) = heard.message().await {
                for frame in answer(frame) {
                    said.send(Ok(frame)).await.unwrap();
                }
            }
        });
        let frames: Vec<_> = self.frames.iter().cloned().map(Ok).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(frames).chain(ReceiverStream::new(answers)))))
    }
}

struct Connection(TlsStream<TcpStream>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The first frame.
pub(crate) fn edge_hello() -> EdgeFrame {
    let hello = EdgeHello {
        protocol: 1,
        edge_id: "edge".to_owned(),
        instance_id: "i".to_owned(),
        window: 8,
        ..EdgeHello::default()
    };
    EdgeFrame { hello: Some(hello), ..EdgeFrame::default() }
}
