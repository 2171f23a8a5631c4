//! The development namespaces over JSON-RPC: time, pending blocks, going back, the pool, other people's tokens.

use cloister_tests::node::{Node, NodeOptions, Target};
use cloister_tests::rpc::{RpcClient, quantity};
use cloister_tests::tools::artifact;
use cloister_tests::transactions::{Account, send_params};
use serde_json::{Value, json};

const STRANGER: &str = "0x00000000000000000000000000000000000a11ce";

fn node() -> Node {
    Node::start_default(Target::Dev)
}

fn head(rpc: &RpcClient) -> Value {
    rpc.expect("eth_getBlockByNumber", json!(["latest", false]))
}

fn accounts(rpc: &RpcClient) -> Vec<Value> {
    rpc.expect("eth_accounts", json!([])).as_array().cloned().unwrap_or_default()
}

/// Deploys an example contract from the first account; its address.
fn deploy(rpc: &RpcClient, contract: &str, arguments: &str) -> Value {
    let code = format!("0x{}{arguments}", hex_of(&artifact(contract).bytecode));
    let hash = rpc.expect("eth_sendTransaction", json!([{ "data": code }]));
    rpc.expect("eth_getTransactionReceipt", json!([hash]))["contractAddress"].clone()
}

fn hex_of(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(bytes)
}

#[test]
fn every_block_is_later_than_its_parent() {
    let node = node();
    let rpc = node.rpc();
    let mut last = quantity(&head(rpc)["timestamp"]);
    for _ in 0..20 {
        rpc.expect("evm_mine", json!([]));
        let timestamp = quantity(&head(rpc)["timestamp"]);
        assert!(timestamp > last, "{timestamp} after {last}");
        last = timestamp;
    }
    let equal = rpc.refuse("evm_setNextBlockTimestamp", json!([last]));
    assert!(equal.message.contains("lower than or equal to previous block's timestamp"), "{equal}");
    rpc.expect("evm_increaseTime", json!([1000]));
    rpc.expect("evm_mine", json!([]));
    assert!(quantity(&head(rpc)["timestamp"]) >= last + 1000, "counted from the newest block");
}

#[test]
fn blocks_mined_together_are_spaced_out_from_the_first() {
    let node = node();
    let rpc = node.rpc();
    let before = head(rpc);
    rpc.expect("hardhat_mine", json!(["0x5", "0x3c"]));
    let number = quantity(&before["number"]);
    let time = |height: u64| {
        let block = rpc.expect("eth_getBlockByNumber", json!([format!("{height:#x}"), false]));
        quantity(&block["timestamp"])
    };
    for height in number + 1..number + 5 {
        assert_eq!(time(height + 1) - time(height), 60);
    }
    assert!(time(number + 1) - time(number) < 60, "the first one comes at once");
}

#[test]
fn estimates_and_pending_calls_run_in_the_next_block() {
    let node = node();
    let rpc = node.rpc();
    // Returns TIMESTAMP and NUMBER.
    rpc.expect("hardhat_setCode", json!([STRANGER, "0x425f524360205260405ff3"]));
    let next = quantity(&head(rpc)["timestamp"]) + 5_000;
    rpc.expect("evm_setNextBlockTimestamp", json!([next]));
    let seen = |tag: &str| rpc.expect("eth_call", json!([{ "to": STRANGER }, tag]));
    let number = quantity(&head(rpc)["number"]);
    assert_eq!(seen("pending"), json!(format!("{:#066x}{:064x}", next, number + 1)));
    assert_eq!(seen("latest"), json!(format!("{:#066x}{:064x}", next - 5_000, number)));
    // Reverts before that time.
    let code = format!("0x63{next:08x}421015600e575f5ffd5b00");
    rpc.expect("hardhat_setCode", json!([STRANGER, code]));
    rpc.refuse("eth_call", json!([{ "to": STRANGER }, "latest"]));
    assert!(quantity(&rpc.expect("eth_estimateGas", json!([{ "to": STRANGER }]))) > 21_000);
    let hash = rpc.expect("eth_sendTransaction", json!([{ "to": STRANGER }]));
    assert_eq!(rpc.expect("eth_getTransactionReceipt", json!([hash]))["status"], "0x1");
}

