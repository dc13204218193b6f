//! The perimeter service: XMPP server-to-server streams towards the internet, and the link towards the gateways.
//!
//! It authenticates domains, checks and rewrites stanzas, and hands them inwards; it holds no user data and takes all
//! policy from inside. Reading order: [`policy`] (what is allowed), [`stream`] (the machines, then their shells),
//! [`tls`], [`expiry`], [`resolve`], [`evidence`], [`limits`], [`admission`], [`listen`], and [`link`], the road inwards;
//! [`run`] puts it all together.

pub mod admin;
pub mod admission;
pub mod clock;
pub mod config;
pub mod edge;
pub mod evidence;
pub mod expiry;
pub mod limits;
pub mod link;
pub mod listen;
pub mod live;
pub mod metrics;
pub mod policy;
pub mod probe;
pub mod reload;
pub mod resolve;
pub mod run;
pub mod stream;
pub mod tls;
pub mod verdict;
