//! The SIP wire over TCP and TLS at speed: a user agent server that answers 200 to everything, a client that sends MESSAGEs.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::flight::Flight;
use super::pace::Wire;
use super::text::{self, SLOT, Template, user};
use crate::peer::fault;

/// Bytes taken from a socket at once.
const READ: usize = 64 * 1024;

/// How often the listener looks whether it should end.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// The branch of our requests, before the number.
pub(super) const BRANCH: &[u8] = b"z9hG4bKload";

/// Whoever wants the numbers in the requests.
pub type Counting = Arc<dyn Fn() -> Option<Arc<Flight>> + Send + Sync>;

/// What a server does with a request: it may put an answer in line.
pub(super) type Answering = Arc<dyn Fn(&Cut<'_>, &mut Vec<u8>) + Send + Sync>;

/// Answers every request on every connection; ends when dropped.
pub struct Server {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The thread looks within [`LOOK`].
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Server {
    /// Binds and serves: 200 to everything, and the numbers in the requests have arrived.
    pub fn start(address: SocketAddr, tls: Option<Arc<ServerConfig>>, flight: Counting) -> io::Result<Self> {
        Self::answering(address, tls, accepting(flight))
    }

    /// Binds and serves with answers of somebody's own.
    pub(super) fn answering(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        answer: Answering,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answered));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((socket, _)) => {
                        let (answer, count, tls) = (Arc::clone(&answer), Arc::clone(&count), tls.clone());
                        // The thread ends with the connection.
                        std::thread::spawn(move || serve(Io::server(socket, tls)?, answer.as_ref(), &count));
                    }
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        Ok(Self { stop, answered })
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// 200 to everything, and the numbers in the requests have arrived.
pub(super) fn accepting(flight: Counting) -> Answering {
    Arc::new(move |request, answers| {
        respond(request, "", answers);
        if let Some(flight) = flight() {
            text::bracketed(request.body, |number| flight.arrives(number));
        }
    })
}

fn serve(mut socket: Io, answer: &dyn Fn(&Cut<'_>, &mut Vec<u8>), count: &AtomicU64) -> io::Result<()> {
    let (mut buffer, mut chunk, mut answers) = (Vec::new(), vec![0; READ], Vec::new());
    loop {
        let read = socket.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let mut seen = 0;
        while let Some(message) = buffer.get(seen..).and_then(Cut::first) {
            seen += message.length;
            if !message.is_response() {
                answer(&message, &mut answers);
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        buffer.drain(..seen);
        socket.write_all(&answers)?;
        socket.flush()?;
        answers.clear();
    }
}

/// A connection, with TLS or without.
enum Io {
    Plain(TcpStream),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Io {
    fn server(socket: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Self::Plain(socket)) };
        let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
        Ok(Self::Server(Box::new(StreamOwned::new(connection, socket))))
    }

    /// Shakes hands, then never waits again.
    fn client(mut socket: TcpStream, tls: Option<(Arc<ClientConfig>, &str)>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let Some((tls, name)) = tls else {
            socket.set_nonblocking(true)?;
            return Ok(Self::Plain(socket));
        };
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(tls, name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self::Client(Box::new(StreamOwned::new(connection, socket))))
    }
}

impl Read for Io {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(io) => io.read(buffer),
            Self::Server(io) => io.read(buffer),
            Self::Client(io) => io.read(buffer),
        }
    }
}

impl Write for Io {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Plain(io) => io.write(bytes),
            Self::Server(io) => io.write(bytes),
            Self::Client(io) => io.write(bytes),
        };
        match written {
            // The record layer is full.
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(io) => io.flush(),
            Self::Server(io) => io.flush(),
            Self::Client(io) => io.flush(),
        }
    }
}

/// A message at the beginning of a buffer.
pub(super) struct Cut<'a> {
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
    length: usize,
}

