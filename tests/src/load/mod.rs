//! The load generator and the benchmarks of `make bench`.
//!
//! Other people's [`servers`] are measured beside ours; a [`component`] is the local side of those that speak XMPP.
//!
//! What is measured is the CPU time of the measured process; the generator takes its share of the same cores, so it
//! works in few threads, with texts made beforehand and many messages per system call. In reading order: [`text`] (the
//! messages), [`flight`] (what is on its way), [`pace`] (when the next one goes), [`xmpp`], [`sip`] and [`datagrams`] (the
//! wires), [`publish`], [`notifier`] and [`presence_server`] (presence on them), [`ends`] (a fake edge and a fake gateway),
//! [`elsewhere`] (loads that leave the cores to others),
//! [`measure`] (a window of time), [`scenarios`], [`report`] (what they tell), [`results`] (what is saved), [`table`] and
//! [`compare`] (what is printed), [`plot`] and [`chapter`] (the pictures, and the book).

mod axis;
pub mod chapter;
pub mod compare;
pub mod component;
pub mod datagrams;
pub mod elsewhere;
pub mod ends;
pub mod flight;
pub mod histogram;
pub mod instructions;
pub mod measure;
pub mod notifier;
pub mod pace;
pub mod plot;
pub mod presence_server;
pub mod publish;
pub mod report;
pub mod results;
pub mod scenarios;
pub mod servers;
pub mod sip;
pub mod table;
pub mod text;
pub mod xmpp;
