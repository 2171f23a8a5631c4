//! Many pairs, on all cores, with their sum.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::generate::{Included, workload};
use super::pair::{Cryptography, Difference, Verdict, compare};
use super::shrink::shrink;
use super::workload::Workload;
use crate::repository;

/// One pair in so many is compared with real cryptography, too.
const REAL_ONE_IN: u64 = 4;
/// Invalid pairs that are kept for the report.
const SHOWN: usize = 20;

/// What came of many pairs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Pairs in which nobody saw what he must not.
    pub pairs: u64,
    /// Of them, those compared with real cryptography as well.
    pub real: u64,
    /// Pairs in which a declassified fact moved.
    pub invalid: u64,
    /// By the fact that moved.
    pub moved: BTreeMap<&'static str, u64>,
    /// Answers and envelopes on the network whose size class moved, in pairs that are valid otherwise.
    pub moved_on_the_wire: BTreeMap<&'static str, u64>,
    /// Some of the invalid ones, in words.
    pub invalid_shown: Vec<String>,
    /// Pairs in which nobody saw anything, drawn again.
    pub vacuous: u64,
    /// Sections of the log index that the host had.
    pub log_sections: u64,
    /// Snapshots that it had.
    pub snapshots: u64,
    /// What nodes of networks said to each other.
    pub frames: u64,
    /// Transactions sent.
    pub transactions: u64,
    /// Bytes compared.
    pub bytes: u64,
}

/// Two worlds that can be told apart.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The workload, made smaller.
    pub workload: Workload,
    /// How.
    pub difference: Difference,
    /// Where it has been written down.
    pub file: PathBuf,
}

/// Runs pairs of consecutive seeds until so many are valid, or until one can be told apart.
///
/// # Errors
/// The [`Failure`]; its workload has been made small and written to `target/harness/`.
///
/// # Panics
/// If a run itself goes wrong.
pub fn run(first_seed: u64, pairs: u64, included: &Included) -> Result<Tally, Box<Failure>> {
    let next = AtomicU64::new(0);
    let stopped = AtomicBool::new(false);
    let total = Mutex::new(Tally::default());
    let failed = Mutex::new(None);
    let work = || {
        while !stopped.load(Ordering::Relaxed) && lock(&total).pairs < pairs {
            let seed = first_seed.wrapping_add(next.fetch_add(1, Ordering::Relaxed));
            let workload = workload(seed, included);
            if let Some(difference) = one(&workload, &total) {
                stopped.store(true, Ordering::Relaxed);
                lock(&failed).get_or_insert((workload, difference));
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let failed = lock(&failed).take();
    match failed {
        None => Ok(lock(&total).clone()),
        Some((workload, difference)) => Err(Box::new(keep(&workload, &difference))),
    }
}

/// Compares one pair and counts it; how it can be told apart, if it can.
fn one(workload: &Workload, total: &Mutex<Tally>) -> Option<Difference> {
    let compared = |cryptography| {
        compare(workload, cryptography).unwrap_or_else(|fault| panic!("seed {}: {fault}", workload.seed))
    };
    let verdict = compared(Cryptography::Ideal);
    let real = workload.seed.is_multiple_of(REAL_ONE_IN).then(|| compared(Cryptography::Real));
    let mut total = lock(total);
    total.transactions += workload.transactions() as u64;
    match verdict {
        Verdict::Same { bytes, moved, kept } => {
            total.pairs += 1;
            total.log_sections += kept.log_sections;
            total.snapshots += kept.snapshots;
            total.frames += kept.frames;
            total.bytes += bytes as u64;
            for fact in moved {
                *total.moved_on_the_wire.entry(fact.name()).or_default() += 1;
            }
        }
        Verdict::Vacuous => total.vacuous += 1,
        Verdict::Invalid(invalid) => {
            total.invalid += 1;
            *total.moved.entry(invalid.moved.name()).or_default() += 1;
            if total.invalid_shown.len() < SHOWN {
                let text = format!(
                    "seed {}: {} of block {}: {:?} and {:?}",
                    workload.seed,
                    invalid.moved.name(),
                    invalid.height,
                    invalid.values[0],
                    invalid.values[1]
                );
                total.invalid_shown.push(text);
            }
        }
        Verdict::Distinguishing(difference) => return Some(*difference),
    }
    match real {
        Some(Verdict::Distinguishing(difference)) => Some(*difference),
        Some(_) => {
            total.real += 1;
            None
        }
        None => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a workload small that can be told apart, and writes it down.
fn keep(workload: &Workload, difference: &Difference) -> Failure {
    let (workload, difference) = shrink(workload, difference);
    let folder = repository().join("target/harness");
    let file = folder.join(format!("seed-{}.txt", workload.seed));
    // The failure is shown anyway.
    let _ = std::fs::create_dir_all(&folder);
    let _ = std::fs::write(&file, format!("{difference}\n\n{workload:#?}\n"));
    Failure { workload, difference, file }
}
