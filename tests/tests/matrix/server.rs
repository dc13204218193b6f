//! The receiving server of every scripted partner at one address: the domain asked for says how it behaves.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_tests::peer::inbox::Inbox;
use causeway_tests::peer::xml::{self, Piece};
use causeway_tests::peer::xmpp::Stream;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::oracle::{External, Peer, Tls};
use crate::world::LOCAL;

const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// The server; it ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What the edge did, by domain.
    pub(crate) seen: Inbox<(String, &'static str)>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How every domain behaves.
struct Script {
    peers: HashMap<String, Peer>,
    good: Arc<ServerConfig>,
    bad: Arc<ServerConfig>,
    seen: Inbox<(String, &'static str)>,
    ids: AtomicU32,
}

/// One connection.
struct Connection {
    stream: Stream,
    domain: String,
    peer: Peer,
    secured: bool,
    authenticated: bool,
}

impl Server {
    pub(crate) async fn start(
        address: SocketAddr,
        peers: HashMap<String, Peer>,
        good: Arc<ServerConfig>,
        bad: Arc<ServerConfig>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let seen = Inbox::default();
        let script = Arc::new(Script { peers, good, bad, seen: seen.clone(), ids: AtomicU32::new(0) });
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                let script = Arc::clone(&script);
                tokio::spawn(async move { script.serve(io).await });
            }
        });
        Ok(Self { address, seen, task })
    }

    /// What the edge did towards a domain, in order.
    pub(crate) fn seen(&self, domain: &str) -> Vec<&'static str> {
        self.seen.matching(|(known, _)| known == domain).into_iter().map(|(_, step)| step).collect()
    }
}

impl Script {
    /// Until the edge hangs up, says nothing for long, or is to be left alone.
    async fn serve(&self, io: TcpStream) -> io::Result<()> {
        io.set_nodelay(true)?;
        let mut stream = Stream::accepted(io);
        let Piece::Header(header) = stream.next().await? else { return Ok(()) };
        let domain = xml::attribute(&header, "to").unwrap_or_default();
        let Some(&peer) = self.peers.get(&domain) else { return Ok(()) };
        let mut connection = Connection { stream, domain, peer, secured: false, authenticated: false };
        if self.seen.all().iter().any(|(known, step)| *known == connection.domain && *step != "verify") {
            self.note(&connection, "connects again");
        }
        self.open(&mut connection).await?;
        loop {
            match connection.stream.next().await? {
                Piece::Header(_) => self.open(&mut connection).await?,
                Piece::Element(text) => {
                    if !self.answer(&mut connection, &text).await? {
                        return Ok(());
                    }
                }
                Piece::Close => return connection.stream.send("</stream:stream>").await,
            }
        }
    }

    fn note(&self, connection: &Connection, step: &'static str) {
        self.seen.put((connection.domain.clone(), step));
    }

    /// A header and features, of which some should not stand there: EXTERNAL without TLS, for one.
    async fn open(&self, connection: &mut Connection) -> io::Result<()> {
        let Connection { stream, domain, peer, secured, authenticated } = connection;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let db = if peer.dialback { " xmlns:db='jabber:server:dialback'" } else { "" };
        let starttls = match peer.tls {
            Tls::Can if !*secured => format!("<starttls xmlns='{TLS}'/>"),
            Tls::Insists if !*secured => format!("<starttls xmlns='{TLS}'><required/></starttls>"),
            Tls::None | Tls::Can | Tls::Insists => String::new(),
        };
        let is_alone = starttls.contains("required") || *authenticated;
        let external = if peer.external == External::None || is_alone {
            String::new()
        } else {
            format!("<mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>")
        };
        // Without dialback errors, so that no other domain comes to share the stream: each shall show what it can.
        let dialback = if !peer.dialback || is_alone { "" } else { "<dialback xmlns='urn:xmpp:features:dialback'/>" };
        stream
            .send(&format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
                 xmlns:stream='http://etherx.jabber.org/streams'{db} from='{domain}' to='{LOCAL}' id='s{id}' \
                 version='1.0'><stream:features>{starttls}{external}{dialback}</stream:features>"
            ))
            .await
    }

    /// The answer to an element; false when nothing more is heard.
    async fn answer(&self, connection: &mut Connection, text: &str) -> io::Result<bool> {
        if text.starts_with("<starttls") {
            return self.secure(connection).await;
        }
        if text.starts_with("<auth") {
            return self.authenticate(connection).await;
        }
        let domain = connection.domain.clone();
        if text.starts_with("<db:verify") {
            self.note(connection, "verify");
            let id = xml::attribute(text, "id").unwrap_or_default();
            let answer = format!("<db:verify from='{domain}' to='{LOCAL}' id='{id}' type='valid'/>");
            connection.stream.send(&answer).await?;
        } else if text.starts_with("<db:result") {
            self.note(connection, "dialback");
            connection.stream.send(&format!("<db:result from='{domain}' to='{LOCAL}' type='valid'/>")).await?;
        }
        Ok(true)
    }

    async fn secure(&self, connection: &mut Connection) -> io::Result<bool> {
        self.note(connection, "starttls");
        if connection.peer.tls == Tls::None {
            connection.stream.send(&format!("<failure xmlns='{TLS}'/></stream:stream>")).await?;
            return Ok(false);
        }
        connection.stream.send(&format!("<proceed xmlns='{TLS}'/>")).await?;
        let config = if connection.peer.proves { &self.good } else { &self.bad };
        connection.stream.accept_tls(Arc::clone(config)).await?;
        connection.secured = true;
        Ok(true)
    }

    async fn authenticate(&self, connection: &mut Connection) -> io::Result<bool> {
        self.note(connection, "external");
        let stream = &mut connection.stream;
        match connection.peer.external {
            External::Works => {
                connection.authenticated = true;
                stream.send(&format!("<success xmlns='{SASL}'/>")).await?;
                Ok(true)
            }
            External::None | External::FailsAndStays => {
                stream.send(&format!("<failure xmlns='{SASL}'><not-authorized/></failure>")).await?;
                Ok(true)
            }
            External::FailsAndCloses => {
                stream.send(&format!("<failure xmlns='{SASL}'><not-authorized/></failure></stream:stream>")).await?;
                Ok(false)
            }
        }
    }
}
