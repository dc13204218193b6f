//! The interface over real sockets, on a store of its own.

mod client;
mod documents;
mod fuzz;
mod journal;
mod manners;
mod import;
mod openapi;
mod operating;
mod people;
