//! `eth_simulateV1` and `testing_buildBlockV1` on a running node: what they answer, and what they refuse.

#![allow(clippy::unwrap_used)]

use alloy_primitives::Address;
use cloister_tests::{
    node::{Node, Target},
    transactions::Account,
};
use serde_json::{Value, json};

const FROM: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
const TO: &str = "0x00000000000000000000000000000000000c0ffe";
const ETHER: &str = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

fn simulate(node: &Node, payload: Value) -> Value {
    node.rpc().expect("eth_simulateV1", json!([payload, "latest"]))
}

fn transfer() -> Value {
    json!({ "from": FROM, "to": TO, "value": "0x5" })
}

#[test]
fn a_simulation_shows_what_blocks_would_be_and_changes_nothing() {
    let node = Node::start_default(Target::Dev);
    let head = node.rpc().expect("eth_getBlockByNumber", json!(["latest", false]));
    let payload = json!({
        "blockStateCalls": [{ "calls": [transfer()] }, { "blockOverrides": { "number": "0x3" }, "calls": [transfer()] }],
        "traceTransfers": true,
        "returnFullTransactions": true,
    });
    let blocks = simulate(&node, payload.clone());
    let numbers: Vec<_> = blocks.as_array().unwrap().iter().map(|block| &block["number"]).collect();
    assert_eq!(numbers, ["0x1", "0x2", "0x3"]);
    assert_eq!(blocks[0]["parentHash"], head["hash"]);
    assert_eq!(blocks[2]["parentHash"], blocks[1]["hash"]);
    assert_eq!(blocks[1]["calls"], json!([]));
    let call = &blocks[0]["calls"][0];
    assert_eq!(call["status"], "0x1");
    assert_eq!(call["logs"][0]["address"], ETHER);
    assert_eq!(call["logs"][0]["blockHash"], blocks[0]["hash"]);
    assert_eq!(blocks[2]["transactions"][0]["nonce"], "0x1", "the second call follows the first");
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), "0x0");
    assert_eq!(node.rpc().expect("eth_getBalance", json!([TO, "latest"])), "0x0");
    assert_eq!(simulate(&node, payload), blocks, "the same again");
}

#[test]
fn a_simulated_state_root_is_that_of_the_block_that_is_then_made() {
    let node = Node::start_default(Target::Dev);
    let rpc = node.rpc();
    let fees = json!({ "from": FROM, "to": TO, "value": "0x5", "gas": "0x5208", "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x1" });
    let hash = rpc.expect("eth_sendTransaction", json!([fees]));
    let made = rpc.expect("eth_getBlockByNumber", json!(["0x1", false]));
    assert_eq!(made["transactions"][0], hash);
    let overrides = json!({
        "time": made["timestamp"],
        "feeRecipient": made["miner"],
        "prevRandao": made["mixHash"],
        "gasLimit": made["gasLimit"],
        "baseFeePerGas": made["baseFeePerGas"],
        "beaconRoot": made["parentBeaconBlockRoot"],
    });
    let payload = json!({ "blockStateCalls": [{ "blockOverrides": overrides, "calls": [fees] }], "validation": true });
    let simulated = rpc.call("eth_simulateV1", json!([payload, "0x0"]));
    let time = |block: &Value| block["timestamp"].as_str().unwrap().to_owned();
    let genesis = rpc.expect("eth_getBlockByNumber", json!(["0x0", false]));
    if time(&made) == time(&genesis) {
        // Blocks may come many to a second; simulated ones may not.
        assert_eq!(simulated.unwrap_err().code, -38021);
        return;
    }
    let simulated = &simulated.unwrap()[0];
    for field in ["stateRoot", "receiptsRoot", "logsBloom", "gasUsed", "requestsHash", "withdrawalsRoot"] {
        assert_eq!(simulated[field], made[field], "{field}");
    }
}

