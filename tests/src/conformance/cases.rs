//! Cases that `tests/tools/spec` made with the executable specification: a block of transactions on a given state, some of
//! which no block may hold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_execution::{Executed, ExecutionError};
use cloister_primitives::{Code, RecoveredTransaction, Rejected};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::state_tests::{PreAccount, transaction};
use super::world::{Alloc, Surroundings, World, fork_of, logs_hash, number_hash};
use crate::repository;

/// Chain id of all cases.
const CHAIN_ID: u64 = 1;

/// The file of cases.
#[must_use]
pub fn file() -> PathBuf {
    repository().join("tests/vectors/cases.jsonl")
}

/// The first line of the file: what all cases have in common.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The specification that they were made with.
    pub specification: String,
    /// What the generator was seeded with.
    pub seed: u64,
    deposit_contract: Address,
    pre: BTreeMap<Address, PreAccount>,
}

/// One case.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// Group, fork and number.
    pub name: String,
    fork: String,
    env: Env,
    pre: BTreeMap<Address, PreAccount>,
    txs: Vec<Tx>,
    post: Post,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Env {
    number: u64,
    timestamp: u64,
    coinbase: Address,
    gas_limit: u64,
    base_fee: u64,
    random: B256,
    excess_blob_gas: u64,
    beacon_root: B256,
    withdrawals: Vec<CaseWithdrawal>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseWithdrawal {
    index: u64,
    validator_index: u64,
    address: Address,
    amount: u64,
}

#[derive(Debug, Deserialize)]
struct Tx {
    raw: Bytes,
    /// Why the specification refuses it.
    rejected: Option<String>,
}

/// What the block must come to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Post {
    state_root: B256,
    tx_root: B256,
    receipts_root: B256,
    logs_hash: B256,
    requests_hash: B256,
    withdrawals_root: B256,
    gas_used: u64,
    receipts: Vec<(bool, u64)>,
}

/// Reads a file of the generator: its first line, and then cases or chains.
///
/// # Panics
/// If it is not what the generator writes.
#[must_use]
pub fn read<T: DeserializeOwned>(text: &str) -> (Head, Vec<T>) {
    let mut lines = text.lines();
    let head = serde_json::from_str(lines.next().unwrap_or_default()).expect("the first line describes the rest");
    let rest = lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:.80}")));
    (head, rest.collect())
}

impl Head {
    /// The accounts that every case begins with.
    #[must_use]
    pub fn alloc(&self) -> Alloc {
        self.pre.iter().map(|(address, account)| (*address, account.clone().into())).collect()
    }
}

impl Case {
    /// Runs it: the block of what the specification takes must come to what it says, and what it refuses must be
    /// refused in its place.
    ///
    /// # Errors
    /// What is different.
    pub fn check(&self, head: &Head) -> Result<(), String> {
        let world = World::new(self.surroundings(head)?, self.alloc(head))?;
        let mut block: Vec<RecoveredTransaction> = Vec::new();
        for (index, tx) in self.txs.iter().enumerate() {
            let decoded = transaction(&tx.raw);
            let Some(reason) = &tx.rejected else {
                block.push(decoded.map_err(|refusal| format!("transaction {index} is refused: {refusal}"))?);
                continue;
            };
            let refusal = match decoded {
                Ok(decoded) => refused(&world, block.iter().cloned().chain([decoded]).collect())
                    .map_err(|what| format!("transaction {index} {what}; the specification: {reason}"))?,
                Err(refusal) => refusal,
            };
            if !agrees(reason, &refusal) {
                return Err(format!("transaction {index} must be {reason}, is {refusal}"));
            }
        }
        let executed = world.execute(block).map_err(|error| format!("the block is refused: {error}"))?;
        self.compare(&executed)
    }

    fn surroundings(&self, head: &Head) -> Result<Surroundings, String> {
        let env = &self.env;
        let withdrawals = env.withdrawals.iter().map(|each| Withdrawal {
            index: each.index,
            validator_index: each.validator_index,
            address: each.address,
            amount: each.amount,
        });
        Ok(Surroundings {
            chain_id: CHAIN_ID,
            fork: fork_of(&self.fork).ok_or_else(|| format!("{} is no fork", self.fork))?,
            number: env.number,
            timestamp: env.timestamp,
            beneficiary: env.coinbase,
            gas_limit: env.gas_limit,
            base_fee: env.base_fee,
            difficulty: U256::ZERO,
            prev_randao: env.random,
            excess_blob_gas: env.excess_blob_gas,
            parent_beacon_block_root: env.beacon_root,
            parent_hash: number_hash(env.number.saturating_sub(1)),
            deposit_contract: Some(head.deposit_contract),
            withdrawals: withdrawals.collect(),
        })
    }

    fn alloc(&self, head: &Head) -> Alloc {
        let mut alloc = head.alloc();
        alloc.extend(self.pre.iter().map(|(address, account)| (*address, account.clone().into())));
        alloc
    }

