//! `cloister verify`

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use clap::Args;
use cloister_node::{BlobStore, ExitCode, SealingKey, Store, StoreOptions};
use cloister_primitives::Height;
use cloister_shell::{VerifiedBlock, Verifier};
use serde_json::json;

use crate::{
    commands::chain,
    failure::Failure,
    folder::{Folder, NETWORK_KEY_FILE, read_genesis},
    output,
};

/// Blocks read at one time.
const BLOCKS_PER_READ: u32 = 256;
/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_millis(500);

const AFTER_HELP: &str = "\
Examples:
  cloister verify --datadir chain
  cloister verify --datadir chain --json
  cloister verify --datadir alpha --network-key-file network.key

The node must not be running on the folder. If something is wrong, the height of the block and what is
wrong with it are printed, and the exit code is 13.";

/// Arguments of `cloister verify`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Verify {
    /// The data folder to check
    #[arg(long, value_name = "FOLDER")]
    datadir: PathBuf,

    /// Genesis file, instead of the one in the folder
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// The key that seals the network's ledger, if the node is one of several [default: network.key in the folder]
    #[arg(long, value_name = "FILE")]
    network_key_file: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What was found to be in order.
#[derive(Debug, Default)]
struct Findings {
    head: Option<VerifiedBlock>,
    blocks: u64,
    transactions: u64,
    snapshots: u64,
    log_sections: u64,
    /// State roots at the heights of snapshots.
    roots: BTreeMap<Height, B256>,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let folder = Folder::new(self.datadir.clone());
        let genesis = match &self.genesis {
            Some(file) => read_genesis(file)?,
            None => folder.genesis()?.ok_or_else(|| self.no_chain())?,
        };
        let store = Store::open(&self.datadir, StoreOptions::default())?;
        if store.bounds().last.is_none() {
            return Err(self.no_chain());
        }
        let key = match self.network_key_file(&genesis)? {
            Some(file) => SealingKey::of_file(&file)?,
            None => SealingKey::of_folder(&self.datadir, &store)?,
        };
        let mut verifier = Verifier::new(genesis.as_bytes(), &key.to_bytes())?;
        let mut findings = Findings::default();
        walk_blocks(&store, &mut verifier, &mut findings)?;
        check_snapshots(&store, &verifier, &mut findings)?;
        output::say(&self.report(&verifier, &findings));
        Ok(())
    }

    /// Where the key of the chain is, if it is one that several nodes share.
    fn network_key_file(&self, genesis: &str) -> Result<Option<PathBuf>, Failure> {
        let spec = chain::parse(genesis)?;
        match (&self.network_key_file, spec.raft()) {
            (None, None) => Ok(None),
            (Some(file), Some(_)) => Ok(Some(file.clone())),
            (Some(_), None) => Err(Failure::usage("this is the folder of a node by itself: it has no network's key")),
            (None, Some(_)) => {
                let file = self.datadir.join(NETWORK_KEY_FILE);
                let missing = || {
                    Failure::usage("this is the folder of one of several nodes: name their key with --network-key-file")
                };
                file.exists().then_some(Some(file)).ok_or_else(missing)
            }
        }
    }

    fn no_chain(&self) -> Failure {
        let message = format!("{} holds no chain; name the folder that was given to --datadir", self.datadir.display());
        Failure::new(ExitCode::Failure, message)
    }

    fn report(&self, verifier: &Verifier, findings: &Findings) -> String {
        let Some(head) = findings.head else {
            return String::new();
        };
        if self.json {
            let report = json!({
                "head": head.height.0,
                "hash": head.hash,
                "stateRoot": head.state_root,
                "timestamp": head.timestamp,
                "genesisHash": verifier.genesis_hash(),
                "blocks": findings.blocks,
                "transactions": findings.transactions,
                "snapshots": findings.snapshots,
                "logSections": findings.log_sections,
            });
            return format!("{report}\n");
        }
        format!(
            "Everything stored in {} is in order.\n\n\
             Head          block {}\n\
             Hash          {}\n\
             State root    {}\n\
             Genesis hash  {}\n\
             Checked       {} blocks with {} transactions, {} snapshots, {} sections of the log index\n",
            self.datadir.display(),
            head.height,
            head.hash,
            head.state_root,
            verifier.genesis_hash(),
            findings.blocks,
            findings.transactions,
            findings.snapshots,
            findings.log_sections,
        )
    }
}

fn walk_blocks(store: &dyn BlobStore, verifier: &mut Verifier, findings: &mut Findings) -> Result<(), Failure> {
    let Some(last) = store.bounds().last else {
        return Ok(());
    };
    let wanted: Vec<Height> = store.snapshots().iter().map(|snapshot| snapshot.height).collect();
    let mut progress = Progress::new(last);
    let mut next = Height::GENESIS;
    while next <= last {
        let blobs = store.blocks(next, BLOCKS_PER_READ)?;
        for blob in blobs {
            if next > last {
                break;
            }
            let blob = blob.ok_or_else(|| {
                let message = format!("block {next} is missing (damaged-log)");
                Failure::new(ExitCode::Damaged, message)
            })?;
            let block = verifier.block(blob)?;
            findings.blocks += 1;
            findings.transactions += block.transactions as u64;
            if wanted.contains(&next) {
                findings.roots.insert(next, block.state_root);
            }
            findings.head = Some(block);
            check_log_section(store, verifier, next, findings)?;
            progress.at(next);
            next = next.next();
        }
    }
    progress.end();
    Ok(())
}

/// One that is missing is built again when it is needed.
fn check_log_section(
    store: &dyn BlobStore,
    verifier: &Verifier,
    last: Height,
    findings: &mut Findings,
) -> Result<(), Failure> {
    if verifier.ends_log_section()
        && let Some(blob) = store.log_section(last)?
    {
        verifier.log_section(blob)?;
        findings.log_sections += 1;
    }
    Ok(())
}

fn check_snapshots(store: &dyn BlobStore, verifier: &Verifier, findings: &mut Findings) -> Result<(), Failure> {
    for snapshot in store.snapshots() {
        let Some(root) = findings.roots.get(&snapshot.height) else {
            let message = format!("the snapshot at {} lies beyond the head", snapshot.height);
            return Err(Failure::new(ExitCode::Damaged, message));
        };
        let mut unreadable = None;
        let checked = verifier.snapshot(snapshot, *root, |index| match store.chunk(snapshot.height, index) {
            Ok(chunk) => chunk,
            Err(error) => {
                unreadable = Some(error);
                None
            }
        });
        if let Some(error) = unreadable {
            return Err(error.into());
        }
        checked?;
        findings.snapshots += 1;
    }
    Ok(())
}

/// A line on a terminal that says how far it is.
struct Progress {
    last: Height,
    shown: Option<Instant>,
    started: Instant,
}

impl Progress {
    fn new(last: Height) -> Self {
        Self { last, shown: None, started: Instant::now() }
    }

    fn at(&mut self, height: Height) {
        let since = self.shown.unwrap_or(self.started);
        if since.elapsed() >= PROGRESS && std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "\rblock {height} of {}", self.last);
            self.shown = Some(Instant::now());
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_chain_is_refused_and_stays_as_it_was() {
        let temporary = tempfile::tempdir().unwrap();
        let datadir = temporary.path().join("missing");
        let verify = Verify { datadir: datadir.clone(), genesis: None, network_key_file: None, json: false };
        let failure = verify.run().unwrap_err();
        assert!(failure.message().contains("holds no chain"), "{}", failure.message());
        assert!(!datadir.exists());
    }
}
