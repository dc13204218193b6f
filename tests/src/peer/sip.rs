//! SIP peers (RFC 3261, RFC 3428, RFC 6665): messages as text, a user agent on a TCP connection or a UDP socket.
//!
//! [`Pool`] stands for the front-end pool: it takes requests, answers them as the test says, and keeps them.
//! [`Client`] sends requests, well-formed or not, and waits for answers.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::inbox::Inbox;
use super::{fault, within};

/// A request or response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Name and value, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Message {
    /// Takes the first complete message from the bytes of a connection.
    pub fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let skip = buffer.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(buffer.len());
        buffer.drain(..skip);
        let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(buffer.get(..end)?).into_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let mut message = Self { start, headers, body: String::new() };
        let length: usize = message.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or_default();
        message.body = String::from_utf8_lossy(buffer.get(end..end + length)?).into_owned();
        buffer.drain(..end + length);
        Some(message)
    }

    /// A header by its long name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        if self.status().is_some() { None } else { self.start.split(' ').next() }
    }

    /// A response to this request, with our tag (RFC 3261, section 8.2.6).
    pub fn respond(&self, status: &str, extra: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            match lower.as_str() {
                "to" if !value.contains("tag=") => text.push_str(&format!("To: {value};tag=pool\r\n")),
                "via" | "from" | "to" | "call-id" | "cseq" | "record-route" => {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                _ => {}
            }
        }
        text.push_str(extra);
        text.push_str("Content-Length: 0\r\n\r\n");
        text
    }
}

/// A parameter such as the tag of a From header.
pub fn parameter(value: &str, name: &str) -> Option<String> {
    let (_, rest) = value.split_once(&format!(";{name}="))?;
    Some(rest.split([';', '>', ',', ' ']).next().unwrap_or_default().to_owned())
}

/// What the pool answers to a request; `None` is silence.
pub type Answer = Arc<dyn Fn(&Message) -> Option<String> + Send + Sync>;

/// 200 to everything.
pub fn accept_all() -> Answer {
    Arc::new(|request| Some(request.respond("200 OK", "")))
}

/// The front-end pool; it ends when dropped.
pub struct Pool {
    /// Where it listens, on TCP.
    pub address: SocketAddr,
    /// The requests it got.
    pub requests: Inbox<Message>,
    answer: Arc<Mutex<Answer>>,
    late: broadcast::Sender<String>,
    task: JoinHandle<()>,
}

/// Texts that wait for connections.
const LATE: usize = 64;

impl Drop for Pool {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pool {
    /// Binds and answers 200 to everything.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (requests, answer) = (Inbox::default(), Arc::new(Mutex::new(accept_all())));
        let late = broadcast::Sender::new(LATE);
        let (seen, how, lately) = (requests.clone(), Arc::clone(&answer), late.clone());
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(serve(io, seen.clone(), Arc::clone(&how), lately.subscribe()));
            }
        });
        Ok(Self { address, requests, answer, late, task })
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: impl Fn(&Message) -> Option<String> + Send + Sync + 'static) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    /// Sends a text, such as a late response or a NOTIFY, on every connection that the gateway has opened.
    pub fn send(&self, text: String) {
        let _nobody_is_connected = self.late.send(text);
    }
}

async fn serve(
    mut io: TcpStream,
    seen: Inbox<Message>,
    how: Arc<Mutex<Answer>>,
    mut late: broadcast::Receiver<String>,
) -> io::Result<()> {
    io.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        tokio::select! {
            read = io.read_buf(&mut buffer) => if read? == 0 { return Ok(()) },
            text = late.recv() => match text {
                Ok(text) => io.write_all(text.as_bytes()).await?,
                Err(RecvError::Lagged(_)) => {}
                // The pool is gone, with its connections.
                Err(RecvError::Closed) => return Ok(()),
            },
        }
        while let Some(message) = Message::take(&mut buffer) {
            if message.method().is_none() {
                continue;
            }
            let answer = Arc::clone(&how.lock().unwrap_or_else(PoisonError::into_inner));
            let text = answer(&message);
            seen.put(message);
            if let Some(text) = text {
                io.write_all(text.as_bytes()).await?;
            }
        }
    }
}

/// A user agent behind the pool, on a connection of its own.
pub struct Client {
    write: tokio::sync::Mutex<OwnedWriteHalf>,
    /// Everything that came back.
    pub received: Inbox<Message>,
    /// Our own end, for Via and Contact.
    pub local: SocketAddr,
    closed: tokio::sync::watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Connects from the pool's address, which the gateway trusts; requests that come back are answered with 200.
    pub async fn connect(from: SocketAddr, gateway: SocketAddr) -> io::Result<Arc<Self>> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(from)?;
        let io = within("a SIP connection", socket.connect(gateway)).await?;
        io.set_nodelay(true)?;
        let local = io.local_addr()?;
        let (mut read, write) = io.into_split();
        let received = Inbox::default();
        let (closing, closed) = tokio::sync::watch::channel(false);
        let seen = received.clone();
        let task = tokio::spawn(async move {
            let mut buffer = Vec::new();
            while matches!(read.read_buf(&mut buffer).await, Ok(1..)) {
                while let Some(message) = Message::take(&mut buffer) {
                    seen.put(message);
                }
            }
            closing.send_replace(true);
        });
        Ok(Arc::new(Self { write: tokio::sync::Mutex::new(write), received, local, closed, task }))
    }

    /// Sends any bytes.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        within("a SIP write", async { self.write.lock().await.write_all(bytes).await }).await
    }

    /// The final response to a Call-ID.
    pub async fn response(&self, call_id: &str) -> io::Result<Message> {
        let what = format!("a final response to {call_id}");
        self.received
            .wait(&what, |message| {
                message.status().is_some_and(|status| status >= 200) && message.header("Call-ID") == Some(call_id)
            })
            .await
    }

    /// Waits until the other side has closed the connection.
    pub async fn closed(&self) -> io::Result<()> {
        let mut closed = self.closed.clone();
        within("the end of the SIP connection", async move {
            closed.wait_for(|closed| *closed).await.map_err(|_| fault("the reader is gone"))?;
            Ok(())
        })
        .await
    }

    /// Sends a MESSAGE and waits for its final response.
    pub async fn message(&self, from: &str, to: &str, call_id: &str, body: &str) -> io::Result<Message> {
        let text = request("MESSAGE", from, to, call_id, self.local, "Content-Type: text/plain\r\n", body);
        self.send(text.as_bytes()).await?;
        self.response(call_id).await
    }
}

/// A request over TCP.
pub fn request(
    method: &str,
    from: &str,
    to: &str,
    call_id: &str,
    local: SocketAddr,
    extra: &str,
    body: &str,
) -> String {
    format!(
        "{method} sip:{to} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
         From: <sip:{from}>;tag=f{call_id}\r\nTo: <sip:{to}>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n{extra}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends one datagram and waits for one back.
pub async fn datagram(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> io::Result<Message> {
    within("a SIP datagram", async {
        let socket = UdpSocket::bind(from).await?;
        socket.send_to(bytes, to).await?;
        let mut buffer = vec![0; 65_536];
        let count = socket.recv(&mut buffer).await?;
        buffer.truncate(count);
        Message::take(&mut buffer).ok_or_else(|| fault("not a SIP message"))
    })
    .await
}
