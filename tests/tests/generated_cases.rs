//! Cases for Prague and later forks that `tests/tools/spec` made with the executable specification.
//!
//! `CASES=eip7702` runs only the cases whose name contains that.

use std::fs;

use cloister_tests::conformance::cases::{file, read};
use cloister_tests::conformance::on_all_cores;
use cloister_tests::conformance::report::Report;

const SUITE: &str = "Generated state cases";

#[test]
fn every_generated_case_comes_to_what_the_specification_says() {
    let text = fs::read_to_string(file()).expect("the cases are in the repository");
    let (head, mut cases) = read(&text);
    let filter = std::env::var("CASES").unwrap_or_default();
    cases.retain(|case| case.name.contains(&filter));
    let outcomes = on_all_cores(&cases, |case| case.check(&head).map_err(|what| format!("{}: {what}", case.name)));
    let mut failed: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    failed.sort();
    if filter.is_empty() {
        let version = format!("{}, seed {}", head.specification, head.seed);
        let passed = cases.len() - failed.len();
        let report = Report { suite: SUITE.to_owned(), version, passed, failed: failed.len(), ..Report::default() };
        report.leave("generated-cases");
        assert!(cases.len() >= 300, "only {} cases", cases.len());
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
    assert!(!cases.is_empty(), "no case is called {filter}");
}
