//! Log queries over a chain most of which has left memory, and many who listen to the same.

use std::path::Path;

use alloy_primitives::{B256, Bytes, bytes};
use cloister_tests::node::{Node, NodeOptions, Target, is_reference_run, receipt_of, run_cloister};
use cloister_tests::rpc::quantity;
use cloister_tests::websocket::WebSocket;
use serde_json::{Value, json};

/// Creates a contract that emits a log with what it is called with as its topic.
const EMITTER: Bytes = bytes!("6860003560006000a10060005260096017f3");

/// Blocks in a section of the log index.
const SECTION: u64 = 256;

/// Only as many blocks in memory as there must be.
fn forgetful(folder: &Path) -> NodeOptions {
    NodeOptions {
        datadir: Some(folder.to_path_buf()),
        extra: vec!["--block-memory".to_owned(), "0".to_owned()],
        ..NodeOptions::default()
    }
}

fn topic(number: u8) -> B256 {
    B256::repeat_byte(number)
}

/// Sends from the first account; the receipt.
fn send(node: &Node, transaction: &Value) -> Value {
    let mut transaction = transaction.clone();
    transaction["from"] = node.rpc().expect("eth_accounts", json!([]))[0].clone();
    let hash = node.rpc().expect("eth_sendTransaction", json!([transaction]));
    receipt_of(node.rpc(), &hash)
}

fn deploy(node: &Node) -> Value {
    send(node, &json!({"data": EMITTER, "gas": "0x30d40"}))["contractAddress"].clone()
}

fn emit(node: &Node, emitter: &Value, number: u8) -> Value {
    let receipt = send(node, &json!({"to": emitter, "data": topic(number), "gas": "0x30d40"}));
    receipt["logs"][0].clone()
}

fn mine_to(node: &Node, height: u64) {
    let head = quantity(&node.rpc().expect("eth_blockNumber", json!([])));
    if head < height {
        node.rpc().expect("hardhat_mine", json!([format!("0x{:x}", height - head)]));
    }
}

/// Every question is answered as a look at each log that was ever made says.
fn answers_agree(node: &Node, emitter: &Value, made: &[Value]) {
    let head = quantity(&node.rpc().expect("eth_blockNumber", json!([])));
    for (from, to) in [(0, head), (1, SECTION - 1), (SECTION - 2, SECTION + 1), (300, 301), (SECTION, 3 * SECTION)] {
        let to = to.min(head);
        for numbers in [vec![], vec![1], vec![2, 3], vec![9]] {
            let topics: Vec<_> = numbers.iter().map(|number| topic(*number)).collect();
            let filter = json!({"fromBlock": format!("0x{from:x}"), "toBlock": format!("0x{to:x}"),
                "address": emitter, "topics": [topics]});
            let found = node.rpc().expect("eth_getLogs", json!([filter]));
            let is_asked_for = |log: &&Value| {
                let wanted = topics.iter().any(|topic| log["topics"][0] == json!(topic));
                (from..=to).contains(&quantity(&log["blockNumber"])) && (topics.is_empty() || wanted)
            };
            let expected: Vec<&Value> = made.iter().filter(is_asked_for).collect();
            assert_eq!(found, json!(expected), "{from} to {to}, topics {numbers:?}");
            let id = node.rpc().expect("eth_newFilter", json!([filter]));
            assert_eq!(node.rpc().expect("eth_getFilterLogs", json!([id])), found);
        }
    }
    let backwards = json!({"fromBlock": "0x5", "toBlock": "0x4"});
    node.rpc().refuse("eth_getLogs", json!([backwards]));
}

#[test]
fn queries_over_old_blocks_find_every_log_before_and_after_a_crash() {
    if is_reference_run() {
        return;
    }
    for target in [Target::Dev, Target::TwoProcess] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = Node::start(target, &forgetful(folder.path()));
        let emitter = deploy(&node);
        let mut made = Vec::new();
        for (height, number) in [(2, 1), (100, 2), (SECTION - 1, 1), (SECTION, 3), (300, 2), (700, 1), (701, 3)] {
            mine_to(&node, height - 1);
            made.push(emit(&node, &emitter, number));
            assert_eq!(quantity(&made[made.len() - 1]["blockNumber"]), height);
        }
        mine_to(&node, 4 * SECTION + 9);
        answers_agree(&node, &emitter, &made);
        node.kill();

        let node = Node::start(target, &forgetful(folder.path()));
        answers_agree(&node, &emitter, &made);
        made.push(emit(&node, &emitter, 2));
        answers_agree(&node, &emitter, &made);
        assert!(node.terminate().success());
        let report = run_cloister(&["verify", "--json", "--datadir", &folder.path().display().to_string()])
            .unwrap_or_else(|failure| panic!("{failure}"));
        let report: Value = serde_json::from_str(&report).expect("verify prints JSON");
        assert_eq!(report["logSections"], 4, "each finished section is stored: {report}");
    }
}

#[test]
fn those_who_listen_to_the_same_each_hear_it_under_their_own_subscription() {
    if is_reference_run() {
        return;
    }
    let node = Node::start_default(Target::Dev);
    let emitter = deploy(&node);
    let mut listeners = Vec::new();
    for number in [1, 2, 1, 2, 1] {
        let mut socket = WebSocket::open(node.address()).expect("a WebSocket");
        let heads = socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
        let filter = json!({"address": emitter, "topics": [topic(number)]});
        let logs = socket.call("eth_subscribe", &json!(["logs", filter])).expect("a subscription");
        listeners.push((number, socket, heads, logs));
    }
    let made = [emit(&node, &emitter, 1), emit(&node, &emitter, 2), emit(&node, &emitter, 1)];
    for (number, socket, heads, logs) in &mut listeners {
        for log in &made {
            assert_eq!(socket.notification(heads)["number"], log["blockNumber"]);
        }
        for log in made.iter().filter(|log| log["topics"][0] == json!(topic(*number))) {
            assert_eq!(socket.notification(logs), *log);
        }
    }
}
