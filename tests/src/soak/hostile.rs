//! The attacks, each with the defence that it has to meet (SECURITY.md lists them with their tests).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::time::{Instant, sleep, timeout};

use super::world::{HOSTILE, LOCAL, World};
use crate::peer::pki::Authority;
use crate::peer::xmpp::Stream;
use crate::peer::{fault, tls};

/// What a stranger, or a partner whose server was taken over, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Connects and leaves.
    Knock,
    /// Speaks HTTP.
    OtherProtocol,
    /// Opens a stream and leaves in the middle.
    HalfStream,
    /// Begins TLS and leaves in the middle.
    HalfTls,
    /// Begins TLS and stays.
    StalledTls,
    /// Says nothing.
    Silent,
    /// Sends its header a byte at a time.
    SlowHeader,
    /// Opens a stream and never authenticates, and is never quite silent.
    SlowLoris,
    /// An element too large before authentication.
    Oversize,
    /// Elements within elements within elements.
    Deep,
    /// An element with more attributes than any needs.
    Attributes,
    /// Entities that are made of entities.
    Entities,
    /// Dialback answers that nobody asked for.
    UnsolicitedDialback,
    /// Dialback keys for domains that are no partners, so that they are looked up and dialled.
    Amplifier,
    /// A stanza before authentication.
    EarlyStanza,
    /// Plaintext behind STARTTLS.
    Injection,
    /// TLS with a certificate of an authority that nobody trusts.
    ForeignCertificate,
    /// An authenticated stream that speaks for somebody else.
    ForeignSender,
    /// An authenticated stream that changes its name when it restarts.
    ChangedName,
    /// A thousand pings on an authenticated stream, and no interest in the answers.
    PingFlood,
    /// Half a stanza on an authenticated stream.
    HalfStanza,
    /// A stanza too large on an authenticated stream.
    OversizeStanza,
    /// Connects again and again from one address.
    TooOften,
}

/// In a hundred attacks, how many are of a kind; the rest is [`Kind::Knock`].
const SHARES: [(Kind, usize); 19] = [
    (Kind::OtherProtocol, 8),
    (Kind::HalfStream, 8),
    (Kind::HalfTls, 6),
    (Kind::Oversize, 6),
    (Kind::Deep, 4),
    (Kind::Attributes, 4),
    (Kind::Entities, 5),
    (Kind::UnsolicitedDialback, 5),
    (Kind::Amplifier, 5),
    (Kind::EarlyStanza, 6),
    (Kind::Injection, 5),
    (Kind::ForeignCertificate, 7),
    (Kind::ForeignSender, 5),
    (Kind::ChangedName, 4),
    (Kind::PingFlood, 1),
    (Kind::HalfStanza, 3),
    (Kind::OversizeStanza, 1),
    (Kind::SlowHeader, 2),
    (Kind::TooOften, 5),
];

/// One attack in so many is one of those that hold a place for long.
const PATIENT_ONE_IN: usize = 400;

impl Kind {
    /// The kind of an attack by its number: the same mix in every run.
    pub fn of(number: usize) -> Self {
        if number % PATIENT_ONE_IN == PATIENT_ONE_IN - 1 {
            return match number / PATIENT_ONE_IN % 3 {
                0 => Self::Silent,
                1 => Self::StalledTls,
                _ => Self::SlowLoris,
            };
        }
        // A prime to a hundred, so that the kinds are mixed.
        let mut place = number * 37 % 100;
        for (kind, share) in SHARES {
            if place < share {
                return kind;
            }
            place -= share;
        }
        Self::Knock
    }
}

/// What an attack came to.
#[derive(Debug)]
pub enum Met {
    /// The defence that was meant.
    Defence,
    /// It was not let in, because of those that came before it.
    AtDoor,
    /// Something else.
    Amiss(String),
}

/// A condition of RFC 6120 that the stream has to end with.
fn ends_with(heard: &str, condition: &str) -> Met {
    if heard.is_empty() {
        return Met::AtDoor;
    }
    if heard.contains(&format!("<{condition} ")) && heard.ends_with("</stream:stream>") {
        Met::Defence
    } else {
        Met::Amiss(format!("expected {condition}, heard {heard}"))
    }
}

/// Whom to attack, and what with.
pub struct Target {
    edge: SocketAddr,
    own: Arc<ClientConfig>,
    foreign: Arc<ClientConfig>,
}

impl Target {
    /// The edge of a world.
    pub fn new(world: &World) -> io::Result<Self> {
        let authority = &world.road.authority;
        let own = authority.issue(&[HOSTILE])?;
        let foreign = Authority::new("nobody's authority")?.issue(&[HOSTILE])?;
        Ok(Self {
            edge: world.road.plan.edge,
            own: tls::client(authority, Some(&own))?,
            foreign: tls::client(authority, Some(&foreign))?,
        })
    }

    /// Attacks once.
    pub async fn attack(&self, kind: Kind, from: IpAddr) -> Met {
        match self.perform(kind, from).await {
            Ok(met) => met,
            Err(error) if is_closed(&error) => Met::AtDoor,
            Err(error) => Met::Amiss(error.to_string()),
        }
    }

