//! What `tests/tools/spec` made with the executable specification of Ethereum, and whether it is still what that says.
//!
//! `CASES=eip7702` runs only the cases, and `CHAINS=Osaka` only the chains, whose name contains that.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cloister_primitives::system_contracts;
use cloister_tests::conformance::cases::Case;
use cloister_tests::conformance::chains::Chain;
use cloister_tests::conformance::report::Report;
use cloister_tests::conformance::{cases, chains, on_all_cores, skip};
use cloister_tests::repository;
use cloister_tests::tools::{Tool, python};

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Leaves the report of a run without a filter, and fails with what failed.
fn conclude(name: &str, head: &cases::Head, filter: &str, outcomes: Vec<Result<(), String>>) {
    let count = outcomes.len();
    let mut failed: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    failed.sort();
    if filter.is_empty() {
        let version = format!("{}, seed {}", head.specification, head.seed);
        let (passed, failed) = (count - failed.len(), failed.len());
        Report { version, passed, failed, ..Report::default() }.leave(name);
    }
    assert!(failed.is_empty(), "{} of {count} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(count > 0, "nothing is called {filter}");
}

#[test]
fn every_case_comes_to_what_the_specification_says() {
    let (head, mut all) = cases::read::<Case>(&text(&cases::file()));
    assert!(all.len() >= 300, "only {} cases", all.len());
    let filter = std::env::var("CASES").unwrap_or_default();
    all.retain(|case| case.name.contains(&filter));
    let outcomes = on_all_cores(&all, |case| case.check(&head).map_err(|what| format!("{}: {what}", case.name)));
    conclude("generated-cases", &head, &filter, outcomes);
}

#[test]
fn every_chain_is_imported_and_what_must_not_follow_it_is_refused() {
    let (head, mut all) = cases::read::<Chain>(&text(&chains::file()));
    let filter = std::env::var("CHAINS").unwrap_or_default();
    all.retain(|chain| chain.name.contains(&filter));
    let outcomes = on_all_cores(&all, Chain::check).into_iter().flatten().collect();
    conclude("generated-blocks", &head, &filter, outcomes);
}

#[test]
fn the_cases_begin_with_the_system_contracts_as_they_are() {
    let (head, _) = cases::read::<Case>(&text(&cases::file()));
    let alloc = head.alloc();
    for (address, contract) in system_contracts() {
        assert_eq!(alloc.get(&address), Some(&contract), "{address}");
    }
}

/// Cases and chains that one run makes again.
const SAMPLE: &str = "12";

/// Another sample every day; what it says names the day.
#[test]
fn a_sample_is_what_the_specification_says_today() {
    let tool = Tool::new(python(), repository()).with("PYTHONDONTWRITEBYTECODE", "1");
    let installed = tool.run(["-c", "import ethereum_spec_tools"]);
    if !installed.status.success() {
        // It takes Python 3.11; all else here takes 3.10.
        skip(&format!("the executable specification is not installed: {}", installed.stderr));
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let day = (now.as_secs() / 86_400).to_string();
    let output = tool.run(["tests/tools/spec/generate.py", "check", "tests/vectors", &day, SAMPLE]);
    assert!(output.status.success(), "of day {day}:\n{}\n{}", output.stdout, output.stderr);
}
