//! An event as it is shown: to live readers, in ladders, in the interface. Nothing in it is secret, and nothing that a
//! person wrote unless the message-body setting is on.

use serde::Serialize;
use utoipa::ToSchema;

/// Which leg of the road an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Leg {
    /// Between partners, edges and the gateway.
    Xmpp,
    /// Between the gateway and the pool.
    Sip,
    /// Message streams of sessions, between the gateway and the pool.
    Msrp,
    /// Inside of the gateway or an edge: verdicts.
    Inside,
}

/// Which way something went, seen from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// To the gateway.
    In,
    /// From the gateway.
    Out,
}

/// What an event is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A message stanza.
    Message,
    /// A presence stanza.
    Presence,
    /// An iq.
    Iq,
    /// A SIP or MSRP request, with its method.
    Request(String),
    /// A response, with its status and the method that it answers; of MSRP without it.
    Response(u16, String),
    /// How a stanza or SIP message ended.
    Outcome,
    /// What failed or was refused.
    Verdict,
    /// An edge came or went.
    Edge,
    /// Something that could not be read.
    Unreadable,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ended {
    /// Whether it reached whom it was for.
    pub is_done: bool,
    /// How, in a few words.
    pub text: String,
}

/// What ties events to one another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ties {
    /// The stanza's number: the edge process's and its own for those of partners, `own-` and a number for ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stanza: Option<String>,
    /// The stanza's `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Call-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The number of CSeq.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cseq: Option<u32>,
    /// The branch of the topmost Via.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The id of the trace (W3C Trace Context), in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The MSRP sessions that it names.
    #[serde(skip)]
    pub(super) sessions: Vec<String>,
    /// The tag of what the transports were given, for what could not be written.
    #[serde(skip)]
    pub(super) tag: Option<u64>,
    /// What a message of the other protocol bears that was made of this one.
    #[serde(skip)]
    pub(super) becomes: Option<String>,
}

/// Something that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Event {
    /// Its number since this gateway started.
    pub number: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Where.
    pub leg: Leg,
    /// Which way.
    pub way: Way,
    /// What it is.
    pub kind: Kind,
    /// The SIP user, as XMPP sees her.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The partner's user, or of a verdict the domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The edge, or the SIP peer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The stream that a partner's stanza came on, and how it was authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// When a partner's stanza reached the edge, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived_ms: Option<u64>,
    /// One line.
    pub label: String,
    /// What ties it to others.
    pub ties: Ties,
    /// How something ended, of a response, an outcome or a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The whole text, redacted; its length alone where it could not be read.
    pub text: String,
}

impl Event {
    /// The domain of the partner's user.
    pub fn partner(&self) -> Option<&str> {
        let remote = self.remote.as_deref()?;
        Some(remote.rsplit_once('@').map_or(remote, |(_, domain)| domain))
    }
}