    async fn perform(&self, kind: Kind, from: IpAddr) -> io::Result<Met> {
        match kind {
            Kind::Knock => {
                self.connect(from).await?;
                Ok(Met::Defence)
            }
            Kind::OtherProtocol => {
                let mut stream = self.connect(from).await?;
                say(&mut stream, "GET / HTTP/1.1\r\nHost: contoso.example\r\n\r\n").await;
                Ok(ends_with(&stream.rest().await, "not-well-formed"))
            }
            Kind::HalfStream => {
                self.open(from).await?;
                Ok(Met::Defence)
            }
            Kind::HalfTls => {
                self.half_tls(from).await?;
                sleep(Duration::from_millis(200)).await;
                Ok(Met::Defence)
            }
            Kind::StalledTls => {
                let mut stream = self.half_tls(from).await?;
                let began = Instant::now();
                stream.wait_for_end(Duration::from_secs(25)).await?;
                Ok(by(began, Duration::from_secs(20)))
            }
            Kind::Silent => {
                let mut stream = self.connect(from).await?;
                let began = Instant::now();
                stream.wait_for_end(Duration::from_secs(20)).await?;
                Ok(by(began, Duration::from_secs(14)))
            }
            Kind::SlowHeader => {
                let mut stream = self.connect(from).await?;
                for byte in header().bytes().take(20) {
                    stream.send_bytes(&[byte]).await?;
                    sleep(Duration::from_millis(100)).await;
                }
                Ok(Met::Defence)
            }
            Kind::SlowLoris => self.slow_loris(from).await,
            Kind::Oversize => self.early(from, &format!("<auth>{}", "x".repeat(9000)), "policy-violation").await,
            Kind::Deep => self.early(from, &"<a>".repeat(100), "policy-violation").await,
            Kind::Attributes => {
                let attributes: String = (0..200).map(|number| format!(" a{number}=''")).collect();
                self.early(from, &format!("<a{attributes}/>"), "policy-violation").await
            }
            Kind::Entities => {
                let bomb = "<!DOCTYPE a [<!ENTITY b '&c;&c;&c;'><!ENTITY c '&d;&d;'>]>";
                self.early(from, bomb, "restricted-xml").await
            }
            Kind::UnsolicitedDialback => {
                let answer = format!("<db:result from='{HOSTILE}' to='{LOCAL}' type='valid'/>");
                self.early(from, &answer.repeat(3), "policy-violation").await
            }
            Kind::Amplifier => {
                let (mut stream, _) = Stream::secured(Some(from), self.edge, HOSTILE, LOCAL, &self.own).await?;
                let refused = stream.offer_key("victim.example", LOCAL, "key").await?;
                let is_refused = refused.contains("type='error'") && refused.contains("<policy-violation");
                Ok(if is_refused { Met::Defence } else { Met::Amiss(refused) })
            }
            Kind::EarlyStanza => self.early(from, &message(HOSTILE), "not-authorized").await,
            Kind::Injection => {
                let mut stream = self.open(from).await?;
                let injected = format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{}", message(HOSTILE));
                say(&mut stream, &injected).await;
                let heard = stream.rest().await;
                Ok(if heard.is_empty() { Met::Defence } else { Met::Amiss(heard) })
            }
            Kind::ForeignCertificate => {
                let (_, opened) = Stream::secured(Some(from), self.edge, HOSTILE, LOCAL, &self.foreign).await?;
                let is_refused = opened.features.contains("<policy-violation ");
                Ok(if is_refused { Met::Defence } else { Met::Amiss(opened.features) })
            }
            Kind::ForeignSender => self.late(from, &message("partner0.example"), "invalid-from").await,
            Kind::ChangedName => {
                let (mut stream, _) = Stream::secured(Some(from), self.edge, HOSTILE, LOCAL, &self.own).await?;
                if !stream.external().await? {
                    return Ok(Met::Amiss("EXTERNAL was refused".to_owned()));
                }
                let opened = stream.open("partner0.example", LOCAL).await?;
                let is_refused = opened.features.contains("<improper-addressing ");
                Ok(if is_refused { Met::Defence } else { Met::Amiss(opened.features) })
            }
            Kind::PingFlood => {
                let mut stream = self.establish(from).await?;
                let ping = format!(
                    "<iq from='{HOSTILE}' to='{LOCAL}' type='get' id='flood'><ping xmlns='urn:xmpp:ping'/></iq>"
                );
                // The edge may stop reading, which is a defence too.
                let _stopped = timeout(Duration::from_secs(5), stream.send(&ping.repeat(1000))).await;
                Ok(Met::Defence)
            }
            Kind::HalfStanza => {
                let mut stream = self.establish(from).await?;
                let stanza = message(HOSTILE);
                stream.send(stanza.split("</body>").next().unwrap_or_default()).await?;
                Ok(Met::Defence)
            }
            Kind::OversizeStanza => {
                let stanza = message(HOSTILE).replace("hello", &"x".repeat(300_000));
                self.late(from, &stanza, "policy-violation").await
            }
            Kind::TooOften => {
                let mut stream = self.connect(from).await?;
                say(&mut stream, &header()).await;
                // Those who come too often hear nothing; the first few do.
                let heard = timeout(Duration::from_secs(2), stream.next()).await;
                Ok(if matches!(heard, Ok(Err(_))) { Met::AtDoor } else { Met::Defence })
            }
        }
    }

