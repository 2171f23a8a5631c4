//! A network of whole cores under a seeded scheduler that loses, repeats and reorders what they say, cuts links, stops nodes at
//! every point of a write, takes their disks away or puts old ones back, and lets clocks jump.
//!
//! One seed is one history: running it again gives the same digest of everything that happened. What is checked:
//! blocks of one height are equal on all nodes and never change, a transaction whose receipt was seen anywhere stays
//! where it was seen on all nodes, what accounts are read as at any node is what was promised, and once the
//! faults end the network goes on.

mod checks;
mod client;
mod disk;
mod faults;
mod history;
mod node;
mod random;
mod recovering;
pub mod words;
mod world;

use std::{collections::BTreeMap, path::Path};

use alloy_primitives::B256;
use serde::Serialize;

pub use world::{Luck, Plan};

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Events that were carried out.
    pub steps: u64,
    /// Of everything that happened.
    pub digest: B256,
    /// How often each kind of fault was injected.
    pub faults: BTreeMap<&'static str, u64>,
    /// The newest committed height.
    pub height: u64,
    /// Transactions whose receipts were seen.
    pub acknowledged: u64,
    /// Reads of accounts.
    pub reads: u64,
    /// Whether all nodes went on together once the faults were over.
    pub recovered: bool,
    /// What must not happen and did.
    pub violations: Vec<String>,
}

/// Plays one seed.
#[must_use]
pub fn play(plan: &Plan) -> Outcome {
    world::World::new(plan).run()
}

/// Plays a seed in which a network loses all disks but one, and its member has it go on from that one.
#[must_use]
pub fn play_recovery(seed: u64) -> Outcome {
    recovering::play(seed)
}

/// What came of many seeds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Seeds played, each of them twice where `replayed` says so.
    pub seeds: u64,
    /// Seeds that were played a second time with the same digest.
    pub replayed: u64,
    /// Seeds whose network had all nodes go on together once the faults were over; the others had lost what a node had.
    pub recovered: u64,
    /// Events over all seeds.
    pub steps: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Blocks committed.
    pub blocks: u64,
    /// Transactions whose receipts were seen.
    pub acknowledged: u64,
    /// Reads of accounts.
    pub reads: u64,
    /// What must not happen and did, with its seed.
    pub violations: Vec<String>,
}

impl Summary {
    /// Adds what came of one seed.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.recovered += u64::from(outcome.recovered);
        self.steps += outcome.steps;
        self.blocks += outcome.height;
        self.acknowledged += outcome.acknowledged;
        self.reads += outcome.reads;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.violations.extend(outcome.violations.iter().map(|text| format!("seed {}: {text}", outcome.seed)));
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }
}
