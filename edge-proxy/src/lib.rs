//! The perimeter service: server-to-server streams towards the internet, and the link towards the gateways.

pub mod clock;
pub mod link;