    async fn connect(&self, from: IpAddr) -> io::Result<Stream> {
        Stream::connect(Some(from), self.edge).await
    }

    async fn open(&self, from: IpAddr) -> io::Result<Stream> {
        let mut stream = self.connect(from).await?;
        let opened = stream.open(HOSTILE, LOCAL).await?;
        if opened.features.contains("<stream:features") { Ok(stream) } else { Err(fault(opened.features)) }
    }

    async fn establish(&self, from: IpAddr) -> io::Result<Stream> {
        Stream::establish(Some(from), self.edge, HOSTILE, LOCAL, &self.own).await
    }

    /// Says something before authentication.
    async fn early(&self, from: IpAddr, said: &str, condition: &str) -> io::Result<Met> {
        let mut stream = self.open(from).await?;
        say(&mut stream, said).await;
        Ok(ends_with(&stream.rest().await, condition))
    }

    /// Says something after authentication.
    async fn late(&self, from: IpAddr, said: &str, condition: &str) -> io::Result<Met> {
        let mut stream = self.establish(from).await?;
        say(&mut stream, said).await;
        Ok(ends_with(&stream.rest().await, condition))
    }

    async fn half_tls(&self, from: IpAddr) -> io::Result<Stream> {
        let mut stream = self.open(from).await?;
        stream.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        stream.next().await?;
        let name = ServerName::try_from(LOCAL).map_err(io::Error::other)?;
        let mut client = ClientConnection::new(Arc::clone(&self.own), name).map_err(io::Error::other)?;
        let mut hello = Vec::new();
        client.write_tls(&mut hello)?;
        stream.send_bytes(hello.get(..hello.len() / 2).unwrap_or_default()).await?;
        Ok(stream)
    }

    /// White space is a sign of life, but not of intent.
    async fn slow_loris(&self, from: IpAddr) -> io::Result<Met> {
        let mut stream = self.open(from).await?;
        let began = Instant::now();
        let ended = timeout(Duration::from_secs(70), async {
            while stream.send(" ").await.is_ok() {
                if let Ok(Ok(piece)) = timeout(Duration::from_secs(1), stream.next()).await {
                    return piece.text().to_owned();
                }
            }
            String::new()
        });
        let heard = ended.await.unwrap_or_default();
        if heard.contains("<policy-violation ") {
            Ok(by(began, Duration::from_secs(65)))
        } else {
            Ok(Met::Amiss(format!("expected policy-violation, heard {heard:?}")))
        }
    }
}

/// The edge may hang up in the middle of it.
async fn say(stream: &mut Stream, text: &str) {
    let _either = stream.send(text).await;
}

fn by(began: Instant, bound: Duration) -> Met {
    let took = began.elapsed();
    if took <= bound { Met::Defence } else { Met::Amiss(format!("it took {took:?}, more than {bound:?}")) }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn header() -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback' from='{HOSTILE}' to='{LOCAL}' version='1.0'>"
    )
}

fn message(from: &str) -> String {
    format!("<message from='mallory@{from}' to='alice@{LOCAL}'><body>hello</body></message>")
}

/// How the attacks went, by kind.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<Kind, Count>);

#[derive(Debug, Default)]
struct Count {
    met: u64,
    at_door: u64,
    amiss: u64,
    example: String,
}

/// Of the attacks that are meant to get in, so many in a thousand may find the door closed by those before them.
const AT_DOOR_PER_MILLE: u64 = 50;

impl Tally {
    /// An attack has ended.
    pub fn count(&mut self, kind: Kind, met: Met) {
        let count = self.0.entry(kind).or_default();
        match met {
            Met::Defence => count.met += 1,
            Met::AtDoor => count.at_door += 1,
            Met::Amiss(what) => {
                count.amiss += 1;
                count.example = what;
            }
        }
    }

    /// What did not go as it should.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (kind, Count { met, at_door, amiss, example }) in &self.0 {
            if *amiss > 0 {
                complaints.push(format!("{kind:?}: {amiss} were not met as they should be, such as: {example}"));
            }
            let most = (met + at_door) * AT_DOOR_PER_MILLE / 1000 + 1;
            if *kind != Kind::TooOften && *at_door > most {
                complaints
                    .push(format!("{kind:?}: {at_door} were stopped at the door, so their defence was not tried"));
            }
        }
        complaints
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, Count { met, at_door, amiss, .. }) in &self.0 {
            let made = met + at_door + amiss;
            writeln!(f, "{:<50} {made:>9} {met:>9} {at_door:>9} {amiss:>9}", format!("{kind:?}"))?;
        }
        Ok(())
    }
}
