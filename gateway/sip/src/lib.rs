//! The SIP stack of the gateway.
pub mod dialog;
pub mod endpoint;
pub mod field;
pub mod frame;
mod grammar;
pub mod header;
pub mod ids;
pub mod limits;
pub mod message;
pub mod method;
pub mod params;
pub mod parse;
pub mod target;
mod transaction;
pub mod trust;
pub mod uri;
