//! Verdicts: the named outcome of everything that was refused or failed (ARCHITECTURE.md, promise 2).
//!
//! A verdict says how far an attempt came, whose side can mend it, what happened and what to do. It is logged as
//! fields, counted by rung and side, and travels over the link. Made by the machines' shells, which know partner and
//! time. Peer-chosen text enters escaped and cut.
//!
//! [`catalogue`] names every kind of verdict and what to do about it, [`facts`] is what is known about the connection, [`history`] keeps the last verdicts of each partner, [`json`] shows
//! them, [`labels`] names partners in metrics.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::domain::DomainName;

pub mod catalogue;
pub mod facts;
pub mod history;
pub mod json;
pub mod labels;

pub use catalogue::Code;
pub use facts::{CertificateFacts, Facts, TlsFacts};

/// How far an attempt came. The name is a metric label, so the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rung {
    /// Finding the partner's servers in DNS.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The certificate's chain, validity and revocation.
    Chain,
    /// The names in the certificate.
    Name,
    /// The extended key usage of the certificate.
    KeyUsage,
    /// No method that both sides can use.
    Mechanisms,
    /// SASL EXTERNAL.
    Sasl,
    /// Server Dialback, its return leg included.
    Dialback,
    /// What the configuration allows.
    Policy,
    /// A limit on connections, rate or size.
    Limits,
    /// The rules of XML streams.
    Stream,
    /// The link between edge and gateway.
    Link,
    /// A single stanza, on an authenticated stream.
    Stanza,
    /// The mapping between XMPP and SIP.
    Translation,
    /// The SIP side.
    Sip,
    /// The store.
    Store,
}

impl Rung {
    /// All rungs, for metrics.
    pub const ALL: [Self; 17] = [
        Self::Resolve,
        Self::Connect,
        Self::Tls,
        Self::Chain,
        Self::Name,
        Self::KeyUsage,
        Self::Mechanisms,
        Self::Sasl,
        Self::Dialback,
        Self::Policy,
        Self::Limits,
        Self::Stream,
        Self::Link,
        Self::Stanza,
        Self::Translation,
        Self::Sip,
        Self::Store,
    ];

    /// The name in logs, metrics and on the link.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Chain => "chain",
            Self::Name => "name",
            Self::KeyUsage => "key-usage",
            Self::Mechanisms => "mechanisms",
            Self::Sasl => "sasl",
            Self::Dialback => "dialback",
            Self::Policy => "policy",
            Self::Limits => "limits",
            Self::Stream => "stream",
            Self::Link => "link",
            Self::Stanza => "stanza",
            Self::Translation => "translation",
            Self::Sip => "sip",
            Self::Store => "store",
        }
    }

    /// Reads [`Rung::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.as_str() == name)
    }
}

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The other side's operator or software.
    Theirs,
    /// Causeway itself: a bug.
    Ours,
    /// The network between.
    Network,
    /// Our operator: configuration, certificates, capacity.
    Operator,
}

impl Side {
    /// All sides, for metrics.
    pub const ALL: [Self; 4] = [Self::Theirs, Self::Ours, Self::Network, Self::Operator];

    /// The name in logs, metrics and on the link.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Theirs => "theirs",
            Self::Ours => "ours",
            Self::Network => "network",
            Self::Operator => "operator",
        }
    }

    /// Reads [`Side::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.as_str() == name)
    }
}

/// Who began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The other side came to us.
    In,
    /// We went to the other side.
    Out,
}

impl Direction {
    /// The name in logs, metrics and on the link.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// Reads [`Direction::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::In, Self::Out].into_iter().find(|direction| direction.as_str() == name)
    }
}

/// The outcome of one failed or refused attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Of which kind it is; `None` where an edge of another version has a kind that this build does not know.
    pub code: Option<Code>,
    /// How far it came.
    pub rung: Rung,
    /// Who can mend it.
    pub side: Side,
    /// What happened, in a sentence. Nothing secret, no bodies.
    pub cause: String,
    /// What to do, in a sentence fit to be sent to the other side's operator when the side is theirs.
    pub remedy: String,
    /// The partner's primary domain, or the domain that was claimed when it is none; empty if none was.
    pub partner: String,
    /// Who began.
    pub direction: Direction,
    /// The other end, if there was a connection.
    pub peer: Option<SocketAddr>,
    /// Unix time in milliseconds.
    pub at_ms: u64,
    /// What is known about the attempt beyond that; boxed, for failures of stanzas carry verdicts, too.
    pub facts: Option<Box<Facts>>,
}

