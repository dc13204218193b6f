//! XMPP servers of partners (RFC 6120, XEP-0178, XEP-0220): a raw stream to say anything on, and a listening partner.
//!
//! [`Stream`] is the initiating side, step by step, so that a test can leave out or spoil any step. [`Partner`] takes
//! the streams that the edge opens and keeps every stanza. It verifies the edge's certificate strictly.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::inbox::Inbox;
use super::xml::{self, Piece};
use super::{dialback, fault, within};

/// A connection, before or after STARTTLS.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Bytes that one read takes.
const READ: usize = 16 * 1024;

const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const MANAGEMENT: &str = "urn:xmpp:sm:3";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// One end of a stream.
pub struct Stream {
    io: Transport,
    buffer: Vec<u8>,
}

enum Transport {
    Plain(TcpStream),
    Client(Box<client::TlsStream<TcpStream>>),
    Server(Box<server::TlsStream<TcpStream>>),
    /// Between two of the others.
    None,
}

impl Transport {
    fn io(&mut self) -> io::Result<&mut dyn Io> {
        Ok(match self {
            Self::Plain(io) => io,
            Self::Client(io) => io.as_mut(),
            Self::Server(io) => io.as_mut(),
            Self::None => return Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

/// What the other side said when the stream opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its header.
    pub header: String,
    /// What followed: features, or an error.
    pub features: String,
}

impl Opened {
    /// The id that it gave the stream.
    pub fn id(&self) -> String {
        xml::attribute(&self.header, "id").unwrap_or_default()
    }
}

impl Stream {
    /// Connects, from a given address if it matters.
    pub async fn connect(bind: Option<IpAddr>, to: SocketAddr) -> io::Result<Self> {
        within("a TCP connection", async {
            let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if let Some(bind) = bind {
                socket.bind(SocketAddr::new(bind, 0))?;
            }
            let io = socket.connect(to).await?;
            io.set_nodelay(true)?;
            Ok(Self { io: Transport::Plain(io), buffer: Vec::new() })
        })
        .await
    }

    /// A connection that was accepted, for a server that answers step by step.
    pub fn accepted(io: TcpStream) -> Self {
        Self { io: Transport::Plain(io), buffer: Vec::new() }
    }

    /// As the receiving server: reads a header and answers it, with these features; tells the header.
    pub async fn greet(&mut self, domain: &str, features: &str) -> io::Result<String> {
        let Piece::Header(theirs) = self.next().await? else { return Err(fault("no header came first")) };
        let peer = xml::attribute(&theirs, "from").unwrap_or_default();
        let answer = header(domain, &peer, Some("an-id"));
        self.send(&format!("{answer}<stream:features>{features}</stream:features>")).await?;
        Ok(theirs)
    }

    /// As the receiving server: the handshake behind `<proceed/>`, which was sent.
    pub async fn accept_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let Transport::Plain(io) = std::mem::replace(&mut self.io, Transport::None) else {
            return Err(fault("STARTTLS on a secured stream"));
        };
        self.buffer.clear();
        let io = within("the TLS handshake", TlsAcceptor::from(config).accept(io)).await?;
        self.io = Transport::Server(Box::new(io));
        Ok(())
    }

    /// Sends any text.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_bytes(text.as_bytes()).await
    }

    /// Sends any bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("a write", async {
            let io = self.io.io()?;
            io.write_all(bytes).await?;
            io.flush().await
        })
        .await
    }

    /// The next piece; an error of kind `UnexpectedEof` when the other side has closed the connection.
    pub async fn next(&mut self) -> io::Result<Piece> {
        within("a piece of the stream", async {
            loop {
                if let Some(piece) = xml::take(&mut self.buffer) {
                    return Ok(piece);
                }
                let mut bytes = vec![0; READ];
                let count = self.io.io()?.read(&mut bytes).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
            }
        })
        .await
    }

    /// Everything until the other side closes the connection; the end of its stream is answered with ours.
    pub async fn rest(&mut self) -> String {
        let mut text = String::new();
        while let Ok(piece) = self.next().await {
            text.push_str(piece.text());
            if piece == Piece::Close {
                // It may not wait for it.
                let _closed_early = self.send("</stream:stream>").await;
            }
        }
        text
    }

    /// Everything that is said until the other side ends the connection in order: the closing tag is answered, and TLS is
    /// ended by close_notify. An error when it was torn down instead.
    pub async fn heard_to_the_end(&mut self) -> io::Result<String> {
        within("the end of the connection", async {
            let (mut heard, mut bytes) = (std::mem::take(&mut self.buffer), vec![0; READ]);
            loop {
                let count = self.io.io()?.read(&mut bytes).await?;
                if count == 0 {
                    return Ok(String::from_utf8_lossy(&heard).into_owned());
                }
                heard.extend_from_slice(bytes.get(..count).unwrap_or_default());
                if heard.ends_with(b"</stream:stream>") {
                    // It may not wait for it.
                    let _closed_early = self.send("</stream:stream>").await;
                }
            }
        })
        .await
    }

    /// Waits until the other side closes the connection, whatever it says before, but not longer than this.
    pub async fn wait_for_end(&mut self, at_most: Duration) -> io::Result<()> {
        let mut bytes = vec![0; READ];
        let ended = async {
            // A reset ends it as well as a close.
            while matches!(self.io.io()?.read(&mut bytes).await, Ok(count) if count > 0) {}
            io::Result::Ok(())
        };
        timeout(at_most, ended).await.unwrap_or_else(|_| Err(fault(format!("still open after {at_most:?}"))))
    }

    /// Sends a header and reads the other's, with what follows it.
    pub async fn open(&mut self, from: &str, to: &str) -> io::Result<Opened> {
        self.send(&header(from, to, None)).await?;
        let Piece::Header(header) = self.next().await? else { return Err(fault("no header came first")) };
        let features = self.next().await?.text().to_owned();
        Ok(Opened { header, features })
    }

    /// STARTTLS, then the handshake as a client. What the server is called is checked.
    pub async fn start_tls(&mut self, config: Arc<ClientConfig>, to: &str) -> io::Result<()> {
        self.start_tls_with(&format!("<starttls xmlns='{TLS}'/>"), config, to).await
    }

    /// The same, asked for in other words.
    pub async fn start_tls_with(&mut self, ask: &str, config: Arc<ClientConfig>, to: &str) -> io::Result<()> {
        self.send(ask).await?;
        let answer = self.next().await?;
        if !answer.text().starts_with("<proceed") {
            return Err(fault(format!("STARTTLS was answered {}", answer.text())));
        }
        self.connect_tls(config, to).await
    }

    /// As the initiating server: the handshake behind `<proceed/>`, which was read, or first of all (XEP-0368).
    pub async fn connect_tls(&mut self, config: Arc<ClientConfig>, to: &str) -> io::Result<()> {
        let Transport::Plain(io) = std::mem::replace(&mut self.io, Transport::None) else {
            return Err(fault("TLS needs a plain connection"));
        };
        let name = ServerName::try_from(to.to_owned()).map_err(io::Error::other)?;
        let io = within("the TLS handshake", TlsConnector::from(config).connect(name, io)).await?;
        self.io = Transport::Client(Box::new(io));
        Ok(())
    }

    /// SASL EXTERNAL without an authzid (XEP-0178, section 3); true on success.
    pub async fn external(&mut self) -> io::Result<bool> {
        self.send(&format!("<auth xmlns='{SASL}' mechanism='EXTERNAL'>=</auth>")).await?;
        Ok(self.next().await?.text().starts_with("<success"))
    }

    /// Connects, secures and authenticates by certificate, and opens the stream that carries stanzas.
    pub async fn establish(
        bind: Option<IpAddr>,
        edge: SocketAddr,
        from: &str,
        to: &str,
        tls: &Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let mut stream = Self::secured(bind, edge, from, to, tls).await?.0;
        if !stream.external().await? {
            return Err(fault("EXTERNAL was refused"));
        }
        stream.open(from, to).await?;
        Ok(stream)
    }

    /// Connects and secures; the second header is exchanged, nothing is authenticated.
    pub async fn secured(
        bind: Option<IpAddr>,
        edge: SocketAddr,
        from: &str,
        to: &str,
        tls: &Arc<ClientConfig>,
    ) -> io::Result<(Self, Opened)> {
        let mut stream = Self::connect(bind, edge).await?;
        let opened = stream.open(from, to).await?;
        if !opened.features.contains(TLS) {
            return Err(fault(format!("no STARTTLS in {}", opened.features)));
        }
        stream.start_tls(Arc::clone(tls), to).await?;
        let opened = stream.open(from, to).await?;
        Ok((stream, opened))
    }

    /// Offers a dialback key for the stream (XEP-0220, section 2.1.1) and reads the answer.
    pub async fn offer_key(&mut self, from: &str, to: &str, key: &str) -> io::Result<String> {
        self.send(&format!("<db:result from='{from}' to='{to}'>{key}</db:result>")).await?;
        Ok(self.next().await?.text().to_owned())
    }

    /// The bare connection of a stream without TLS; what was read and not taken is lost.
    pub fn into_plain(self) -> io::Result<TcpStream> {
        match self.io {
            Transport::Plain(io) => Ok(io),
            Transport::Client(_) | Transport::Server(_) | Transport::None => Err(fault("not a plain stream")),
        }
    }

    /// The bare TLS connection of an established initiating stream, for a sender that paces itself.
    pub fn into_client(self) -> io::Result<(TcpStream, rustls::ClientConnection)> {
        match self.io {
            Transport::Client(io) => Ok(io.into_inner()),
            Transport::Plain(_) | Transport::Server(_) | Transport::None => Err(fault("not an initiating TLS stream")),
        }
    }
}

