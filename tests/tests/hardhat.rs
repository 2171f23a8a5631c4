//! Hardhat 2 and 3 against the node: they compile, deploy, and their tests with matchers and network helpers pass over `--network`.

use std::path::{Path, PathBuf};

use cloister_tests::confidential::{Reach, Way};
use cloister_tests::node::{Node, NodeOptions, Target, is_reference_run};
use cloister_tests::repository;
use cloister_tests::tools::{Output, Tool, Workspace, built_once, copy_folder, hardhat3, link, node_modules};
use serde_json::Value;

/// Hardhat 2's program.
const HARDHAT2: &str = "hardhat/internal/cli/bootstrap.js";
/// Hardhat 3's.
const HARDHAT3: &str = "hardhat/dist/src/cli.js";

/// What OpenZeppelin's and Uniswap's suites start from.
fn as_hardhats_own() -> NodeOptions {
    let extra = vec!["--disable-code-size-limit".to_owned()];
    NodeOptions { accounts: Some(20), extra, ..NodeOptions::default() }
}

/// A project of `tests/tools` with its contracts, compiled once for all tests.
fn compiled(suite: &str, contracts: &str, lock: &str, build: impl FnOnce(&Path)) -> PathBuf {
    let (project, contracts) = (repository().join("tests/tools").join(suite), repository().join(contracts));
    let lock = repository().join("tests/tools").join(lock);
    // Tests may change without the contracts being compiled again: only these count.
    let sources = [contracts.clone(), project.join("hardhat.config.js"), lock];
    built_once(suite, &sources, |building| {
        copy_folder(&contracts, &building.join("contracts"));
        for file in ["hardhat.config.js", "package.json"] {
            std::fs::copy(project.join(file), building.join(file)).expect("a file of the project");
        }
        build(building);
    })
}

/// A Hardhat 2 project and the arguments of the tests in it.
fn run_hardhat2(node: &Node, project: &Workspace, arguments: &[&str], expected: u64) {
    run_hardhat2_with(&project.tool("node").with("RPC_URL", node.http_url()), project, arguments, expected);
}

/// The same with whatever the tests find in their environment.
fn run_hardhat2_with(program: &Tool, project: &Workspace, arguments: &[&str], expected: u64) {
    let report = project.path().join("report.json");
    let hardhat = program.clone().with("MOCHA_REPORTER_OUTPUT", &report);
    let program = node_modules().join(HARDHAT2);
    let arguments = arguments.iter().map(AsRef::as_ref);
    let output = hardhat.run([program.as_os_str(), "test".as_ref()].into_iter().chain(arguments));
    check_report(&report, &output, expected);
}

