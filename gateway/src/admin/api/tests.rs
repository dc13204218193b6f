//! The interface over real sockets, on a store of its own.

mod client;
mod documents;
mod fuzz;
mod import;
mod journal;
mod manners;
mod openapi;
mod operating;
mod people;
mod pool;