/// A stream header; with an id it is a response.
fn header(from: &str, to: &str, id: Option<&str>) -> String {
    let id = id.map(|id| format!(" id='{id}'")).unwrap_or_default();
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback' from='{from}' to='{to}'{id} version='1.0' xml:lang='en'>"
    )
}

/// What a partner tells about itself.
#[derive(Clone)]
pub struct PartnerConfig {
    /// Its domain; empty for a server of many, which answers as whichever it is taken for.
    pub domain: String,
    /// Its certificate, and whom it believes. Without TLS it offers dialback only.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether it offers EXTERNAL.
    pub offers_external: bool,
    /// Whether it offers acknowledgements (XEP-0198) to who takes its streams; whoever does has to give them.
    pub offers_management: bool,
    /// Its dialback secret, by which it answers as the authoritative server.
    pub dialback_secret: String,
}

/// Whoever takes the bytes of streams that carry stanzas, instead of the inbox.
pub type Taker = Arc<dyn Fn(server::TlsStream<TcpStream>, Vec<u8>) + Send + Sync>;

/// A partner's server that takes streams; it ends when dropped.
pub struct Partner {
    /// Where it listens.
    pub address: SocketAddr,
    /// The stanzas it got.
    pub stanzas: Inbox<String>,
    /// Streams that were authenticated.
    pub streams: Arc<AtomicUsize>,
    /// While true, headers are read and not answered: streams are not established.
    pub is_mute: Arc<AtomicBool>,
    dialled: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Served {
    config: PartnerConfig,
    stanzas: Inbox<String>,
    streams: Arc<AtomicUsize>,
    is_mute: Arc<AtomicBool>,
    taker: Option<Taker>,
}

impl Partner {
    /// Binds and serves.
    pub async fn start(address: SocketAddr, config: PartnerConfig) -> io::Result<Self> {
        Self::start_with(address, config, None).await
    }

