//! MSRP, the Message Session Relay Protocol (RFC 4975), as an endpoint without relays: what RFC 7573 needs for chat.
//!
//! Sans-IO like the rest: [`parse`] cuts a stream into chunks, [`message`] prints them, [`session`] is the machine of one
//! session: chunks, byte ranges, reports, answers, idle time. [`switch`] owns all sessions and their connections, which is
//! what the gateway uses. Which stream form a session has and who connects is negotiated in [`crate::sdp::message`]; its
//! certificates are bound to it by their [`fingerprint`]. A module of the SIP stack and not a crate: it is the media of a
//! session that this stack negotiates, and shares its grammar and the TLS of `transport`.
//! Not here: relays (RFC 4976), sockets.

pub mod fingerprint;
pub mod message;
pub mod parse;
pub mod session;
pub mod switch;
pub mod uri;
