//! ethers 6, viem 2, web3.js 4 and a page in Chromium against the node, by Node's own test runner.

use cloister_tests::confidential::{Reach, Way};
use cloister_tests::gateway::Gateway;
use cloister_tests::node::{Node, Target, is_reference_run};
use cloister_tests::repository;
use cloister_tests::tools::{Tool, Workspace, chromium, compiled_contracts};

/// Runs `tests/tools/js/<suite>.mjs`; `expected` tests must run and pass.
fn run_suite(target: Target, suite: &str, expected: usize) {
    let node = Node::start_default(target);
    let workspace = Workspace::of_suite("js");
    let program = workspace.tool("node").with("RPC_URL", node.http_url()).with("WS_URL", node.ws_url());
    run(program, suite, expected);
}

/// The same at a confidential chain, as somebody who has signed in.
fn run_signed_in(way: Way, suite: &str, expected: usize) {
    let reach = Reach::by(way);
    let workspace = Workspace::of_suite("js");
    run(reach.point(workspace.tool("node")), suite, expected);
}

fn run(program: Tool, suite: &str, expected: usize) {
    let program = program
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
        run_suite(Target::TwoProcess, "seal-browser", 4);
    }
}

#[test]
fn ethers_and_viem_on_a_confidential_chain_with_a_token() {
    run_signed_in(Way::Header, "confidential", 2);
}

#[test]
fn ethers_and_viem_on_a_confidential_chain_with_a_token_in_the_path() {
    run_signed_in(Way::Path, "confidential", 2);
}

#[test]
fn ethers_and_viem_on_a_confidential_chain_by_a_gateway() {
    run_signed_in(Way::Gateway, "confidential", 2);
}

#[test]
fn a_page_signs_in_and_pages_of_others_do_not_reach_a_gateway() {
    if chromium().is_none() {
        return;
    }
    let reach = Reach::by(Way::Header);
    let closed = Gateway::start(&reach.node.http_url(), &[]);
    let opened = Gateway::start(&reach.node.http_url(), &["--allow-origin", "http://localhost:41799"]);
    let workspace = Workspace::of_suite("js");
    let program = reach.point(workspace.tool("node")).with("PAGE_PORT", "41799");
    run(program.with("GATEWAY_URL", closed.url()).with("OPEN_GATEWAY_URL", opened.url()), "sign-in-browser", 5);
}
