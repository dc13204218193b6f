//! Where a partner's servers are (RFC 6120, section 3.2): [`srv`] orders and interprets answers, [`lookup`] asks and
//! remembers, [`filter`] says which addresses may be dialled.
//!
//! [`eyeballs`] decides which address of a host is dialled when, in the order of [`destination`]. [`dns`] has the words, [`hickory`] talks to name servers, [`cache`] is the memory.

pub mod cache;
pub mod destination;
pub mod dns;
pub mod eyeballs;
pub mod filter;
pub mod hickory;
pub mod lookup;
pub mod srv;

pub use dns::{Dns, DnsFault, Security, Tlsa};
pub use hickory::{DnsConfig, HickoryDns};
pub use lookup::{Address, Resolver};
pub use srv::{Mode, Proxy, ResolveFault, Target};