#[test]
fn a_call_that_stops_returns_nothing_and_says_so() {
    let node = node();
    let rpc = node.rpc();
    rpc.expect("hardhat_setCode", json!([STRANGER, "0xfe"]));
    let call = json!([{ "to": STRANGER, "gas": "0x186a0" }]);
    let called = rpc.refuse("eth_call", call.clone());
    assert_eq!((called.code, called.data), (-32000, Some(json!("0x"))));
    let sent = rpc.refuse("eth_sendTransaction", call);
    assert_eq!(
        (sent.message.as_str(), sent.data),
        ("VM Exception while processing transaction: invalid opcode", Some(json!("0x")))
    );
    rpc.expect("hardhat_setCode", json!([STRANGER, "0x5f5ffd"]));
    let reverted = rpc.refuse("eth_call", json!([{ "to": STRANGER }]));
    assert_eq!((reverted.code, reverted.message.as_str(), reverted.data), (3, "execution reverted", Some(json!("0x"))));
    let sent = rpc.refuse("eth_sendTransaction", json!([{ "to": STRANGER, "gas": "0x186a0" }]));
    assert_eq!(sent.message, "Transaction reverted without a reason string");
}

#[test]
fn blocks_are_taken_back_and_made_anew() {
    let node = node();
    let rpc = node.rpc();
    let [from, to] = [&accounts(rpc)[0], &accounts(rpc)[1]];
    let transfer = json!({ "from": from, "to": to, "value": "0x1" });
    let lost = rpc.expect("eth_sendTransaction", json!([transfer]));
    rpc.expect("evm_mine", json!([]));
    let old = head(rpc);
    let raw = Account::new(2).transfer(STRANGER.parse().expect("an address"), 5);
    rpc.expect("anvil_reorg", json!([2, [[raw, 0], [transfer, 1]]]));
    let new = head(rpc);
    assert_eq!(new["number"], old["number"]);
    assert_ne!(new["hash"], old["hash"]);
    assert_eq!(rpc.expect("eth_getTransactionReceipt", json!([lost])), Value::Null);
    assert_eq!(rpc.expect("eth_getBalance", json!([STRANGER, "latest"])), "0x5");
    assert_eq!(new["transactions"].as_array().map(Vec::len), Some(1));
    rpc.expect("anvil_rollback", json!([2]));
    assert_eq!(head(rpc)["number"], "0x0");
    rpc.refuse("anvil_rollback", json!([1]));
    assert_eq!(rpc.expect("anvil_getAutomine", json!([])), true);
}

#[test]
fn several_transactions_share_a_block_whatever_gas_they_declare() {
    let node = node();
    let rpc = node.rpc();
    let [from, to] = [&accounts(rpc)[0], &accounts(rpc)[1]];
    rpc.expect("evm_setAutomine", json!([false]));
    for _ in 0..4 {
        // Hardhat declares Osaka's cap for each, more than half of a block.
        rpc.expect("eth_sendTransaction", json!([{ "from": from, "to": to, "gas": "0x1000000" }]));
    }
    rpc.expect("eth_sendTransaction", json!([{ "from": to, "to": from }]));
    assert_eq!(rpc.expect("eth_getBlockTransactionCountByNumber", json!(["pending"])), "0x5");
    rpc.expect("anvil_removePoolTransactions", json!([to]));
    rpc.expect("evm_mine", json!([]));
    assert_eq!(head(rpc)["transactions"].as_array().map(Vec::len), Some(4));
    assert_eq!(rpc.expect("eth_getBlockTransactionCountByNumber", json!(["pending"])), "0x0");
}

