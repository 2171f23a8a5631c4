//! GeneralStateTests of ethereum/tests: one transaction on a given state, with the state root and the hash of the
//! logs that must come out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_execution::{ExecutionError, recover_transaction};
use cloister_primitives::{Code, EthereumHardfork, GenesisAccount, RecoveredTransaction, Rejected, Transaction};
use serde::Deserialize;
use tempfile::TempDir;

use super::world::{Alloc, Surroundings, World, fork_of, logs_hash};

/// Chain id that all of them are signed for.
const CHAIN_ID: u64 = 1;

/// The suite's files, unpacked for as long as this lives.
#[derive(Debug)]
pub struct Suite {
    folder: TempDir,
}

impl Suite {
    /// Unpacks the archive.
    ///
    /// # Panics
    /// If it cannot be unpacked.
    #[must_use]
    pub fn unpack(archive: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status();
        let status = status.unwrap_or_else(|error| panic!("tar cannot be run: {error}"));
        assert!(status.success(), "{} cannot be unpacked: {status}", archive.display());
        Self { folder }
    }

    /// Every file, sorted by path.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(self.folder.path(), &mut files);
        files.sort();
        files
    }

    /// A file's path inside the suite.
    #[must_use]
    pub fn name<'a>(&self, file: &'a Path) -> &'a Path {
        file.strip_prefix(self.folder.path()).unwrap_or(file)
    }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            into.push(path);
        }
    }
}

/// How the entries of a file went.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many gave what they must.
    pub passed: usize,
    /// Which did not, and in what.
    pub failed: Vec<String>,
}

/// Runs every entry of a file.
///
/// # Panics
/// If the file is no state test.
#[must_use]
pub fn run(file: &Path, name: &Path) -> Tally {
    let text = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let tests: BTreeMap<String, Test> =
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
    let mut tally = Tally::default();
    for (title, test) in &tests {
        for (fork, entries) in &test.post {
            let outcomes = test.run(fork, entries);
            for (index, outcome) in outcomes.into_iter().enumerate() {
                match outcome {
                    Ok(()) => tally.passed += 1,
                    Err(what) => tally.failed.push(format!("{} {title} {fork}[{index}]: {what}", name.display())),
                }
            }
        }
    }
    tally
}

#[derive(Debug, Deserialize)]
struct Test {
    env: Env,
    pre: BTreeMap<Address, PreAccount>,
    post: BTreeMap<String, Vec<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Env {
    current_coinbase: Address,
    current_difficulty: U256,
    current_gas_limit: U256,
    current_number: U256,
    current_timestamp: U256,
    current_base_fee: Option<U256>,
    current_random: Option<B256>,
    current_excess_blob_gas: Option<U256>,
}

/// An account before.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PreAccount {
    #[serde(default)]
    nonce: U256,
    #[serde(default)]
    balance: U256,
    #[serde(default)]
    code: Bytes,
    #[serde(default)]
    storage: BTreeMap<U256, U256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    hash: B256,
    logs: B256,
    txbytes: Bytes,
    expect_exception: Option<String>,
}

impl From<PreAccount> for GenesisAccount {
    fn from(account: PreAccount) -> Self {
        Self { nonce: account.nonce.to(), balance: account.balance, code: account.code, storage: account.storage }
    }
}

impl Test {
    fn run(&self, fork: &str, entries: &[Entry]) -> Vec<Result<(), String>> {
        let world = match self.world(fork) {
            Ok(world) => world,
            Err(what) => return vec![Err(what); entries.len()],
        };
        entries.iter().map(|entry| entry.check(&world)).collect()
    }

    fn world(&self, name: &str) -> Result<World, String> {
        let fork = fork_of(name).ok_or_else(|| format!("{name} is no fork"))?;
        let env = &self.env;
        let merged = fork >= EthereumHardfork::Paris;
        let surroundings = Surroundings {
            chain_id: CHAIN_ID,
            fork,
            number: env.current_number.to(),
            timestamp: env.current_timestamp.to(),
            beneficiary: env.current_coinbase,
            gas_limit: env.current_gas_limit.saturating_to(),
            base_fee: env.current_base_fee.unwrap_or_default().to(),
            difficulty: if merged { U256::ZERO } else { env.current_difficulty },
            prev_randao: env.current_random.unwrap_or_default(),
            excess_blob_gas: env.current_excess_blob_gas.unwrap_or_default().to(),
            parent_beacon_block_root: B256::ZERO,
            parent_hash: B256::ZERO,
            deposit_contract: None,
            withdrawals: Vec::new(),
        };
        let alloc: Alloc = self.pre.iter().map(|(address, account)| (*address, account.clone().into())).collect();
        World::new(surroundings, alloc)
    }
}

