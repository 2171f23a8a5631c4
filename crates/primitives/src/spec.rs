//! The chain specification: one answer to every question about forks, fees and limits.

use std::collections::BTreeMap;

use alloy_consensus::{EMPTY_ROOT_HASH, Header, constants::EMPTY_WITHDRAWALS};
use alloy_eips::eip1559::{BaseFeeParams, INITIAL_BASE_FEE};
use alloy_eips::{eip7685::EMPTY_REQUESTS_HASH, eip7825::MAX_TX_GAS_LIMIT_OSAKA, eip7840::BlobParams};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};

use crate::forks::{ForkSchedule, HardforkName};
use crate::genesis::{
    Attestation, ChainConfig, CloisterConfig, Confidentiality, GasSchedule, Genesis, GenesisAccount, GenesisError,
    RaftGenesis, SignIn,
};
use crate::predeploys;

/// Chain id of a development network, as in anvil and Hardhat.
pub const DEVELOPMENT_CHAIN_ID: u64 = 31337;
/// Gas limit of a development block, as in anvil.
pub const DEVELOPMENT_GAS_LIMIT: u64 = 30_000_000;
/// Largest encoded transaction that is accepted, in bytes; geth's `txMaxSize`.
pub const MAX_TRANSACTION_SIZE_BYTES: usize = 128 * 1024;
/// No chain accepts larger transactions, however large its contracts may be.
const LARGEST_TRANSACTION_SIZE_BYTES: usize = 8 * 1024 * 1024;
/// EIP-170.
pub const DEFAULT_MAX_CODE_SIZE_BYTES: usize = 24_576;
/// Transactions that one block may hold unless genesis says otherwise.
pub const DEFAULT_MAX_TRANSACTIONS_PER_BLOCK: usize = 10_000;
/// Largest gas limit of a transaction, whatever the block's own: its logs have to fit into one block's record.
pub const MAX_TRANSACTION_GAS: u64 = 90_000_000;
/// Bytes that a block's transactions, receipts and changes may take in its record. The record is one sealed
/// blob of at most 31 MiB; the rest is for changes that a development network makes outside of blocks.
pub const MAX_BLOCK_RECORD_BYTES: u64 = 24 << 20;

/// How a block's base fee is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFeePolicy {
    /// From the parent's use of gas.
    Eip1559(BaseFeeParams),
    /// Always this many wei per gas.
    Fixed(u64),
}

/// Sizes and counts that a chain bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of deployed code (EIP-170).
    pub max_code_size_bytes: usize,
    /// Bytes of initcode (EIP-3860): twice the code size.
    pub max_initcode_size_bytes: usize,
    /// Bytes of one encoded transaction.
    pub max_transaction_size_bytes: usize,
    /// Transactions in a block.
    pub max_transactions_per_block: usize,
    /// Gas limit of one transaction.
    pub max_transaction_gas: u64,
    /// Bytes of a block's record.
    pub max_block_record_bytes: u64,
}

/// Everything that is fixed about a chain. Share it in an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    genesis: Genesis,
    base_fee_policy: BaseFeePolicy,
    limits: Limits,
}

impl ChainSpec {
    /// The specification that a genesis describes. The contracts that hold a confidential chain's rules, and the nodes
    /// of a network, are there whether or not the genesis says so.
    ///
    /// # Errors
    /// [`GenesisError`] if the genesis contradicts itself.
    pub fn new(mut genesis: Genesis) -> Result<Self, GenesisError> {
        genesis.check()?;
        if genesis.config.cloister.confidentiality == Confidentiality::On {
            genesis.predeploy(predeploys::confidential_contracts(&genesis.config.members))?;
        }
        if let Some(raft) = &genesis.config.raft {
            genesis.predeploy(predeploys::network_contracts(&genesis.config.members, raft))?;
        }
        let cloister = &genesis.config.cloister;
        let max_code_size_bytes = cloister.max_code_size.unwrap_or(DEFAULT_MAX_CODE_SIZE_BYTES);
        Ok(Self {
            base_fee_policy: cloister
                .fixed_base_fee
                .map_or(BaseFeePolicy::Eip1559(BaseFeeParams::ethereum()), BaseFeePolicy::Fixed),
            limits: Limits {
                max_code_size_bytes,
                max_initcode_size_bytes: max_code_size_bytes.saturating_mul(2),
                // Initcode of a chain with larger contracts must fit a transaction.
                max_transaction_size_bytes: max_code_size_bytes
                    .saturating_mul(4)
                    .clamp(MAX_TRANSACTION_SIZE_BYTES, LARGEST_TRANSACTION_SIZE_BYTES),
                max_transactions_per_block: cloister
                    .max_transactions_per_block
                    .unwrap_or(DEFAULT_MAX_TRANSACTIONS_PER_BLOCK),
                max_transaction_gas: MAX_TRANSACTION_GAS,
                max_block_record_bytes: MAX_BLOCK_RECORD_BYTES,
            },
            genesis,
        })
    }

