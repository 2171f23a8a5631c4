//! Audits in the workload: granted by a member, said on the ledger or not, and what is asked under them.

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, keccak256};
use cloister_primitives::VISIBILITY_ADDRESS;
use serde_json::{Value, json};

use super::cast::Who;
use super::code;
use super::workload::Sent;

/// More requests than anybody makes.
const READS: u32 = 1_000_000;
/// More than any of this costs at flat prices.
const GAS: u64 = 500_000;

fn to_rules(from: Who, signature: &str, arguments: &[u8]) -> Sent {
    let input = [&keccak256(signature)[..4], arguments].concat().into();
    Sent { input, gas: GAS, ..Sent::transfer(from, VISIBILITY_ADDRESS, 0) }
}

/// The only member grants an audit of all blocks; of the whole ledger where the contract is zero.
pub(super) fn grants(contract: Address, auditor: Who) -> Sent {
    let audit = (auditor.address(), 0_u64, u64::MAX, u64::MAX);
    let signature = "approveAudit(address,(address,uint64,uint64,uint64))";
    to_rules(Who::Mallory, signature, &(contract, audit).abi_encode_params())
}

/// An auditor says that he is going to ask about all blocks.
pub(super) fn says(auditor: Who, contract: Address) -> Sent {
    let arguments = (contract, 0_u64, u64::MAX, READS).abi_encode_params();
    to_rules(auditor, "useAudit(address,uint64,uint64,uint32)", &arguments)
}

/// What an auditor asks: of the contract that he audits, of that of the parties, and of everything.
pub(super) fn questions(audited: Address, touched: &[Address], heights: impl Iterator<Item = u64>) -> Vec<Value> {
    let mut asked = Vec::new();
    for height in heights.map(|height| format!("{height:#x}")) {
        asked.push(("eth_getBlockByNumber", json!([height, true])));
        asked.push(("eth_getBlockReceipts", json!([height])));
        asked.push(("debug_traceBlockByNumber", json!([height, tracer()])));
    }
    for address in touched.iter().chain([&code::LEDGER, &audited]) {
        asked.push(("eth_getBalance", json!([address, "latest"])));
        asked.push(("eth_getCode", json!([address, "latest"])));
        asked.push(("eth_getStorageAt", json!([address, "0x1", "latest"])));
        asked.push(("eth_getProof", json!([address, ["0x1"], "latest"])));
        asked.push(("eth_call", json!([{ "to": address }, "latest"])));
    }
    asked.push(("eth_getLogs", json!([{ "fromBlock": "0x0" }])));
    asked.into_iter().map(|(method, params)| json!([audited, method, params])).collect()
}

/// What traces are asked for by.
pub(super) fn tracer() -> Value {
    json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } })
}