impl Entry {
    fn check(&self, world: &World) -> Result<(), String> {
        let outcome = transaction(&self.txbytes).and_then(|transaction| match world.execute(vec![transaction]) {
            Ok(executed) => Ok(executed),
            Err(ExecutionError::Rejected(rejected)) => Err(rejected),
            Err(error) => Err(Rejected::with_detail(Code::Internal, error.to_string())),
        });
        let (root, logs) = match (outcome, &self.expect_exception) {
            (Ok(executed), None) => (executed.header.state_root, logs_hash(&executed)),
            (Err(rejected), Some(expected)) if is_one_of(expected, &rejected) => (world.root(), self.logs),
            (Err(rejected), Some(expected)) => return Err(format!("must be {expected}, is {rejected}")),
            (Ok(_), Some(expected)) => return Err(format!("must be {expected}, was executed")),
            (Err(rejected), None) => return Err(format!("must be executed, is {rejected}")),
        };
        if root != self.hash {
            return Err(format!("state root must be {}, is {root}", self.hash));
        }
        if logs != self.logs {
            return Err(format!("hash of logs must be {}, is {logs}", self.logs));
        }
        Ok(())
    }
}

/// Decodes a signed transaction of whatever type and recovers its sender.
///
/// # Errors
/// The refusal.
pub fn transaction(raw: &[u8]) -> Result<RecoveredTransaction, Rejected> {
    let transaction = Transaction::decode_2718_exact(raw)
        .map_err(|error| Rejected::with_detail(Code::MalformedTransaction, error.to_string()))?;
    recover_transaction(transaction)
}

/// Whether a refusal is one of those that are named, as `TransactionException.A|TransactionException.B`.
fn is_one_of(expected: &str, rejected: &Rejected) -> bool {
    expected.split('|').any(|name| is(name.trim_start_matches("TransactionException."), rejected))
}

fn is(name: &str, rejected: &Rejected) -> bool {
    let says = |what: &str| rejected.code() == Code::MalformedTransaction && rejected.detail().contains(what);
    match name {
        "INTRINSIC_GAS_TOO_LOW" => rejected.code() == Code::IntrinsicGasTooLow,
        "INSUFFICIENT_ACCOUNT_FUNDS" => rejected.code() == Code::InsufficientFunds,
        "SENDER_NOT_EOA" => rejected.code() == Code::SenderNotEoa,
        "INITCODE_SIZE_EXCEEDED" => rejected.code() == Code::InitcodeTooLarge,
        "INSUFFICIENT_MAX_FEE_PER_GAS" => rejected.code() == Code::FeeCapTooLow,
        "NONCE_IS_MAX" => rejected.code() == Code::NonceMax,
        "GAS_ALLOWANCE_EXCEEDED" => rejected.code() == Code::ExceedsBlockGasLimit,
        "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS" => rejected.code() == Code::TipAboveFeeCap,
        // A price of more than 128 bits is not even decoded.
        "GASLIMIT_PRICE_PRODUCT_OVERFLOW" => rejected.code() == Code::GasUintOverflow || says("type flag"),
        "TYPE_3_TX_PRE_FORK" => rejected.code() == Code::TransactionTypeNotSupported,
        "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS" => says("blob gas price"),
        "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH" => says("blob version"),
        "TYPE_3_TX_ZERO_BLOBS" => says("empty blobs"),
        "TYPE_3_TX_BLOB_COUNT_EXCEEDED" => says("too many blobs"),
        "TYPE_3_TX_CONTRACT_CREATION" | "RLP_INVALID_VALUE" => rejected.code() == Code::MalformedTransaction,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_named_reasons_is_enough_and_no_other() {
        let named = "TransactionException.INSUFFICIENT_ACCOUNT_FUNDS|TransactionException.INTRINSIC_GAS_TOO_LOW";
        assert!(is_one_of(named, &Code::IntrinsicGasTooLow.into()));
        assert!(is_one_of(named, &Code::InsufficientFunds.into()));
        assert!(!is_one_of(named, &Code::NonceTooLow.into()));
        assert!(!is_one_of("TransactionException.SOMETHING_NEW", &Code::NonceTooLow.into()));
        let blobs = Rejected::with_detail(Code::MalformedTransaction, "empty blobs");
        assert!(is_one_of("TransactionException.TYPE_3_TX_ZERO_BLOBS", &blobs));
        assert!(!is_one_of("TransactionException.TYPE_3_TX_BLOB_COUNT_EXCEEDED", &blobs));
    }
}
