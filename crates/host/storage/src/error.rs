//! What can be wrong with a store, in sentences a person can act on.

use std::path::{Path, PathBuf};

use cloister_boundary::StorageFault;
use cloister_primitives::Height;
use thiserror::Error;

use crate::{ChainIdentity, FORMAT_VERSION};

/// Why a store cannot be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Another process has the folder open.
    #[error("{} is in use by another node; stop it, or choose another folder", .path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder belongs to another chain.
    #[error("{} holds another chain: expected {expected}, found {found}; choose another folder, or start with that chain's genesis", .path.display())]
    ForeignChain {
        /// The folder.
        path: PathBuf,
        /// The chain this node runs.
        expected: ChainIdentity,
        /// The chain the folder holds.
        found: ChainIdentity,
    },
    /// The folder was written by another version of this program.
    #[error("{} has format {found}, this program reads format {FORMAT_VERSION}", .path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// Its format version.
        found: u32,
    },
    /// What is stored is damaged.
    #[error("{} is damaged: {detail}; restore it from a backup, or start from an empty folder", .path.display())]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// What the database says.
        detail: String,
    },
    /// The disk is full.
    #[error("no space left for {}; writing goes on once space is freed", .path.display())]
    NoSpace {
        /// The folder.
        path: PathBuf,
    },
    /// The device, the file system or a permission.
    #[error("cannot use {}: {detail}", .path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// A record contradicts what is stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why a record does not fit what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The block is not the next one.
    #[error("block {found} does not follow block {last}")]
    OutOfOrder {
        /// The last stored block.
        last: Height,
        /// The block that came.
        found: Height,
    },
    /// The snapshot is complete already.
    #[error("snapshot {snapshot} is complete already")]
    SnapshotComplete {
        /// The snapshot.
        snapshot: Height,
    },
    /// The snapshot lacks chunks, or has more than its number.
    #[error("snapshot {snapshot} has {found} of {chunks} chunks")]
    ChunkCount {
        /// The snapshot.
        snapshot: Height,
        /// Chunks announced.
        chunks: u32,
        /// Chunks stored.
        found: u32,
    },
    /// The chunk's index, or the number of chunks, is over the limit.
    #[error("chunk {index} of snapshot {snapshot} is over the limit")]
    ChunkLimit {
        /// The snapshot.
        snapshot: Height,
        /// The index.
        index: u32,
    },
    /// The log section covers blocks that are not stored.
    #[error("log section {last} is ahead of the stored blocks")]
    LogSectionAhead {
        /// Height of the section's last block.
        last: Height,
    },
    /// A truncation came together with other records.
    #[error("a truncation stands alone in its batch")]
    TruncateNotAlone,
    /// There are as many snapshots as may be kept; one must be dropped first.
    #[error("there are {count} snapshots, as many as may be kept")]
    SnapshotLimit {
        /// Number of snapshots.
        count: usize,
    },
}

impl StoreError {
    /// What the enclave is told.
    #[must_use]
    pub const fn fault(&self) -> StorageFault {
        match self {
            Self::NoSpace { .. } => StorageFault::NoSpace,
            Self::Corrupt { .. } | Self::Format { .. } => StorageFault::Corrupt,
            Self::Refused(_) => StorageFault::Refused,
            Self::Locked { .. } | Self::ForeignChain { .. } | Self::Io { .. } => StorageFault::Io,
        }
    }

    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path: path.to_owned() }
            }
            _ => Self::Io { path: path.to_owned(), detail: error.to_string() },
        }
    }

    /// RocksDB tells a full disk from other failures only in its text.
    pub(crate) fn rocks(path: &Path, error: &rocksdb::Error) -> Self {
        use rocksdb::ErrorKind;
        let text = error.as_ref();
        let path = path.to_owned();
        if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
            return Self::NoSpace { path };
        }
        let detail = text.to_owned();
        // Files that the database's own list names and the folder lacks.
        let missing = text.contains("No such file or directory");
        match error.kind() {
            ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotFound => Self::Corrupt { path, detail },
            _ if missing => Self::Corrupt { path, detail },
            _ => Self::Io { path, detail },
        }
    }
}
