//! Traces and simulations on a confidential chain: of the caller's own, and of contracts that would answer him.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use cloister_tests::node::Target;
use cloister_tests::rpc::RpcError;
use cloister_tests::sign_in::exchange;
use cloister_tests::tools::{test_artifact, test_artifact_path};
use serde_json::{Value, json};

use crate::chain::{balance_of, forwarded, forwarder_code, initcode, input};
use crate::node::{ALICE, BOB, CAROL, Ledger, NOT_AUTHORIZED};
use crate::transfer;

const CALLS: &str = r#"{"tracer":"callTracer","tracerConfig":{"withLog":true}}"#;

fn tracer() -> Value {
    serde_json::from_str(CALLS).expect("JSON")
}

/// A coin of Alice's, of which Bob has five.
fn coin(ledger: &mut Ledger) -> Address {
    let interface = test_artifact_path("Standards", "Coin");
    let coin = ledger.create(test_artifact("Standards", "Coin").bytecode.into(), "erc20.json", &interface);
    let words = [ledger.address(ALICE).into_word(), U256::from(1_000).into()];
    assert!(ledger.run(ALICE, coin, input("initialize(address,uint256)", &words)));
    let bob = ledger.address(BOB);
    assert!(ledger.run(ALICE, coin, transfer(bob, 5)));
    coin
}

/// Calls the address in the first word of its input with the rest.
fn relay(ledger: &mut Ledger) -> Address {
    ledger.deploy(initcode(&forwarder_code(0xf1)))
}

fn trace(ledger: &Ledger, who: usize, hash: &Value) -> Result<Value, RpcError> {
    ledger.call(who, "debug_traceTransaction", &json!([hash, tracer()]))
}

#[test]
fn a_sender_sees_his_call_and_what_contracts_would_answer_him() {
    let mut ledger = Ledger::start(Target::Dev);
    let coin = coin(&mut ledger);
    let (inner, outer) = (relay(&mut ledger), relay(&mut ledger));
    let bob = ledger.address(BOB);

    // His own call, and its log.
    let sent = ledger.send(BOB, TxKind::Call(coin), transfer(ledger.address(ALICE), 2));
    let own = trace(&ledger, BOB, &sent["transactionHash"]).expect("it is his");
    assert_eq!(own["input"], json!(transfer(ledger.address(ALICE), 2)));
    assert_eq!((&own["gasUsed"], &own["from"]), (&sent["gasUsed"], &json!(format!("{bob:#x}"))));
    assert_eq!(own["logs"].as_array().map(Vec::len), Some(1), "{own}");
    assert_eq!((&own["logs"][0]["index"], &own["logs"][0]["position"]), (&Value::Null, &Value::Null));

    // A frame on a contract that would answer him is shown, without gas; what is left out leaves no gap.
    let name = input("name()", &[]);
    let shown = ledger.send(BOB, TxKind::Call(outer), forwarded(coin, &name));
    let shown = trace(&ledger, BOB, &shown["transactionHash"]).expect("it is his");
    let frame = &shown["calls"][0];
    assert_eq!((&frame["input"], &frame["gas"], &frame["gasUsed"]), (&json!(name), &json!("0x0"), &json!("0x0")));
    assert_eq!(shown["calls"].as_array().map(Vec::len), Some(1));
    let hidden = ledger.send(BOB, TxKind::Call(outer), forwarded(inner, &forwarded(coin, &name)));
    let hidden = trace(&ledger, BOB, &hidden["transactionHash"]).expect("it is his");
    assert_eq!(hidden["calls"], Value::Null, "with all that it started: {hidden}");

    // The block is his as far as his transactions are.
    let tag = &sent["blockNumber"];
    let block = ledger.expect(BOB, "debug_traceBlockByNumber", &json!([tag, tracer()]));
    assert_eq!(block, json!([{ "txHash": sent["transactionHash"], "result": own }]));
    let by_hash = ledger.expect(BOB, "debug_traceBlockByHash", &json!([sent["blockHash"], tracer()]));
    assert_eq!(by_hash, block);

    // Everyone else hears that there is no such method, whether or not there is such a transaction.
    let never = json!(B256::repeat_byte(7));
    let unknown = trace(&ledger, CAROL, &never).expect_err("there is none");
    assert_eq!(unknown.code, -32601);
    for (who, hash) in [(ALICE, &sent["transactionHash"]), (CAROL, &sent["transactionHash"]), (BOB, &never)] {
        let error = trace(&ledger, who, hash).expect_err("it is not his");
        assert_eq!((error.code, error.message), (unknown.code, unknown.message.clone()));
    }
    let told = |method: &str, block: &Value| {
        let error = ledger.call(CAROL, method, &json!([block, tracer()])).expect_err("nothing is hers");
        (error.code, error.message)
    };
    assert_eq!(told("debug_traceBlockByNumber", tag), told("debug_traceBlockByNumber", &json!("0x7fffffff")));
    assert_eq!(told("debug_traceBlockByHash", &sent["blockHash"]), told("debug_traceBlockByHash", &never));
    let anonymous = |method: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [never] }).to_string();
        exchange(ledger.node.address(), "POST", "/", &[], &body).json()["error"].clone()
    };
    let text = |method: &str| format!("the method {method} does not exist/is not available");
    for method in ["debug_traceTransaction", "debug_traceBlockByHash", "debug_traceCall", "debug_unknown"] {
        assert_eq!(anonymous(method), json!({ "code": -32601, "message": text(method) }));
    }
    // Other tracers tell of all frames together.
    for tracer in ["prestateTracer", "4byteTracer", "flatCallTracer", ""] {
        let options = json!([sent["transactionHash"], { "tracer": tracer }]);
        let error = ledger.call(BOB, "debug_traceTransaction", &options).expect_err("it is refused");
        assert_eq!(error.code, -32602, "{tracer}");
    }
}

