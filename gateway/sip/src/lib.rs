//! The SIP stack of the gateway: RFC 3261 for presence, pager messages (RFC 6665, RFC 3428) and sessions. It knows nothing
//! of XMPP.
//!
//! Everything but [`transport`] is sans-IO: no socket, no clock, no randomness. In reading order:
//!
//! - [`message`], [`parse`], [`frame`]: requests and responses as values over the received bytes, lazily typed by
//!   [`field`] and [`uri`]; what is unknown is data, what is malformed is answered where it can be.
//! - [`endpoint`]: transactions and the checks every request must pass. Inputs in, outputs out, `now` as an argument.
//! - [`session`]: what a user says and hears of an INVITE dialog; the table there is the whole interface.
//! - [`sdp`], [`msrp`]: descriptions of sessions, and message streams outside of SIP.
//! - [`dialog`]: dialogs as plain values; those of subscriptions a store can keep.
//! - [`locate`], [`failover`]: the targets of a next hop in order, from DNS answers that the caller fetched, and which of
//!   them failed lately.
//! - [`trust`], [`target`], [`ids`], [`limits`]: who may talk to us, where messages go, identifiers, every bound by name.
//! - [`transport`]: UDP, TCP and mutual TLS on tokio, for SIP and for MSRP.
//!
//! A shell is a loop that carries values between the two halves:
//!
//! ```no_run
//! use std::{sync::Arc, time::Instant};
//! use causeway_sip::endpoint::{Endpoint, EndpointConfig, Event, Input, Output, SentBy};
//! use causeway_sip::message::Response;
//! use causeway_sip::method::Status;
//! use causeway_sip::target::TransportKind;
//! use causeway_sip::transport::{Transport, TransportConfig};
//! use causeway_sip::{ids::IdSource, trust::{TrustedPeer, TrustedPeers}};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = TrustedPeer { name: "pool".into(), addresses: vec!["10.0.0.0/24".parse()?], identities: vec![] };
//! let (_keep, peers) = tokio::sync::watch::channel(Arc::new(TrustedPeers::new(vec![pool])));
//! let mut config = TransportConfig::new(peers);
//! config.tcp.push("10.0.1.1:5060".parse()?);
//! let (transport, mut inbound) = Transport::start(config).await?;
//! let sent_by = SentBy::new(TransportKind::Tcp, "gw1.contoso.example:5060")?;
//! let mut endpoint = Endpoint::new(EndpointConfig::new(vec![sent_by]), IdSource::os());
//! let mut out = Vec::new();
//! loop {
//!     let deadline = endpoint.deadline().unwrap_or_else(|| Instant::now() + std::time::Duration::from_secs(3600));
//!     let batch = tokio::select! {
//!         batch = inbound.recv() => batch.unwrap_or_default(),
//!         () = tokio::time::sleep_until(deadline.into()) => Vec::new(),
//!     };
//!     let now = Instant::now();
//!     batch.into_iter().filter_map(|inbound| inbound.into_input()).for_each(|input| endpoint.handle(input, now, &mut out));
//!     endpoint.handle(Input::DeadlinePassed, now, &mut out);
//!     while !out.is_empty() {
//!         for output in std::mem::take(&mut out) {
//!             match output {
//!                 Output::Send { to, bytes, tag } => {
//!                     if transport.send(to, bytes, tag).is_err() {
//!                         endpoint.handle(Input::Unsent { tag }, now, &mut out);
//!                     }
//!                 }
//!                 Output::Event(Event::Request { transaction, request, .. }) => {
//!                     let response = Response::to(&request, Status::OK);
//!                     endpoint.respond(transaction, response, now, &mut out);
//!                 }
//!                 Output::Event(Event::Response { .. } | Event::Failed { .. } | Event::Session { .. } | Event::Refused { .. }) => {}
//!             }
//!         }
//!     }
//! }
//! # }
//! ```

pub mod message;
pub mod parse;

pub mod field;
pub mod frame;
mod grammar;
pub mod header;
pub mod method;
mod multipart;
pub mod params;
pub mod uri;

pub mod endpoint;
mod transaction;

pub mod dialog;
pub mod failover;
pub mod locate;
pub mod msrp;
pub mod sdp;
pub mod session;

pub mod ids;
pub mod limits;
pub mod target;
pub mod trust;

pub mod transport;
