//! The translation between XMPP and SIP: values in, values out, one file per mapping standard, both directions in it.
//!
//! Nothing here does I/O, knows the time or draws random numbers.

pub mod address;
pub mod canonical;
pub mod content;
pub mod date;
pub mod encryption;
pub mod error;
pub mod hex;
pub mod message;
pub mod message_stanza;
pub mod presence;
