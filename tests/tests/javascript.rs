//! ethers 6, viem 2, web3.js 4 and a page in Chromium against the node, by Node's own test runner.

use cloister_tests::node::{Node, Target, is_reference_run};
use cloister_tests::repository;
use cloister_tests::tools::{Workspace, chromium, compiled_contracts};

/// Runs `tests/tools/js/<suite>.mjs`; `expected` tests must run and pass.
fn run_suite(target: Target, suite: &str, expected: usize) {
    let node = Node::start_default(target);
    let workspace = Workspace::of_suite("js");
    let program = workspace.tool("node");
    let program = program
        .with("RPC_URL", node.http_url())
        .with("WS_URL", node.ws_url())
        .with("ARTIFACTS", compiled_contracts().join("out"))
        .with("SEAL_PACKAGE", repository().join("crates/client/typescript"));
    let output = program.run(["--test", "--test-reporter=tap", "--test-timeout=60000", &format!("{suite}.mjs")]);
    let count = |what: &str| {
        let line = output.stdout.lines().find_map(|line| line.strip_prefix(&format!("# {what} ")));
        line.and_then(|number| number.parse::<usize>().ok())
            .unwrap_or_else(|| panic!("no count of {what}:\n{}\n{}", output.stdout, output.stderr))
    };
    assert!(output.status.success(), "{}", failures_of(&output.stdout));
    assert_eq!(count("pass") + count("skipped"), expected, "{}", output.stdout);
    assert!(is_reference_run() || count("skipped") == 0, "nothing is skipped on our own node: {}", output.stdout);
}

/// The failing tests of a report in TAP, with what each said.
fn failures_of(tap: &str) -> String {
    let mut shown = String::new();
    let mut failing = false;
    for line in tap.lines() {
        let text = line.trim_start();
        if text.starts_with("ok ") || text.starts_with("# Subtest") {
            failing = false;
        }
        failing |= text.starts_with("not ok ");
        if failing || text.starts_with("# fail") {
            shown.extend(line.chars().take(400).chain(['\n']));
        }
    }
    shown
}

#[test]
fn ethers_dev() {
    run_suite(Target::Dev, "ethers", 25);
}

#[test]
fn ethers_two_process() {
    run_suite(Target::TwoProcess, "ethers", 25);
}

#[test]
fn sign_in_dev() {
    run_suite(Target::Dev, "sign-in", 5);
}

#[test]
fn sign_in_two_process() {
    run_suite(Target::TwoProcess, "sign-in", 5);
}

#[test]
fn signed_queries_dev() {
    run_suite(Target::Dev, "signed-query", 4);
}

#[test]
fn viem_dev() {
    run_suite(Target::Dev, "viem", 29);
}

#[test]
fn viem_two_process() {
    run_suite(Target::TwoProcess, "viem", 29);
}

#[test]
fn web3js_dev() {
    run_suite(Target::Dev, "web3", 20);
}

#[test]
fn web3js_two_process() {
    run_suite(Target::TwoProcess, "web3", 20);
}

#[test]
fn browser_wallet_two_process() {
    if chromium().is_some() {
        run_suite(Target::TwoProcess, "browser", 9);
    }
}

#[test]
fn sealed_transactions_dev() {
    run_suite(Target::Dev, "seal", 7);
}

#[test]
fn sealed_transactions_two_process() {
    run_suite(Target::TwoProcess, "seal", 7);
}

#[test]
fn sealed_transactions_of_a_page_two_process() {
    if chromium().is_some() {
        run_suite(Target::TwoProcess, "seal-browser", 2);
    }
}
