#![allow(clippy::unwrap_used, clippy::panic)]
//! The engine among others like it: its bytes, and networks of it in which everything goes wrong.

mod bytes;
mod network;
mod recovery;
mod scenarios;
mod twice;
