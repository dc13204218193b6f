//! The edge over real sockets: two edges with each other, and an edge with peers that behave badly.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod attacks;
mod dnssec;
mod extensions;
mod federation;
mod identity;
mod limits;
mod live;
mod probe;
mod resolution;
mod script;
mod stream_errors;
mod streams;
mod support;
mod verdicts;
