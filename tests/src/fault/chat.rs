//! One chat in a session: a SIP user calls a partner's user (INVITE) and talks over an MSRP stream (RFC 4975), again and
//! again when the session is lost.
//!
//! What the SIP user says is accepted by an answer of 200, and refused by any other or by a report of failure, which comes
//! over the same stream; when that is lost, he knows nothing about what he has just said.
//! What the partner's user says to him comes over the stream while there is one, and as a MESSAGE to the pool otherwise.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::ledger::{Ledger, Way};
use super::network::Party;
use super::partner::{Habits, number};
use super::pool::SIP;
use super::world::LOCAL;
use crate::peer::fault;
use crate::peer::sip::{Client, request};

/// Until the user calls again.
const AGAIN: Duration = Duration::from_millis(500);

/// How often the SIP user says something.
const RHYTHM: Duration = Duration::from_millis(200);

/// A call or a stream that does not come about by then is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// A report of failure has come by then: a gateway waits 25 seconds for an edge.
const REPORTED: Duration = Duration::from_secs(35);

/// A chat that goes on; it ends when dropped.
pub struct Chat {
    /// Whether the SIP user talks.
    pub is_on: Arc<AtomicBool>,
    /// Sessions that came about.
    pub sessions: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The SIP user's side.
struct Caller {
    gateways: Vec<SocketAddr>,
    partner: Habits,
    ledger: Arc<Ledger>,
    local: SocketAddr,
    is_on: Arc<AtomicBool>,
    sessions: Arc<AtomicU64>,
}

impl Chat {
    /// Calls the user 0 of this partner, as our user 0.
    pub fn start(party: &Party, gateways: Vec<SocketAddr>, partner: Habits, ledger: &Arc<Ledger>) -> Self {
        let (is_on, sessions) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let caller = Caller {
            gateways,
            partner,
            ledger: Arc::clone(ledger),
            local: SocketAddr::new(party.ip(), SIP),
            is_on: Arc::clone(&is_on),
            sessions: Arc::clone(&sessions),
        };
        Self { is_on, sessions, task: party.spawn(caller.run()) }
    }
}

impl Caller {
    async fn run(self) {
        for call in 0.. {
            let Some(gateway) = self.gateways.get(call % self.gateways.len().max(1)).copied() else { return };
            let opened = timeout(SILENCE, self.call(gateway, call)).await;
            if let Ok(Ok((client, mut stream))) = opened {
                self.sessions.fetch_add(1, Ordering::Relaxed);
                let _however_it_ends = self.talk(&mut stream).await;
                // Nobody tells him any more what became of what he said last.
                stream.said.iter().for_each(|(number, _)| self.ledger.forgotten(*number));
                drop(client);
            }
            sleep(AGAIN).await;
        }
    }

    /// INVITE, 200, ACK, and a connection for the stream.
    async fn call(&self, gateway: SocketAddr, call: usize) -> io::Result<(Arc<Client>, Stream)> {
        let client = Client::connect(SocketAddr::new(self.local.ip(), 0), gateway).await?;
        let own = format!("msrp://{}:2855/call{call};tcp", self.local.ip());
        let sdp = format!(
            "v=0\r\no=- 0 0 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
             a=accept-types:text/plain\r\na=path:{own}\r\na=setup:active\r\n",
            self.local.ip()
        );
        let (alice, bob) = (format!("alice0@{LOCAL}"), format!("bob0@{}", self.partner.domain));
        let id = format!("chat{call}");
        let contact = format!("Contact: <sip:alice0@{};transport=tcp>\r\n", self.local);
        let extra = format!("{contact}Content-Type: application/sdp\r\n");
        client.send(request("INVITE", &alice, &bob, &id, client.local, &extra, &sdp).as_bytes()).await?;
        let answer = client.response(&id).await?;
        if answer.status() != Some(200) {
            return Err(fault(answer.start));
        }
        let to = answer.header("To").unwrap_or_default();
        let target = answer.header("Contact").and_then(|contact| contact.split(['<', '>']).nth(1)).unwrap_or_default();
        let ack = format!(
            "ACK {target} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bKack{id}\r\nMax-Forwards: 70\r\n\
             From: <sip:{alice}>;tag=f{id}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            client.local
        );
        client.send(ack.as_bytes()).await?;
        let path = answer.body.lines().find_map(|line| line.strip_prefix("a=path:"));
        let peer = path.ok_or_else(|| fault("the answer has no path"))?.trim().to_owned();
        let address = peer.trim_start_matches("msrp://").split('/').next().unwrap_or_default();
        let io = TcpStream::connect(address.parse::<SocketAddr>().map_err(io::Error::other)?).await?;
        io.set_nodelay(true)?;
        Ok((client, Stream { io, own, peer, read: Vec::new(), said: Vec::new() }))
    }

