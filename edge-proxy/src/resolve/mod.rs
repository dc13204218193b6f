//! Where a partner's servers are (RFC 6120, section 3.2): [`srv`] orders and interprets answers, [`lookup`] asks DNS,
//! [`filter`] says which addresses may be dialled.

pub mod filter;
pub mod lookup;
pub mod srv;

pub use lookup::{Address, Dns, DnsFault, Resolver};
pub use srv::{Proxy, ResolveFault, Target};
