//! What operators touch over HTTP, and what it rests on.

pub mod journal;
pub mod store;
