//! The link over real sockets: who may attach, order, acknowledgements, and what becomes of stanzas when an edge, a
//! gateway or the road between them is lost (ARCHITECTURE.md, promises 1 and 4).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod attach;
mod breach;
mod end;
mod fairness;
mod live;
mod loss;
mod played;
mod support;
mod traffic;
mod verdicts;
