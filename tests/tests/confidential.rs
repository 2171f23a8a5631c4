//! A chain that keeps what happens on it from those it does not concern, over JSON-RPC.

use alloy::consensus::TxEip1559;
use alloy_primitives::{Address, U256, keccak256};
use alloy_primitives::{Bytes, TxKind};
use cloister_tests::node::{CHAIN_ID, Node, NodeOptions, Target, eventually, run_cloister};
use cloister_tests::rpc::{RpcClient, quantity};
use cloister_tests::transactions::{Account, raw, send_params};
use serde_json::{Value, json};

fn options() -> NodeOptions {
    NodeOptions { extra: vec!["--confidential".into()], ..NodeOptions::default() }
}

fn transfer(account: &mut Account, to: Address, value: u64) -> Bytes {
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: account.nonce,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    account.nonce += 1;
    raw(account.sign(transaction))
}

fn head(rpc: &RpcClient) -> u64 {
    quantity(&rpc.expect("eth_blockNumber", json!([])))
}

/// Sends it and waits for the next block, which is all that a stranger hears of it.
fn send(rpc: &RpcClient, transaction: &Bytes) -> Value {
    let before = head(rpc);
    let hash = rpc.expect("eth_sendRawTransaction", send_params(transaction));
    eventually("a block", std::time::Duration::from_secs(20), || (head(rpc) > before).then_some(()));
    hash
}

