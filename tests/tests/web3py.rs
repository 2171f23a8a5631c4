//! web3.py 8 against the node, by pytest: a suite of our own, and the provider suite that its wheel brings.

use cloister_tests::confidential::{Reach, Way};
use cloister_tests::node::{Node, NodeOptions, Target};
use cloister_tests::tools::{Output, Tool, Workspace, compiled_contracts, python};

/// The chain id that web3.py's own suite takes for granted.
const PROVIDER_CHAIN_ID: u64 = 131_277_322_940_537;

fn python_at(node: &Node, workspace: &Workspace) -> Tool {
    let program = workspace.tool(python()).with("PYTHONDONTWRITEBYTECODE", "1");
    program.with("RPC_URL", node.http_url()).with("WS_URL", node.ws_url())
}

/// Runs `tests/tools/python/test_web3.py`; `expected` tests must pass.
fn run_suite(target: Target, expected: usize) {
    let node = Node::start_default(target);
    let workspace = Workspace::of_suite("python");
    let program = python_at(&node, &workspace).with("ARTIFACTS", compiled_contracts().join("out"));
    let output = program.run(["-m", "pytest", "-q", "test_web3.py"]);
    assert!(output.status.success(), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(&format!("{expected} passed")), "{}", output.stdout);
}

/// How tests of web3.py's own suite ended. One that fails without being listed in `provider/exceptions.toml`, or passes
/// although it is, has failed the run before this is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Results {
    passed: usize,
    excepted: usize,
}

impl Results {
    /// From pytest's last line, `330 passed, 3 deselected, 5 xfailed in 4.25s`.
    fn of(output: &Output) -> Self {
        let said = format!("{}\n{}", output.stdout, output.stderr);
        assert!(output.status.success(), "{said}");
        let line = output.text().lines().last().unwrap_or_default();
        let count = |what: &str| {
            let part = line.split(", ").find(|part| part.split(' ').nth(1) == Some(what));
            part.map_or(0, |part| part.split(' ').next().and_then(|count| count.parse().ok()).expect("a count"))
        };
        // A test that web3.py itself marks as unsure may pass.
        let results = Self { passed: count("passed") + count("xpassed"), excepted: count("xfailed") };
        assert_ne!(results, Self::default(), "{said}");
        results
    }

    /// Runs `provider/<file>` where blocks are made at once, and those of its tests that need pending transactions where
    /// one is made each second.
    fn of_provider_suite(target: Target, file: &str) -> Self {
        let workspace = Workspace::of_suite("python");
        let run = |block_time, marked: &str| {
            let options = NodeOptions { chain_id: Some(PROVIDER_CHAIN_ID), block_time, ..NodeOptions::default() };
            let node = Node::start(target, &options);
            let arguments = ["-m", "pytest", "-q", "-c", "provider/pytest.ini", "-m", marked];
            let file = format!("provider/{file}");
            Self::of(&python_at(&node, &workspace).run(arguments.iter().copied().chain([file.as_str()])))
        };
        let (at_once, each_second) = (run(None, "not pending"), run(Some(1), "pending"));
        Self { passed: at_once.passed + each_second.passed, excepted: at_once.excepted + each_second.excepted }
    }
}

#[test]
fn web3py_dev() {
    run_suite(Target::Dev, 18);
}

#[test]
fn web3py_two_process() {
    run_suite(Target::TwoProcess, 18);
}

#[test]
fn provider_suite_over_http_dev() {
    let results = Results::of_provider_suite(Target::Dev, "test_http.py");
    assert_eq!(results.passed + results.excepted, 337, "{results:?}");
    assert!(results.passed >= 330, "{results:?}");
}

#[test]
fn provider_suite_over_websocket_two_process() {
    let results = Results::of_provider_suite(Target::TwoProcess, "test_websocket.py");
    assert_eq!(results.passed + results.excepted, 162, "{results:?}");
    assert!(results.passed >= 157, "{results:?}");
}

#[test]
fn provider_suite_of_the_pool_and_the_asynchronous_client_dev() {
    let node = Node::start(Target::Dev, &NodeOptions { chain_id: Some(PROVIDER_CHAIN_ID), ..NodeOptions::default() });
    let workspace = Workspace::of_suite("python");
    let output =
        python_at(&node, &workspace).run(["-m", "pytest", "-q", "-c", "provider/pytest.ini", "provider/test_more.py"]);
    assert_eq!(Results::of(&output), Results { passed: 50, excepted: 0 });
}

fn web3py_on_a_confidential_chain(way: Way) {
    let reach = Reach::by(way);
    let workspace = Workspace::of_suite("python");
    let program = reach.point(workspace.tool(python()).with("PYTHONDONTWRITEBYTECODE", "1"));
    let program = program.with("ARTIFACTS", compiled_contracts().join("out"));
    let output = program.run(["-m", "pytest", "-q", "test_confidential.py"]);
    assert!(output.status.success() && output.stdout.contains("1 passed"), "{}\n{}", output.stdout, output.stderr);
}

#[test]
fn web3py_on_a_confidential_chain_with_a_token() {
    web3py_on_a_confidential_chain(Way::Header);
}

#[test]
fn web3py_on_a_confidential_chain_with_a_token_in_the_path() {
    web3py_on_a_confidential_chain(Way::Path);
}

#[test]
fn web3py_on_a_confidential_chain_by_a_gateway() {
    web3py_on_a_confidential_chain(Way::Gateway);
}
