//! The vocabulary of both services: addresses, stanzas, partners, certificates, limits and the words of the link.
//!
//! Everything here is sans-IO: no sockets, no clock, no random numbers, no database. What a peer may send enters
//! through [`xmpp`], [`jid`], [`domain`] and [`pki`]; the rest is what the two services say to each other and to
//! their operators. Only [`config`], [`watch`] and [`metrics`] read files, only [`telemetry`] writes logs and traces, only
//! [`supervisor`] speaks with whoever started the service.

pub mod config;
pub mod domain;
pub mod health;
pub mod jid;
pub mod limits;
pub mod link;
pub mod live;
pub mod metrics;
pub mod partner;
pub mod pki;
pub mod probe;
pub mod supervisor;
pub mod telemetry;
pub mod verdict;
pub mod watch;
pub mod xmpp;
