//! Sessions (RFC 3261 sections 12 to 15, RFC 4028): what the user of the stack says and hears of an INVITE dialog.
//!
//! A session has one number from the INVITE to [`SessionEvent::Ended`], which comes exactly once, whoever ends it; after
//! it the number means nothing. The methods are those of [`crate::endpoint::Endpoint`]:
//!
//! | the user wants | method | and then hears |
//! |---|---|---|
//! | to call | `invite` | `Progress`, then `Answered` or `Ended`; `Forked` for each further answer |
//! | to answer [`SessionEvent::Invited`] or [`SessionEvent::Offered`] | `progress`, `accept`, `refuse` | `Acknowledged` after `accept` |
//! | to send in the session | `send` | [`crate::endpoint::Event::Response`] or `Failed` with its token |
//! | to answer [`SessionEvent::Request`] | `respond` | nothing |
//! | to change the session | `reoffer` | `Answered` or `OfferRefused` |
//! | to end it, at any time | `hang_up` | `Ended` at once; CANCEL, refusal or BYE are the stack's affair |
//!
//! A session carries messages from `Answered` (we called) or `Acknowledged` (we were called) on. The stack itself sends
//! ACK, 100, repeated 2xx, refreshes and the BYE of what has expired; it answers BYE, CANCEL, refreshes without a body,
//! and what RFC 3261 refuses: 481, 482, 491, 500 out of order. It does not read descriptions: see [`crate::sdp`].

use bytes::Bytes;

use crate::endpoint::{Failure, ServerTransaction};
use crate::field::{CallId, NameAddr};
use crate::header::{HeaderValue, Headers};
use crate::message::{Request, Response};
use crate::target::{Source, Target};
use crate::uri::Uri;

pub(crate) mod state;
pub(crate) mod timer;
pub(crate) mod unacked;

/// Names a session until it has ended. Never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// How an endpoint holds sessions.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Seconds of the session timer that we ask for; `None` asks for none and still grants what a peer asks.
    pub expires: Option<u32>,
    /// Media types of INVITE and UPDATE bodies; others are answered with 415.
    pub accept: Vec<String>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { expires: Some(crate::limits::SESSION_EXPIRES), accept: vec!["application/sdp".to_owned()] }
    }
}

/// A body with its type: in INVITE, UPDATE and their answers an offer or an answer (RFC 3264).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Content-Type.
    pub content_type: HeaderValue,
    /// The text.
    pub body: Bytes,
}

impl Description {
    /// A description in SDP.
    pub fn sdp(text: impl Into<Bytes>) -> Self {
        Self { content_type: HeaderValue::from_static("application/sdp"), body: text.into() }
    }
}

/// A call that we make.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The Request-URI.
    pub uri: Uri,
    /// From; the stack adds the tag.
    pub from: NameAddr,
    /// To, without a tag.
    pub to: NameAddr,
    /// Call-ID, where the caller has one to carry; it must be unguessable and new.
    pub call_id: Option<CallId>,
    /// Where the peer reaches us.
    pub contact: Uri,
    /// Further headers, such as P-Asserted-Identity.
    pub headers: Headers,
    /// The offer.
    pub offer: Description,
    /// The next hop; without one the configured ones, from one to the next if it fails.
    pub target: Option<Target>,
}

/// The answer to an INVITE, or to an UPDATE with an offer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Where the peer reaches us.
    pub contact: Uri,
    /// Further headers.
    pub headers: Headers,
    /// The answer; where the peer has offered nothing, our offer.
    pub description: Option<Description>,
}

/// A request inside of a session that changes nothing about it, such as MESSAGE or INFO.
#[derive(Debug, Clone)]
pub struct SessionRequest {
    /// The method.
    pub method: crate::method::Method,
    /// Further headers.
    pub headers: Headers,
    /// The body with its type.
    pub body: Option<Description>,
    /// Comes back in [`crate::endpoint::Event::Response`] or [`crate::endpoint::Event::Failed`], exactly once.
    pub token: u64,
}

/// What happens in a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// Somebody calls. Answer with `accept` or `refuse` within [`crate::limits::ANSWER_PATIENCE`].
    Invited {
        /// The INVITE; without a body the offer is ours to make.
        request: Box<Request>,
        /// Where it came from.
        source: Source,
    },
    /// A provisional response to our INVITE, 100 excepted.
    Progress {
        /// The response.
        response: Box<Response>,
    },
    /// A 2xx to our INVITE or to what `reoffer` sent; its ACK is sent.
    Answered {
        /// The response.
        response: Box<Response>,
    },
    /// Another branch of a fork answered our INVITE too: a session of its own, which the user keeps or hangs up.
    Forked {
        /// The new session.
        session: SessionId,
        /// The response.
        response: Box<Response>,
    },
    /// The ACK of our 2xx.
    Acknowledged {
        /// The ACK; it has a body if we made the offer.
        ack: Box<Request>,
    },
    /// The peer wants to change the session. Answer like an INVITE; a refusal leaves the session as it is.
    Offered {
        /// The INVITE or UPDATE.
        request: Box<Request>,
    },
    /// The peer took its offer back, or the time for the answer is over.
    OfferWithdrawn,
    /// What `reoffer` sent was refused, or got no answer; the session stays as it is.
    OfferRefused {
        /// The refusal.
        response: Option<Box<Response>>,
    },
    /// MESSAGE or INFO in the session; answer with `respond`.
    Request {
        /// Names the transaction in the answer.
        transaction: ServerTransaction,
        /// The request.
        request: Box<Request>,
    },
    /// The session is over.
    Ended(Ended),
}

/// Why a session is over.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Our INVITE was refused.
    Refused(Box<Response>),
    /// Our INVITE got no response.
    Failed(Failure),
    /// We did.
    HungUp,
    /// A BYE came.
    ByPeer,
    /// The caller cancelled before we answered.
    Cancelled,
    /// Nobody answered in time: the peer our INVITE, or the user an INVITE of the peer.
    NoAnswer,
    /// Our 2xx was never acknowledged.
    NoAck,
    /// The session timer ran out.
    Expired,
    /// The peer does not know the session any more (408 or 481 to a request in it, or no response).
    Gone,
}

/// A session that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotInvite {
    /// [`crate::limits::MAX_SESSIONS`] are there.
    #[error("too many sessions")]
    TooManySessions,
    /// Sessions are not configured.
    #[error("sessions are not configured")]
    NotConfigured,
    /// There is no next hop.
    #[error("no next hop is configured")]
    NoTarget,
}

/// A session that cannot do this now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// It has ended, or never was.
    #[error("there is no such session")]
    NoSession,
    /// It is not established yet, or is not asked anything.
    #[error("the session is not in the state for it")]
    WrongState,
    /// Another offer is under way, in either direction (RFC 3261 section 14.1).
    #[error("an offer is under way")]
    Busy,
}