impl Verdict {
    /// A verdict of a kind, about nobody yet and at no time.
    pub fn of(code: Code, cause: impl Into<String>) -> Self {
        let entry = code.entry();
        Self {
            code: Some(code),
            rung: entry.rung,
            side: entry.side,
            cause: cause.into(),
            remedy: entry.remedy.to_owned(),
            partner: String::new(),
            direction: Direction::In,
            peer: None,
            at_ms: 0,
            facts: None,
        }
    }

    /// Logs the verdict as fields of one event.
    pub fn log(&self) {
        self.log_counted(1);
    }

    /// The same with how often it was given.
    pub(crate) fn log_counted(&self, count: u32) {
        let facts = self.facts.as_deref();
        tracing::info!(
            target: "causeway::verdict",
            code = self.code.map(Code::as_str),
            rung = self.rung.as_str(),
            side = self.side.as_str(),
            partner = %unmistakable_domain(&self.partner),
            domain = facts.map(|facts| tracing::field::display(unmistakable_domain(&facts.domain))),
            local = facts.map(|facts| tracing::field::display(unmistakable_domain(&facts.local))),
            stream_id = facts.map(|facts| tracing::field::display(printable(&facts.stream_id))),
            direction = self.direction.as_str(),
            peer = self.peer.map(tracing::field::display),
            cause = %printable(&self.cause),
            remedy = %self.remedy,
            count,
            "verdict"
        );
    }
}

/// Characters of foreign text that a log line takes.
const PRINTABLE_CHARS: usize = 512;

/// An address as operators see it: characters that could be taken for others are code points (RFC 7247, section 8).
pub fn unmistakable(address: &str) -> String {
    let mut out = String::with_capacity(address.len().min(PRINTABLE_CHARS));
    for (count, c) in address.chars().enumerate() {
        if count == PRINTABLE_CHARS {
            out.push('…');
            break;
        }
        if c.is_ascii_graphic() || c == ' ' {
            out.push(c);
        } else {
            let _infallible = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    out
}

/// A domain as operators see it: in A-labels, and what is no domain in code points.
pub fn unmistakable_domain(domain: &str) -> String {
    DomainName::parse(domain).map_or_else(|_| unmistakable(domain), |name| name.as_str().to_owned())
}

/// Text that somebody else chose, made safe for a log: control and bidirectional characters escaped, cut at a bound.
pub fn printable(text: &str) -> String {
    if text.len() <= PRINTABLE_CHARS && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(PRINTABLE_CHARS));
    for (count, c) in text.chars().enumerate() {
        if count == PRINTABLE_CHARS {
            out.push('…');
            break;
        }
        let bidirectional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || bidirectional || matches!(c, '\u{2028}' | '\u{2029}') {
            let _infallible = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        assert!(Rung::ALL.into_iter().all(|rung| Rung::parse(rung.as_str()) == Some(rung)));
        assert!(Side::ALL.into_iter().all(|side| Side::parse(side.as_str()) == Some(side)));
        assert_eq!(Direction::parse("out"), Some(Direction::Out));
        assert_eq!(Rung::parse("nonsense"), None);
    }

    #[test]
    fn foreign_text_cannot_forge_a_log_line_or_turn_it_around() {
        assert_eq!(printable("a\r\nb\u{202e}c"), "a\\u{d}\\u{a}b\\u{202e}c");
        assert_eq!(printable(&"x".repeat(600)).chars().count(), PRINTABLE_CHARS + 1);
        assert_eq!(printable("bücher.example"), "bücher.example");
    }

    // The first a of the second one is Cyrillic.
    // Rule: log.addresses
    #[test]
    fn addresses_that_look_alike_differ_for_operators() {
        assert_eq!(unmistakable("alice@xn--bcher-kva.example"), "alice@xn--bcher-kva.example");
        assert_eq!(unmistakable("\u{430}lice@contoso.example"), "\\u{430}lice@contoso.example");
        assert_eq!(unmistakable_domain("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(unmistakable_domain("contoso.ex\u{430}mple"), "contoso.xn--exmple-4nf");
        assert_eq!(unmistakable_domain("not a dom\u{430}in"), "not a dom\\u{430}in");
        assert_eq!(unmistakable_domain(""), "");
    }
}
