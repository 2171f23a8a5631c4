//! Traces: the same transactions on this node and on anvil, Foundry's own tools against the node, and options that ask for the
//! impossible.

use alloy::consensus::{Block, TxEip1559, TxEnvelope, TxLegacy, proofs};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use alloy_rlp::Decodable;
use cloister_tests::node::{Node, NodeOptions, Target, is_reference_run, receipt_of};
use cloister_tests::rpc::{RpcClient, quantity};
use cloister_tests::tools::{Tool, Workspace, artifact};
use cloister_tests::transactions::{Account, eip1559, legacy, raw, send_params, signer};
use serde_json::{Value, json};

/// Calldata of a method whose arguments are words.
fn calldata(signature: &str, words: &[u64]) -> Bytes {
    let mut data = keccak256(signature)[..4].to_vec();
    for word in words {
        data.extend(U256::from(*word).to_be_bytes::<32>());
    }
    data.into()
}

fn deployment(contract: &str) -> TxLegacy {
    TxLegacy {
        to: TxKind::Create,
        gas_limit: 3_000_000,
        input: artifact(contract).bytecode.into(),
        ..legacy(Address::ZERO, 0)
    }
}

fn nested() -> Address {
    signer(0).address().create(0)
}

/// The deployment of `Nested`, and calls of it that succeed, fail and run out of gas.
fn transactions() -> Vec<Bytes> {
    let account = Account::new(0);
    let call = |nonce, value, input| TxLegacy { nonce, gas_limit: 2_000_000, input, ..legacy(nested(), value) };
    [
        TxLegacy { value: U256::from(1_000), ..deployment("Nested") },
        call(1, 7, calldata("dive(uint256)", &[2])),
        call(2, 0, calldata("refuse(uint256)", &[5])),
        TxLegacy { gas_limit: 300_000, ..call(3, 0, calldata("exhaust()", &[])) },
        TxLegacy { nonce: 4, ..legacy(Address::repeat_byte(0xb0), 12) },
    ]
    .map(|transaction| raw(account.sign(transaction)))
    .into()
}

/// Sends them one after the other; the hashes.
fn mined(node: &Node) -> Vec<Value> {
    let send = |raw| {
        let hash = node.rpc().expect("eth_sendRawTransaction", send_params(raw));
        let _receipt = receipt_of(node.rpc(), &hash);
        hash
    };
    transactions().iter().map(send).collect()
}

fn node(target: Target) -> Node {
    // A fork that both nodes know, and under which they price alike. anvil records no instructions unless it is told to.
    let extra = if target == Target::Reference { vec!["--steps-tracing".to_owned()] } else { Vec::new() };
    Node::start(target, &NodeOptions { hardfork: Some("prague".into()), extra, ..NodeOptions::default() })
}

fn call_tracer(config: Value) -> Value {
    json!({"tracer": "callTracer", "tracerConfig": config})
}

/// A trace without what must differ between two chains of the same transactions, and without what anvil answers otherwise than geth.
fn comparable(mut trace: Value) -> Value {
    if let Some(steps) = trace.get_mut("structLogs").and_then(Value::as_array_mut) {
        for step in steps {
            let step = step.as_object_mut().expect("a step");
            // anvil says it in Rust.
            step.remove("error");
            // What is empty geth leaves out, and anvil does not.
            let empty = [("refund", json!(0)), ("returnData", json!("0x")), ("memory", json!([]))];
            step.retain(|name, value| !empty.iter().any(|(empty, nothing)| name == empty && value == nothing));
        }
    } else if trace.get("calls").is_some() || trace.get("from").is_some() {
        // anvil leaves out what the transaction itself costs.
        trace.as_object_mut().expect("a frame").remove("gas");
    }
    for path in ["", "/pre", "/post"] {
        if let Some(Value::Object(accounts)) = trace.pointer_mut(path) {
            // What the miner earns depends on the base fee.
            accounts.remove(&Address::ZERO.to_string());
            // anvil lists accounts that are not there yet, and counts selectors of precompiles' input.
            accounts.retain(|name, state| *state != json!({"balance": "0x0"}) && !name.starts_with("0x00000000-"));
        }
    }
    trace
}

