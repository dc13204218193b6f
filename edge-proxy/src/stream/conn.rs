//! One connection: TCP, perhaps under TLS, with a deadline on every write. It carries bytes and decides nothing.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use causeway_shared::domain::DomainName;
use causeway_shared::pki::PeerCertificate;
use causeway_shared::verdict::facts::{CertificateFacts, TlsFacts};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::identity::PeerIdentity;
use crate::limits::Timeouts;
use crate::live::{Entry, Live};

/// What a peer may still send while we wait for its closing tag.
const CLOSE_BYTES: usize = 1024 * 1024;

/// Bytes asked for in one read: two TLS records.
const READ: usize = 32 * 1024;

/// One connection.
pub struct Connection {
    io: Io,
    /// The other end.
    pub peer: SocketAddr,
    /// What was read and not yet used.
    pub buffer: BytesMut,
    timeouts: Timeouts,
    entry: Entry,
}

enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake failed.
    Gone,
}

impl Connection {
    /// A fresh TCP connection.
    pub fn new(tcp: TcpStream, entry: Entry, peer: SocketAddr, timeouts: Timeouts) -> Self {
        // Small writes matter more than full packets; coalescing is done above.
        let _best_effort = tcp.set_nodelay(true);
        Self { io: Io::Tcp(tcp), peer, buffer: BytesMut::new(), timeouts, entry }
    }

    /// What operators see of it.
    pub const fn live(&self) -> &Arc<Live> {
        self.entry.live()
    }

    /// Reads what is there into the buffer; 0 at the end. Cancel-safe. While nothing is there the buffer is given
    /// back: an idle stream holds none.
    pub async fn read(&mut self) -> io::Result<usize> {
        let Self { io, buffer, entry, .. } = self;
        poll_fn(|context| {
            if buffer.capacity() - buffer.len() < READ / 2 {
                buffer.reserve(READ);
            }
            let poll = pin!(io.read_buf(buffer)).poll(context);
            match &poll {
                Poll::Pending if buffer.is_empty() => *buffer = BytesMut::new(),
                Poll::Ready(Ok(count)) => entry.live().read(*count),
                Poll::Pending | Poll::Ready(Err(_)) => {}
            }
            poll
        })
        .await
    }

    /// What has arrived already, read into the buffer; `None` when nothing has.
    pub async fn read_now(&mut self) -> Option<io::Result<usize>> {
        let mut read = pin!(self.read());
        poll_fn(|context| match read.as_mut().poll(context) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Writes all of it to the network.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        let written = timeout(self.timeouts.write_stall, write).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if written.is_ok() {
            self.live().wrote(bytes.len());
        }
        written
    }

    /// Whether more has arrived already. White space, which nobody may send before TLS (RFC 6120, section 5.3.3), hides
    /// nothing. COMPAT(sslscan 2.0): ends `<starttls/>` with a line break.
    pub fn is_followed(&self) -> bool {
        !self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    /// Becomes the server of TLS on this connection.
    pub async fn accept_tls(&mut self, config: Arc<ServerConfig>) -> Result<PeerIdentity, String> {
        let tcp = self.take_tcp()?;
        let stream = TlsAcceptor::from(config).accept(tcp).await.map_err(|error| error.to_string())?;
        let (_, session) = stream.get_ref();
        let name = session.server_name().and_then(|name| DomainName::parse(name).ok());
        Ok(self.secured(Box::new(stream.into()), name))
    }

    /// Becomes the client of TLS on this connection.
    pub async fn connect_tls(&mut self, config: Arc<ClientConfig>, name: &DomainName) -> Result<PeerIdentity, String> {
        let tcp = self.take_tcp()?;
        let name = ServerName::try_from(name.as_str().to_owned()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| error.to_string())?;
        Ok(self.secured(Box::new(stream.into()), None))
    }

    fn secured(&mut self, stream: Box<TlsStream<TcpStream>>, server_name: Option<DomainName>) -> PeerIdentity {
        let (_, session) = stream.get_ref();
        let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
        let chain = session.peer_certificates().unwrap_or_default();
        let presented = self.entry.secured(session.protocol_version().zip(suite), chain);
        self.io = Io::Tls(stream);
        PeerIdentity::new(presented, server_name)
    }

    /// Closes in order (RFC 6120, section 4.4): our closing tag is written; waits for the peer's, or not for long.
    pub async fn close(mut self) {
        let patience = self.timeouts.close;
        self.live().closing();
        let wait = async {
            let mut heard = 0;
            loop {
                let count = self.read().await?;
                heard += count;
                let is_closed = self.buffer.trim_ascii_end().ends_with(b"</stream:stream>");
                if count == 0 || is_closed || heard > CLOSE_BYTES {
                    return io::Result::Ok(());
                }
                let keep = self.buffer.len().min(64);
                self.buffer = BytesMut::from(&self.buffer[self.buffer.len() - keep..]);
            }
        };
        let _whatever_ends_it = timeout(patience, wait).await;
        self.shut_down().await;
    }

    /// Ends it without waiting for the peer; it has said its last word.
    pub async fn shut_down(mut self) {
        let patience = self.timeouts.close;
        let _best_effort = timeout(patience, self.io.shutdown()).await;
    }

    /// The TLS session and the peer's certificate, for a verdict: read when one is needed, and not before.
    pub fn tls_facts(&self) -> (Option<TlsFacts>, Option<CertificateFacts>) {
        let Io::Tls(stream) = &self.io else {
            return (None, None);
        };
        let (_, session) = stream.get_ref();
        let tls = session.protocol_version().zip(session.negotiated_cipher_suite()).map(|(version, suite)| TlsFacts {
            version: format!("{version:?}"),
            cipher: format!("{:?}", suite.suite()),
        });
        let certificate = session.peer_certificates().and_then(|chain| PeerCertificate::read(chain).ok());
        (tls, certificate.map(|certificate| CertificateFacts::of(&certificate)))
    }

    fn take_tcp(&mut self) -> Result<TcpStream, String> {
        // What was read before TLS is never read after it.
        self.buffer.clear();
        match std::mem::replace(&mut self.io, Io::Gone) {
            Io::Tcp(tcp) => Ok(tcp),
            Io::Tls(_) | Io::Gone => Err("TLS was started twice".to_owned()),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
