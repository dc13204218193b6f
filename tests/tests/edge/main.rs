//! The edge over real sockets: two edges with each other, and an edge with peers that behave badly.

mod attacks;
mod federation;
mod support;
