//! The public execution-apis suite: its chain is imported, a node serves it, and every pair of request and response
//! is held against what the node answers over HTTP.

#![allow(clippy::print_stderr)]

use cloister_tests::execution_apis::{Outcome, VERSION, pairs, report, suite};
use cloister_tests::node::{Node, NodeOptions, Target, run_cloister};

#[test]
fn every_pair() {
    let suite = match suite() {
        Ok(suite) => suite,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return report("execution-apis", VERSION, &Outcome { skipped: 1, reason, ..Outcome::default() });
        }
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let datadir = folder.path().join("chain");
    let path = |name: &str| suite.join(name).display().to_string();
    let arguments = ["import", "--genesis", &path("genesis.json"), "--datadir", &datadir.display().to_string()];
    let said = run_cloister(&[&arguments[..], &[&path("chain.rlp")]].concat()).expect("the suite's chain is right");
    assert!(said.starts_with("Imported 54 blocks"), "{said}");
    let node = Node::start(Target::Dev, &NodeOptions { datadir: Some(datadir), ..NodeOptions::default() });
    let mut outcome = Outcome::default();
    for pair in pairs(&suite) {
        match pair.run(node.rpc()) {
            Ok(()) => outcome.passed += 1,
            Err(why) => outcome.failed.push((pair.name, why)),
        }
    }
    report("execution-apis", VERSION, &outcome);
    let failures: Vec<_> = outcome.failed.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert!(failures.is_empty(), "{} pairs differ:\n{}", failures.len(), failures.join("\n"));
    assert!(outcome.passed >= 107, "only {} pairs were found", outcome.passed);
}
