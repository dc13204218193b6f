//! The bodies that SIP carries: presence documents, and text in the wrappings that clients give it.

pub mod pidf;
pub mod text;
