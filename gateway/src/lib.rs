//! The gateway: decides and translates between the link to the edges and the SIP pool.

pub mod body;
pub mod link;
pub mod presence;
pub mod store;
pub mod translate;
