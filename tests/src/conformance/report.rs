//! What a suite says of itself, and the page that sums all of them up.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::repository;

/// Every suite, by the name of its file in [`folder`], in the order of the page.
pub const SUITES: [(&str, &str); 5] = [
    ("state-tests", "GeneralStateTests"),
    ("generated-cases", "Generated state cases"),
    ("generated-blocks", "Generated chains"),
    ("execution-apis", "execution-apis"),
    ("differential", "Differential fuzzing"),
];

/// How a suite went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub suite: String,
    /// Which edition of it.
    pub version: String,
    /// How many of its cases gave what they must.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
    /// How many were not run.
    pub skipped: usize,
    /// Why not; empty if all were.
    pub reason: String,
}

/// Where suites leave their reports.
#[must_use]
pub fn folder() -> PathBuf {
    repository().join("target/conformance")
}

impl Report {
    /// Leaves it for the page.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn leave(&self, name: &str) {
        fs::create_dir_all(folder()).expect("a folder for reports");
        let path = folder().join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(self).expect("a report is JSON") + "\n";
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// What the suite of this name left; that it was not run if it left nothing.
    ///
    /// # Panics
    /// If what it left is no report.
    #[must_use]
    pub fn of(name: &str, suite: &str) -> Self {
        let path = folder().join(format!("{name}.json"));
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            Err(_) => Self { suite: suite.to_owned(), reason: "not run".to_owned(), ..Self::default() },
        }
    }
}

/// The page.
#[must_use]
pub fn markdown(reports: &[Report]) -> String {
    let mut page = String::from(
        "# Conformance\n\n\
         Written by `make conformance`, which runs all of these on the executor and the state that every node has, and leaves the\n\
         same figures in `target/conformance/summary.json`. `make test` runs them too.\n\n\
         | suite | version | passed | failed | skipped | reason |\n\
         | --- | --- | ---: | ---: | ---: | --- |\n",
    );
    for Report { suite, version, passed, failed, skipped, reason } in reports {
        page += &format!("| {suite} | {version} | {passed} | {failed} | {skipped} | {reason} |\n");
    }
    page
}
