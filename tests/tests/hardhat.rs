//! Hardhat 2 against the node: compiles, deploys, and its tests with chai matchers and time helpers pass on `--network localhost`.

use cloister_tests::node::{Node, Target, is_reference_run};
use cloister_tests::tools::{Workspace, node_modules};
use serde_json::Value;

/// A Hardhat project with the example contracts, compiled, and the program to run in it.
fn run_suite(target: Target, suite: &str, expected: u64) {
    let node = Node::start_default(target);
    let project = Workspace::of_suite("hardhat");
    project.add("contracts/examples/src", "contracts");
    let report = project.path().join("report.json");
    let hardhat = project.tool("node").with("RPC_URL", node.http_url()).with("MOCHA_REPORTER_OUTPUT", &report);
    let program = node_modules().join("hardhat/internal/cli/bootstrap.js");
    let output =
        hardhat.run([program.as_os_str(), "test".as_ref(), "--network".as_ref(), "localhost".as_ref(), suite.as_ref()]);
    let said = format!("{}\n{}", output.stdout, output.stderr);
    let report = std::fs::read(&report).unwrap_or_else(|_| panic!("Mocha did not get to its report:\n{said}"));
    let report: Value = serde_json::from_slice(&report).expect("Mocha's report is JSON");
    let failures: Vec<String> =
        report["failures"].as_array().expect("a list of failures").iter().map(failure).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    let ran = report["stats"]["passes"]
        .as_u64()
        .zip(report["stats"]["pending"].as_u64())
        .map(|(passed, skipped)| passed + skipped);
    assert_eq!(ran, Some(expected), "{said}");
    assert!(is_reference_run() || report["stats"]["pending"] == 0, "nothing is skipped on our own node: {said}");
    assert!(output.status.success(), "{said}");
}

/// One failed test of Mocha's report: its name and where it stopped.
fn failure(test: &Value) -> String {
    let field = |name: &str| test[name].as_str().or(test["err"][name].as_str()).unwrap_or_default().to_owned();
    format!("{}: {}\n{}", field("fullTitle"), field("message"), field("stack"))
}

#[test]
fn contracts_dev() {
    run_suite(Target::Dev, "test/contracts.js", 18);
}

#[test]
fn contracts_two_process() {
    run_suite(Target::TwoProcess, "test/contracts.js", 18);
}

#[test]
fn time_snapshots_and_mining_dev() {
    run_suite(Target::Dev, "test/time.js", 6);
}

#[test]
fn network_helpers_dev() {
    run_suite(Target::Dev, "test/helpers.js", 6);
}
