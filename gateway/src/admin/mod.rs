//! What operators touch over HTTP, and what it rests on.

pub mod administration;
pub mod api;
pub mod archive;
pub mod attention;
pub mod backup;
pub mod change;
pub mod check;
pub mod desk;
pub mod documents;
pub mod housekeeping;
pub mod journal;
pub mod login;
pub mod panel;
pub mod receipt;
mod replicas;
pub mod serve;
pub mod store;
#[cfg(test)]
pub(crate) mod test_rig;
pub mod web;
