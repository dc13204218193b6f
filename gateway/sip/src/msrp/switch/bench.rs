//! A switch on a bench: its world is text, and its clock is moved by hand.

use bytes::BytesMut;

use super::*;
use crate::msrp::fingerprint::HashFunction;
use crate::msrp::message::FailureReport;

pub(super) const MAX_SIZE: usize = 10_000;

pub(super) fn config() -> SwitchConfig {
    SwitchConfig {
        host: "gw.example".into(),
        tls_port: Some(2855),
        tcp_port: Some(2856),
        fingerprints: vec![Fingerprint::of(b"ours", HashFunction::Sha256)],
        accept_types: vec!["text/plain".into()],
        accept_wrapped_types: Vec::new(),
        max_size: MAX_SIZE,
        idle: Duration::from_secs(600),
    }
}

pub(super) struct Bench {
    pub(super) switch: Switch,
    pub(super) now: Instant,
    /// What the switch said and nobody has looked at.
    pub(super) out: Vec<Output>,
    accepted: u64,
}

/// The path of the peer with this number, at a port of this number.
pub(super) fn peer_path(is_secure: bool, number: u16) -> String {
    let scheme = if is_secure { "msrps" } else { "msrp" };
    format!("{scheme}://192.0.2.1:{}/peer{number};tcp", 7000 + number)
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: SwitchConfig) -> Self {
        let (switch, now) = (Switch::new(config, IdSource::counting()), Instant::now());
        Self { switch, now, out: Vec::new(), accepted: 0 }
    }

    pub(super) fn step(&mut self, input: Input) -> &mut Self {
        self.switch.handle(input, self.now, &mut self.out);
        self
    }

    pub(super) fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.step(Input::DeadlinePassed)
    }

    pub(super) fn terms(is_secure: bool, number: u16, is_active: bool) -> Terms {
        let peer = Msrp {
            path: vec![peer_path(is_secure, number).parse().unwrap()],
            accept_types: vec!["text/plain".into()],
            accept_wrapped_types: Vec::new(),
            max_size: None,
            setup: None,
            fingerprints: Vec::new(),
        };
        Terms { peer, is_active }
    }

    /// A session without TLS with the peer of this number; gives our URI, too.
    pub(super) fn open(&mut self, number: u16, is_active: bool) -> (SessionId, String) {
        self.open_with(false, Self::terms(false, number, is_active))
    }

    pub(super) fn open_with(&mut self, is_secure: bool, terms: Terms) -> (SessionId, String) {
        let (session, own) = self.reserve(is_secure);
        self.step(Input::Open { session, terms: Box::new(terms) });
        (session, own)
    }

    pub(super) fn reserve(&mut self, is_secure: bool) -> (SessionId, String) {
        let session = self.switch.reserve(is_secure, self.now).unwrap();
        let own = self.switch.stream(session, Setup::ActPass).unwrap().path[0].to_string();
        (session, own)
    }

    pub(super) fn accept(&mut self) -> ConnectionId {
        self.accept_from(Peer { remote: "192.0.2.1:40000".parse().unwrap(), is_secure: false, certificate: None })
    }

    pub(super) fn accept_from(&mut self, peer: Peer) -> ConnectionId {
        self.accepted += 1;
        let connection = ConnectionId::Accepted(self.accepted);
        self.step(Input::Accepted { connection, peer });
        connection
    }

    /// Brings up the connection that the switch has asked for.
    pub(super) fn connected(&mut self) -> ConnectionId {
        let asked = self.out.iter().find_map(|output| match output {
            Output::Connect { connection, .. } => Some(*connection),
            _ => None,
        });
        let connection = asked.expect("a connection was asked for");
        self.out.clear();
        let peer = Peer { remote: "192.0.2.1:7001".parse().unwrap(), is_secure: false, certificate: None };
        self.step(Input::Connected { connection, peer });
        connection
    }

    /// A passive session whose peer has connected and said hello.
    pub(super) fn bound(&mut self, number: u16) -> (SessionId, String, ConnectionId) {
        let (session, own) = self.open(number, false);
        let connection = self.accept();
        self.say(connection, &send(&own, number, "hello", ""));
        assert_eq!(self.events(), [(session, Event::Established)]);
        self.out.clear();
        (session, own, connection)
    }

    /// The peer says something; gives the first lines of what it hears on any connection.
    pub(super) fn say(&mut self, connection: ConnectionId, text: &str) -> Vec<String> {
        let before = self.out.len();
        self.step(Input::Bytes { connection, bytes: Bytes::copy_from_slice(text.as_bytes()) });
        let text = wire(&self.out[before..]);
        text.lines().filter(|line| line.starts_with("MSRP ")).map(str::to_owned).collect()
    }

    /// Takes the events.
    pub(super) fn events(&mut self) -> Vec<(SessionId, Event)> {
        let (events, others) =
            std::mem::take(&mut self.out).into_iter().partition(|output| matches!(output, Output::Event { .. }));
        self.out = others;
        let events: Vec<Output> = events;
        events
            .into_iter()
            .filter_map(|output| match output {
                Output::Event { session, event } => Some((session, event)),
                Output::Connect { .. } | Output::Write { .. } | Output::Close { .. } => None,
            })
            .collect()
    }

    /// Takes everything that is written, as text.
    pub(super) fn written(&mut self) -> String {
        let text = wire(&self.out);
        self.out.retain(|output| !matches!(output, Output::Write { .. }));
        text
    }

    pub(super) fn closes(&self, connection: ConnectionId) -> bool {
        self.out.contains(&Output::Close { connection })
    }
}

fn wire(out: &[Output]) -> String {
    let mut text = BytesMut::new();
    for output in out {
        if let Output::Write { bytes, .. } = output {
            text.extend_from_slice(bytes);
        }
    }
    String::from_utf8(text.to_vec()).unwrap()
}

/// A SEND of the peer with this number: without body if that is empty.
pub(super) fn send(own: &str, number: u16, transaction: &str, body: &str) -> String {
    let is_secure = own.starts_with("msrps");
    request("SEND", own, &peer_path(is_secure, number), transaction, &format!("Message-ID: m-{transaction}\r\n"), body)
}

pub(super) fn request(method: &str, to: &str, from: &str, transaction: &str, headers: &str, body: &str) -> String {
    let body = match body {
        "" => String::new(),
        body => format!("Content-Type: text/plain\r\n\r\n{body}\r\n"),
    };
    format!(
        "MSRP {transaction} {method}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{headers}{body}-------{transaction}$\r\n"
    )
}

pub(super) fn outgoing(token: u64, body: &[u8]) -> Outgoing {
    Outgoing {
        token,
        message_id: format!("id{token}"),
        content_type: "text/plain".into(),
        body: Bytes::copy_from_slice(body),
        success_report: false,
        failure_report: FailureReport::Yes,
    }
}