    /// The same, with somebody else for authenticated TLS streams.
    pub async fn start_with(address: SocketAddr, config: PartnerConfig, taker: Option<Taker>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stanzas, streams, is_mute) = (Inbox::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let served = Arc::new(Served {
            config,
            stanzas: stanzas.clone(),
            streams: Arc::clone(&streams),
            is_mute: Arc::clone(&is_mute),
            taker,
        });
        let dialled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dialled);
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let served = Arc::clone(&served);
                tokio::spawn(async move { served.serve(io).await });
            }
        });
        Ok(Self { address, stanzas, streams, is_mute, dialled, task })
    }

    /// Connections it has accepted.
    pub fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }
}

impl Served {
    /// One connection, as the receiving server (RFC 6120, section 4.3).
    async fn serve(&self, io: TcpStream) -> io::Result<()> {
        io.set_nodelay(true)?;
        let mut stream = Stream { io: Transport::Plain(io), buffer: Vec::new() };
        let (mut is_authenticated, mut peer) = (false, String::new());
        for id in 1_u32.. {
            // A stream may idle for as long as it likes, so nothing here is bounded but the test itself.
            let Some(piece) = self.piece(&mut stream).await? else { return Ok(()) };
            match piece {
                Piece::Header(text) => {
                    if self.is_mute.load(Ordering::Relaxed) {
                        std::future::pending::<()>().await;
                    }
                    peer = xml::attribute(&text, "from").unwrap_or_default();
                    let features = self.features(&stream, is_authenticated);
                    let own = match self.config.domain.as_str() {
                        "" => xml::attribute(&text, "to").unwrap_or_default(),
                        own => own.to_owned(),
                    };
                    let answer = header(&own, &peer, Some(&format!("s{id}")));
                    stream.send(&format!("{answer}{features}")).await?;
                    if is_authenticated {
                        self.streams.fetch_add(1, Ordering::Relaxed);
                        if let (Some(taker), Transport::Server(_)) = (&self.taker, &stream.io) {
                            let Transport::Server(io) = stream.io else { return Ok(()) };
                            taker(*io, stream.buffer);
                            return Ok(());
                        }
                    }
                }
                Piece::Element(text) if text.starts_with("<starttls") => self.secure(&mut stream).await?,
                Piece::Element(text) if text.starts_with("<auth") => {
                    is_authenticated = true;
                    stream.send(&format!("<success xmlns='{SASL}'/>")).await?;
                }
                Piece::Element(text) if text.starts_with("<db:verify") => {
                    stream.send(&self.verified(&text)).await?;
                }
                Piece::Element(text) if text.starts_with("<db:result") => {
                    let from = xml::attribute(&text, "from").unwrap_or_default();
                    let answer = format!("<db:result from='{}' to='{from}' type='valid'/>", self.config.domain);
                    stream.send(&answer).await?;
                    self.streams.fetch_add(1, Ordering::Relaxed);
                }
                Piece::Element(text) => self.stanzas.put(text),
                Piece::Close => return stream.send("</stream:stream>").await,
            }
        }
        Err(fault(format!("the stream of {peer} never ended")))
    }