    /// The specification of a development network.
    ///
    /// # Errors
    /// [`GenesisError`] if a value given is out of range.
    pub fn development(chain: DevChain) -> Result<Self, GenesisError> {
        Self::new(chain.into_genesis())
    }

    /// EIP-155 chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.genesis.config.chain_id
    }

    /// The genesis this specification was made from.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// What the ledger's keys are bound to: the genesis block, and all rules of a chain that is confidential or that
    /// several nodes keep.
    #[must_use]
    pub fn ledger_binding(&self, genesis_hash: B256) -> B256 {
        match (self.confidentiality(), self.raft()) {
            (Confidentiality::Off, None) => genesis_hash,
            _ => keccak256([genesis_hash.0, self.genesis.config.rules_digest().0].concat()),
        }
    }

    /// Where clients sign in: what genesis says, or any site of the client's own machine on a development network
    /// whose genesis says nothing. `None` where nobody can.
    #[must_use]
    pub fn sign_in(&self) -> Option<SignIn> {
        let config = &self.genesis.config;
        config.sign_in.clone().or_else(|| config.cloister.development.then(SignIn::development))
    }

    /// Whose evidence clients take: what genesis says, or any program without hardware where it says nothing.
    #[must_use]
    pub fn attestation(&self) -> Attestation {
        self.genesis.config.attestation.clone().unwrap_or_default()
    }

    /// Whether the network is only as good as its hardware, and takes evidence of nothing else.
    #[must_use]
    pub const fn is_production(&self) -> bool {
        self.genesis.config.cloister.production
    }

    /// The nodes that order blocks among themselves; `None` for a chain that one node orders alone.
    #[must_use]
    pub const fn raft(&self) -> Option<&RaftGenesis> {
        self.genesis.config.raft.as_ref()
    }

    /// The schedule of forks.
    #[must_use]
    pub const fn forks(&self) -> &ForkSchedule {
        &self.genesis.config.forks
    }

    /// Whether `fork` is active in a block at `height` and `timestamp`.
    #[must_use]
    pub fn is_active(&self, fork: EthereumHardfork, height: u64, timestamp: u64) -> bool {
        self.forks().is_active(fork, height, timestamp)
    }

    /// The newest fork active in a block.
    #[must_use]
    pub fn hardfork_at(&self, height: u64, timestamp: u64) -> EthereumHardfork {
        self.forks().newest_active(height, timestamp)
    }

    /// Whether the chain keeps what happens on it from those it does not concern.
    #[must_use]
    pub const fn confidentiality(&self) -> Confidentiality {
        self.genesis.config.cloister.confidentiality
    }

    /// What instructions that touch the state cost.
    #[must_use]
    pub const fn gas_schedule(&self) -> GasSchedule {
        self.genesis.config.cloister.gas_schedule
    }

    /// How base fees are found.
    #[must_use]
    pub const fn base_fee_policy(&self) -> BaseFeePolicy {
        self.base_fee_policy
    }

    /// Gas limit of the genesis block, and of later ones unless a block says otherwise.
    #[must_use]
    pub const fn gas_limit(&self) -> u64 {
        self.genesis.gas_limit
    }

    /// Sizes and counts that this chain bounds.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Code size limit, where the chain sets one of its own instead of the fork's.
    #[must_use]
    pub const fn max_code_size_override(&self) -> Option<usize> {
        self.genesis.config.cloister.max_code_size
    }

    /// EIP-7825: gas that one transaction may ask for; `None` before Osaka.
    #[must_use]
    pub fn transaction_gas_cap_at(&self, height: u64, timestamp: u64) -> Option<u64> {
        self.is_active(EthereumHardfork::Osaka, height, timestamp).then_some(MAX_TX_GAS_LIMIT_OSAKA)
    }

    /// Blob parameters in force (EIP-7840, EIP-7892); `None` before Cancun.
    #[must_use]
    pub fn blob_params_at(&self, timestamp: u64) -> Option<BlobParams> {
        self.genesis.config.blob_params_at(timestamp)
    }

    /// Whether a block may have its parent's timestamp.
    #[must_use]
    pub const fn allows_equal_timestamps(&self) -> bool {
        self.genesis.config.cloister.allow_equal_timestamps
    }

    /// Whether this is a development network, which has impersonated senders and protects nothing.
    #[must_use]
    pub const fn is_development(&self) -> bool {
        self.genesis.config.cloister.development
    }

    /// Whether this is a chain of Ethereum's whose blocks are imported. It takes none of our liberties, and no
    /// blocks are made on it unless somebody asks for them.
    #[must_use]
    pub const fn is_imported(&self) -> bool {
        self.genesis.config.cloister.imported
    }

    /// Contract whose logs are deposit requests (EIP-6110), if the chain has one.
    #[must_use]
    pub const fn deposit_contract(&self) -> Option<Address> {
        self.genesis.config.deposit_contract
    }

    /// The genesis header, given the root of the genesis allocation.
    #[must_use]
    pub fn genesis_header(&self, state_root: B256) -> Header {
        let genesis = &self.genesis;
        let active = |fork| self.is_active(fork, 0, genesis.timestamp);
        let cancun = active(EthereumHardfork::Cancun);
        Header {
            parent_hash: genesis.parent_hash,
            beneficiary: genesis.coinbase,
            state_root,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            difficulty: genesis.difficulty,
            number: 0,
            gas_limit: genesis.gas_limit,
            gas_used: 0,
            timestamp: genesis.timestamp,
            extra_data: genesis.extra_data.clone(),
            mix_hash: genesis.mix_hash,
            nonce: B64::from(genesis.nonce),
            base_fee_per_gas: active(EthereumHardfork::London).then(|| self.genesis_base_fee()),
            withdrawals_root: active(EthereumHardfork::Shanghai).then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: cancun.then(|| genesis.blob_gas_used.unwrap_or(0)),
            excess_blob_gas: cancun.then(|| genesis.excess_blob_gas.unwrap_or(0)),
            parent_beacon_block_root: cancun.then_some(B256::ZERO),
            requests_hash: active(EthereumHardfork::Prague).then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }

    fn genesis_base_fee(&self) -> u64 {
        match self.base_fee_policy {
            BaseFeePolicy::Fixed(fee) => fee,
            BaseFeePolicy::Eip1559(_) => self.genesis.base_fee_per_gas.unwrap_or(INITIAL_BASE_FEE),
        }
    }
}

