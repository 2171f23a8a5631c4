//! The command people type.
//!
//! **Duty.** Understands the command line, composes host and enclave, prints what a person needs, turns
//! every failure into one sentence and a stable exit code.
//!
//! **Trusts.** The operator who typed the command.
//!
//! **Invariants.** No backtrace reaches a person. `cloister dev` is the only command under which enclave
//! code and host code share a process.
//!
//! **Not here.** What a node does: that is in the library crates.

mod audit;
mod block_file;
mod cli;
mod commands;
mod config_file;
mod consortium;
mod failure;
mod folder;
mod genesis_json;
mod output;
mod policy;
mod running;

use std::process::ExitCode;

/// Requests and blocks are made of many small, short-lived pieces (ADR 0010).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    output::end_on_panic();
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
