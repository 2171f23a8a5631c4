//! The page of conformance: `make conformance` runs the suites and then writes it by this test.

use std::fs;

use cloister_tests::conformance::report::{Report, SUITES, folder, markdown};
use cloister_tests::repository;

#[test]
fn the_page_has_every_suite_and_none_that_fails() {
    let path = repository().join("docs/conformance.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let reports: Vec<Report> = SUITES.iter().map(|suite| Report::of(suite.file, suite.title)).collect();
        let summary = serde_json::to_string_pretty(&reports).expect("reports are JSON") + "\n";
        fs::write(folder().join("summary.json"), summary).expect("the summary can be written");
        fs::write(&path, markdown(&reports)).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).expect("the page is in the repository");
    for suite in SUITES {
        let row = page.lines().find(|line| line.starts_with(&format!("| {} |", suite.title)));
        let row = row.unwrap_or_else(|| panic!("{} has no row: run `make conformance`", suite.title));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 8, "{row}");
        assert_eq!(cells[4], "0", "failed: {row}");
    }
}
