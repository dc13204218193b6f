//! A server that plays a part, word by word, and remembers what it heard.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::PATIENCE;

/// A line of the part.
#[derive(Clone)]
pub(crate) enum Line {
    /// Waits for a text.
    Hear(&'static str),
    /// Says one.
    Say(String),
    /// Becomes the server of TLS.
    Tls(Arc<ServerConfig>),
    /// Hangs up.
    HangUp,
}

/// A server that plays the same part on each connection, and then listens until the other side leaves.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<String>>,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Script {
    pub(crate) async fn play(part: Vec<Line>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<String>>::default();
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(connection(tcp, part.clone(), Arc::clone(&ears)));
            }
        });
        Self { address, heard }
    }

    /// All that was heard, on all connections.
    pub(crate) fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

async fn connection(tcp: TcpStream, part: Vec<Line>, ears: Arc<Mutex<String>>) {
    let mut tcp = Some(tcp);
    let mut secured: Option<Box<dyn Io>> = None;
    let mut unheard = String::new();
    for line in part {
        let io: &mut dyn Io = match (&mut secured, &mut tcp) {
            (Some(secured), _) => secured,
            (None, Some(tcp)) => tcp,
            (None, None) => return,
        };
        match line {
            Line::Hear(expected) => {
                while !unheard.contains(expected) {
                    if !listen(io, &mut unheard, &ears).await {
                        return;
                    }
                }
                let end = unheard.find(expected).unwrap_or_default() + expected.len();
                unheard.drain(..end);
            }
            Line::Say(text) => {
                let _either = io.write_all(text.as_bytes()).await;
            }
            Line::Tls(config) => {
                let Some(tcp) = tcp.take() else { return };
                match TlsAcceptor::from(config).accept(tcp).await {
                    Ok(tls) => secured = Some(Box::new(tls)),
                    Err(_) => return,
                }
                unheard.clear();
            }
            Line::HangUp => return,
        }
    }
    let io: &mut dyn Io = match (&mut secured, &mut tcp) {
        (Some(secured), _) => secured,
        (None, Some(tcp)) => tcp,
        (None, None) => return,
    };
    while listen(io, &mut unheard, &ears).await {}
}

async fn listen(io: &mut dyn Io, unheard: &mut String, ears: &Mutex<String>) -> bool {
    let mut chunk = [0; 4096];
    match timeout(PATIENCE, io.read(&mut chunk)).await {
        Ok(Ok(count)) if count > 0 => {
            let text = String::from_utf8_lossy(&chunk[..count]).into_owned();
            ears.lock().unwrap().push_str(&text);
            unheard.push_str(&text);
            true
        }
        _ => false,
    }
}

/// A response header of fabrikam, with a stream id.
pub(crate) fn response(features: &str) -> Line {
    Line::Say(format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback' from='fabrikam.example' to='contoso.example' id='script' version='1.0'>\
         {features}"
    ))
}

pub(crate) const STARTTLS: &str =
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
pub(crate) const EXTERNAL: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                                   <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
pub(crate) const DIALBACK: &str =
    "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";
pub(crate) const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// Up to the header inside TLS.
pub(crate) fn up_to_tls(config: &Arc<ServerConfig>) -> Vec<Line> {
    vec![
        Line::Hear("version='1.0'"),
        response(STARTTLS),
        Line::Hear("<starttls"),
        Line::Say(PROCEED.to_owned()),
        Line::Tls(Arc::clone(config)),
        Line::Hear("version='1.0'"),
    ]
}