#[test]
fn a_stranger_sees_headers_and_hashes_and_of_the_rest_as_much_as_of_what_never_was() {
    let node = Node::start(Target::Dev, &options());
    let rpc = node.rpc();
    let (mut alice, bob) = (Account::new(0), Account::new(1));
    let hash = send(rpc, &transfer(&mut alice, bob.address(), 1_000));

    let block = rpc.expect("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["transactions"], json!([hash]));
    assert_eq!(block["logsBloom"], format!("0x{}", "ff".repeat(256)));
    assert_eq!(block["gasUsed"], "0x5208");
    assert_eq!(rpc.expect("eth_getBlockTransactionCountByNumber", json!(["latest"])), "0x1");
    let full = rpc.expect("eth_getBlockByNumber", json!(["latest", true]));
    assert_eq!(full["transactions"], json!([]));
    assert_eq!(rpc.expect("eth_getBlockReceipts", json!(["latest"])), json!([]));

    // The same for what is and for what never was.
    let (real, never) = (json!(hash), json!(keccak256("never")));
    let (rich, unused) = (json!(alice.address()), json!(Address::repeat_byte(0x77)));
    for (method, asked) in [
        ("eth_getTransactionByHash", [json!([real]), json!([never])]),
        ("eth_getTransactionReceipt", [json!([real]), json!([never])]),
        ("eth_getBalance", [json!([rich, "latest"]), json!([unused, "latest"])]),
        ("eth_getTransactionCount", [json!([rich, "latest"]), json!([unused, "latest"])]),
        ("eth_getTransactionCount", [json!([rich, "pending"]), json!([unused, "pending"])]),
        ("eth_getCode", [json!([rich, "latest"]), json!([unused, "latest"])]),
        ("eth_getStorageAt", [json!([rich, "0x0", "latest"]), json!([unused, "0x0", "latest"])]),
        ("eth_call", [json!([{ "to": rich }, "latest"]), json!([{ "to": unused }, "latest"])]),
        ("eth_call", [json!([{ "to": rich, "from": rich }, "latest"]), json!([{ "to": unused }, "latest"])]),
        ("eth_estimateGas", [json!([{ "to": rich }]), json!([{ "to": unused }])]),
    ] {
        let [seen, expected] = asked.map(|params| rpc.call(method, params));
        assert_eq!(format!("{seen:?}"), format!("{expected:?}"), "{method} tells what exists");
    }
    let refused = rpc.refuse("eth_call", json!([{ "to": rich }, "latest"]));
    assert_eq!(
        (refused.code, refused.data),
        (3, Some(json!(Bytes::copy_from_slice(&keccak256("NotAuthorized()")[..4]))))
    );
    let refused = rpc.refuse("eth_estimateGas", json!([{ "to": rich }]));
    assert_eq!((refused.code, refused.data), (3, Some(json!("0x"))));
}

#[test]
fn methods_that_show_everything_do_not_exist() {
    let node = Node::start(Target::Dev, &options());
    for method in [
        "debug_traceTransaction",
        "debug_getRawBlock",
        "eth_getProof",
        "eth_createAccessList",
        "eth_simulateV1",
        "testing_buildBlockV1",
        "evm_mine",
        "hardhat_setBalance",
        "anvil_impersonateAccount",
        "eth_sendTransaction",
        "eth_sign",
    ] {
        assert_eq!(node.rpc().refuse(method, json!([])).code, -32601, "{method}");
    }
    assert_eq!(node.rpc().expect("eth_accounts", json!([])), json!([]));
}

#[test]
fn what_the_pool_makes_of_a_transaction_is_not_told_to_strangers() {
    let node = Node::start(Target::Dev, &options());
    let rpc = node.rpc();
    let mut alice = Account::new(0);
    let first = transfer(&mut alice, Address::repeat_byte(1), 1);
    let hash = send(rpc, &first);
    // Known already, a nonce too low, and more than there is: each answer is the hash.
    assert_eq!(rpc.expect("eth_sendRawTransaction", send_params(&first)), hash);
    alice.nonce = 0;
    let used = transfer(&mut alice, Address::repeat_byte(2), 1);
    assert_eq!(rpc.expect("eth_sendRawTransaction", send_params(&used)), json!(keccak256(&used)));
    let mut poor = Account::new(0);
    poor.nonce = 50;
    let distant = transfer(&mut poor, Address::repeat_byte(3), u64::MAX);
    assert_eq!(rpc.expect("eth_sendRawTransaction", send_params(&distant)), json!(keccak256(&distant)));
    // What no chain could take is named: that says nothing about this one.
    assert_eq!(rpc.refuse("eth_sendRawTransaction", json!(["0x02ff"])).code, -32000);
    assert_eq!(rpc.expect("txpool_status", json!([])), json!({ "pending": "0x0", "queued": "0x0" }));
}

#[test]
fn fees_are_constants() {
    let node = Node::start(Target::Dev, &options());
    let rpc = node.rpc();
    let ask = || {
        ["eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_baseFee", "eth_blobBaseFee"]
            .map(|method| rpc.expect(method, json!([])))
    };
    let before = ask();
    let mut alice = Account::new(0);
    for _ in 0..5 {
        send(rpc, &transfer(&mut alice, Address::repeat_byte(1), 1));
    }
    assert_eq!(ask(), before);
    let history = rpc.expect("eth_feeHistory", json!(["0x5", "latest", [10, 90]]));
    assert_eq!(
        history["reward"],
        json!([["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"]])
    );
    assert_eq!(history["gasUsedRatio"], json!([0, 0, 0, 0, 0]));
}

#[test]
fn a_confidential_chain_outlives_its_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("data");
    let options = NodeOptions { datadir: Some(datadir.clone()), ..options() };
    let mut alice = Account::new(0);
    let node = Node::start(Target::Dev, &options);
    for _ in 0..3 {
        send(node.rpc(), &transfer(&mut alice, Address::repeat_byte(1), 1));
    }
    let before = node.rpc().expect("eth_getBlockByNumber", json!(["latest", false]));
    node.kill();
    let verified = run_cloister(&["verify", "--datadir", &datadir.display().to_string()]).expect("it verifies");
    assert!(verified.contains(before["hash"].as_str().unwrap_or("?")), "{verified}");
    // The folder says what chain it has.
    let node = Node::start(Target::Dev, &NodeOptions { extra: vec![], ..options });
    assert_eq!(node.rpc().expect("eth_getBlockByNumber", json!(["latest", false])), before);
    assert_eq!(node.rpc().expect("eth_getBalance", json!([alice.address(), "latest"])), "0x0");
    send(node.rpc(), &transfer(&mut alice, Address::repeat_byte(1), 1));
}
