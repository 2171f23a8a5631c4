//! Where the host keeps what the enclave has sealed.
//!
//! **Duty.** Stores records durably and in order, hands them back unchanged, and says by name what
//! is wrong when it cannot: a locked folder, another chain's folder, damage, a full disk. Puts all of it into one
//! file, and back.
//!
//! **Trusts.** The file system, to keep what was synced. Not the records: they are opaque bytes.
//! Whether they were swapped or rolled back is for the enclave to find out, which sealed them.
//!
//! **Invariants.** [`append`](BlobStore::append) is all or nothing, and durable when it returns.
//! The blocks are one run of heights without a hole. A snapshot is offered only when complete.
//! What was acknowledged is never lost, and what was refused never comes back within one process.
//! The one RocksDB of the workspace is linked here.
//!
//! **Not here.** Encryption, padding, the meaning of a record, deciding when to snapshot or prune
//! (all the enclave's), threads (`host/node` owns those).

mod backup;
mod error;
mod index;
mod memory;
mod rocks;
mod schema;

use cloister_boundary::{Record, StoredLog, StoredSnapshot};
use cloister_primitives::Height;

pub use backup::{BACKUP_VERSION, Backup, BackupError, restore};
pub use error::{Refusal, StoreError};
pub use memory::MemoryStore;
pub use rocks::{Store, StoreOptions};

/// Version of the layout on disk. A folder of another version is refused.
pub const FORMAT_VERSION: u32 = 1;

/// Which chain a folder belongs to. Public facts, stored in the clear, so that a person who mixes
/// up two folders gets a sentence rather than a decryption failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainIdentity {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the genesis block.
    pub genesis_hash: [u8; 32],
}

impl core::fmt::Display for ChainIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "chain {} with genesis 0x", self.chain_id)?;
        self.genesis_hash[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

/// What is stored beside the chain, sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The newest metadata record.
    pub meta: Option<Vec<u8>>,
    /// Records of the consensus log, oldest first.
    pub consensus: Vec<Vec<u8>>,
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// What the store's files take.
    pub used_bytes: u64,
    /// What is left for this user.
    pub free_bytes: u64,
}

/// A place for sealed records. Reads may run on other threads while one thread appends.
pub trait BlobStore: Send + Sync {
    /// Stores all records, in order and atomically; they are durable when this returns. A
    /// [`Record::Truncate`] must be the only record of its call.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a record contradicts what is stored; otherwise what went wrong
    /// underneath. In each case none of the records is stored. After [`StoreError::NoSpace`] the
    /// same call works again once space was freed.
    fn append(&self, records: &[Record]) -> Result<(), StoreError>;

    /// The blobs of the heights `from .. from + count`, `None` where nothing is stored. The answer
    /// ends early, but never before its first entry, when the next blob would bring it over
    /// [`MAX_BLOCKS_ANSWER`](cloister_boundary::limits::MAX_BLOCKS_ANSWER) bytes, and after
    /// [`MAX_BLOCKS_PER_READ`](cloister_boundary::limits::MAX_BLOCKS_PER_READ) entries.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn blocks(&self, from: Height, count: u32) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// One chunk of a snapshot, complete or not.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn chunk(&self, snapshot: Height, index: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// The section of the log index that ends at this height.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn log_section(&self, last: Height) -> Result<Option<Vec<u8>>, StoreError>;

    /// First and last stored block.
    fn bounds(&self) -> StoredLog;

    /// Complete snapshots, by ascending height.
    fn snapshots(&self) -> Vec<StoredSnapshot>;

    /// What is kept beside the chain.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn kept(&self) -> Result<Kept, StoreError>;

    /// The room that it takes on a disk; `None` where it takes none.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    fn disk(&self) -> Result<Option<DiskUse>, StoreError>;

    /// The chain this store belongs to; `None` while it is new.
    fn chain(&self) -> Option<ChainIdentity>;

    /// Claims the store for a chain, durably. Claiming it again for the same chain does nothing.
    ///
    /// # Errors
    /// [`StoreError::ForeignChain`] when it belongs to another.
    fn claim(&self, chain: ChainIdentity) -> Result<(), StoreError>;
}
