//! Confidentiality, proved as far as running it can: two worlds that differ in secrets only look the same to whoever is not
//! entitled to those secrets, and with any protection taken away they do not.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use cloister_primitives::Protection;
use cloister_tests::harness::canaries::{first_difference, look_for};
use cloister_tests::harness::findings::PLAIN_TEXT_CONNECTIONS;
use cloister_tests::harness::generate::Included;
use cloister_tests::harness::session::{self, Tally};
use cloister_tests::harness::{Creations, Observer, Shape, Who, declassified, matrix, needles, report};
use cloister_tests::{fuzz, repository};
use serde_json::json;

/// Pairs of `make test`.
const PAIRS: u64 = 500;
/// Of 100 pairs so many may say nothing at most, because something declassified differs.
const MOST_INVALID_PERCENT: u64 = 2;
/// Bytes that are searched for needles in `make test`.
const BYTES: u64 = 100_000_000;
/// Pairs of `make test` that run on networks.
const NETWORK_PAIRS: u64 = 14;
/// One pair on a network in so many others: it costs as much as several.
const NETWORK_ONE_IN: u64 = 20;
/// Pairs in which a missing protection must be noticed.
const CANARY_PAIRS: u64 = 600;

fn run(seed: u64, pairs: u64, included: &Included) -> Tally {
    session::run(seed, pairs, included).unwrap_or_else(|failure| {
        report::part("pairs", &json!({ "seed": failure.workload.seed, "distinguishing": 1 }));
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
    let red = Protection::ALL.len() - silent.len();
    report::part("canaries", &json!({ "canaries": Protection::ALL.len(), "canariesRed": red }));
    assert!(silent.is_empty(), "nobody misses {silent:?}");
}

#[test]
fn a_contract_without_rules_answers_transactions() {
    // Anybody's transaction may run it, and learns what it answers: each pair with rules in the tests beside this one asks in
    // the same way, and is answered nothing.
    let _turn = turn();
    let included = Included { creations: Creations::WithoutRules, ..Included::default() };
    let (pairs, difference) = first_difference(fuzz::seed() << 32, CANARY_PAIRS, &included).expect("it answers");
    eprintln!("contracts without rules: after {pairs} pairs: {difference}");
    assert!(matches!(difference.observer, Observer::Session(Who::Eve | Who::Mallory)), "{difference}");
    report::part("findings", &json!({ "knownFindings": [PLAIN_TEXT_CONNECTIONS] }));
}

#[test]
fn the_list_of_what_is_declassified_is_the_one_in_code() {
    let path = repository().join("docs/declassified.md");
    let page = declassified::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/declassified.md is out of date: run `make docs`"
    );
}

#[test]
fn two_worlds_that_differ_in_secrets_look_the_same() {
    let _turn = turn();
    let seed = fuzz::seed() << 32;
    let pairs = cloister_tests::number_from("HARNESS_PAIRS").unwrap_or(PAIRS);
    let tally = run(seed, pairs, &Included::default());
    eprintln!("harness: {tally:#?}");
    report::part(
        "pairs",
        &json!({
            "seed": seed,
            "pairs": tally.pairs,
            "pairsWithRealCryptography": tally.real,
            "invalid": tally.invalid,
            "moved": tally.moved,
            "movedOnTheWire": tally.moved_on_the_wire,
            "vacuous": tally.vacuous,
            "distinguishing": 0,
            "logSections": tally.log_sections,
            "snapshots": tally.snapshots,
            "transactions": tally.transactions,
            "bytesCompared": tally.bytes,
        }),
    );
    let is_large = pairs >= PAIRS;
    assert!(!is_large || (tally.log_sections > 0 && tally.snapshots > 0), "the host had blocks only: {tally:#?}");
    let all = tally.pairs + tally.invalid;
    assert!(tally.invalid * 100 <= MOST_INVALID_PERCENT * all, "too many are invalid: {tally:#?}");
}

#[test]
fn two_networks_that_differ_in_secrets_look_the_same() {
    let _turn = turn();
    let seed = fuzz::seed() << 32;
    let pairs = cloister_tests::number_from("HARNESS_PAIRS").map_or(NETWORK_PAIRS, |pairs| pairs / NETWORK_ONE_IN);
    let included = Included { shape: Shape::Network, ..Included::default() };
    let tally = run(seed, pairs, &included);
    eprintln!("networks: {tally:#?}");
    report::part(
        "networks",
        &json!({
            "clusterPairs": tally.pairs,
            "clusterPairsWithRealCryptography": tally.real,
            "clusterPairsInvalid": tally.invalid,
            "clusterDistinguishing": 0,
            "clusterBytesCompared": tally.bytes,
            "clusterFrames": tally.frames,
        }),
    );
    assert!(tally.frames > pairs, "hardly anything was said between nodes: {tally:#?}");
    // Of a few pairs many may be.
    let is_large = pairs >= 5 * NETWORK_PAIRS;
    assert!(!is_large || tally.invalid * 5 <= tally.pairs + tally.invalid, "too many are invalid: {tally:#?}");
}

#[test]
fn a_follower_that_does_not_ask_who_asks_is_noticed() {
    let _turn = turn();
    let included = Included { shape: Shape::BlindFollower, ..Included::default() };
    let (pairs, difference) = first_difference(fuzz::seed() << 32, CANARY_PAIRS, &included).expect("it tells");
    eprintln!("a follower without eyes: after {pairs} pairs: {difference}");
    assert!(matches!(difference.observer, Observer::Anonymous | Observer::Session(_)), "{difference}");
    assert!(difference.about.starts_with("node "), "{difference}");
}

#[test]
fn every_method_tells_each_role_what_its_class_says() {
    let _turn = turn();
    let reference = std::fs::read_to_string(repository().join("docs/rpc.md")).unwrap();
    let methods = matrix::methods_of(&reference);
    assert!(methods.len() > 150, "{}", methods.len());
    let rows = matrix::rows(&methods).unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    let path = repository().join("docs/method-roles.md");
    let page = matrix::markdown(&rows);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/method-roles.md is out of date: run `make docs`"
    );
}

#[test]
fn a_method_that_nobody_classified_is_named() {
    let _turn = turn();
    let reference = std::fs::read_to_string(repository().join("docs/rpc.md")).unwrap();
    let mut methods = matrix::methods_of(&reference);
    methods.push(("eth_tellEverything".to_owned(), false));
    methods.retain(|(name, _)| name != "eth_getBalance");
    let faults = matrix::rows(&methods).unwrap_err();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("eth_getBalance") && faults[1].contains("eth_tellEverything"), "{faults:?}");
}

#[test]
fn no_needle_is_found_around_the_enclave() {
    let found = needles::two_processes(fuzz::seed(), cloister_tests::number_from("HARNESS_BYTES").unwrap_or(BYTES));
    eprintln!("needles: {found:#?}");
    report::part(
        "needles",
        &json!({
            "needles": found.needles,
            "needlesHit": found.hits.len(),
            "bytesSearched": found.bytes,
            "bytesBetweenHostAndEnclave": found.crossed,
            "wordsOnTheWireInTheHostsMemory": found.on_the_wire,
        }),
    );
    assert!(found.hits.is_empty(), "{:#?}", found.hits);
    assert!(
        found.on_the_wire > 0,
        "{PLAIN_TEXT_CONNECTIONS}: no longer; take it off the list, so that it is looked for"
    );
    assert!(found.crossed > 0, "nothing was kept of what host and enclave said");
    assert!(found.control, "the search finds nothing where everything is: in the enclave's own memory");
}
