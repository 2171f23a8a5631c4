//! **Duty.** What the end-to-end tests share: starting a node in either shape and waiting until it answers, talking JSON-RPC and
//! WebSocket to it byte by byte, running third-party tools against it, and checking the workspace's own dependency rules.
//!
//! **Trusts** the tools that `scripts/setup` installed under `.tools/`, and `cargo metadata`.
//!
//! **Invariants.** A node started here dies with the test that started it, and its log is shown when that test fails. Nothing is
//! written into the source tree: tools run in temporary copies. Waits end on an event or on a stated limit, never on a guess.
//!
//! **Not here**: tests. They are in `tests/tests/`, one file per tool, and the tools' own scripts in `tests/tools/`.

#![allow(clippy::print_stderr)] // a failing test shows what the node and the tool said

pub mod confidential;
pub mod conformance;
pub mod differential;
pub mod execution_apis;
pub mod foundry;
pub mod fuzz;
pub mod gateway;
pub mod harness;
pub mod import;
pub mod layers;
pub mod membership;
pub mod metrics;
pub mod network;
pub mod node;
pub mod reference;
pub mod requests;
pub mod rpc;
pub mod sign_in;
pub mod sim;
pub mod source;
pub mod tools;
pub mod transactions;
pub mod websocket;
pub mod wires;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
///
/// # Panics
/// If this package no longer lies one folder below it.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package lies in the repository").to_path_buf()
}

/// A number that whoever runs the tests may set.
///
/// # Panics
/// If it is set to something else.
#[must_use]
pub fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Copies a folder and all that is in it.
///
/// # Errors
/// If it cannot be read, or the copy not be written.
pub fn copy_folder(from: &Path, to: &Path) -> eyre::Result<()> {
    let status = Command::new("cp").args(["-a", "--"]).args([from, to]).status()?;
    eyre::ensure!(status.success(), "{} is not copied", from.display());
    Ok(())
}

/// The folder that holds this build's binaries: `…/target/release` for a test in `…/target/release/deps`.
///
/// # Panics
/// If the operating system does not say where the test binary is.
#[must_use]
pub fn binary_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().expect("a file has a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps lies in a profile").to_path_buf()
    } else {
        folder.to_path_buf()
    }
}
