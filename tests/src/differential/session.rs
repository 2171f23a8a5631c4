//! Many cases, on all cores, with their sum.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Case, Difference, Fault, Tally, check, generate, shrink::shrink};
use crate::repository;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(10);

/// How much is run.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// So many cases.
    Cases(u64),
    /// As many as begin within this time.
    Time(Duration),
    /// As many as it takes to compare so many transactions in blocks.
    Transactions(u64),
}

/// A case that failed, made smaller.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What differs.
    pub difference: Difference,
    /// Where the smaller case has been written.
    pub file: PathBuf,
}

/// Runs cases of consecutive seeds until the budget is used or one fails.
///
/// # Errors
/// The [`Failure`], whose case has been made small and written to `target/differential/`.
pub fn run(first_seed: u64, budget: Budget) -> Result<Tally, Box<Failure>> {
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let stopped = AtomicBool::new(false);
    let total = Mutex::new(Tally::default());
    let failed = Mutex::new(None);
    let shown = Mutex::new(Instant::now());
    let goes_on = |index: u64| {
        !stopped.load(Ordering::Relaxed)
            && match budget {
                Budget::Cases(cases) => index < cases,
                Budget::Time(time) => started.elapsed() < time,
                Budget::Transactions(count) => lock(&total).included < count,
            }
    };
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if !goes_on(index) {
            return;
        }
        let seed = first_seed.wrapping_add(index);
        match check(&generate::case(seed), Fault::None) {
            Ok(tally) => lock(&total).add(&tally),
            Err(difference) => {
                stopped.store(true, Ordering::Relaxed);
                lock(&failed).get_or_insert((seed, difference));
            }
        }
        let mut shown = lock(&shown);
        if shown.elapsed() > PROGRESS {
            *shown = Instant::now();
            eprintln!("{}", summary(first_seed, index + 1, &lock(&total), started.elapsed()));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let tally = lock(&total).clone();
    eprintln!("{}", summary(first_seed, next.load(Ordering::Relaxed), &tally, started.elapsed()));
    let failed = lock(&failed).take();
    match failed {
        None => Ok(tally),
        Some((seed, difference)) => Err(Box::new(keep(seed, &difference))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn summary(first_seed: u64, cases: u64, tally: &Tally, took: Duration) -> String {
    let rate = tally.sent as f64 / took.as_secs_f64().max(0.001);
    format!(
        "differential: seeds {first_seed} and on, {cases} cases, {} transactions sent ({rate:.0}/s), {} in {} blocks, \
         {} succeeded, {} restarts, {} rewinds, {} traces; refused: {:?}",
        tally.sent,
        tally.included,
        tally.blocks,
        tally.succeeded,
        tally.restarts,
        tally.rollbacks,
        tally.traces,
        tally.refused
    )
}

/// Makes a failing case small and writes it to a file.
fn keep(seed: u64, difference: &Difference) -> Failure {
    eprintln!("differential: seed {seed}: {difference}\nmaking it smaller …");
    let (mut small, difference) = shrink(&generate::case(seed), difference, Fault::None);
    small.note = format!("seed {seed}: {difference}").chars().take(2_000).collect();
    let file = folder("differential").join(format!("seed-{seed}.json"));
    small.write(&file);
    Failure { seed, difference, file }
}

fn folder(name: &str) -> PathBuf {
    repository().join("target").join(name)
}

/// Writes what the conformance report says of a run that found nothing.
///
/// # Panics
/// If the file cannot be written.
pub fn report(first_seed: u64, tally: &Tally) {
    let report = json!({
        "suite": "differential fuzzing against revm",
        "version": format!("seed {first_seed}"),
        "passed": tally.included,
        "failed": 0,
        "skipped": 0,
        "reason": "",
    });
    let folder = folder("conformance");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let text = serde_json::to_string_pretty(&report).expect("plain data");
    std::fs::write(folder.join("differential.json"), text + "\n").expect("the file can be written");
}

/// The cases that are kept in the repository.
///
/// # Panics
/// If they cannot be read.
#[must_use]
pub fn kept() -> Vec<(PathBuf, Case)> {
    let folder = repository().join("tests/cases/differential");
    let entries = std::fs::read_dir(&folder).expect("the folder of kept cases");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry of a folder").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.into_iter().map(|file| (file.clone(), Case::read(&file))).collect()
}
