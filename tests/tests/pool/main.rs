//! Two gateways on one store, as processes: an operator's change reaches both, edges are told one thing, and whoever has
//! signed in at one is known at the other.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod changes;
mod replicas;
mod signed_in;
mod support;
#[path = "../../../gateway/src/store/postgres/test_server.rs"]
mod test_server;