    async fn piece(&self, stream: &mut Stream) -> io::Result<Option<Piece>> {
        loop {
            if let Some(piece) = xml::take(&mut stream.buffer) {
                return Ok(Some(piece));
            }
            let mut bytes = vec![0; READ];
            let count = stream.io.io()?.read(&mut bytes).await?;
            if count == 0 {
                return Ok(None);
            }
            stream.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        }
    }

    fn features(&self, stream: &Stream, is_authenticated: bool) -> String {
        let dialback = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
        let inner = match (&stream.io, &self.config.tls) {
            (Transport::Plain(_), Some(_)) => format!("<starttls xmlns='{TLS}'><required/></starttls>"),
            (Transport::Plain(_), None) => dialback.to_owned(),
            (Transport::Client(_) | Transport::Server(_) | Transport::None, _) if is_authenticated => {
                if self.config.offers_management { format!("<sm xmlns='{MANAGEMENT}'/>") } else { String::new() }
            }
            (Transport::Client(_) | Transport::Server(_) | Transport::None, _) => {
                let external = format!("<mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>");
                if self.config.offers_external { format!("{external}{dialback}") } else { dialback.to_owned() }
            }
        };
        format!("<stream:features>{inner}</stream:features>")
    }

    async fn secure(&self, stream: &mut Stream) -> io::Result<()> {
        let Some(tls) = &self.config.tls else { return Err(fault("STARTTLS was not offered")) };
        stream.send(&format!("<proceed xmlns='{TLS}'/>")).await?;
        let Transport::Plain(io) = std::mem::replace(&mut stream.io, Transport::None) else {
            return Err(fault("STARTTLS on a secured stream"));
        };
        stream.buffer.clear();
        let io = within("the TLS handshake", TlsAcceptor::from(Arc::clone(tls)).accept(io)).await?;
        stream.io = Transport::Server(Box::new(io));
        Ok(())
    }

    /// The authoritative server's answer (XEP-0220, section 2.2.2).
    fn verified(&self, request: &str) -> String {
        let attribute = |name| xml::attribute(request, name).unwrap_or_default();
        let (from, to, id) = (attribute("from"), attribute("to"), attribute("id"));
        let expected = dialback::key(&self.config.dialback_secret, &from, &to, &id);
        let offered = xml::text_of(request, "db:verify").unwrap_or_default();
        let kind = if offered.trim() == expected { "valid" } else { "invalid" };
        format!("<db:verify from='{to}' to='{from}' id='{id}' type='{kind}'/>")
    }
}
