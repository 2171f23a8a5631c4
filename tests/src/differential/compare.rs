//! What both chains say of a block, a state and a trace, side by side.

use alloy_consensus::{Eip658Value, Header, Typed2718};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::B256;
use cloister_core::SeenState;
use cloister_primitives::Block;
use serde_json::Value;

use super::reference::{Made, World};
use super::run::Difference;
use super::wallet::SignedTransaction;

/// A difference in a field, with what each side says.
fn differs(field: impl Into<String>, ours: impl core::fmt::Debug, reference: impl core::fmt::Debug) -> Difference {
    Difference::new(field, format!("ours {ours:?}, reference {reference:?}"))
}

fn same<T: PartialEq + core::fmt::Debug>(field: &str, ours: &T, reference: &T) -> Result<(), Difference> {
    if ours == reference { Ok(()) } else { Err(differs(field, ours, reference)) }
}

/// A block and its receipts. What is a consequence is looked at last, so that the cause is named.
pub(super) fn block(ours: &Block, made: &Made, transactions: &[&SignedTransaction]) -> Result<(), Difference> {
    same("transactions", &ours.transactions.len(), &transactions.len())?;
    for (transaction, signed) in ours.transactions.iter().zip(transactions) {
        same("sender", &transaction.signer(), &signed.environment.caller)?;
        same("transaction", &transaction.inner().encoded_2718(), &signed.raw.to_vec())?;
    }
    same("receipts", &ours.receipts.len(), &made.receipts.len())?;
    for (receipt, expected) in ours.receipts.iter().zip(&made.receipts) {
        same("receipt type", &receipt.ty(), &expected.kind)?;
        let status = receipt.as_receipt().map(|receipt| receipt.status);
        same("status", &status, &Some(Eip658Value::Eip658(expected.success)))?;
        same("cumulativeGasUsed", &receipt.cumulative_gas_used(), &expected.cumulative_gas_used)?;
        same("logs", &receipt.logs(), &expected.logs.as_slice())?;
        same("receipt logsBloom", receipt.logs_bloom(), &expected.bloom)?;
    }
    header(&ours.header, &made.header)?;
    same("hash", &ours.hash, &made.header.hash_slow())?;
    same("commitments.state", &ours.commitments.state.root, &made.header.state_root)?;
    same("commitments.receipts", &ours.commitments.receipts.root, &made.header.receipts_root)
}

/// A header, field by field.
pub(super) fn header(ours: &Header, reference: &Header) -> Result<(), Difference> {
    if ours == reference {
        return Ok(());
    }
    let fields = |header: &Header| serde_json::to_value(header).unwrap_or(Value::Null);
    let (ours, reference) = (fields(ours), fields(reference));
    let names = ours.as_object().into_iter().chain(reference.as_object()).flat_map(|object| object.keys());
    // The roots follow from everything else.
    let mut names: Vec<_> = names.filter(|name| ours[name] != reference[name]).collect();
    names.sort_by_key(|name| (name.ends_with("Root"), name.as_str()));
    Err(match names.first() {
        Some(name) => differs(format!("header {name}"), &ours[name], &reference[name]),
        None => differs("header", &ours, &reference),
    })
}

/// Everything that the reference's state holds, as a reader of ours sees it.
pub(super) fn state(ours: &SeenState, reference: &World) -> Result<(), Difference> {
    let unreadable = |error: cloister_state::StateError| Difference::new("state", error.to_string());
    for (address, entry) in reference.accounts() {
        let account = ours.account(*address).map_err(unreadable)?;
        same("account nonce", &account.nonce, &entry.nonce)?;
        same("account balance", &account.balance, &entry.balance)?;
        same("account code hash", &account.code_hash, &entry.code_hash)?;
        let code = reference.code(&entry.code_hash).map(|code| code.original_bytes()).unwrap_or_default();
        same("account code", &ours.code(*address).map_err(unreadable)?, &code)?;
        for (slot, value) in &entry.storage {
            same("storage", &ours.storage(*address, *slot).map_err(unreadable)?, &Some(*value))?;
        }
    }
    Ok(())
}

/// Two traces, as clients are given them.
pub(super) fn trace(
    hash: B256,
    tracer: &str,
    ours: &impl serde::Serialize,
    reference: &impl serde::Serialize,
) -> Result<(), Difference> {
    let json =
        |trace: Result<Value, serde_json::Error>| trace.map_err(|error| Difference::new("trace", error.to_string()));
    let (mut ours, mut reference) = (json(serde_json::to_value(ours))?, json(serde_json::to_value(reference))?);
    forget_words(&mut ours);
    forget_words(&mut reference);
    if ours == reference {
        return Ok(());
    }
    let (path, ours, reference) = first_difference(String::new(), &ours, &reference);
    Err(differs(format!("trace {tracer}"), format!("of {hash} at {path}: {ours}"), reference))
}

/// Ours names an instruction's error as geth does, the library as its source does: that there is one must do.
fn forget_words(trace: &mut Value) {
    for step in trace.get_mut("structLogs").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(error) = step.get_mut("error") {
            *error = Value::Bool(true);
        }
    }
}

/// Where two values differ first, and what is there.
fn first_difference(path: String, ours: &Value, reference: &Value) -> (String, Value, Value) {
    let inner = match (ours, reference) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find(|(key, value)| b[*key] != **value).map(|(key, value)| (key.clone(), value, &b[key]))
        }
        (Value::Array(a), Value::Array(b)) => {
            let index = a.iter().zip(b).position(|(a, b)| a != b);
            index.map(|index| (index.to_string(), &a[index], &b[index]))
        }
        _ => None,
    };
    match inner {
        Some((key, ours, reference)) => first_difference(format!("{path}/{key}"), ours, reference),
        None => (path, ours.clone(), reference.clone()),
    }
}
