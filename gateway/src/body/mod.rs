//! The bodies that SIP carries: presence documents, text in the wrappings that clients give it, and what surrounds it.

pub mod cpim;
pub mod document;
pub mod html;
pub mod imdn;
pub mod is_composing;
pub mod pidf;
pub mod text;
