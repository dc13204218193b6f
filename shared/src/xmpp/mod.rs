//! XMPP between servers (RFC 6120): from bytes to stanzas and back, without a socket.
//!
//! [`cutter`] finds where an element ends, [`stanza`] reads a stanza strictly and writes its canonical form in the same
//! pass, [`element`] does the same for the few elements that need a tree. Both stand on one tokenizer, so there
//! is one reading of the bytes.

pub mod cutter;
pub mod dialback;
pub mod element;
pub mod header;
pub mod ns;
pub mod sasl;
pub mod scope;
pub mod stanza;
pub mod stanza_error;
pub mod stream_error;
mod write;
mod xml;

pub use scope::StreamScope;
pub use stream_error::StreamFault;
