//! Transactions (RFC 3261 section 17, RFC 4320, RFC 6026): one small machine each, without message and socket.
//!
//! A machine says when to send again and when to give up; `endpoint` owns the bytes, the keys and the clock's queue.

pub(crate) mod client;
pub(crate) mod invite_client;
pub(crate) mod invite_server;
pub(crate) mod server;
pub(crate) mod table;
