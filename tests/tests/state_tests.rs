//! Every GeneralStateTest of ethereum/tests, on our executor and our state.
//!
//! `STATE_TESTS=stCreate2/create2coll` runs only the files whose path contains that, and shows what differs:
//! `STATE_TESTS=… cargo nextest run --release --workspace -E 'test(every_state_test)' --no-capture`.

use std::path::PathBuf;

use cloister_tests::conformance::report::Report;
use cloister_tests::conformance::state_tests::{Suite, run};
use cloister_tests::conformance::{needed, on_all_cores, vectors};

/// The commit of ethereum/tests that the archive was made from.
const VERSION: &str = "ethereum/tests 4c87ebb";
/// Entries of the archive: state tests, by fork and by combination of their data, gas and value.
const ENTRIES: usize = 21_442;

#[test]
fn every_state_test_gives_its_root_and_its_logs() {
    let mut report = Report { version: VERSION.to_owned(), ..Report::default() };
    let archive = match needed(vectors().join("ethereum-state-tests.tar.gz")) {
        Ok(archive) => archive,
        Err(reason) => {
            Report { skipped: ENTRIES, reason, ..report }.leave("state-tests");
            return;
        }
    };
    let suite = Suite::unpack(&archive);
    let filter = std::env::var("STATE_TESTS").unwrap_or_default();
    let mut files: Vec<PathBuf> = suite.files();
    files.retain(|file| suite.name(file).to_string_lossy().contains(&filter));
    let mut failed = Vec::new();
    for tally in on_all_cores(&files, |file| run(file, suite.name(file))) {
        report.passed += tally.passed;
        failed.extend(tally.failed);
    }
    failed.sort();
    report.failed = failed.len();
    println!("{} of {} entries passed", report.passed, report.passed + report.failed);
    if filter.is_empty() {
        report.leave("state-tests");
        assert_eq!(report.passed + report.failed, ENTRIES, "entries of the archive");
    }
    assert!(failed.is_empty(), "{} entries failed:\n{}", failed.len(), failed.join("\n"));
    assert!(report.passed > 0, "no file's path contains {filter}");
}
