//! Blocks, transactions, receipts and logs against the pairs of the execution-apis suite: the same
//! names and values, nothing more and nothing less.

#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, fs};

use alloy_consensus::{Eip658Value, Receipt as AlloyReceipt, ReceiptEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log};
use alloy_rlp::Encodable as _;
use cloister_access::Visibility;
use cloister_core::SeenLog;
use cloister_primitives::{BlobParams, Receipt, RecoveredTransaction};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::{
    Place, Quantity, TransactionJson,
    block::{block_length, header_fields},
    receipt::Fields,
    text::Written,
};
use crate::vectors::{Block, blocks, suite};

/// The chain that the suite's answers are about.
fn chain(suite: &std::path::Path) -> HashMap<B256, Block> {
    blocks(suite).into_iter().map(|block| (block.header.hash_slow(), block)).collect()
}

/// Results of a method's pairs, errors left out.
fn results(suite: &std::path::Path, method: &str) -> Vec<Value> {
    let mut results = Vec::new();
    for entry in fs::read_dir(suite.join(method)).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("<< ")) {
            let response: Value = serde_json::from_str(line).unwrap();
            results.extend(response.get("result").filter(|result| !result.is_null()).cloned());
        }
    }
    assert!(!results.is_empty(), "{method}");
    results
}

fn field<T: serde::de::DeserializeOwned>(json: &Value, name: &str) -> T {
    serde_json::from_value(json[name].clone()).unwrap()
}

fn number(json: &Value, name: &str) -> u64 {
    let text: String = field(json, name);
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// The header with what a block adds that does not depend on readers.
struct BlockFields<'a>(&'a Block, B256);

impl Serialize for BlockFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let block = self.0;
        let transactions: Vec<RecoveredTransaction> = block
            .body
            .transactions
            .iter()
            .map(|transaction| Recovered::new_unchecked(transaction.clone(), Address::ZERO).into())
            .collect();
        let withdrawals = block.body.withdrawals.as_ref();
        let length = withdrawals.map(|list| list.length());
        let size = block_length(&block.header, &transactions, &[], length);
        let mut json = serializer.serialize_map(None)?;
        header_fields(&mut json, &block.header, self.1)?;
        json.serialize_entry("size", &Quantity::count(size))?;
        json.serialize_entry("uncles", &[(); 0])?;
        if let Some(withdrawals) = withdrawals {
            json.serialize_entry("withdrawals", withdrawals)?;
        }
        json.end()
    }
}

#[test]
fn blocks_have_exactly_the_fields_of_their_fork() {
    let Some(suite) = suite() else { return };
    let chain = chain(&suite);
    let mut seen = 0;
    let results = ["eth_getBlockByNumber", "eth_getBlockByHash"].map(|method| results(&suite, method));
    for mut expected in results.into_iter().flatten() {
        let hash: B256 = field(&expected, "hash");
        expected.as_object_mut().unwrap().remove("transactions");
        let block = BlockFields(&chain[&hash], hash);
        assert_eq!(serde_json::to_value(block).unwrap(), expected);
        seen += 1;
    }
    assert!(seen >= 4);
}

fn place(chain: &HashMap<B256, Block>, json: &Value) -> Place {
    let block_hash: B256 = field(json, "blockHash");
    let header = &chain[&block_hash].header;
    Place {
        block_hash,
        block_number: header.number,
        block_timestamp: header.timestamp,
        base_fee: header.base_fee_per_gas,
        index: u32::try_from(number(json, "transactionIndex")).unwrap(),
    }
}

fn recovered(chain: &HashMap<B256, Block>, place: Place, json: &Value) -> RecoveredTransaction {
    let transactions = &chain[&place.block_hash].body.transactions;
    let transaction = transactions[place.index as usize].clone();
    Recovered::new_unchecked(transaction, field(json, "from")).into()
}

#[test]
fn transactions_of_every_type() {
    let Some(suite) = suite() else { return };
    let chain = chain(&suite);
    let mut expected = results(&suite, "eth_getTransactionByHash");
    for block in results(&suite, "eth_getBlockByNumber") {
        let bodies = block["transactions"].as_array().unwrap().iter();
        expected.extend(bodies.filter(|body| body.is_object()).cloned());
    }
    let mut types = std::collections::BTreeSet::new();
    for json in expected {
        let place = place(&chain, &json);
        let shown = TransactionJson::at(recovered(&chain, place, &json), place);
        assert_eq!(serde_json::to_value(shown).unwrap(), json);
        types.insert(number(&json, "type"));
    }
    assert!(types.len() >= 4, "{types:?}");
}

