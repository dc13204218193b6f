//! XMPP streams between servers: the machines that negotiate them, and the shells that give the machines a socket.
//!
//! Machines: [`negotiation_in`] (receiving server), [`negotiation_out`] (initiating server), with [`sasl`] and
//! [`dialback`] inside, and [`outbox`], the bounded queue towards a partner. Between bytes and machines stands
//! [`frames`]; [`identity`] is what TLS told about the peer, [`transcript`] what was said before authentication. Shells:
//! [`conn`] (one connection), [`inbound`] and [`outbound`] (its task), [`pool`] (all outbound streams), [`dial`] (how one
//! comes to be), [`connect`] (its connection).

#[cfg(test)]
mod back_to_back_tests;
pub mod conn;
pub mod connect;
pub mod dial;
pub mod dialback;
pub mod frames;
#[cfg(test)]
mod fuzz_tests;
pub mod identity;
pub mod inbound;
#[cfg(test)]
mod matrix_tests;
pub mod negotiation_in;
pub mod negotiation_out;
pub mod outbound;
pub mod outbox;
pub mod pool;
pub mod sasl;
#[cfg(test)]
pub(crate) mod test_support;
pub mod transcript;

pub use causeway_shared::link::Method;
