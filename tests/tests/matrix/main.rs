//! Every row of the negotiation matrix against every kind of peer, over real sockets: the real `edge-proxy` and
//! `gateway`, and peers that do what no server in the field can be configured to do.
//!
//! Each pair of row and peer is a partner of its own, so one run of the services meets them all. What must happen says
//! the oracle of the machines' own tests; the methods are what the edge logs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod document;
mod field;
mod initiating;
#[path = "../../../edge-proxy/src/stream/matrix_tests/oracle.rs"]
mod oracle;
mod receiving;
mod server;
mod world;