impl<'a> Cut<'a> {
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let skip = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let bytes_left = bytes.get(skip..)?;
        let end = memchr::memmem::find(bytes_left, b"\r\n\r\n")? + 4;
        let head = bytes_left.get(..end)?;
        let content = lines(head).find_map(|line| value(line, b"content-length")).unwrap_or(b"0");
        let content: usize = std::str::from_utf8(content).ok()?.trim().parse().ok()?;
        let body = bytes_left.get(end..end + content)?;
        Some(Self { head, body, length: skip + end + content })
    }

    pub(super) fn is_response(&self) -> bool {
        self.head.starts_with(b"SIP/2.0")
    }

    /// The line it begins with.
    pub(super) fn first_line(&self) -> String {
        String::from_utf8_lossy(lines(self.head).next().unwrap_or_default()).into_owned()
    }

    /// The value of the first header of this name.
    pub(super) fn header(&self, name: &[u8]) -> Option<&'a str> {
        let value = lines(self.head).find_map(|line| value(line, name))?;
        Some(std::str::from_utf8(value).ok()?.trim())
    }

    pub(super) fn is(&self, method: &str) -> bool {
        self.head.starts_with(method.as_bytes())
    }

    /// The number in the branch of a request of ours.
    pub(super) fn number(&self) -> Option<u64> {
        let branch = memchr::memmem::find(self.head, BRANCH)?;
        text::number_at(self.head, branch + BRANCH.len())
    }
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The value of a header, if the line is that header.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    rest.strip_prefix(b":")
}

