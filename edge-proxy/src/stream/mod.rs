//! XMPP streams between servers: the machines that negotiate them, and the shells that give the machines a socket.
//!
//! Machines: [`negotiation_in`] (receiving server), [`negotiation_out`] (initiating server), with [`sasl`] and
//! [`dialback`] inside, [`outbox`], the bounded queue towards a partner, [`management`], acknowledgements on the stream,
//! and [`announced`], the limits of the peer. Between bytes and machines stands [`frames`]; [`identity`] is what TLS told
//! about the peer, [`transcript`] what was said before authentication, `secured` tells how it ended. What streams
//! carry: [`lane`], the queue of one pair, [`carriage`], those of one stream, [`carriers`], streams that take more of
//! them, [`intake`], what a read brings. Shells: [`conn`] (one connection), [`inbound`] and [`outbound`] (its task),
//! [`pool`] (all outbound streams), [`dial`] (how one comes to be), [`connect`] (its connection).

pub mod announced;
#[cfg(test)]
mod back_to_back_tests;
pub mod carriage;
pub mod carriers;
pub mod conn;
pub mod connect;
pub mod dial;
pub mod dialback;
pub mod frames;
#[cfg(test)]
mod fuzz_tests;
pub mod identity;
pub mod inbound;
pub mod intake;
pub mod lane;
pub mod management;
#[cfg(test)]
mod matrix_tests;
pub mod negotiation_in;
pub mod negotiation_out;
pub mod outbound;
pub mod outbox;
pub mod pool;
pub mod sasl;
mod secured;
#[cfg(test)]
pub(crate) mod test_support;
pub mod transcript;
pub mod turns;

pub use causeway_shared::link::Method;
