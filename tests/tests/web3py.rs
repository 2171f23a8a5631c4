//! web3.py 8 against the node, by pytest.

use cloister_tests::node::{Node, Target};
use cloister_tests::tools::{Workspace, compiled_contracts, python};

/// Runs `tests/tools/python/test_web3.py`; `expected` tests must pass.
fn run_suite(target: Target, expected: usize) {
    let node = Node::start_default(target);
    let workspace = Workspace::of_suite("python");
    let program = workspace.tool(python()).with("PYTHONDONTWRITEBYTECODE", "1");
    let program = program
        .with("RPC_URL", node.http_url())
        .with("WS_URL", node.ws_url())
        .with("ARTIFACTS", compiled_contracts().join("out"));
    let output = program.run(["-m", "pytest", "-q", "test_web3.py"]);
    assert!(output.status.success(), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(&format!("{expected} passed")), "{}", output.stdout);
}

#[test]
fn web3py_dev() {
    run_suite(Target::Dev, 18);
}

#[test]
fn web3py_two_process() {
    run_suite(Target::TwoProcess, 18);
}
