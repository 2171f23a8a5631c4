//! Everything that can go wrong, named so that an operator knows which input to blame.

use alloy_primitives::{Address, B256, U256};
use cloister_primitives::Height;

/// Why the state refused a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The height has left the ring of reverse deltas, or was rewound and built anew.
    #[error("the state at height {height} is no longer available")]
    HistoryUnavailable {
        /// The height asked for.
        height: Height,
    },
    /// The height lies above the tip.
    #[error("height {height} has not been applied yet")]
    NotYetApplied {
        /// The height asked for.
        height: Height,
    },
    /// A block was applied out of order.
    #[error("expected block {expected}, got block {got}")]
    NotNext {
        /// The height that would have continued the chain.
        expected: Height,
        /// The height that was offered.
        got: Height,
    },
    /// No block has been applied and no snapshot loaded.
    #[error("the state is empty: no block has been applied")]
    Empty,
    /// The delta contradicts itself.
    #[error("malformed delta: {0}")]
    Delta(#[from] DeltaError),
    /// An account names code that neither the delta nor the state holds.
    #[error("account {address} names unknown code {code_hash}")]
    UnknownCode {
        /// The account.
        address: Address,
        /// Hash of the missing code.
        code_hash: B256,
    },
    /// So much changed since the height that building its trie would hold up the writer.
    #[error("{changes} changes since height {height} are too many to build a proof through")]
    ProofTooOld {
        /// The height asked for.
        height: Height,
        /// Changes between that height and the tip.
        changes: u64,
    },
    /// Supposed changes are more than one projection takes.
    #[error("{changes} changes are too many to compute a state root over, the limit is {limit}")]
    ProjectionTooLarge {
        /// How many there are.
        changes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Blocks kept coming in while a state root over supposed changes was computed.
    #[error("the state changed too often while a root was computed")]
    Overtaken,
    /// The trie does not have the root it must have.
    #[error("state root is {computed}, expected {expected}")]
    RootMismatch {
        /// The root that was promised.
        expected: B256,
        /// The root of what is there.
        computed: B256,
    },
    /// A snapshot's bytes are wrong, or a chunk size is of no use.
    #[error("snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
}

/// How a [`StateDelta`](crate::StateDelta) may contradict itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// Accounts repeat, or are not in ascending order of address.
    #[error("account {0} is repeated or out of order")]
    AccountOrder(Address),
    /// Slots repeat, or are not in ascending order.
    #[error("slot {slot} of account {address} is repeated or out of order")]
    SlotOrder {
        /// The account.
        address: Address,
        /// The offending slot.
        slot: U256,
    },
    /// An account that is gone cannot have storage.
    #[error("account {0} is gone but has storage changes")]
    StorageOfGoneAccount(Address),
    /// Codes repeat, or are not in ascending order of their bytes.
    #[error("codes are repeated or out of order")]
    CodeOrder,
    /// Empty code is never stored.
    #[error("empty code")]
    EmptyCode,
}

/// What may be wrong with the bytes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The limit leaves no room for the largest record that cannot be split.
    #[error("chunks of {given} bytes cannot hold a record; {minimum} are needed")]
    ChunkTooSmall {
        /// The limit asked for.
        given: usize,
        /// The smallest limit that works.
        minimum: usize,
    },
    /// A chunk does not start with a known version.
    #[error("unknown format version {0:?}")]
    Version(Option<u8>),
    /// A chunk ends in the middle of a record.
    #[error("chunk ends in the middle of a record")]
    Truncated,
    /// A record of unknown kind.
    #[error("unknown record kind {0}")]
    UnknownRecord(u8),
    /// A number is longer than 32 bytes or has leading zeros.
    #[error("number is not in its shortest form")]
    NumberForm,
    /// A slot holds zero, which is the same as no slot.
    #[error("slot {0} holds zero")]
    ZeroSlot(B256),
    /// Accounts repeat or are not in ascending order.
    #[error("account {0} is repeated or out of order")]
    AccountOrder(B256),
    /// Slots repeat or are not in ascending order.
    #[error("slot {0} is repeated or out of order")]
    SlotOrder(B256),
    /// A slot comes before any account.
    #[error("slot {0} belongs to no account")]
    SlotWithoutAccount(B256),
    /// Code comes where no account asks for it.
    #[error("code that no account names")]
    UnexpectedCode,
    /// An account's code is missing or incomplete.
    #[error("code {0} is missing or incomplete")]
    MissingCode(B256),
    /// Code does not have the hash its account names.
    #[error("code hashes to {computed}, its account names {expected}")]
    CodeMismatch {
        /// The hash the account names.
        expected: B256,
        /// The hash of the bytes that came.
        computed: B256,
    },
}
