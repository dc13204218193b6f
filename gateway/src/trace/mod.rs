//! What an operator uses to see why something does or does not work.
//!
//! [`Recorder`] keeps what passed this gateway's boundaries; [`Event`] is one of these things as it is shown, with what
//! people wrote hidden ([`redact`]). [`ladder`] draws what happened between two users as a sequence diagram, [`tap`] shows
//! events as they come, [`mod@explain`] says why one user sees the other as he does, [`simulate`] what would become of a
//! stanza or request. [`operator`] is the way from the administration into the engine.
//!
//! Everything but the recorder and the operator's channel is a pure function over what was recorded or stored.

use std::net::SocketAddr;
use std::sync::Arc;

use causeway_shared::link::{PairContext, TraceContext};
use causeway_shared::verdict::{Code, Direction, Rung, Side};
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_sip::endpoint::SendTag;
use causeway_sip::target::{Destination, TransportKind};

pub mod event;
pub mod explain;
pub mod hep;
pub mod ladder;
mod msrp;
pub mod operator;
mod read;
pub mod recorder;
pub mod redact;
pub mod ring;
pub mod simulate;
pub mod statement;
pub mod tap;

pub use event::Event;
pub use operator::Operator;
pub use recorder::Recorder;

/// What is known about an event beside its bytes, as it is noted on the message path: small, and cloned by counting.
#[derive(Debug, Clone)]
pub enum Fact {
    /// A stanza of a partner came from an edge; the bytes are its canonical form.
    StanzaIn {
        /// The edge process that numbered it.
        origin: u64,
        /// Its number there.
        key: u64,
        /// The trace it belongs to.
        trace: TraceContext,
        /// When it reached the edge, in Unix milliseconds.
        arrived_ms: u64,
        /// The edge.
        edge: Arc<str>,
        /// The stream it came on.
        context: Arc<PairContext>,
    },
    /// A partner's stanza ended: its edge is told so. The bytes are the reason of a failure.
    StanzaInEnded {
        /// The edge process that numbered it.
        origin: u64,
        /// Its number there.
        key: u64,
        /// Why it failed, if it did.
        condition: Option<StanzaCondition>,
    },
    /// A stanza for a partner went to the edges.
    StanzaOut {
        /// Our number for it.
        key: u64,
        /// The trace it belongs to.
        trace: TraceContext,
    },
    /// A stanza for a partner ended. The bytes are the reason of a failure.
    StanzaOutEnded {
        /// Our number for it.
        key: u64,
        /// Why it failed, if it did.
        condition: Option<StanzaCondition>,
    },
    /// A SIP message came; no bytes if it did not parse.
    SipIn {
        /// From where.
        from: SipPeer,
        /// Whether that is a configured peer.
        is_trusted: bool,
    },
    /// A SIP message was handed to a transport.
    SipOut {
        /// Where to.
        to: SipPeer,
        /// Names it in [`Fact::SipUnsent`].
        tag: SendTag,
    },
    /// A SIP message could not be written.
    SipUnsent {
        /// Which.
        tag: SendTag,
    },
    /// A frame of a message stream; the bytes are its head.
    Msrp {
        /// Whether it came.
        is_in: bool,
    },
    /// Something failed or was refused. The bytes are four lines: domain, partner, cause, remedy.
    Verdict {
        /// Of which kind it is.
        code: Option<Code>,
        /// How far it came.
        rung: Rung,
        /// Who can mend it.
        side: Side,
        /// Who began.
        direction: Direction,
    },
    /// An edge attached or is gone; the bytes are its name.
    Edge {
        /// Which of both.
        is_up: bool,
    },
}

/// The other end of a SIP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipPeer {
    /// The transport, unless it is that of the request that is answered.
    pub transport: Option<TransportKind>,
    /// The address.
    pub address: SocketAddr,
}

impl SipPeer {
    fn of_destination(to: &Destination) -> Self {
        match to {
            Destination::Reply { remote, .. } => Self { transport: None, address: *remote },
            Destination::Target(target) => Self { transport: Some(target.transport), address: target.addr },
        }
    }
}

impl std::fmt::Display for SipPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.transport {
            Some(transport) => write!(f, "{transport}:{}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}
