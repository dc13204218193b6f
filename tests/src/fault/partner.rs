//! A partner under load: users who write to ours over streams to the edges, and a server that takes the edges' streams.
//!
//! With XEP-0198 both sides count: what the edge has not counted when a stream breaks was never accepted, and what this
//! side has not counted is the edge's to give back. Without it, a stanza that was written is all that anybody knows.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::ledger::{Ledger, Way};
use super::network::Party;
use super::presence::Contacts;
use super::world::LOCAL;
use crate::peer::road::Road;
use crate::peer::tls;
use crate::peer::xml::{self, Piece};
use crate::peer::xmpp::{Partner, PartnerConfig, Stream};

/// The XMPP server's port.
pub const S2S: u16 = 5269;

/// Texts that wait for a stream; an open loop drops what does not fit, before it has a number.
const WAITING: usize = 2000;

/// Until a broken stream is opened again.
const AGAIN: Duration = Duration::from_millis(200);

/// A server far away goes on writing until it reads the end of a stream.
const FAR_AWAY: Duration = Duration::from_millis(200);

/// Stanzas after which an acknowledgement is asked for.
const ASK_EVERY: u64 = 5;

/// How often a silent stream is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What was written so long before a stream broke has been read: a connection that carries nothing is given up by then.
const HELD: Duration = Duration::from_secs(100);

/// A server that is not told that its stream is dead gives it up when its request for an acknowledgement stays
/// unanswered so long.
const SILENCE: Duration = Duration::from_secs(40);

const MANAGEMENT: &str = "urn:xmpp:sm:3";

/// What a partner is.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Its domain.
    pub domain: &'static str,
    /// Whether it counts (XEP-0198).
    pub counts: bool,
    /// The edge that it prefers.
    pub edge: usize,
    /// Milliseconds that its server always sleeps before each read.
    pub nap_ms: u64,
}

/// What goes out on a stream.
pub enum Out {
    /// A message to a user of ours.
    Message,
    /// Presence, or anything else that nobody counts here.
    Other(String),
}

/// A running partner.
pub struct LoadedPartner {
    /// What it is.
    pub habits: Habits,
    /// Milliseconds that its server sleeps before each read, besides those of its habits.
    pub nap_ms: Arc<AtomicU64>,
    /// What its users show and see.
    pub contacts: Arc<Contacts>,
    /// The edge that it writes to.
    pub edge: Arc<AtomicUsize>,
    out: mpsc::Sender<Out>,
    writer: JoinHandle<()>,
    _server: Partner,
}

impl Drop for LoadedPartner {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl LoadedPartner {
    /// Serves, and keeps a stream to one of the edges.
    pub async fn start(
        party: &Party,
        road: &Road,
        habits: Habits,
        edges: Vec<SocketAddr>,
        ledger: &Arc<Ledger>,
    ) -> io::Result<Self> {
        let own = road.authority.issue(&[habits.domain])?;
        let config = PartnerConfig {
            domain: habits.domain.to_owned(),
            tls: Some(tls::server(&road.authority, &own)?),
            offers_external: true,
            offers_management: habits.counts,
            dialback_secret: String::new(),
        };
        let (nap_ms, contacts) = (Arc::new(AtomicU64::new(0)), Arc::new(Contacts::default()));
        let (out, outs) = mpsc::channel(WAITING);
        let reader = Reader {
            habits,
            ledger: Arc::clone(ledger),
            nap_ms: Arc::clone(&nap_ms),
            contacts: Arc::clone(&contacts),
            out: out.clone(),
        };
        let taker = Arc::new(move |stream, first| {
            let reader = reader.clone();
            tokio::spawn(async move {
                let _however_it_ends = reader.read(stream, first).await;
                reader.ledger.broke(reader.habits.domain);
            });
        });
        let address = SocketAddr::new(party.ip(), S2S);
        let server = party.run(async move { Partner::start_with(address, config, Some(taker)).await }).await?;
        let client = tls::client(&road.authority, Some(&own))?;
        let edge = Arc::new(AtomicUsize::new(habits.edge));
        let (ledger, chosen) = (Arc::clone(ledger), Arc::clone(&edge));
        let writer = Writer { habits, ledger, tls: client, edges, chosen, outs, again: Vec::new() };
        Ok(Self { habits, nap_ms, contacts, edge, out, writer: party.spawn(writer.run()), _server: server })
    }

