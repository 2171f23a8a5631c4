//! One file per command, and the flags they share.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod chain;
pub(crate) mod completions;
pub(crate) mod dev;
pub(crate) mod devnet;
pub(crate) mod gateway;
pub(crate) mod genesis;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod login;
pub(crate) mod member;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod policy;
pub(crate) mod recover;
pub(crate) mod seal;
pub(crate) mod server;
pub(crate) mod status;
mod trust;
pub(crate) mod verify;
