//! Ids, chain specification and genesis, block, transaction and receipt types, error codes.
//!
//! **Duty.** The vocabulary that every other crate shares. Pure data and pure functions.
//!
//! **Trusts.** Nothing: a genesis file is hostile bytes until it has been parsed.
//!
//! **Invariants.** A chain specification is complete: every question about forks, fees and limits
//! at a height and a time has one answer. Types here hold no secrets, so all of them may implement
//! `Debug` and `Serialize`.
//!
//! **Not here.** Execution, storage, cryptography beyond hashing, I/O of any kind.

mod block;
mod commitments;
mod declassified;
pub mod envelope;
mod error;
mod forks;
mod genesis;
mod headers;
mod ids;
mod predeploys;
pub mod protection;
mod recovery;
mod spec;

pub use alloy_eips::{eip1559::BaseFeeParams, eip7840::BlobParams};
pub use alloy_hardforks::{EthereumHardfork, ForkCondition};
pub use block::{Block, Receipt, RecoveredTransaction, Transaction};
pub use commitments::{Commitment, Commitments};
pub use declassified::Declassified;
pub use error::{Code, Rejected};
pub use forks::{ForkSchedule, HardforkName, UnknownHardfork};
pub use genesis::{
    Attestation, ChainConfig, CloisterConfig, Confidentiality, GasSchedule, Genesis, GenesisAccount, GenesisError,
    GenesisWarning, MAX_GENESIS_ACCOUNTS, MAX_GENESIS_BYTES, MAX_GENESIS_CODE_BYTES, MAX_GENESIS_EXTRA_DATA_BYTES,
    MAX_GENESIS_MEMBERS, MAX_GENESIS_WARNINGS, MeasuredDigest, Measurement, PlatformName, RaftGenesis, RaftNode,
    SignIn, Site, fork_keys, mark_imported,
};
pub use ids::{Height, Seq};
pub use predeploys::{
    DETERMINISTIC_DEPLOYER_ADDRESS, DETERMINISTIC_DEPLOYER_CODE, MULTICALL3_ADDRESS, MULTICALL3_CODE, NODES_ADDRESS,
    NODES_CODE, VISIBILITY_ADDRESS, VISIBILITY_CODE, confidential_contracts, development_contracts, network_contracts,
    system_contracts,
};
pub use protection::Protection;
pub use recovery::{MAX_RECOVERY_SIGNATURES, RecoveryStatement, SignedRecovery};
pub use spec::{
    BaseFeePolicy, ChainSpec, DEFAULT_MAX_CODE_SIZE_BYTES, DEFAULT_MAX_TRANSACTIONS_PER_BLOCK, DEVELOPMENT_CHAIN_ID,
    DEVELOPMENT_GAS_LIMIT, DevBaseFee, DevChain, Limits, MAX_BLOCK_RECORD_BYTES, MAX_TRANSACTION_GAS,
    MAX_TRANSACTION_SIZE_BYTES,
};