/// What Mocha reported: nothing failed, and all ran.
fn check_report(report: &Path, output: &Output, expected: u64) {
    let said = format!("{}\n{}", output.stdout, output.stderr);
    let report = std::fs::read(report).unwrap_or_else(|_| panic!("Mocha did not get to its report:\n{said}"));
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

/// The example contracts' own suites.
fn run_suite(target: Target, suite: &str, expected: u64) {
    let node = Node::start_default(target);
    let project = Workspace::of_suite("hardhat");
    project.add("contracts/examples/src", "contracts");
    run_hardhat2(&node, &project, &["--network", "localhost", suite], expected);
}

/// Hardhat 3 with the example contracts, ready to run.
fn hardhat3_project(node: &Node, flavour: &str) -> (Workspace, Tool) {
    let (modules, program) = hardhat3();
    let compiled = compiled("hardhat3", "contracts/examples/src", "hardhat3/package-lock.json", |building| {
        link(&modules, &building.join("node_modules"));
        let hardhat = Tool::new(&program, building);
        hardhat.succeed([modules.join(HARDHAT3).as_os_str(), "build".as_ref()]);
        std::fs::remove_file(building.join("node_modules")).expect("the link made above");
    });
    let project = Workspace::copy_of(&compiled, &modules);
    for folder in ["test", "ignition", "confidential"] {
        project.add(&format!("tests/tools/hardhat3/{folder}"), folder);
    }
    let hardhat = project.tool(program).with("RPC_URL", node.http_url()).with("FLAVOUR", flavour);
    (project, hardhat)
}

/// Runs the tests of one kind.
fn run_hardhat3(hardhat: &Tool, runner: &str) -> Output {
    let program = hardhat3().0.join(HARDHAT3);
    let arguments = ["test", runner, "--no-compile", "--network", "cloister"];
    hardhat.run([program.as_os_str()].into_iter().chain(arguments.iter().map(AsRef::as_ref)))
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

#[test]
fn openzeppelin_dev() {
    let compiled = compiled("openzeppelin", "tests/tools/openzeppelin/contracts", "package-lock.json", |building| {
        link(&node_modules(), &building.join("node_modules"));
        let program = node_modules().join(HARDHAT2);
        Tool::new("node", building).succeed([program.as_os_str(), "compile".as_ref()]);
        std::fs::remove_file(building.join("node_modules")).expect("the link made above");
    });
    let node = Node::start(Target::Dev, &as_hardhats_own());
    let project = Workspace::copy_of(&compiled, &node_modules());
    for folder in ["test", "ignition"] {
        project.add(&format!("tests/tools/openzeppelin/{folder}"), folder);
    }
    run_hardhat2(&node, &project, &["--no-compile", "--network", "localhost"], 60);
}

#[test]
fn hardhat3_with_ethers_and_mocha_dev() {
    let node = Node::start_default(Target::Dev);
    let (project, hardhat) = hardhat3_project(&node, "ethers");
    let report = project.path().join("report.json");
    let output = run_hardhat3(&hardhat.with("MOCHA_REPORTER_OUTPUT", &report), "mocha");
    check_report(&report, &output, 12);
}

#[test]
fn hardhat3_with_viem_and_nodes_runner_dev() {
    let node = Node::start_default(Target::Dev);
    let (_project, hardhat) = hardhat3_project(&node, "viem");
    let output = run_hardhat3(&hardhat, "nodejs");
    let said = format!("{}\n{}", output.stdout, output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(output.stdout.contains("9 passing"), "{said}");
}

/// Hardhat 2 deploys to a confidential chain, reads its own, and strangers see nothing.
fn hardhat2_on_a_confidential_chain(way: Way) {
    let reach = Reach::by(way);
    let project = Workspace::of_suite("hardhat");
    project.add("contracts/examples/src", "contracts");
    let program = reach.point(project.tool("node"));
    run_hardhat2_with(&program, &project, &["--network", "confidential", "test/confidential.js"], 1);
}

#[test]
fn hardhat2_on_a_confidential_chain_with_a_token() {
    hardhat2_on_a_confidential_chain(Way::Header);
}

#[test]
fn hardhat2_on_a_confidential_chain_with_a_token_in_the_path() {
    hardhat2_on_a_confidential_chain(Way::Path);
}

#[test]
fn hardhat2_on_a_confidential_chain_by_a_gateway() {
    hardhat2_on_a_confidential_chain(Way::Gateway);
}

fn hardhat3_on_a_confidential_chain(way: Way) {
    let reach = Reach::by(way);
    let (project, hardhat) = hardhat3_project(&reach.node, "ethers");
    let report = project.path().join("report.json");
    let hardhat = reach.point(hardhat.with("MOCHA_REPORTER_OUTPUT", &report)).with("MOCHA_TESTS", "confidential");
    let program = hardhat3().0.join(HARDHAT3);
    let arguments = ["test", "mocha", "--no-compile", "--network", "confidential"];
    let output = hardhat.run([program.as_os_str()].into_iter().chain(arguments.iter().map(AsRef::as_ref)));
    check_report(&report, &output, 2);
}

#[test]
fn hardhat3_on_a_confidential_chain_with_a_token() {
    hardhat3_on_a_confidential_chain(Way::Header);
}

#[test]
fn hardhat3_on_a_confidential_chain_with_a_token_in_the_path() {
    hardhat3_on_a_confidential_chain(Way::Path);
}

#[test]
fn hardhat3_on_a_confidential_chain_by_a_gateway() {
    hardhat3_on_a_confidential_chain(Way::Gateway);
}