#[test]
fn traces_are_those_of_the_reference() {
    let (ours, reference) = (node(Target::Dev), node(Target::Reference));
    let hashes = mined(&ours);
    assert_eq!(mined(&reference), hashes);
    let prestate = |config: Value| json!({"tracer": "prestateTracer", "tracerConfig": config});
    for hash in &hashes {
        for options in [
            json!({}),
            json!({"enableMemory": true, "disableStack": true, "disableStorage": true}),
            json!({"enableReturnData": true}),
            call_tracer(json!({})),
            call_tracer(json!({"withLog": true})),
            call_tracer(json!({"onlyTopCall": true})),
            prestate(json!({})),
            prestate(json!({"diffMode": true})),
            json!({"tracer": "4byteTracer"}),
            json!({"tracer": "noopTracer"}),
        ] {
            let trace = |node: &Node| comparable(node.rpc().expect("debug_traceTransaction", json!([hash, options])));
            assert_eq!(trace(&ours), trace(&reference), "{hash} {options}");
        }
    }
}

/// Kinds, callees by name, and errors of a tree of calls.
fn outline(frame: &Value) -> Value {
    let calls = frame["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    json!([frame["type"], frame["error"], calls.iter().map(outline).collect::<Vec<_>>()])
}

fn the_call_tree_is_the_contracts(target: Target) {
    if is_reference_run() {
        return; // anvil knows fewer tracers, and no raw blocks
    }
    let node = node(target);
    let hashes = mined(&node);
    let trace =
        |index: usize, options: Value| node.rpc().expect("debug_traceTransaction", json!([hashes[index], options]));
    let tree = trace(1, call_tracer(json!({"withLog": true})));
    let dive = |below: Vec<Value>| {
        let here = [
            json!(["CALL", "execution reverted", []]),
            json!(["DELEGATECALL", null, []]),
            json!(["STATICCALL", null, []]),
            json!(["CREATE", null, []]),
            json!(["CALL", null, [["SELFDESTRUCT", null, []]]]),
        ];
        let calls = [below, here.to_vec()].concat();
        json!(["CALL", null, calls])
    };
    assert_eq!(outline(&tree), dive(vec![dive(vec![dive(vec![])])]));
    assert_eq!(tree["logs"].as_array().map(Vec::len), Some(2));
    assert_eq!((&tree["logs"][0]["position"], &tree["logs"][1]["position"]), (&json!("0x0"), &json!("0x6")));
    let receipt = node.rpc().expect("eth_getTransactionReceipt", json!([hashes[1]]));
    assert_eq!((&tree["gasUsed"], &tree["value"]), (&receipt["gasUsed"], &json!("0x7")));
    let refused = trace(2, call_tracer(json!({})));
    assert_eq!(refused["error"], "execution reverted");
    assert_eq!(refused["output"], format!("0x{}", hex::encode(calldata("Refused(uint256)", &[5]))));
    assert_eq!(trace(3, call_tracer(json!({})))["error"], "out of gas");

    // Each once on each of three levels.
    let selectors = trace(1, json!({"tracer": "4byteTracer"}));
    let count = |signature: &str| selectors[format!("0x{}-32", hex::encode(&keccak256(signature)[..4]))].clone();
    assert_eq!((count("dive(uint256)"), count("refuse(uint256)")), (json!(3), json!(3)), "{selectors}");
    assert_eq!((count("mark(uint256)"), count("fall(address)")), (json!(3), json!(3)), "{selectors}");

    let flat = trace(1, json!({"tracer": "flatCallTracer"}));
    let flat = flat.as_array().expect("a list of calls");
    assert_eq!(flat.len(), 1 + 3 * 5 + 2, "precompiles are left out, self-destructions are not: {flat:?}");
    assert!(flat.iter().all(|call| call["transactionHash"] == hashes[1] && call["blockNumber"] == 2));
    let mux = json!({"callTracer": {"withLog": true}, "4byteTracer": null, "prestateTracer": {"diffMode": true}});
    let several = trace(1, json!({"tracer": "muxTracer", "tracerConfig": mux}));
    assert_eq!((&several["callTracer"], &several["4byteTracer"]), (&tree, &selectors));
    assert!(several["prestateTracer"]["post"].is_object());
}

#[test]
fn the_call_tree_is_the_contracts_dev() {
    the_call_tree_is_the_contracts(Target::Dev);
}

#[test]
fn the_call_tree_is_the_contracts_two_process() {
    the_call_tree_is_the_contracts(Target::TwoProcess);
}

/// Several transactions in one block, in which each depends on the one before.
fn block_of_three(node: &Node) -> Vec<Value> {
    let rpc = node.rpc();
    rpc.expect("evm_setAutomine", json!([false]));
    let account = Account::new(0);
    let dive =
        |nonce| TxEip1559 { nonce, gas_limit: 900_000, input: calldata("dive(uint256)", &[0]), ..eip1559(nested(), 0) };
    let sent = [
        raw(account.sign(TxLegacy { value: U256::from(1_000), ..deployment("Nested") })),
        raw(account.sign(dive(1))),
        raw(account.sign(dive(2))),
    ]
    .map(|raw| rpc.expect("eth_sendRawTransaction", send_params(&raw)));
    rpc.expect("evm_mine", json!([]));
    assert_eq!(receipt_of(rpc, &sent[2])["blockNumber"], "0x1");
    sent.into()
}

#[test]
fn a_block_is_traced_transaction_by_transaction() {
    if is_reference_run() {
        return; // anvil knows fewer tracers, and no raw blocks
    }
    let node = node(Target::Dev);
    let rpc = node.rpc();
    let hashes = block_of_three(&node);
    let block = rpc.expect("eth_getBlockByNumber", json!(["0x1", false]));
    let options = call_tracer(json!({}));
    let by_number = rpc.expect("debug_traceBlockByNumber", json!(["latest", options]));
    assert_eq!(rpc.expect("debug_traceBlockByHash", json!([block["hash"], options])), by_number);
    let entries: Vec<Value> = hashes
        .iter()
        .map(|hash| json!({"txHash": hash, "result": rpc.expect("debug_traceTransaction", json!([hash, options]))}))
        .collect();
    assert_eq!(by_number, json!(entries));
    // The second visit finds what the first wrote.
    let diff = json!([hashes[2], {"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}}]);
    let diff = rpc.expect("debug_traceTransaction", diff);
    let slot = keccak256([0; 64]).to_string();
    let contract = nested().to_string().to_lowercase();
    assert_eq!(diff["pre"][&contract]["storage"][&slot], B256::with_last_byte(1).to_string());
    assert_eq!(diff["post"][&contract]["storage"][&slot], B256::with_last_byte(2).to_string());
    assert_eq!(rpc.expect("evm_mine", json!([])), "0x0");
    assert_eq!(rpc.expect("debug_traceBlockByNumber", json!(["0x2", options])), json!([]));
}

#[test]
fn a_call_is_traced_at_a_block_under_overrides_and_between_transactions() {
    if is_reference_run() {
        return; // anvil knows fewer tracers, and no raw blocks
    }
    let node = node(Target::Dev);
    let rpc = node.rpc();
    let _hashes = block_of_three(&node);
    let call = json!({"to": nested(), "data": calldata("visits(uint256)", &[0])});
    let output = |block: Value, options: Value| {
        let mut options = options;
        options["tracer"] = json!("callTracer");
        let trace = rpc.expect("debug_traceCall", json!([call, block, options]));
        assert_eq!(trace["error"], Value::Null, "{trace}");
        trace["output"].as_str().map(|word| U256::from_str_radix(&word[2..], 16).expect("a word"))
    };
    let number = |number: u64| Some(U256::from(number));
    assert_eq!(output(json!("latest"), json!({})), number(2));
    assert_eq!(output(json!("0x0"), json!({})), None, "there is no contract yet");
    assert_eq!(output(json!("0x1"), json!({"txIndex": "0x2"})), number(1));
    assert_eq!(output(json!("0x1"), json!({"txIndex": "0x1"})), number(0));
    assert_eq!(output(json!("0x1"), json!({"txIndex": "0x0"})), None);
    let slot = keccak256([0; 64]);
    let nine = B256::with_last_byte(9);
    let overrides = json!({"stateOverrides": {nested().to_string(): {"stateDiff": {slot.to_string(): nine}}}});
    assert_eq!(output(json!("latest"), overrides), number(9));
    // NUMBER, returned.
    let code = json!({"stateOverrides": {nested().to_string(): {"code": "0x435f5260205ff3"}},
        "blockOverrides": {"number": "0x1234"}});
    assert_eq!(output(json!("latest"), code), number(0x1234));

    let out_of_range = rpc.refuse("debug_traceCall", json!([call, "0x1", {"txIndex": "0x3"}]));
    assert!(out_of_range.message.starts_with("transaction index 3 out of range for block 0x"), "{out_of_range}");
    assert_eq!(
        rpc.refuse("debug_traceCall", json!([call, "0x0", {"txIndex": "0x0"}])).message,
        "no transaction in genesis"
    );
    assert_eq!(rpc.refuse("debug_traceCall", json!([call, "0x99"])).message, "header not found");
    let poor = json!({"from": Address::repeat_byte(9), "to": nested(), "value": "0x1"});
    assert!(rpc.refuse("debug_traceCall", json!([poor, "latest"])).message.contains("insufficient funds"));
    let steps = rpc.expect("debug_traceCall", json!([call, "latest"]));
    assert_eq!((&steps["failed"], &steps["structLogs"][0]["op"]), (&json!(false), &json!("PUSH1")));
}

/// The lines of a tree that a tool printed, without addresses' labels and gas.
fn printed_calls(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains("─ [")).map(str::to_owned).collect()
}

fn cast_shows_what_happened(target: Target) {
    let node = node(target);
    let hashes = mined(&node);
    let workspace = Workspace::contracts();
    let cast = |arguments: &[&str]| {
        let tool: Tool = workspace.foundry("cast").with("ETH_RPC_URL", node.http_url());
        tool.succeed(arguments)
    };
    let run = |index: usize| cast(&["run", hashes[index].as_str().expect("a hash")]);
    let dive = run(1).stdout;
    assert!(dive.contains("Transaction successfully executed."), "{dive}");
    let calls = printed_calls(&dive);
    // Three levels of: dive, refuse, mark, sha256, a new leaf, its fall; the outermost stands without a branch.
    assert_eq!(calls.len(), 17, "{dive}");
    assert_eq!(calls.iter().filter(|line| line.contains("[delegatecall]")).count(), 3, "{dive}");
    let receipt = node.rpc().expect("eth_getTransactionReceipt", json!([hashes[1]]));
    assert!(dive.contains(&format!("Gas used: {}", quantity(&receipt["gasUsed"]))), "{receipt}: {dive}");
    let refused = run(2);
    assert!(refused.stderr.contains("Transaction failed."), "{}", refused.stderr);
    assert!(refused.stdout.contains("::refuse(5)") && printed_calls(&refused.stdout).is_empty(), "{}", refused.stdout);

    let contract = nested().to_string();
    let call =
        cast(&["call", "--trace", &contract, "dive(uint256)", "1", "--from", &signer(1).address().to_string()]).stdout;
    assert_eq!(printed_calls(&call).len(), 11, "{call}");
}

#[test]
fn cast_shows_what_happened_dev() {
    cast_shows_what_happened(Target::Dev);
}

#[test]
fn cast_shows_what_happened_two_process() {
    cast_shows_what_happened(Target::TwoProcess);
}

#[test]
fn blocks_come_as_ethereum_encodes_them() {
    if is_reference_run() {
        return; // anvil knows fewer tracers, and no raw blocks
    }
    let node = node(Target::Dev);
    let rpc = node.rpc();
    let hashes = block_of_three(&node);
    let bytes = |value: &Value| hex::decode(value.as_str().expect("hex")).expect("hex");
    for (height, count) in [(0_u64, 0), (1, 3)] {
        let id = format!("{height:#x}");
        let shown = rpc.expect("eth_getBlockByNumber", json!([id, false]));
        let encoded = bytes(&rpc.expect("debug_getRawBlock", json!([id])));
        assert_eq!(rpc.expect("debug_getRawBlock", json!([shown["hash"]])), json!(hex::encode_prefixed(&encoded)));
        let mut rest = encoded.as_slice();
        let block: Block<TxEnvelope> = Block::decode(&mut rest).expect("a block in RLP");
        assert!(rest.is_empty());
        assert_eq!(block.header.hash_slow().to_string(), shown["hash"]);
        assert_eq!(block.body.transactions.len(), count);
        assert_eq!(proofs::calculate_transaction_root(&block.body.transactions), block.header.transactions_root);
        assert_eq!(block.body.withdrawals.map(|withdrawals| withdrawals.len()), Some(0));
        let header = bytes(&rpc.expect("debug_getRawHeader", json!([id])));
        assert_eq!(keccak256(&header).to_string(), shown["hash"]);
        let receipts = rpc.expect("debug_getRawReceipts", json!([id]));
        let receipts: Vec<Vec<u8>> = receipts.as_array().expect("a list").iter().map(bytes).collect();
        let root = proofs::ordered_trie_root_with_encoder(&receipts, |receipt, out| out.extend_from_slice(receipt));
        assert_eq!(root, block.header.receipts_root);
    }
    let sent = rpc.expect("debug_getRawTransaction", json!([hashes[1]]));
    assert_eq!(keccak256(bytes(&sent)).to_string(), hashes[1]);
    // A block in this encoding can be traced; bytes that are none, or no block of this chain, cannot.
    let raw = rpc.expect("debug_getRawBlock", json!(["0x1"]));
    let options = json!({"tracer": "4byteTracer"});
    assert_eq!(
        rpc.expect("debug_traceBlock", json!([raw, options])),
        rpc.expect("debug_traceBlockByNumber", json!(["0x1", options]))
    );
    for wrong in [json!("0x1234"), json!(format!("{}00", raw.as_str().expect("hex")))] {
        let error = rpc.refuse("debug_traceBlock", json!([wrong]));
        assert!(error.message.starts_with("could not decode block"), "{error}");
    }
    assert_eq!(rpc.expect("debug_getRawTransaction", json!([B256::repeat_byte(9)])), "0x");
    for method in ["debug_getRawBlock", "debug_getRawHeader", "debug_getRawReceipts"] {
        assert_eq!(rpc.refuse(method, json!(["0x99"])).message, "header not found");
        let wrong = rpc.refuse(method, json!(["2"]));
        assert_eq!((wrong.code, wrong.message.as_str()), (-32602, "invalid argument 0: hex string without 0x prefix"));
    }
}

fn refused(rpc: &RpcClient, method: &str, params: Value, code: i64, message: &str) {
    let error = rpc.refuse(method, params.clone());
    assert!(error.code == code && error.message.contains(message), "{method} {params}: {error}");
}

#[test]
fn what_cannot_be_traced_is_refused() {
    if is_reference_run() {
        return; // anvil knows fewer tracers, and no raw blocks
    }
    let node = node(Target::Dev);
    let rpc = node.rpc();
    let hashes = mined(&node);
    let nothing = B256::repeat_byte(9);
    refused(rpc, "debug_traceTransaction", json!([nothing]), -32000, "transaction not found");
    refused(rpc, "debug_traceTransaction", json!(["0x12"]), -32602, "invalid argument 0");
    refused(rpc, "debug_traceTransaction", json!([]), -32602, "missing value for required argument 0");
    refused(rpc, "debug_traceBlockByNumber", json!(["0x0"]), -32000, "genesis is not traceable");
    let genesis = rpc.expect("eth_getBlockByNumber", json!(["0x0", false]))["hash"].clone();
    refused(rpc, "debug_traceBlockByHash", json!([genesis]), -32000, "genesis is not traceable");
    refused(rpc, "debug_traceBlockByNumber", json!(["0x99"]), -32000, "block #153 not found");
    refused(rpc, "debug_traceBlockByNumber", json!(["3"]), -32602, "hex string without 0x prefix");
    refused(rpc, "debug_traceBlockByHash", json!([nothing]), -32000, &format!("block {nothing} not found"));
    let deep = (0..60).fold(json!({"callTracer": {}}), |config, _| json!({"muxTracer": config}));
    for (options, code, message) in [
        (json!({"tracer": "fooTracer"}), -32000, "tracer not found"),
        (json!({"tracer": "{fault: function() {}, result: function() { return 1; }}"}), -32000, "tracer not found"),
        (json!({"tracer": "muxTracer", "tracerConfig": {"fooTracer": {}}}), -32000, "tracer not found"),
        (json!({"tracer": "muxTracer", "tracerConfig": deep}), -32602, "cannot run another"),
        (json!({"tracer": "callTracer", "tracerConfig": "onlyTopCall"}), -32602, "invalid tracerConfig"),
        (json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": 1}}), -32602, "invalid tracerConfig"),
        (json!({"limit": "many"}), -32602, "invalid argument 1"),
        (json!({"limit": -5}), -32602, "invalid argument 1"),
        (json!([{"tracer": "callTracer"}]), -32602, "invalid argument 1"),
        (json!("callTracer"), -32602, "invalid argument 1"),
    ] {
        refused(rpc, "debug_traceTransaction", json!([hashes[1], options]), code, message);
    }
    // Unknown fields and huge limits are no harm.
    let options = json!({"limit": u64::MAX, "timeout": "10s", "reexec": 128, "unknown": {"deep": [[[]]]}});
    assert_eq!(rpc.expect("debug_traceTransaction", json!([hashes[4], options]))["structLogs"], json!([]));
}

#[test]
fn a_trace_beyond_any_use_is_refused_and_the_node_goes_on() {
    if is_reference_run() {
        return; // anvil knows fewer tracers, and no raw blocks
    }
    let node = node(Target::Dev);
    let rpc = node.rpc();
    let call = json!({"to": nested(), "gas": "0x2000000"});
    for (code, options) in [
        // 64 KiB of memory, then jumps until the gas is gone: each of millions of steps would carry all of it.
        ("0x5f61ffff535b600556", json!({"enableMemory": true})),
        ("0x5b5f56", json!({})),
        // Calls of the identity precompile for as long.
        ("0x5b5f5f5f5f5f60045af1505f56", json!({"tracer": "flatCallTracer"})),
        (
            "0x5b5f5f5f5f5f60045af1505f56",
            json!({"tracer": "muxTracer", "tracerConfig": {"flatCallTracer": {}, "callTracer": {}}}),
        ),
    ] {
        let mut options = options;
        options["stateOverrides"] = json!({nested().to_string(): {"code": code}});
        refused(rpc, "debug_traceCall", json!([call, "latest", options]), -32003, "response too large");
        // A bound on steps makes it small.
        if options.get("tracer").is_none() {
            options["limit"] = json!(3);
            let trace = rpc.expect("debug_traceCall", json!([call, "latest", options]));
            assert_eq!((trace["structLogs"].as_array().map(Vec::len), &trace["failed"]), (Some(3), &json!(true)));
        }
    }
    assert_eq!(rpc.expect("eth_chainId", json!([])), "0x7a69");
}
