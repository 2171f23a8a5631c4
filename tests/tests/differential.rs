//! Random chains through the real core and through plain revm: no difference in roots, receipts, gas, headers, state or traces,
//! over restarts, crashes and rewinds.
//!
//! About a minute in `make test`, longer by `make fuzz`, or until `FUZZ_TRANSACTIONS` are compared. `FUZZ_SEED` repeats a run. A
//! case that fails is made small and written to `target/differential/`; moved to `tests/cases/differential/`, it is run with
//! every test.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::time::Duration;

use cloister_tests::differential::session::{self, Budget};
use cloister_tests::differential::{Case, Fault, check, generate, shrink::shrink};
use cloister_tests::fuzz;

/// Cases of `make test`: about a minute on two cores.
const CASES: u64 = 3_500;

#[test]
fn random_chains_agree_with_the_reference() {
    let budget = match (cloister_tests::number_from("FUZZ_TRANSACTIONS"), cloister_tests::number_from("FUZZ_SECONDS")) {
        (Some(count), _) => Budget::Transactions(count),
        (None, Some(seconds)) => Budget::Time(Duration::from_secs(seconds)),
        (None, None) => Budget::Cases(CASES),
    };
    // Seeds of different runs lie far apart.
    let seed = fuzz::seed() << 32;
    let tally = session::run(seed, budget).unwrap_or_else(|failure| {
        panic!("seed {}: {}\nthe case is in {}", failure.seed, failure.difference, failure.file.display())
    });
    assert!(tally.included * 10 > tally.sent * 7, "most are valid: {tally:?}");
    assert!(tally.succeeded * 10 > tally.included * 3, "many succeed: {tally:?}");
    assert!(tally.restarts > 0 && tally.rollbacks > 0 && tally.traces > 0, "{tally:?}");
    session::report(seed, &tally);
}

#[test]
fn kept_cases_agree_with_the_reference() {
    for (file, case) in session::kept() {
        check(&case, Fault::None).unwrap_or_else(|difference| panic!("{}: {difference}", file.display()));
    }
}

#[test]
fn the_same_seed_gives_the_same_case_and_a_file_holds_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let case = generate::case(seed);
        assert_eq!(case, generate::case(seed));
        assert_ne!(case.steps, generate::case(seed + 1).steps);
        let file = folder.path().join("case.json");
        case.write(&file);
        assert_eq!(Case::read(&file), case);
    }
}

/// Looks for a mistake that the reference makes on purpose, and makes what shows it small.
fn finds(fault: Fault) -> Case {
    for seed in 0..200 {
        let case = generate::case(seed);
        if let Err(difference) = check(&case, fault) {
            let (small, difference) = shrink(&case, &difference, fault);
            eprintln!(
                "{fault:?}: seed {seed}, {} transactions shrunk to {}: {difference}",
                case.transactions(),
                small.transactions()
            );
            assert!(check(&small, fault).is_err());
            assert!(check(&small, Fault::None).is_ok(), "it is the planted fault that differs");
            return small;
        }
    }
    panic!("{fault:?} was not found");
}

#[test]
fn planted_faults_are_found_and_shrunk_to_two_transactions_at_most() {
    for fault in [Fault::StoreCostsMore, Fault::SelfdestructForgotten, Fault::RefundsMore] {
        let small = finds(fault);
        assert!(small.transactions() <= 2, "{fault:?}: {}", serde_json::to_string(&small).unwrap());
    }
}
