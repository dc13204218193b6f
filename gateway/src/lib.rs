//! The gateway: decides and translates between the link to the edges and the SIP pool.

pub mod admin;
pub mod body;
pub mod chat;
pub mod cli;
pub mod config;
pub mod dev_certs;
pub mod echo;
pub mod engine;
pub mod health;
pub mod import;
pub mod iq;
pub mod link;
pub mod locate;
pub mod metrics;
pub mod policy;
pub mod presence;
pub mod quota;
pub mod reload;
pub mod run;
pub mod session;
pub mod shell;
pub mod snapshot;
pub mod store;
pub mod trace;
pub mod translate;
pub mod verdicts;
