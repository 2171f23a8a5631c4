//! Every GeneralStateTest of ethereum/tests, on our executor and our state.
//!
//! `STATE_TESTS=stCreate2/create2coll` runs only the files whose path contains that, and shows what differs:
//! `STATE_TESTS=… cargo nextest run --release --workspace -E 'test(every_state_test)' --no-capture`.

use std::path::Path;

use cloister_tests::conformance::report::Report;
use cloister_tests::conformance::state_tests::{Suite, run};
use cloister_tests::conformance::{on_all_cores, skip, vectors};

/// The commit of ethereum/tests that the archive was made from.
const VERSION: &str = "ethereum/tests 4c87ebb";
/// Entries of the archive: state tests, by fork and by combination of their data, gas and value.
const ENTRIES: usize = 21_442;

/// Holds a test of a minute, a 2^32-round hash: it must not be the last one to begin.
const LONGEST: &str = "stTimeConsuming";

#[test]
fn every_state_test_gives_its_root_and_its_logs() {
    let filter = std::env::var("STATE_TESTS").unwrap_or_default();
    let leave = |report: Report| {
        if filter.is_empty() {
            report.leave("state-tests");
        }
    };
    let archive = vectors().join("ethereum-state-tests.tar.gz");
    if !archive.is_file() {
        let reason = format!("there is no {}", archive.display());
        skip(&reason);
        return leave(Report { version: VERSION.to_owned(), skipped: ENTRIES, reason, ..Report::default() });
    }
    let suite = Suite::unpack(&archive);
    let path = |file: &Path| suite.name(file).to_string_lossy().into_owned();
    let mut files = suite.files();
    files.retain(|file| path(file).contains(&filter));
    files.sort_by_key(|file| !path(file).contains(LONGEST));
    let mut passed = 0;
    let mut failed = Vec::new();
    for tally in on_all_cores(&files, |file| run(file, suite.name(file))) {
        passed += tally.passed;
        failed.extend(tally.failed);
    }
    failed.sort();
    leave(Report { version: VERSION.to_owned(), passed, failed: failed.len(), ..Report::default() });
    assert!(failed.is_empty(), "{} entries failed:\n{}", failed.len(), failed.join("\n"));
    assert!(passed > 0, "no file's path contains {filter}");
    assert!(passed == ENTRIES || !filter.is_empty(), "{passed} entries instead of {ENTRIES}");
}
