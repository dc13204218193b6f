//! The vocabulary of DNS questions and answers, and what this edge needs of a resolver.
//!
//! Tests bring their own [`Dns`]; the service asks through [`super::hickory`]. Names are absolute, in A-labels and
//! without the trailing dot.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;

/// The kinds of records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Servers of a service (RFC 2782).
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Certificates of a service (RFC 6698).
    Tlsa,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The full name, such as `_xmpp-server._tcp.example.com`.
    pub name: String,
    /// What about it.
    pub kind: Kind,
}

impl Question {
    /// A question; case does not matter in DNS.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.trim_end_matches('.').to_ascii_lowercase(), kind }
    }
}

/// Whether DNSSEC proves an answer (RFC 4033, section 5). What is bogus is no answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Proved, from a trust anchor down.
    Secure,
    /// Not signed, or nobody validates here.
    Insecure,
}

impl Security {
    /// What holds for something that rests on both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Secure, Self::Secure) => Self::Secure,
            (Self::Insecure, _) | (_, Self::Insecure) => Self::Insecure,
        }
    }
}

/// A SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Lower is tried first.
    pub priority: u16,
    /// Higher is tried more often.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, without trailing dot; empty where the record says that there is no service.
    pub target: String,
}

/// A TLSA record, in the numbers of RFC 6698, section 2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

/// The data of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Of [`Kind::Srv`].
    Srv(Record),
    /// Of [`Kind::A`].
    A(Ipv4Addr),
    /// Of [`Kind::Aaaa`].
    Aaaa(Ipv6Addr),
    /// Of [`Kind::Tlsa`].
    Tlsa(Tlsa),
}

/// All records of one name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// The records, at least one.
    pub data: Vec<Data>,
    /// How long they hold.
    pub ttl: Duration,
    /// Whether they are proved.
    pub security: Security,
}

impl RecordSet {
    /// The SRV records among them.
    pub fn srv(&self) -> impl Iterator<Item = &Record> {
        self.data.iter().filter_map(|data| match data {
            Data::Srv(record) => Some(record),
            Data::A(_) | Data::Aaaa(_) | Data::Tlsa(_) => None,
        })
    }

    /// The addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.data.iter().filter_map(|data| match data {
            Data::A(address) => Some(IpAddr::V4(*address)),
            Data::Aaaa(address) => Some(IpAddr::V6(*address)),
            Data::Srv(_) | Data::Tlsa(_) => None,
        })
    }

    /// The TLSA records among them.
    pub fn tlsa(&self) -> impl Iterator<Item = &Tlsa> {
        self.data.iter().filter_map(|data| match data {
            Data::Tlsa(record) => Some(record),
            Data::Srv(_) | Data::A(_) | Data::Aaaa(_) => None,
        })
    }
}

/// Why a question has no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsFault {
    /// The name, or the record, does not exist: a server said so.
    #[error("there is no such record")]
    Absent {
        /// How long that holds (RFC 2308, section 5); nothing where the zone did not say.
        ttl: Duration,
        /// Whether the absence is proved.
        security: Security,
    },
    /// Nobody knows: no answer, or a server that fails.
    #[error("{0}")]
    Unavailable(String),
    /// The answer contradicts the signatures of its zone.
    #[error("the answer failed DNSSEC validation")]
    Bogus,
}

/// The answer to one question.
pub type Answer = Pin<Box<dyn Future<Output = Result<RecordSet, DnsFault>> + Send>>;

/// A resolver.
pub trait Dns: Send + Sync {
    /// Asks one question, retries included.
    fn ask(&self, question: Question) -> Answer;
}