#[test]
fn tokens_and_accounts_of_others_are_set_by_hand() {
    let node = node();
    let rpc = node.rpc();
    let word = |number: u64| format!("{number:064x}");
    let text = format!("{}{:0<64}", word(3), "455841");
    let token = deploy(rpc, "Token", &[word(96), word(160), word(1_000), text.clone(), text].concat());
    rpc.expect("anvil_dealERC20", json!([STRANGER, token, "0x2a"]));
    let owner = &accounts(rpc)[0];
    rpc.expect("anvil_setERC20Allowance", json!([owner, STRANGER, token, 9]));
    let padded = |address: &str| format!("{:0>64}", address.trim_start_matches("0x"));
    let view = |input: String| rpc.expect("eth_call", json!([{ "to": token, "data": input }, "latest"]));
    assert_eq!(view(format!("0x70a08231{}", padded(STRANGER))), json!(format!("0x{}", word(42))));
    let owner_word = padded(owner.as_str().expect("an address"));
    assert_eq!(view(format!("0xdd62ed3e{owner_word}{}", padded(STRANGER))), json!(format!("0x{}", word(9))));
    // Its total supply is not in a mapping that a balance could be found in: no token, no slot.
    rpc.refuse("anvil_dealERC20", json!([STRANGER, STRANGER, "0x2a"]));

    rpc.expect("evm_setAccountBalance", json!([STRANGER, "0xde0b6b3a7640000"]));
    rpc.refuse("eth_sendTransaction", json!([{ "from": STRANGER, "to": owner }]));
    let sent = rpc.expect("eth_sendUnsignedTransaction", json!([{ "from": STRANGER, "to": owner }]));
    assert_eq!(rpc.expect("eth_getTransactionReceipt", json!([sent]))["from"], STRANGER);
}

#[test]
fn what_is_not_supported_says_why() {
    let node = node();
    let rpc = node.rpc();
    for (method, word) in [
        ("anvil_setRpcUrl", "fork"),
        ("hardhat_reset", "fork"),
        ("anvil_dumpState", "--datadir"),
        ("anvil_loadState", "--datadir"),
        ("anvil_setChainId", "--chain-id"),
        ("hardhat_setMinGasPrice", "EIP-1559"),
    ] {
        let error = rpc.refuse(method, json!([{ "forking": { "jsonRpcUrl": "http://127.0.0.1:1" } }]));
        assert!(error.message.contains(word), "{method}: {error}");
    }
}

#[test]
fn a_hundred_accounts_are_unlocked() {
    let options = NodeOptions { accounts: Some(100), ..NodeOptions::default() };
    let node = Node::start(Target::Dev, &options);
    let all = accounts(node.rpc());
    assert_eq!(all.len(), 100);
    let hash = node.rpc().expect("eth_sendTransaction", json!([{ "from": all[99], "to": all[0], "value": "0x1" }]));
    assert_eq!(node.rpc().expect("eth_getTransactionReceipt", json!([hash]))["status"], "0x1");
}

#[test]
fn a_signed_transaction_with_too_low_a_fee_waits_without_holding_anyone_up() {
    let node = node();
    let rpc = node.rpc();
    rpc.expect("hardhat_setNextBlockBaseFeePerGas", json!(["0xe8d4a51000"]));
    let raw = Account::new(0).transfer(STRANGER.parse().expect("an address"), 1);
    let hash = rpc.expect("eth_sendRawTransaction", send_params(&raw));
    assert_eq!(rpc.expect("eth_getTransactionReceipt", json!([hash])), Value::Null);
    let refused =
        rpc.refuse("eth_sendTransaction", json!([{ "to": STRANGER, "gas": "0x5208", "gasPrice": "0x77359400" }]));
    assert!(refused.message.contains("too low for the next block"), "{refused}");
    rpc.expect("hardhat_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"]));
    rpc.expect("evm_mine", json!([]));
    assert_eq!(rpc.expect("eth_getBalance", json!([STRANGER, "latest"])), "0x1");
}