    /// Puts something in line for the stream; false when there is no room.
    pub fn send(&self, out: Out) -> bool {
        self.out.try_send(out).is_ok()
    }
}

/// The stanzas that the edges bring.
#[derive(Clone)]
struct Reader {
    habits: Habits,
    ledger: Arc<Ledger>,
    nap_ms: Arc<AtomicU64>,
    contacts: Arc<Contacts>,
    out: mpsc::Sender<Out>,
}

impl Reader {
    async fn read(&self, mut stream: TlsStream<TcpStream>, mut buffer: Vec<u8>) -> io::Result<()> {
        let (mut chunk, mut handled, mut is_counting) = (vec![0; 16 * 1024], 0_u32, false);
        loop {
            while let Some(piece) = xml::take(&mut buffer) {
                let text = piece.text();
                if piece == Piece::Close {
                    return stream.write_all(b"</stream:stream>").await;
                } else if text.starts_with("<enable") {
                    is_counting = true;
                    stream.write_all(format!("<enabled xmlns='{MANAGEMENT}'/>").as_bytes()).await?;
                } else if text.starts_with("<r ") || text.starts_with("<r/") {
                    stream.write_all(format!("<a xmlns='{MANAGEMENT}' h='{handled}'/>").as_bytes()).await?;
                } else {
                    self.take(text);
                    handled += u32::from(is_counting);
                }
            }
            let nap = self.habits.nap_ms + self.nap_ms.load(Ordering::Relaxed);
            if nap > 0 {
                sleep(Duration::from_millis(nap)).await;
            }
            let count = stream.read(&mut chunk).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    fn take(&self, stanza: &str) {
        if stanza.starts_with("<presence") || stanza.starts_with("<iq") {
            for answer in self.contacts.hear(stanza) {
                // A full queue loses it, as a server that is out of memory would.
                let _full = self.out.try_send(Out::Other(answer));
            }
            return;
        }
        if xml::attribute(stanza, "type").as_deref() == Some("error") {
            // An error need not repeat what it refuses.
            let id = xml::attribute(stanza, "id").unwrap_or_default();
            if let Some(number) = id.strip_prefix('m').and_then(|number| number.parse().ok()) {
                self.ledger.bounced(number, &condition(stanza));
            }
        } else if let Some(number) = number(stanza) {
            self.ledger.delivered(number);
        }
    }
}

/// The number in a text: `load 17 of` something.
pub fn number(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("load ")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// What an error stanza says.
fn condition(stanza: &str) -> String {
    let inner = stanza.split_once("<error").map(|(_, rest)| rest).unwrap_or_default();
    let name = inner.split_once("><").map(|(_, rest)| rest).unwrap_or_default();
    let name = name.split([' ', '/', '>']).next().unwrap_or_default();
    let text = xml::text_of(inner, "text").unwrap_or_default();
    format!("{name}: {text}")
}

/// The stream to an edge, opened again and again.
struct Writer {
    habits: Habits,
    ledger: Arc<Ledger>,
    tls: Arc<ClientConfig>,
    edges: Vec<SocketAddr>,
    /// Which of them it writes to.
    chosen: Arc<AtomicUsize>,
    outs: mpsc::Receiver<Out>,
    /// Presence that the last stream did not get across.
    again: Vec<String>,
}

impl Writer {
    async fn run(mut self) {
        let mut is_first = true;
        loop {
            let chosen = self.chosen.load(Ordering::Relaxed);
            let Some(edge) = self.edges.get(chosen).copied() else { return };
            let opened = Stream::establish(None, edge, self.habits.domain, LOCAL, &self.tls).await;
            let Ok(stream) = opened else {
                // The one that it prefers may only just be starting.
                if !is_first {
                    self.turn(chosen);
                }
                sleep(AGAIN).await;
                continue;
            };
            is_first = false;
            let mut carried = Carried::default();
            let ended = self.carry(stream, &mut carried).await;
            // What the edge has not counted comes back to its sender here, whatever became of it. Without counting,
            // nobody knows how much of the end was read; but a stream that was closed in order was read to its end.
            if self.habits.counts || ended.is_err() {
                for (number, sent, text) in carried.unacknowledged {
                    if number > 0 && (self.habits.counts || sent.elapsed() < HELD) {
                        self.ledger.over(number);
                    } else if number == 0 && self.habits.counts {
                        // A server that counts says once more what was not counted, where nobody would hear of an error.
                        self.again.push(text);
                    }
                }
            }
            self.turn(chosen);
            sleep(AGAIN).await;
        }
    }

    /// Turns to the next edge.
    fn turn(&self, from: usize) {
        self.chosen.store((from + 1) % self.edges.len().max(1), Ordering::Relaxed);
    }

    /// Until the stream ends: `Ok` when the edge has closed it in order.
    async fn carry(&mut self, mut stream: Stream, carried: &mut Carried) -> io::Result<()> {
        if self.habits.counts {
            stream.send(&format!("<enable xmlns='{MANAGEMENT}'/>")).await?;
        }
        for text in std::mem::take(&mut self.again) {
            let text = self.written(Out::Other(text), carried);
            stream.send(&text).await?;
        }
        let (mut is_closing, mut asked, mut ends_at) = (false, None::<Instant>, None::<Instant>);
        loop {
            let end = async {
                match ends_at {
                    Some(ends_at) if !is_closing => sleep_until(ends_at.into()).await,
                    Some(_) | None => pending().await,
                }
            };
            tokio::select! {
                () = end => {
                    // What the edge still counts comes behind its end.
                    stream.send("</stream:stream>").await?;
                    is_closing = true;
                }
                out = self.outs.recv(), if !is_closing => {
                    let Some(out) = out else { return Ok(()) };
                    let text = self.written(out, carried);
                    let asks = self.habits.counts && carried.sent.is_multiple_of(ASK_EVERY);
                    let ask = if asks { format!("<r xmlns='{MANAGEMENT}'/>") } else { String::new() };
                    if asks {
                        asked.get_or_insert_with(Instant::now);
                    }
                    stream.send(&format!("{text}{ask}")).await?;
                }
                piece = timeout(LOOK, stream.next()) => match piece {
                    Ok(Ok(Piece::Close)) if ends_at.is_none() => ends_at = Some(Instant::now() + FAR_AWAY),
                    Ok(Ok(Piece::Close)) => {}
                    Ok(Ok(piece)) if piece.text().starts_with("<a ") => {
                        asked = None;
                        self.counted(piece.text(), carried);
                    }
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) if is_closing => return Ok(()),
                    Ok(Err(error)) => return Err(error),
                    Err(_) if asked.is_some_and(|asked| asked.elapsed() > SILENCE) => {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    Err(_) => {}
                },
            }
        }
    }

    fn written(&self, out: Out, carried: &mut Carried) -> String {
        carried.sent += 1;
        let (number, text, kept) = match out {
            Out::Message => {
                let number = self.ledger.sent(Way::ToSip, self.habits.domain, self.habits.counts);
                (number, message(self.habits.domain, number), String::new())
            }
            Out::Other(text) => (0, text.clone(), text),
        };
        carried.unacknowledged.push_back((number, Instant::now(), kept));
        if !self.habits.counts && carried.unacknowledged.len() > WAITING {
            carried.unacknowledged.pop_front();
        }
        text
    }

    fn counted(&self, answer: &str, carried: &mut Carried) {
        let handled = xml::attribute(answer, "h").and_then(|h| h.parse::<u64>().ok()).unwrap_or_default();
        while carried.counted < handled {
            carried.counted += 1;
            let Some((number, ..)) = carried.unacknowledged.pop_front() else { return };
            if number > 0 {
                self.ledger.acknowledged(number);
                self.ledger.over(number);
            }
        }
    }
}

/// What a stream has carried.
#[derive(Default)]
struct Carried {
    sent: u64,
    counted: u64,
    /// The numbers of messages, 0 for anything else; when they were written; and the text of anything else.
    unacknowledged: VecDeque<(u64, Instant, String)>,
}

fn message(domain: &str, number: u64) -> String {
    let user = number % super::load::USERS;
    format!(
        "<message from='bob{user}@{domain}/desk' to='alice{user}@{LOCAL}' type='chat' id='m{number}'>\
         <body>load {number} of {domain}</body></message>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_what_comes_back() {
        assert_eq!(number("<message><body>load 17 of fabrikam.example</body></message>"), Some(17));
        assert_eq!(number("<message><body>nothing</body></message>"), None);
    }

    #[test]
    fn an_error_is_named_by_its_condition() {
        let stanza = "<message type='error'><error type='wait'><remote-server-timeout xmlns='urn:x'/>\
                      <text xmlns='urn:x'>late</text></error></message>";
        assert_eq!(condition(stanza), "remote-server-timeout: late");
    }
}
