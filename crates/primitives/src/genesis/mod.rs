//! The genesis: geth's JSON format, with an extension of our own under `config.cloister`.

mod attestation;
mod imported;
mod json;
mod members;
mod parse;
mod raft;
mod rules;
mod rules_digest;
mod sign_in;

use std::collections::BTreeMap;

use alloy_eips::eip7840::BlobParams;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, U256};

pub use attestation::{Attestation, MeasuredDigest, Measurement, PlatformName};
pub use raft::{RaftGenesis, RaftNode};
pub use sign_in::{SignIn, Site};

use crate::forks::ForkSchedule;

pub use imported::mark_imported;
pub use parse::fork_keys;

/// Largest genesis file that is read, in bytes.
pub const MAX_GENESIS_BYTES: usize = 256 * 1024 * 1024;
/// Accounts that a genesis may allocate.
pub const MAX_GENESIS_ACCOUNTS: usize = 1_000_000;
/// Bytes of `extraData` in a genesis header (clique lists its signers there).
pub const MAX_GENESIS_EXTRA_DATA_BYTES: usize = 64 * 1024;
/// Bytes of code that one account of a genesis may hold.
pub const MAX_GENESIS_CODE_BYTES: usize = 1024 * 1024;
/// Members that a genesis may name.
pub const MAX_GENESIS_MEMBERS: usize = 256;
/// Warnings that are kept; the last one says how many more there were.
pub const MAX_GENESIS_WARNINGS: usize = 100;

/// The first block and the rules of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Genesis {
    /// Rules: forks, chain id, extensions.
    pub config: ChainConfig,
    /// Header nonce.
    pub nonce: u64,
    /// Header time, seconds since 1970.
    pub timestamp: u64,
    /// Header extra data.
    pub extra_data: Bytes,
    /// Header gas limit.
    pub gas_limit: u64,
    /// Header difficulty; zero for a chain that starts merged.
    pub difficulty: U256,
    /// Header mix hash; `prevRandao` after the merge.
    pub mix_hash: B256,
    /// Header beneficiary.
    pub coinbase: Address,
    /// Header parent hash.
    pub parent_hash: B256,
    /// Header base fee in wei per gas; `None` for the usual start of 1 gwei.
    pub base_fee_per_gas: Option<u64>,
    /// Header excess blob gas.
    pub excess_blob_gas: Option<u64>,
    /// Header blob gas used.
    pub blob_gas_used: Option<u64>,
    /// The accounts that exist from the start.
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

/// One account of the genesis allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Nonce.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Code; empty for none.
    pub code: Bytes,
    /// Storage; slots with value zero do not exist.
    pub storage: BTreeMap<U256, U256>,
}

/// The `config` object of a genesis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainConfig {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Activation of each fork.
    pub forks: ForkSchedule,
    /// Blob parameters that differ from Ethereum's, by the fork that sets them.
    pub blob_schedule: BTreeMap<EthereumHardfork, BlobParams>,
    /// Contract whose logs are deposit requests (EIP-6110).
    pub deposit_contract: Option<Address>,
    /// Our own extension.
    pub cloister: CloisterConfig,
    /// `"signIn"` of our own extension: where clients sign in; `None` where genesis does not say.
    pub sign_in: Option<SignIn>,
    /// `"members"` of our own extension: accounts that govern a confidential network, in ascending order.
    pub members: Vec<Address>,
    /// `"attestation"` of our own extension: whose evidence is taken; `None` where genesis does not say.
    pub attestation: Option<Attestation>,
    /// `"raft"` of our own extension: the nodes that order blocks; `None` for one node by itself.
    pub raft: Option<RaftGenesis>,
}

/// Whether a chain keeps what happens on it from those it does not concern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confidentiality {
    /// Everyone sees everything, as on Ethereum.
    #[default]
    Off,
    /// Everyone sees what concerns him, and what is declassified.
    On,
}

/// What instructions that touch the state cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GasSchedule {
    /// As on Ethereum: first accesses, new accounts and fresh slots cost more, clearing gives gas back. Whoever
    /// measures gas learns from it what others touched.
    #[default]
    Ethereum,
    /// The most that each could cost on Ethereum, whatever the state; nothing is given back.
    Flat,
}

