//! A workload in both worlds, and what comes of comparing them.

use std::collections::BTreeMap;

use cloister_primitives::Declassified;

use super::cast::Observer;
use super::running::run;
use super::wire::{self, Crossing};
use super::workload::{Workload, World};
use super::world::SECTION;

/// Something an observer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// What it was about.
    pub(super) about: String,
    /// Its bytes, with names for what is random.
    pub(super) bytes: String,
}

/// All that was seen in one world.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) observers: BTreeMap<Observer, Vec<Seen>>,
    /// What the parties see of their own.
    pub(super) own: Vec<Seen>,
    /// What of that crosses the network.
    pub(super) crossings: Vec<Crossing>,
    pub(super) declassified: BTreeMap<(Declassified, u64), u64>,
    /// Requests refused before anything was in a block, by node.
    pub(super) refused: Vec<Vec<u64>>,
    /// Which of the transactions that strangers handed on are in a block.
    pub(super) relayed: Vec<bool>,
    /// What nodes said to each other.
    pub(super) frames: u64,
}

/// How two worlds can be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// By whom.
    pub observer: Observer,
    /// What he asked, or was told.
    pub about: String,
    /// What he saw in the first world, from shortly before it differs.
    pub first: String,
    /// And in the second.
    pub second: String,
}

impl core::fmt::Display for Difference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}, {}: {} | {}", self.observer, self.about, self.first, self.second)
    }
}

/// A declassified fact that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Which.
    pub moved: Declassified,
    /// At which height.
    pub height: u64,
    /// Its values in both worlds.
    pub values: [Option<u64>; 2],
}

/// What comes of comparing two worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody who is not entitled saw a difference, and somebody who is did.
    Same {
        /// How many bytes were compared.
        bytes: usize,
        /// Size classes that differ, of single answers and envelopes on the network: what they are of was not compared there.
        moved: Vec<Declassified>,
        /// Sections of the log index and snapshots among what the host has.
        kept: Kept,
    },
    /// Nobody saw any difference.
    Vacuous,
    /// A declassified fact moved.
    Invalid(Invalid),
    /// Somebody who is not entitled can tell the worlds apart.
    Distinguishing(Box<Difference>),
}

/// What a host has beside blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Sections of the log index.
    pub log_sections: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// What nodes of a network said to each other.
    pub frames: u64,
}

fn kept(run: &Run) -> Kept {
    let count = |of: fn(Declassified, u64) -> bool| {
        run.declassified.keys().filter(|(fact, place)| of(*fact, *place)).count() as u64
    };
    Kept {
        log_sections: count(|_, place| place & SECTION != 0),
        snapshots: count(|fact, _| fact == Declassified::SnapshotSize),
        frames: run.frames,
    }
}

/// How much must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cryptography {
    /// Every byte: both worlds draw from one seed, and ciphertext has names.
    Ideal,
    /// Lengths, counts and order: each world draws its own nonces.
    Real,
}

/// Runs a workload in both worlds and compares what is seen.
///
/// # Errors
/// What went wrong with a run itself.
pub fn compare(workload: &Workload, cryptography: Cryptography) -> Result<Verdict, String> {
    let other_seed = match cryptography {
        Cryptography::Ideal => workload.seed,
        Cryptography::Real => !workload.seed,
    };
    let first = run(workload, World::A, workload.seed)?;
    let second = run(workload, World::B, other_seed)?;
    if let Some(invalid) = invalid(&first, &second) {
        return Ok(Verdict::Invalid(invalid));
    }
    let mut bytes = 0;
    for (observer, seen) in &first.observers {
        let other = &second.observers[observer];
        if let Some(difference) = difference(*observer, seen, other, cryptography) {
            return Ok(Verdict::Distinguishing(Box::new(difference)));
        }
        bytes += seen.iter().map(|seen| seen.bytes.len()).sum::<usize>();
    }
    match wire::compare(&first.crossings, &second.crossings) {
        Err(difference) => Ok(Verdict::Distinguishing(Box::new(difference))),
        Ok(_) if first.own == second.own => Ok(Verdict::Vacuous),
        Ok(moved) => Ok(Verdict::Same { bytes, moved, kept: kept(&first) }),
    }
}

/// The first declassified fact that differs. How many transactions a block has is one only where a transaction did not
/// come as far as any block: what becomes of one that was taken is nobody's to know.
fn invalid(first: &Run, second: &Run) -> Option<Invalid> {
    let taken_alike = first.refused == second.refused && first.relayed == second.relayed;
    let keys = first.declassified.keys().chain(second.declassified.keys());
    let moved = keys.filter(|key| first.declassified.get(*key) != second.declassified.get(*key));
    // A record of more transactions is longer: the count comes first.
    let counts_differ = moved.clone().any(|(fact, _)| *fact == Declassified::TransactionCount) && taken_alike;
    if counts_differ {
        return None;
    }
    let (moved, height) = *moved.min()?;
    let value = |run: &Run| run.declassified.get(&(moved, height)).copied();
    Some(Invalid { moved, height, values: [value(first), value(second)] })
}

fn difference(observer: Observer, first: &[Seen], second: &[Seen], cryptography: Cryptography) -> Option<Difference> {
    let nothing = Seen { about: "the end".to_owned(), bytes: String::new() };
    (0..first.len().max(second.len())).find_map(|index| {
        let [one, other] = [first, second].map(|seen| seen.get(index).unwrap_or(&nothing));
        let same = match cryptography {
            Cryptography::Ideal => one == other,
            Cryptography::Real => one.about.len() == other.about.len() && one.bytes.len() == other.bytes.len(),
        };
        if same {
            return None;
        }
        let about =
            if one.about == other.about { one.about.clone() } else { format!("{} / {}", one.about, other.about) };
        let at = one.bytes.bytes().zip(other.bytes.bytes()).take_while(|(one, other)| one == other).count();
        let excerpt = |text: &str| {
            let start = at.saturating_sub(60);
            text.bytes().skip(start).take(160).map(char::from).collect::<String>()
        };
        Some(Difference { observer, about, first: excerpt(&one.bytes), second: excerpt(&other.bytes) })
    })
}