#[test]
fn pending_transactions_have_no_place() {
    let Some(suite) = suite() else { return };
    let json = results(&suite, "txpool_content").remove(0);
    let senders = json["pending"].as_object().unwrap();
    let example = senders.values().next().unwrap().as_object().unwrap();
    let example = example.values().next().unwrap();
    let chain = chain(&suite);
    let transaction = chain
        .values()
        .flat_map(|block| &block.body.transactions)
        .find(|transaction| u64::from(transaction.tx_type() as u8) == number(example, "type"))
        .unwrap();
    let recovered = Recovered::new_unchecked(transaction.clone(), Address::ZERO);
    let shown = serde_json::to_value(TransactionJson::pending(recovered.into())).unwrap();
    for name in ["blockHash", "blockNumber", "blockTimestamp", "transactionIndex"] {
        assert_eq!(shown[name], Value::Null);
        assert_eq!(example[name], Value::Null);
    }
    let names = |json: &Value| -> Vec<String> {
        let object = json.as_object().unwrap();
        object.keys().filter(|name| *name != "chainId").cloned().collect()
    };
    assert_eq!(names(&shown), names(example));
}

fn logs_of(json: &Value) -> Vec<Log> {
    let logs = json["logs"].as_array().unwrap().iter();
    logs.map(|log| {
        let data: Bytes = field(log, "data");
        Log::new_unchecked(field(log, "address"), field(log, "topics"), data)
    })
    .collect()
}

fn receipt_of(json: &Value, transaction: &RecoveredTransaction) -> Receipt {
    let status = match json.get("root") {
        Some(_) => Eip658Value::PostState(field(json, "root")),
        None => Eip658Value::Eip658(json["status"] == "0x1"),
    };
    let receipt = AlloyReceipt { status, cumulative_gas_used: number(json, "cumulativeGasUsed"), logs: logs_of(json) };
    ReceiptEnvelope::from_typed(transaction.tx_type(), receipt)
}

#[test]
fn receipts_of_every_fork() {
    let Some(suite) = suite() else { return };
    let chain = chain(&suite);
    let mut expected = results(&suite, "eth_getTransactionReceipt");
    for receipts in results(&suite, "eth_getBlockReceipts") {
        expected.extend(receipts.as_array().unwrap().iter().cloned());
    }
    for json in expected {
        let place = place(&chain, &json);
        let transaction = recovered(&chain, place, &json);
        let receipt = receipt_of(&json, &transaction);
        let first = json["logs"].get(0).map_or(0, |log| number(log, "logIndex"));
        let logs: Vec<_> = (first..).zip(receipt.logs()).map(|(log_index, log)| SeenLog { log, log_index }).collect();
        let excess = chain[&place.block_hash].header.excess_blob_gas;
        let shown = Fields {
            transaction: &transaction,
            place,
            receipt: &receipt,
            cumulative_gas_used: number(&json, "cumulativeGasUsed"),
            gas_used: number(&json, "gasUsed"),
            visibility: Visibility::Full,
            logs: &logs,
            blob_gas_price: excess.map(|excess| BlobParams::cancun().calc_blob_fee(excess)),
        };
        assert_eq!(serde_json::to_value(Written(shown)).unwrap(), json);
    }
}

#[test]
fn a_receipt_for_others_covers_only_what_they_are_shown() {
    let Some(suite) = suite() else { return };
    let chain = chain(&suite);
    let json =
        results(&suite, "eth_getTransactionReceipt").into_iter().find(|json| json["logs"].get(0).is_some()).unwrap();
    let place = place(&chain, &json);
    let transaction = recovered(&chain, place, &json);
    let receipt = receipt_of(&json, &transaction);
    let shown = Fields {
        transaction: &transaction,
        place,
        receipt: &receipt,
        cumulative_gas_used: 7,
        gas_used: 7,
        visibility: Visibility::Redacted,
        logs: &[],
        blob_gas_price: None,
    };
    let shown = serde_json::to_value(Written(shown)).unwrap();
    assert_eq!(field::<Bloom>(&shown, "logsBloom"), Bloom::ZERO);
    assert_eq!(shown["logs"], Value::Array(Vec::new()));
    for own in ["cumulativeGasUsed", "gasUsed", "effectiveGasPrice"] {
        assert_eq!(shown[own], "0x0", "{own} is the sender's alone");
    }
}