/// The `config.cloister` object of a genesis. All of it is optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloisterConfig {
    /// `"confidentiality": "on"`: who is not entitled to a fact learns nothing about it.
    pub confidentiality: Confidentiality,
    /// `"gasSchedule": "flat"`: what an instruction costs says nothing about the state.
    pub gas_schedule: GasSchedule,
    /// `"baseFee": {"fixed": "0x0"}`: base fee of every block in wei per gas; `None` follows EIP-1559.
    pub fixed_base_fee: Option<u64>,
    /// `"allowEqualTimestamps": true`: a block may have its parent's timestamp.
    pub allow_equal_timestamps: bool,
    /// `"maxTransactionsPerBlock"`.
    pub max_transactions_per_block: Option<usize>,
    /// `"maxCodeSize"`: bytes of deployed code, instead of EIP-170's.
    pub max_code_size: Option<usize>,
    /// `"development": true`: a network that protects nothing.
    pub development: bool,
    /// `"production": true`: a network that is only as good as its hardware, and takes evidence of nothing else.
    pub production: bool,
    /// `"imported": true`: the chain is Ethereum's, and its blocks come out of files.
    pub imported: bool,
}

/// Something in a genesis file that has no effect here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisWarning {
    /// Where, as in `config.parlia.period`.
    pub path: String,
    /// What about it.
    pub message: String,
}

impl core::fmt::Display for GenesisWarning {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Why a genesis was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The file is larger than [`MAX_GENESIS_BYTES`].
    #[error("the genesis is {bytes} bytes, the limit is {MAX_GENESIS_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not JSON.
    #[error("{path}: not valid JSON: {reason}")]
    Json {
        /// Where, as in `config.chainId`; `genesis` for the top.
        path: String,
        /// What the JSON parser said.
        reason: String,
    },
    /// A key has a value of the wrong kind or out of range.
    #[error("{path}: expected {expected}, found {found}")]
    Value {
        /// Where.
        path: String,
        /// What would have been right.
        expected: String,
        /// What was there, shortened.
        found: String,
    },
    /// A key that must be there is not.
    #[error("{path}: missing; expected {expected}")]
    Missing {
        /// Where.
        path: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// A key is there twice.
    #[error("{path}: given twice")]
    Duplicate {
        /// Where.
        path: String,
    },
    /// A rule that this build does not have.
    #[error("{path}: {what} is not supported by this build")]
    Unsupported {
        /// Where.
        path: String,
        /// What was asked for.
        what: String,
    },
    /// A fork activates before an older one.
    #[error("fork schedule: {later} activates {later_at}, but {earlier} before it activates {earlier_at}")]
    ForkOrder {
        /// The newer fork.
        later: EthereumHardfork,
        /// Its activation.
        later_at: String,
        /// The older fork.
        earlier: EthereumHardfork,
        /// Its activation.
        earlier_at: String,
    },
    /// Two values exclude each other.
    #[error("{path}: {reason}")]
    Contradiction {
        /// Where.
        path: String,
        /// What excludes what.
        reason: String,
    },
}

impl Genesis {
    /// Reads a genesis in geth's JSON format.
    ///
    /// Quantities may be JSON numbers, decimal strings or `0x` hexadecimal; addresses in `alloc` come with
    /// or without `0x`. Keys that mean nothing here are warned about, each by its path. Never panics,
    /// whatever the bytes.
    ///
    /// # Errors
    /// [`GenesisError`], which names the key and what was expected.
    pub fn parse(json: &str) -> Result<(Self, Vec<GenesisWarning>), GenesisError> {
        if json.len() > MAX_GENESIS_BYTES {
            return Err(GenesisError::TooLarge { bytes: json.len() });
        }
        let mut warnings = json::Warnings::default();
        let genesis = parse::genesis(json, &mut warnings)?;
        genesis.check()?;
        Ok((genesis, warnings.finish()))
    }
}

#[cfg(test)]
mod tests;