    fn compare(&self, executed: &Executed) -> Result<(), String> {
        let (post, header) = (&self.post, &executed.header);
        let receipts: Vec<(bool, u64)> =
            executed.receipts.iter().map(|receipt| (receipt.status(), receipt.cumulative_gas_used())).collect();
        let differ = |what: &str, must: &dyn core::fmt::Debug, is: &dyn core::fmt::Debug| {
            let (must, is) = (format!("{must:?}"), format!("{is:?}"));
            if must == is { Ok(()) } else { Err(format!("{what} must be {must}, is {is}")) }
        };
        differ("receipts", &post.receipts, &receipts)?;
        differ("gas used", &post.gas_used, &header.gas_used)?;
        differ("transactions root", &post.tx_root, &header.transactions_root)?;
        differ("hash of logs", &post.logs_hash, &logs_hash(executed))?;
        differ("receipts root", &post.receipts_root, &header.receipts_root)?;
        differ("requests hash", &Some(post.requests_hash), &header.requests_hash)?;
        differ("withdrawals root", &Some(post.withdrawals_root), &header.withdrawals_root)?;
        differ("state root", &post.state_root, &header.state_root)
    }
}

/// Why a block is refused.
fn refused(world: &World, transactions: Vec<RecoveredTransaction>) -> Result<Rejected, String> {
    match world.execute(transactions) {
        Ok(_) => Err("is executed".to_owned()),
        Err(ExecutionError::Rejected(rejected)) => Ok(rejected),
        Err(error) => Err(format!("fails: {error}")),
    }
}

/// The specification's exceptions, and the codes that say the same. Those without have no code of their own.
const REASONS: [(&str, &[Code]); 19] = [
    ("NonceMismatchError", &[Code::NonceTooLow, Code::NonceTooHigh]),
    ("NonceOverflowError", &[Code::NonceMax]),
    ("InsufficientBalanceError", &[Code::InsufficientFunds, Code::GasUintOverflow]),
    ("InsufficientMaxFeePerGasError", &[Code::FeeCapTooLow]),
    ("PriorityFeeGreaterThanMaxFeeError", &[Code::TipAboveFeeCap]),
    ("InvalidSenderError", &[Code::SenderNotEoa]),
    ("InsufficientTransactionGasError", &[Code::IntrinsicGasTooLow, Code::FloorDataGasTooLow]),
    ("InitCodeTooLargeError", &[Code::InitcodeTooLarge]),
    ("GasUsedExceedsLimitError", &[Code::ExceedsBlockGasLimit]),
    ("TransactionGasLimitExceededError", &[Code::TransactionGasLimitTooHigh]),
    ("EmptyAuthorizationListError", &[Code::EmptyAuthorizationList]),
    // A legacy signature says the chain id in the same number.
    ("InvalidSignatureError", &[Code::InvalidSender, Code::InvalidChainId]),
    // A legacy gas price below the base fee.
    ("InvalidBlock()", &[Code::FeeCapTooLow]),
    ("BlobGasLimitExceededError", &[]),
    ("BlobCountExceededError", &[]),
    ("InvalidBlobVersionedHashError", &[]),
    ("InsufficientMaxFeePerBlobGasError", &[]),
    ("NoBlobDataError", &[]),
    ("Failed to parse", &[]),
];

/// Whether a refusal is for the specification's reason.
fn agrees(reason: &str, refusal: &Rejected) -> bool {
    let named = REASONS.iter().find(|(name, _)| reason.contains(name));
    named.is_some_and(|(_, codes)| codes.is_empty() || codes.contains(&refusal.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_must_be_for_the_reason_given() {
        let too_low = "Failed transaction: NonceMismatchError('nonce too low')";
        assert!(agrees(too_low, &Code::NonceTooLow.into()));
        assert!(!agrees(too_low, &Code::InsufficientFunds.into()));
        assert!(!agrees("Failed transaction: SomethingNew()", &Code::NonceTooLow.into()));
    }

    #[test]
    fn whatever_is_different_is_named() {
        let text = std::fs::read_to_string(file()).expect("the cases are in the repository");
        let (head, mut cases) = read::<Case>(&text);
        let case = cases.iter_mut().find(|case| case.txs.iter().all(|tx| tx.rejected.is_none()));
        let case = case.expect("some case has valid transactions only");
        assert_eq!(case.check(&head), Ok(()));
        case.post.state_root.0[0] ^= 1;
        let what = case.check(&head).expect_err("the root is another");
        assert!(what.starts_with("state root must be "), "{what}");
        case.post.receipts[0].1 += 1;
        let what = case.check(&head).expect_err("a receipt is another");
        assert!(what.starts_with("receipts must be "), "{what}");
        case.txs[0].rejected = Some("NonceMismatchError".to_owned());
        let what = case.check(&head).expect_err("a valid transaction is taken for a wrong one");
        assert!(what.starts_with("transaction 0 is executed"), "{what}");
    }
}
