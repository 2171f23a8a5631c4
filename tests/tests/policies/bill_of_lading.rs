//! The bill of lading for containers, with its rules, on a node: four readers and a stranger.

use std::path::PathBuf;

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, TxKind, hex, keccak256};
use cloister_tests::node::Target;
use cloister_tests::sign_in::exchange;
use cloister_tests::tools::{artifact, compiled_contracts};
use serde_json::json;

use crate::chain::input;
use crate::node::{ALICE as CARRIER, AUDITOR, BOB as SHIPPER, CAROL as BUYER, EVERYBODY, Ledger, NOT_AUTHORIZED};

const POLICY: &str = "../examples/policies/bill-of-lading.json";
/// Of two shipments.
const FIRST: B256 = B256::repeat_byte(0xb1);
const SECOND: B256 = B256::repeat_byte(0xb2);
/// Words of an answer: where the tuple begins, carrier, shipper, holder, stage.
const HOLDER: usize = 3;
const STAGE: usize = 4;

fn interface() -> PathBuf {
    compiled_contracts().join("out/BillOfLading.sol/BillOfLading.json")
}

fn issue(number: B256, shipper: Address) -> Bytes {
    let containers = vec![FixedBytes::<11>::from(*b"CSQU3054383")];
    let port = |name: &str| B256::right_padding_from(name.as_bytes());
    let shipment = (shipper, port("Aurora"), port("Callao"), port("Rotterdam"), containers, keccak256("copper"));
    let selector = keccak256("issue(bytes32,(address,bytes32,bytes32,bytes32,bytes11[],bytes32))");
    [&selector[..4], &(number, shipment).abi_encode_params()].concat().into()
}

/// What somebody is told when he asks for a bill in a name: the bill, or why not.
fn bill(ledger: &Ledger, who: usize, viewer: usize, number: B256) -> Result<Bytes, String> {
    let asked = input("billFor(address,bytes32)", &[ledger.address(viewer).into_word(), number]);
    let to = ledger.address(CARRIER).create(1);
    match ledger.call(who, "eth_call", &json!([{ "to": to, "data": asked }, "latest"])) {
        Ok(answer) => Ok(answer.as_str().and_then(|answer| answer.parse().ok()).expect("bytes")),
        Err(error) => Err(error.data.and_then(|data| data.as_str().map(str::to_owned)).unwrap_or_default()),
    }
}

fn word(answer: &Bytes, number: usize) -> B256 {
    B256::from_slice(&answer[32 * number..32 * (number + 1)])
}

/// Who is told of a bill when each asks in his own name.
fn parties(ledger: &Ledger, number: B256) -> Vec<usize> {
    EVERYBODY.into_iter().filter(|who| bill(ledger, *who, *who, number).is_ok()).collect()
}

#[test]
fn four_readers_of_two_shipments() {
    let mut ledger = Ledger::start(Target::TwoProcess);
    let contract = ledger.create(artifact("BillOfLading").bytecode.into(), POLICY, &interface());
    let [shipper, buyer] = [SHIPPER, BUYER].map(|who| ledger.address(who));
    assert!(ledger.run(CARRIER, contract, issue(FIRST, shipper)));
    assert!(ledger.run(CARRIER, contract, issue(SECOND, buyer)));
    assert_eq!(parties(&ledger, FIRST), [CARRIER, SHIPPER]);
    assert_eq!(parties(&ledger, SECOND), [CARRIER, BUYER]);

    // One who is no party is told the same of a bill that is and of one that never was; in another's name nobody asks.
    let not_party = format!("0x{}", hex::encode(&keccak256("NotParty()")[..4]));
    for number in [FIRST, B256::repeat_byte(0xb9)] {
        assert_eq!(bill(&ledger, BUYER, BUYER, number), Err(not_party.clone()));
        assert_eq!(bill(&ledger, BUYER, SHIPPER, number), Err(NOT_AUTHORIZED.to_owned()));
        assert_eq!(bill(&ledger, AUDITOR, SHIPPER, number), Err(NOT_AUTHORIZED.to_owned()));
    }
    assert_eq!(ledger.answered(contract, &input("inspect(bytes32)", &[FIRST])), [AUDITOR]);
    ledger.conceals(contract);

    // The goods change hands at sea: the buyer sees the first shipment from now on.
    let loaded = ledger.send(CARRIER, TxKind::Call(contract), input("load(bytes32)", &[FIRST]));
    assert_eq!(ledger.shown(contract, &loaded["blockNumber"]), [CARRIER, SHIPPER, AUDITOR]);
    let endorse = input("endorse(bytes32,address)", &[FIRST, buyer.into_word()]);
    let endorsed = ledger.send(SHIPPER, TxKind::Call(contract), endorse.clone());
    assert_eq!(endorsed["status"], "0x1");
    assert_eq!(ledger.shown(contract, &endorsed["blockNumber"]), [SHIPPER, AUDITOR, BUYER]);
    assert_eq!(parties(&ledger, FIRST), [CARRIER, SHIPPER, BUYER]);
    let seen = bill(&ledger, BUYER, BUYER, FIRST).expect("a party");
    assert_eq!(word(&seen, HOLDER), buyer.into_word());
    assert!(!ledger.run(SHIPPER, contract, endorse), "it is not his any more");

    let discharged = ledger.send(CARRIER, TxKind::Call(contract), input("discharge(bytes32)", &[FIRST]));
    assert_eq!(ledger.shown(contract, &discharged["blockNumber"]), [CARRIER, AUDITOR, BUYER], "not the shipper");
    assert!(ledger.run(BUYER, contract, input("surrender(bytes32)", &[FIRST])));
    let stages = [CARRIER, SHIPPER, BUYER].map(|who| bill(&ledger, who, who, FIRST).map(|bill| word(&bill, STAGE)[31]));
    assert_eq!(stages, [Ok(4), Ok(4), Ok(4)]);

    // Somebody who has not signed in is told what everybody may know, and no more.
    let asked = |data: Bytes| {
        let params = json!([{ "to": contract, "data": data }, "latest"]);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": params }).to_string();
        exchange(ledger.node.address(), "POST", "/", &[], &body).json()
    };
    assert!(asked(input("MAX_CONTAINERS()", &[]))["result"].is_string());
    assert_eq!(asked(input("inspect(bytes32)", &[FIRST]))["error"]["data"], NOT_AUTHORIZED);
}