#[test]
fn calls_are_traced_as_they_are_answered() {
    let mut ledger = Ledger::start(Target::Dev);
    let coin = coin(&mut ledger);
    let traced = |ledger: &Ledger, who: usize, call: Value, options: Value| {
        ledger.call(who, "debug_traceCall", &json!([call, "latest", options]))
    };
    let bob = ledger.address(BOB);
    let question = json!({ "to": coin, "data": balance_of(bob) });
    let answered = traced(&ledger, BOB, question.clone(), tracer()).expect("it is his balance");
    assert_eq!(answered["output"], json!(B256::from(U256::from(5))));
    let refused = traced(&ledger, CAROL, question.clone(), tracer()).expect_err("it is not hers");
    assert_eq!(refused.code, -32601);
    let as_bob = json!({ "from": bob, "to": coin, "data": balance_of(bob) });
    assert_eq!(traced(&ledger, CAROL, as_bob, tracer()).expect_err("in his name").code, -32601);
    let mut overridden = tracer();
    overridden["stateOverrides"] = json!({ coin.to_string(): { "code": "0x00" } });
    assert_eq!(traced(&ledger, BOB, question, overridden).expect_err("another contract").code, -32602);
}

fn simulate(ledger: &Ledger, who: usize, calls: &[Value]) -> Result<Value, RpcError> {
    let blocks: Vec<_> = calls.iter().map(|call| json!({ "calls": [call] })).collect();
    ledger.call(who, "eth_simulateV1", &json!([{ "blockStateCalls": blocks }, "latest"]))
}

#[test]
fn simulations_are_the_callers_own_and_their_blocks_say_nothing() {
    let mut ledger = Ledger::start(Target::Dev);
    let coin = coin(&mut ledger);
    let (alice, bob) = (ledger.address(ALICE), ledger.address(BOB));
    let sends = json!({ "to": coin, "data": transfer(alice, 2) });
    let asks = |whose: Address| json!({ "to": coin, "data": balance_of(whose) });
    let simulated = simulate(&ledger, BOB, &[sends.clone(), asks(bob), asks(alice)]).expect("it is simulated");
    let result = |block: usize| simulated[block]["calls"][0].clone();
    assert_eq!(result(1)["returnData"], json!(B256::from(U256::from(3))), "{simulated}");
    assert_eq!((&result(2)["status"], &result(2)["returnData"]), (&json!("0x0"), &json!("0x")), "not his");
    assert_eq!(result(0)["logs"].as_array().map(Vec::len), Some(1));
    assert_eq!(ledger.expect(BOB, "eth_call", &json!([asks(bob), "latest"])), json!(B256::from(U256::from(5))));
    for block in simulated.as_array().expect("blocks") {
        for root in ["stateRoot", "receiptsRoot", "transactionsRoot"] {
            assert_eq!(block[root], json!(B256::ZERO), "{root}");
        }
        assert_eq!((&block["size"], &block["logsBloom"]), (&json!("0x0"), &json!(Bytes::from(vec![0xff; 256]))));
    }
    // Neither in somebody else's name, nor as if something were different; and nobody in particular simulates nothing.
    let as_alice = json!({ "from": alice, "to": coin, "data": balance_of(alice) });
    let refused = simulate(&ledger, BOB, &[as_alice]).expect_err("in her name");
    assert_eq!((refused.code, refused.data), (3, Some(json!(NOT_AUTHORIZED))));
    for changed in [
        json!({ "calls": [sends], "stateOverrides": { bob.to_string(): { "balance": "0x1" } } }),
        json!({ "calls": [sends], "blockOverrides": { "time": "0xffffffff" } }),
    ] {
        let simulation = json!([{ "blockStateCalls": [changed] }, "latest"]);
        assert_eq!(ledger.call(BOB, "eth_simulateV1", &simulation).expect_err("it is refused").code, -32602);
    }
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "eth_simulateV1",
        "params": [{ "blockStateCalls": [{ "calls": [asks(Address::ZERO)] }] }, "latest"],
    });
    let anonymous = exchange(ledger.node.address(), "POST", "/", &[], &body.to_string()).json();
    assert_eq!(anonymous["error"]["data"], NOT_AUTHORIZED);
}