/// 200 with what RFC 3261, section 8.2.6.2, wants copied, and more headers.
pub(super) fn respond(request: &Cut<'_>, more: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for line in lines(request.head) {
        let is_to = value(line, b"to").is_some();
        let is_copied = is_to
            || [&b"via"[..], b"from", b"call-id", b"cseq", b"record-route"]
                .iter()
                .any(|name| value(line, name).is_some());
        if is_copied {
            out.extend_from_slice(line);
            if is_to && memchr::memmem::find(line, b"tag=").is_none() {
                out.extend_from_slice(b";tag=uas");
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(more.as_bytes());
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// A connection that never waits, with what is in line on it and what has come in part.
pub(super) struct Connection {
    socket: Io,
    wire: Vec<u8>,
    written: usize,
    buffer: Vec<u8>,
    chunk: Vec<u8>,
}

impl Connection {
    /// Connects from an address.
    pub(super) fn open(from: IpAddr, server: SocketAddr, tls: Option<(Arc<ClientConfig>, &str)>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect(&server.into())?;
        let socket = Io::client(socket.into(), tls)?;
        Ok(Self { socket, wire: Vec::new(), written: 0, buffer: Vec::new(), chunk: vec![0; READ] })
    }

    /// Puts bytes in line.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
    }

    /// Writes as much of what is in line as is taken.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while let Some(rest) = self.wire.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.wire.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once; each message may put an answer in line. False if there was nothing to read.
    pub(super) fn read(&mut self, mut each: impl FnMut(&Cut<'_>, &mut Vec<u8>)) -> io::Result<bool> {
        let count = match self.socket.read(&mut self.chunk) {
            Ok(0) => return Err(fault("the server closed the SIP connection")),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.buffer.extend_from_slice(self.chunk.get(..count).unwrap_or_default());
        let mut seen = 0;
        while let Some(message) = self.buffer.get(seen..).and_then(Cut::first) {
            seen += message.length;
            each(&message, &mut self.wire);
        }
        self.buffer.drain(..seen);
        Ok(true)
    }
}

/// Sends requests on one connection and counts final responses.
pub struct Client {
    connection: Connection,
    requests: Vec<Template>,
    flight: Arc<Flight>,
    /// Whether a 2xx is the arrival; otherwise somebody else sees the message arrive.
    counts_arrivals: bool,
}

impl Client {
    /// Connects from the pool's address, which the gateway trusts.
    pub fn connect(
        from: IpAddr,
        gateway: SocketAddr,
        tls: Option<(Arc<ClientConfig>, &str)>,
        requests: Vec<Template>,
        flight: Arc<Flight>,
        counts_arrivals: bool,
    ) -> io::Result<Self> {
        Ok(Self { connection: Connection::open(from, gateway, tls)?, requests, flight, counts_arrivals })
    }
}

impl Wire for Client {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let count = self.requests.len().max(1);
        if let Some(request) = self.requests.get_mut(usize::try_from(number).unwrap_or_default() % count) {
            self.connection.put(request.with(number));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.write()
    }

    fn attend(&mut self) -> io::Result<bool> {
        self.connection.write()?;
        let Self { connection, flight, counts_arrivals, .. } = self;
        connection.read(|message, wire| match (message.head.get(8), message.number()) {
            (Some(b'2'), Some(number)) if *counts_arrivals => flight.arrives(number),
            (Some(b'2'), Some(_)) => flight.accepts(),
            (Some(b'1' | b'2'), _) => {}
            // A refusal, or a request on this connection.
            (_, Some(number)) => {
                flight.refused(|| message.first_line());
                flight.bounces(number);
                if message.header(b"retry-after").is_some() {
                    flight.advises(message.head.get(8..11) == Some(b"503"));
                }
            }
            (_, None) => respond(message, "", wire),
        })
    }

    fn is_answered(&self) -> bool {
        !self.counts_arrivals
    }
}

/// One MESSAGE per pair, from one of our users to a partner's; the text is that of the stanzas.
pub fn messages(pairs: usize, local: &str, remote: &str, via: &str) -> Vec<Template> {
    messages_over("TCP", pairs, local, remote, via)
}

/// The same for UDP: not a byte more or less.
pub fn datagrams(pairs: usize, local: &str, remote: &str, via: &str) -> Vec<Template> {
    messages_over("UDP", pairs, local, remote, via)
}

fn messages_over(transport: &str, pairs: usize, local: &str, remote: &str, via: &str) -> Vec<Template> {
    (0..pairs)
        .map(|pair| {
            let (from, to) = (user("a", pair, local), user("u", pair, remote));
            let body = format!("[{SLOT}] {}", text::padding(90));
            let extra = "Content-Type: text/plain;charset=UTF-8\r\n";
            request_over(transport, "MESSAGE", &from, &to, via, extra, &body)
        })
        .collect()
}

/// A request out of any dialog whose branch and Call-ID carry the number.
pub fn request(method: &str, from: &str, to: &str, via: &str, extra: &str, body: &str) -> Template {
    request_over("TCP", method, from, to, via, extra, body)
}

fn request_over(transport: &str, method: &str, from: &str, to: &str, via: &str, extra: &str, body: &str) -> Template {
    let branch = String::from_utf8_lossy(BRANCH);
    Template::new(&format!(
        "{method} sip:{to} SIP/2.0\r\nVia: SIP/2.0/{transport} {via};branch={branch}{SLOT}\r\nMax-Forwards: 70\r\n\
         From: <sip:{from}>;tag=load{SLOT}\r\nTo: <sip:{to}>\r\nCall-ID: load{SLOT}\r\nCSeq: 1 {method}\r\n\
         {extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_copies_what_it_must_and_adds_a_tag() {
        let mut requests = messages(1, "contoso.example", "load1.example", "127.0.0.1:5060");
        let bytes = requests[0].with(7).to_vec();
        let cut = Cut::first(&bytes).unwrap();
        assert_eq!(cut.length, bytes.len());
        let mut out = Vec::new();
        respond(&cut, "", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("branch=z9hG4bKload0000000007\r\n"));
        assert!(text.contains("To: <sip:u00000@load1.example>;tag=uas\r\n"));
        assert!(text.contains("CSeq: 1 MESSAGE\r\n"));
    }
}