#[test]
fn what_is_too_much_or_makes_no_sense_is_refused_with_its_number() {
    let node = Node::start_default(Target::Dev);
    let refused = |params: Value| {
        let error = node.rpc().refuse("eth_simulateV1", params);
        (error.code, error.message)
    };
    let code = |payload: Value| refused(json!([payload])).0;
    let block = |block: Value| json!({ "blockStateCalls": [block] });
    assert_eq!(refused(json!([])), (-32602, "missing value for required argument 0".into()));
    assert_eq!(refused(json!([null])), (-32602, "missing value for required argument 0".into()));
    assert_eq!(refused(json!([{}])), (-32602, "empty input".into()));
    assert_eq!(refused(json!([block(json!({})), "latest", 1])).0, -32602);
    assert_eq!(refused(json!([block(json!({})), "0x99"])), (-32000, "header not found".into()));
    // Blocks.
    assert_eq!(refused(json!([{ "blockStateCalls": vec![json!({}); 257] }])), (-38026, "too many blocks".into()));
    assert_eq!(code(block(json!({ "blockOverrides": { "number": "0x101" } }))), -38026);
    assert_eq!(code(block(json!({ "blockOverrides": { "number": "0xffffffffffffffff" } }))), -38026);
    assert_eq!(code(block(json!({ "blockOverrides": { "number": "0x10000000000000000" } }))), -32602);
    assert_eq!(code(block(json!({ "blockOverrides": { "number": "0x0" } }))), -38020);
    assert_eq!(code(block(json!({ "blockOverrides": { "time": "0x1" } }))), -38021);
    let last = json!({ "blockStateCalls": [{ "blockOverrides": { "time": "0xffffffffffffffff" } }, {}] });
    assert_eq!(code(last), -38021);
    // Gas: of the block, of a call, of all calls together.
    let calls = |calls: Value| block(json!({ "calls": calls }));
    assert_eq!(code(calls(json!([{ "from": FROM, "to": TO, "gas": "0xffffffffffffffff" }]))), -38015);
    assert_eq!(code(calls(json!([{ "from": FROM, "to": TO, "gas": "0x1" }]))), -38013);
    let endless = json!({ "from": FROM, "input": "0x5b600056" });
    let spent = json!({ "blockStateCalls": vec![json!({ "calls": [endless] }); 3] });
    assert_eq!(code(spent), -38013, "nothing is left for the third");
    let many = calls(json!(vec![json!({ "from": FROM, "to": TO }); 5_000]));
    assert_eq!(code(many), -38013, "5,000 calls are more than the gas cap pays for");
    // Calls.
    let poor = json!({ "from": TO, "to": FROM, "value": "0x1" });
    assert_eq!(code(calls(json!([poor]))), -38014);
    assert_eq!(code(calls(json!([{ "from": FROM, "gasPrice": "0x1", "maxFeePerGas": "0x1" }]))), -32000);
    assert_eq!(code(calls(json!([{ "from": FROM, "chainId": "0x1" }]))), -32000);
    assert_eq!(code(calls(json!([{ "from": FROM, "input": "0x00", "data": "0x01" }]))), -32602);
    assert_eq!(code(calls(json!([{ "from": FROM, "input": format!("0x{}", "00".repeat(60_000)) }]))), -38025);
    let checked = |call: Value| json!({ "blockStateCalls": [{ "calls": [call] }], "validation": true });
    let paid = |nonce: &str| json!({ "from": FROM, "to": TO, "gas": "0x5208", "maxFeePerGas": "0x174876e800", "nonce": nonce });
    assert_eq!(code(checked(paid("0x7"))), -38011);
    assert_eq!(code(checked(json!({ "from": FROM, "to": TO, "gas": "0x5208" }))), -38012);
    // Overrides.
    let moved = |overrides: Value| block(json!({ "stateOverrides": overrides }));
    let (one, two) = ("0x0000000000000000000000000000000000000001", "0x0000000000000000000000000000000000000002");
    assert_eq!(code(moved(json!({ one: { "movePrecompileToAddress": one } }))), -38022);
    let together = json!({ one: { "movePrecompileToAddress": TO }, two: { "movePrecompileToAddress": TO } });
    assert_eq!(code(moved(together)), -38023);
    assert_eq!(code(moved(json!({ FROM: { "movePrecompileToAddress": TO } }))), -32000);
    assert_eq!(code(moved(json!({ FROM: { "state": {}, "stateDiff": {} } }))), -32000);
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), "0x0", "the node is as it was");
}

#[test]
fn a_block_is_built_of_given_transactions_and_not_kept() {
    let node = Node::start_default(Target::Dev);
    let rpc = node.rpc();
    let head = rpc.expect("eth_getBlockByNumber", json!(["latest", false]));
    let time = u64::from_str_radix(head["timestamp"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap() + 12;
    let attributes = json!({
        "timestamp": format!("{time:#x}"),
        "prevRandao": format!("0x{:064x}", 7),
        "suggestedFeeRecipient": TO,
        "withdrawals": [],
        "parentBeaconBlockRoot": format!("0x{:064x}", 9),
    });
    let raw = Account::new(0).transfer(Address::ZERO, 5);
    let built = rpc.expect("testing_buildBlockV1", json!([head["hash"], attributes, [raw], "0x746573745f6e616d65"]));
    let payload = &built["executionPayload"];
    assert_eq!(payload["parentHash"], head["hash"]);
    assert_eq!(payload["extraData"], "0x746573745f6e616d65");
    assert_eq!(payload["gasUsed"], "0x5208");
    assert_eq!(payload["transactions"], json!([raw]));
    assert_eq!(built["executionRequests"], json!([]));
    assert_eq!(built["shouldOverrideBuilder"], false);
    assert_ne!(built["blockValue"], "0x0");
    let empty = rpc.expect("testing_buildBlockV1", json!([head["hash"], attributes, []]));
    assert_eq!(empty["blockValue"], "0x0");
    assert_ne!(empty["executionPayload"]["stateRoot"], payload["stateRoot"]);
    let early = Account { nonce: 999, ..Account::new(0) }.transfer(Address::ZERO, 5);
    let error = rpc.refuse("testing_buildBlockV1", json!([head["hash"], attributes, [early]]));
    assert_eq!(error.code, -32000);
    assert!(error.message.starts_with("nonce too high: address 0x") && error.message.ends_with("tx: 999 state: 0"));
    assert_eq!(rpc.refuse("testing_buildBlockV1", json!([format!("0x{:064x}", 1), attributes, []])).code, -32000);
    assert_eq!(rpc.refuse("testing_buildBlockV1", json!([head["hash"], {}, []])).code, -32602);
    assert_eq!(rpc.refuse("testing_buildBlockV1", json!([head["hash"], attributes, ["0x00"]])).code, -32000);
    assert_eq!(rpc.expect("eth_blockNumber", json!([])), "0x0");
}

#[test]
fn capabilities_say_how_far_back_the_node_can_answer() {
    let node = Node::start_default(Target::Dev);
    let head = node.rpc().expect("eth_getBlockByNumber", json!(["latest", false]));
    let capabilities = node.rpc().expect("eth_capabilities", json!([]));
    assert_eq!(capabilities["head"], json!({ "number": "0x0", "hash": head["hash"] }));
    assert_eq!(capabilities["blocks"], json!({ "disabled": false, "oldestBlock": "0x0" }));
    assert_eq!(capabilities["state"]["deleteStrategy"], json!({ "type": "window", "retentionBlocks": "0x80" }));
    for name in ["tx", "logs", "receipts", "stateproofs"] {
        assert_eq!(capabilities[name]["disabled"], false, "{name}");
    }
}
