//! `make scale`: what a pool of a given size asks of its parts, as formulae ([`model`]), and what one database really does
//! ([`drive`]) with as many pairs as that pool has ([`pairs`]).

pub mod drive;
pub mod model;
pub mod pairs;
pub mod watch;
