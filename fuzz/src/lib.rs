//! What has to hold for every input, one module per fuzz target: `check` panics where it does not.
//!
//! The targets in `targets/` hand these functions what libFuzzer makes up; `make fuzz` runs them. A module's
//! documentation names its invariants and what the first bytes of an input choose. Whatever is found here becomes a
//! named test beside the code that was wrong, so that it stays found without a fuzzer.
//!
//! [`oracle`] is an independent parser of XML, `world` and `grammar` make what stream machines are fed with, `said`
//! reads what they say.

pub mod address;
pub mod body;
pub mod calls;
pub mod certificate;
pub mod configuration;
pub mod content;
pub mod cutter;
pub mod dialback;
mod grammar;
pub mod header;
pub mod import;
pub mod initiating;
pub mod link;
pub mod media;
pub mod message;
pub mod oracle;
pub mod presence;
pub mod proxy;
pub mod receiving;
mod said;
pub mod sip;
pub mod stanza;
pub mod switch;
pub mod uri;
mod world;
