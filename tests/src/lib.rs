//! Whole-system tests: fake peers that judge both services over real sockets, and the load generator behind
//! `make bench`.
//!
//! [`peer`] holds the other side of every wire, [`load`] the benchmarks, [`soak`] the endurance test of `make soak`,
//! [`fault`] what breaks under load, with a ledger, [`scale`] how far it goes; the scenarios are in `tests/`.

pub mod fault;
pub mod load;
pub mod peer;
pub mod scale;
pub mod soak;