    async fn talk(&self, stream: &mut Stream) -> io::Result<()> {
        let mut rhythm = interval(RHYTHM);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut chunk = vec![0; 4096];
        loop {
            tokio::select! {
                _ = rhythm.tick() => if self.is_on.load(Ordering::Relaxed) {
                    let number = self.ledger.sent(Way::ToXmpp, self.partner.domain, self.partner.counts);
                    stream.said.push((number, Instant::now()));
                    stream.said.extract_if(.., |(_, at)| at.elapsed() > REPORTED).for_each(|(number, _)| {
                        self.ledger.over(number);
                    });
                    stream.say(number, &format!("load {number} of {}", self.partner.domain)).await?;
                },
                count = stream.io.read(&mut chunk) => {
                    let count = count?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    stream.read.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    while let Some(frame) = stream.take() {
                        self.hear(stream, &frame).await?;
                    }
                }
            }
        }
    }

    async fn hear(&self, stream: &mut Stream, frame: &str) -> io::Result<()> {
        let mut first = frame.lines().next().unwrap_or_default().split(' ').skip(1);
        let (transaction, kind) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        match kind {
            "SEND" => {
                if let Some(number) = number(frame) {
                    self.ledger.delivered(number);
                }
                stream.answer(transaction).await
            }
            "REPORT" => {
                let about = header(frame, "Message-ID").and_then(|id| id.strip_prefix("say")?.parse::<u64>().ok());
                let status = header(frame, "Status").unwrap_or_default();
                if let Some(number) = about.filter(|number| stream.forget(*number)) {
                    self.ledger.bounced(number, status);
                }
                Ok(())
            }
            status => {
                let about = transaction.strip_prefix("say").and_then(|number| number.parse::<u64>().ok());
                if status == "200" {
                    about.into_iter().for_each(|number| self.ledger.acknowledged(number));
                } else if let Some(number) = about.filter(|number| stream.forget(*number)) {
                    self.ledger.bounced(number, &format!("MSRP {status}"));
                }
                Ok(())
            }
        }
    }
}

fn header<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The stream of a session.
struct Stream {
    io: TcpStream,
    own: String,
    peer: String,
    read: Vec<u8>,
    /// What was said and may still be reported, and when.
    said: Vec<(u64, Instant)>,
}

impl Stream {
    async fn say(&mut self, number: u64, text: &str) -> io::Result<()> {
        let (peer, own, length) = (&self.peer, &self.own, text.len());
        let frame = format!(
            "MSRP say{number} SEND\r\nTo-Path: {peer}\r\nFrom-Path: {own}\r\nMessage-ID: say{number}\r\n\
             Byte-Range: 1-{length}/{length}\r\nContent-Type: text/plain\r\n\r\n{text}\r\n\
             -------say{number}$\r\n"
        );
        timeout(SILENCE, self.io.write_all(frame.as_bytes())).await?
    }

    async fn answer(&mut self, transaction: &str) -> io::Result<()> {
        let (peer, own) = (&self.peer, &self.own);
        let frame =
            format!("MSRP {transaction} 200 OK\r\nTo-Path: {peer}\r\nFrom-Path: {own}\r\n-------{transaction}$\r\n");
        timeout(SILENCE, self.io.write_all(frame.as_bytes())).await?
    }

    /// The first complete frame.
    fn take(&mut self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.read).into_owned();
        let transaction = text.strip_prefix("MSRP ")?.split(' ').next()?;
        let end = format!("\r\n-------{transaction}");
        // The end line is that, a flag, and the end of the line.
        let length = text.find(&end)? + end.len() + 3;
        let frame = text.get(..length)?.to_owned();
        self.read.drain(..length);
        Some(frame)
    }

    /// Whether it was waited for.
    fn forget(&mut self, number: u64) -> bool {
        let before = self.said.len();
        self.said.retain(|(said, _)| *said != number);
        self.said.len() < before
    }
}
