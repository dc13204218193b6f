//! The real `edge-proxy` and `gateway` between fake peers, over real sockets: bad input, and processes that die.
//!
//! Each test has addresses, certificates, state and processes of its own. Whatever happens, a good message goes
//! through afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod archive;
mod capture;
mod configuration;
mod deaths;
mod echo;
mod hostile_sip;
mod hostile_streams;
mod identities;
mod limits;
mod messages;
mod metrics;
mod pool;
mod queries;
mod readiness;
mod secure_sessions;
mod sessions;
mod signals;
mod supervised;
mod support;
mod traces;
mod verdicts;
