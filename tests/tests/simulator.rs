//! Networks of whole cores under injected faults, deterministic by seed: `SIM_SEED` the first, `SIM_SEEDS` how many, of which
//! one in `SIM_REPLAY_ONE_IN` is played twice.

#![allow(clippy::print_stdout, clippy::expect_used)]

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use cloister_tests::number_from;
use cloister_tests::sim::{Luck, Plan, Summary, play, play_recovery};

fn summary_file() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| cloister_tests::repository().join("target"), PathBuf::from);
    target.join("sim/summary.json")
}

#[test]
fn networks_keep_their_promises_whatever_happens() {
    let (first, count) = (number_from("SIM_SEED").unwrap_or(0), number_from("SIM_SEEDS").unwrap_or(2_000));
    // Who plays many wants other seeds rather than the same ones again.
    let replayed_one_in = number_from("SIM_REPLAY_ONE_IN").unwrap_or(1).max(1);
    let is_replayed = |seed: u64| seed.is_multiple_of(replayed_one_in);
    let (next, summary) = (AtomicU64::new(first), Mutex::new(Summary::default()));
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let plan = Plan::of_seed(seed);
                    let outcome = play(&plan);
                    let again = is_replayed(seed).then(|| play(&plan));
                    let mut summary = summary.lock().expect("no seed panics");
                    // At once: who plays for an hour need not wait for the end of it.
                    for violation in &outcome.violations {
                        println!("seed {seed}: {violation}");
                    }
                    summary.add(&outcome);
                    match again {
                        Some(again) if again == outcome => summary.replayed += 1,
                        Some(_) => summary.violations.push(format!("seed {seed}: a second run differs")),
                        None => {}
                    }
                    if summary.seeds.is_multiple_of(100) {
                        println!(
                            "{} seeds, {} steps, {} violations",
                            summary.seeds,
                            summary.steps,
                            summary.violations.len()
                        );
                    }
                }
            });
        }
    });
    let summary = summary.into_inner().expect("no seed panics");
    summary.write(&summary_file()).expect("the target folder can be written");
    println!("{summary:#?}");
    assert!(summary.violations.is_empty(), "play one again with SIM_SEED=n SIM_SEEDS=1: {:#?}", summary.violations);
    assert_eq!(summary.replayed, (first..first + count).filter(|seed| is_replayed(*seed)).count() as u64);
    assert!(summary.acknowledged > count, "hardly anything was committed");
}

/// Seeds that found out something that a few thousand others did not.
#[test]
fn what_was_found_once_stays_mended() {
    // Links that came up while a node still read its chain were forgotten; and a log that named again what had been fetched
    // took the block after it from the disk. Blocks that a log no longer named were given up when it went on.
    // A leader that committed its own leaving led on. What a leader had built stayed when its log began anew below that, and so did what
    // that log had named. What had been caught up with was rewound although it was committed.
    for seed in [101_850, 101_995, 205_915, 3_978, 10_978, 14_242, 8_154, 8_856, 11_076, 31_602, 22_628, 23_673] {
        let outcome = play(&Plan::of_seed(seed));
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
    }
}

#[test]
fn a_network_without_faults_opens_and_commits() {
    let outcome = play(&Plan { seed: 1, nodes: 3, luck: Luck::Anything, faults_ms: 0, recovery_ms: 8_000 });
    println!("{outcome:#?}");
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    assert!(outcome.recovered, "{} transactions in eight seconds", outcome.acknowledged);
}

#[test]
fn networks_go_on_from_one_disk_when_their_member_says_so() {
    for seed in 0..number_from("SIM_RECOVERIES").unwrap_or(100) {
        let outcome = play_recovery(seed);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        assert!(outcome.recovered, "seed {seed}: {} transactions, and then no more", outcome.acknowledged);
        assert_eq!(play_recovery(seed), outcome, "seed {seed} does not replay");
    }
}
