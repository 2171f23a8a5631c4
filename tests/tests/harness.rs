//! Confidentiality, proved as far as running it can: two worlds that differ in secrets only look the same to whoever is not
//! entitled to those secrets, and with any protection taken away they do not.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use cloister_primitives::Protection;
use cloister_tests::fuzz;
use cloister_tests::harness::canaries::look_for;
use cloister_tests::harness::generate::Included;
use cloister_tests::harness::session::{self, Tally};

/// Pairs of `make test`.
const PAIRS: u64 = 150;
/// Pairs in which a missing protection must be noticed.
const CANARY_PAIRS: u64 = 200;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn run(seed: u64, pairs: u64, included: &Included) -> Tally {
    session::run(seed, pairs, included).unwrap_or_else(|failure| {
        panic!(
            "seed {}: two worlds can be told apart by {}\nit is written down in {}\n{:#?}",
            failure.workload.seed,
            failure.difference,
            failure.file.display(),
            failure.workload.steps
        )
    })
}

/// What one test takes away is missing for all tests of its process: they take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn each_protection_is_missed_when_it_is_taken_away() {
    let _turn = turn();
    let seed = fuzz::seed() << 32;
    let mut silent = Vec::new();
    for protection in Protection::ALL {
        match look_for(protection, seed, CANARY_PAIRS) {
            Some(red) => eprintln!("canary {protection:?}: red after {} pairs: {}", red.pairs, red.difference),
            None => silent.push(protection),
        }
    }
    assert!(silent.is_empty(), "nobody misses {silent:?}");
}

#[test]
fn two_worlds_that_differ_in_secrets_look_the_same() {
    let _turn = turn();
    let seed = fuzz::seed() << 32;
    let pairs = variable("HARNESS_PAIRS").unwrap_or(PAIRS);
    let tally = run(seed, pairs, &Included::default());
    eprintln!("harness: {tally:#?}");
    assert!(tally.invalid * 20 <= tally.pairs + tally.invalid, "too many are invalid: {tally:#?}");
}
