//! What a suite says of itself, and the page that sums all of them up.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::repository;

/// A suite on the page.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The name of its report, without extension, in [`folder`].
    pub file: &'static str,
    /// Its name on the page.
    pub title: &'static str,
    /// What it is.
    pub about: &'static str,
}

/// Every suite, in the order of the page.
pub const SUITES: [Suite; 5] = [
    Suite {
        file: "state-tests",
        title: "State tests",
        about: "GeneralStateTests of ethereum/tests: one transaction on a given state. State root, hash of the logs, and the\n  reason \
                where a transaction is refused. `STATE_TESTS=stCreate2` with the test `state_tests` runs those with that in their path.",
    },
    Suite {
        file: "generated-cases",
        title: "Generated cases",
        about: "Blocks for Prague, Osaka and the blob-parameter forks, made by `tests/tools/spec` with the executable\n  specification \
                of Ethereum. Receipts, all roots, and the reason where a transaction is refused. `make cases` makes them anew;\n  \
                `make test` makes a sample anew each time and compares.",
    },
    Suite {
        file: "generated-blocks",
        title: "Generated chains",
        about: "Chains by the same generator, imported into the core, and blocks that must not follow them: each field of\n  the \
                header wrong in turn, and a wrong body. Each chain and each of those blocks counts as one.",
    },
    Suite {
        file: "execution-apis",
        title: "execution-apis",
        about: "Requests and responses of ethereum/execution-apis on its chain, which `cloister import` reads from RLP.",
    },
    Suite {
        file: "differential",
        title: "Differential fuzzing",
        about: "Random transactions and bytecode through our executor, state and sealed log, beside revm with a state of its\n  own. \
                `make fuzz` goes on for longer.",
    },
];

/// How a suite went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name; the page has one of its own.
    #[serde(default)]
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
    pub fn leave(&self, file: &str) {
        fs::create_dir_all(folder()).expect("a folder for reports");
        let path = folder().join(format!("{file}.json"));
        let report = Self { suite: file.to_owned(), ..self.clone() };
        let text = serde_json::to_string_pretty(&report).expect("a report is JSON") + "\n";
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// What a suite left; that it was not run if it left nothing.
    ///
    /// # Panics
    /// If what it left is no report.
    #[must_use]
    pub fn of(file: &str, title: &str) -> Self {
        let path = folder().join(format!("{file}.json"));
        let left: Self = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            Err(_) => Self { reason: "not run".to_owned(), ..Self::default() },
        };
        Self { suite: title.to_owned(), ..left }
    }
}

/// The page.
#[must_use]
pub fn markdown(reports: &[Report]) -> String {
    let mut page = String::from(
        "# Conformance\n\n\
         Where confidentiality is off, a chain follows Ethereum to the letter. These suites say how far that is true: they run on the\n\
         executor and the state that every node has. `make conformance` runs them, writes this page, and leaves the same figures in\n\
         `target/conformance/summary.json`; `make test` runs them as well.\n\n\
         | suite | version | passed | failed | skipped | reason |\n\
         | --- | --- | ---: | ---: | ---: | --- |\n",
    );
    for Report { suite, version, passed, failed, skipped, reason } in reports {
        page += &format!("| {suite} | {version} | {passed} | {failed} | {skipped} | {reason} |\n");
    }
    page.push('\n');
    for suite in SUITES {
        page += &format!("- **{}.** {}\n", suite.title, suite.about);
    }
    page += "\nThe public vectors are read from `CLOISTER_VECTORS`, or else from `shared/vectors` beside the repository. Where they are missing\n\
             their suites are skipped and say so; with `CI=true` that is a failure.\n\n\
             One rule the executable specification does not have: that a typed transaction must be signed for this chain (EIP-2930,\n\
             EIP-1559). The executor's own tests have it.\n";
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_has_a_row_and_a_word() {
        let report = Report {
            suite: "State tests".to_owned(),
            version: "1".to_owned(),
            passed: 3,
            failed: 2,
            skipped: 1,
            reason: "no file".to_owned(),
        };
        let page = markdown(&[report]);
        assert!(page.contains("\n| State tests | 1 | 3 | 2 | 1 | no file |\n"), "{page}");
        for suite in SUITES {
            assert!(page.contains(&format!("\n- **{}.** ", suite.title)), "{page}");
        }
    }
}