impl EthereumHardforks for ChainSpec {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        self.forks().condition(fork)
    }
}

/// What a development network may choose; the defaults are anvil's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevChain {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Newest fork that is active, from genesis on.
    pub hardfork: HardforkName,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Bytes of deployed code; `None` for EIP-170's.
    pub code_size_limit: Option<usize>,
    /// Base fee from London on.
    pub base_fee: DevBaseFee,
    /// Whether it keeps from each caller what does not concern him.
    pub confidentiality: Confidentiality,
    /// Time of the genesis block, seconds since 1970.
    pub timestamp: u64,
    /// Funded accounts and other contents of the genesis state. The predeployed contracts are added to it.
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

/// Base fee of a development network, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevBaseFee {
    /// That of the genesis block; later ones follow EIP-1559 from there.
    Initial(u64),
    /// That of every block.
    Fixed(u64),
}

impl Default for DevChain {
    fn default() -> Self {
        Self {
            chain_id: DEVELOPMENT_CHAIN_ID,
            hardfork: HardforkName::default(),
            gas_limit: DEVELOPMENT_GAS_LIMIT,
            code_size_limit: None,
            base_fee: DevBaseFee::Initial(INITIAL_BASE_FEE),
            confidentiality: Confidentiality::Off,
            timestamp: 0,
            alloc: BTreeMap::new(),
        }
    }
}

impl DevChain {
    fn into_genesis(self) -> Genesis {
        let mut alloc = self.alloc;
        let fork = self.hardfork.0;
        let is_confidential = self.confidentiality == Confidentiality::On;
        let (genesis_fee, fixed_base_fee) = match self.base_fee {
            // A base fee that follows use tells of use.
            DevBaseFee::Initial(_) if is_confidential => (0, Some(0)),
            DevBaseFee::Initial(fee) => (fee, None),
            DevBaseFee::Fixed(fee) => (fee, Some(fee)),
        };
        if fork >= EthereumHardfork::Cancun {
            for (address, account) in predeploys::system_contracts() {
                alloc.entry(address).or_insert(account);
            }
        }
        for (address, account) in predeploys::development_contracts() {
            alloc.entry(address).or_insert(account);
        }
        Genesis {
            config: ChainConfig {
                chain_id: self.chain_id,
                forks: ForkSchedule::all_up_to(fork),
                blob_schedule: BTreeMap::new(),
                deposit_contract: None,
                cloister: CloisterConfig {
                    confidentiality: self.confidentiality,
                    gas_schedule: if is_confidential { GasSchedule::Flat } else { GasSchedule::Ethereum },
                    fixed_base_fee,
                    // Contracts and their tests count on time passing from block to block, as on Ethereum.
                    allow_equal_timestamps: false,
                    max_transactions_per_block: None,
                    max_code_size: self.code_size_limit,
                    development: true,
                    production: false,
                    imported: false,
                },
                sign_in: None,
                members: Vec::new(),
                attestation: None,
                raft: None,
            },
            nonce: 0,
            timestamp: self.timestamp,
            extra_data: Bytes::new(),
            gas_limit: self.gas_limit,
            difficulty: U256::ZERO,
            mix_hash: B256::ZERO,
            coinbase: Address::ZERO,
            parent_hash: B256::ZERO,
            base_fee_per_gas: (fork >= EthereumHardfork::London).then_some(genesis_fee),
            excess_blob_gas: None,
            blob_gas_used: None,
            alloc,
        }
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
