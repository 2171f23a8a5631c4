//! Load generator and benchmarks: what a committed transaction costs, measured from outside.
//!
//! **Duty.** Drive any Ethereum node on this machine with pre-signed transfers, check every receipt
//! and report throughput, latency, server CPU and memory; measure the floor (what the same
//! transactions cost with no node around them); print one table for `make bench`.
//!
//! **Trusts.** Nothing a node answers: every receipt is checked against the transaction that was
//! sent. It trusts `/proc` for CPU time and memory.
//!
//! **Invariants.** Only loopback addresses are ever contacted. Every run is bounded in count and in
//! time and stops by itself; a node started here is ended here. Signing happens before the clock
//! starts.
//!
//! **Not here.** Pass or fail: a slow machine is not a failing test, so nothing here asserts a
//! time.

pub mod chain;
pub mod cluster;
pub mod engine;
pub mod failover;
pub mod floor;
pub mod frames;
pub mod http;
pub mod node;
pub mod probe;
pub mod readers;
pub mod report;
pub mod resident;
pub mod rpc;
pub mod stats;
pub mod subscribers;
pub mod suite;
pub mod token;
pub mod traces;
pub mod tracker;
pub mod wallet;
pub mod workload;
pub mod writers;
