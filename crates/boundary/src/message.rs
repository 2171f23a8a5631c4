//! The messages themselves: plain data, no behaviour beyond names and careful `Debug`.

use core::fmt;
use std::borrow::Cow;
use std::sync::Arc;

use cloister_primitives::{Height, RecoveryStatement, Seq};

use crate::limits::MAX_DETAIL;
use crate::status::PublicStatus;

/// One client connection. Assigned by the host, counting up, never used twice by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One read request. Assigned by the enclave; the answer carries the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ReadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a client's connection comes from, as the host reports it. A hint: the host may lie, so
/// nothing confidential may rest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerOrigin {
    /// The same machine.
    Loopback,
    /// Any other machine.
    Remote,
    /// The host of another node of the network, as the host says; the enclave asks the peer itself for proof.
    Node {
        /// The number that genesis gives it.
        node: u64,
        /// Who opened the connection.
        opened_by: Side,
    },
}

/// One end of a connection between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This node.
    Here,
    /// The other one.
    There,
}

/// What a node of a network of several is given at its start.
#[derive(Clone, PartialEq, Eq)]
pub struct Membership {
    /// The number that genesis gives it.
    pub node: u64,
    /// Virtual platform only: the key that seals the network's ledger, the same for all its nodes.
    pub network_key: Vec<u8>,
}

/// Blocks the host has stored: every height from `first` to `last`, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredLog {
    /// Lowest stored height; `None` when the log is empty.
    pub first: Option<Height>,
    /// Highest stored height; `None` when the log is empty.
    pub last: Option<Height>,
}

/// One complete snapshot the host has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The block after which the state was cut.
    pub height: Height,
    /// Number of its chunks; their indices are `0..chunks`.
    pub chunks: u32,
}

/// What the enclave is given at its start. All of it is the host's word and is checked inside.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StartInfo {
    /// The host's wall clock: milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Genesis file: JSON text exactly as the operator gave it.
    pub genesis: Vec<u8>,
    /// Options for the shell: JSON, opaque to the boundary and the host library.
    pub options: Vec<u8>,
    /// Stored blocks.
    pub log: StoredLog,
    /// Stored complete snapshots, by ascending height.
    pub snapshots: Vec<StoredSnapshot>,
    /// The newest sealed metadata record.
    pub meta: Option<Vec<u8>>,
    /// Sealed records of the consensus log, oldest first.
    pub consensus: Vec<Vec<u8>>,
    /// In a network of several nodes: which of them this is.
    pub membership: Option<Membership>,
    /// Virtual platform only: the content of the sealing key file. Empty on real hardware, where
    /// the sealing key comes from the platform and never passes the host.
    pub platform_key: Vec<u8>,
}

/// Why the host could not store or read something. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageFault {
    /// The disk is full. Trying again after space was freed works.
    NoSpace,
    /// The device or file system failed.
    Io,
    /// What is stored does not pass the database's own checksums.
    Corrupt,
    /// The record contradicts what is stored: a gap in the log, a chunk of a finished snapshot, a
    /// finished snapshot with missing chunks.
    Refused,
}

impl StorageFault {
    /// Stable name, as shown in logs and to operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "no-space",
            Self::Io => "io",
            Self::Corrupt => "corrupt",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the host says to the enclave.
#[derive(Clone, PartialEq, Eq)]
pub enum ToEnclave {
    /// First message of all.
    Hello {
        /// The host's [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
        version: u16,
    },
    /// Second message: begin, with this.
    Start(StartInfo),
    /// Time passes. Moves timers and block timestamps, nothing else.
    Tick {
        /// Milliseconds since the Unix epoch; never less than in the message before.
        now_ms: u64,
    },
    /// The record with this number, and all before it, are durable.
    Persisted {
        /// Number given in [`FromEnclave::Persist`].
        seq: Seq,
    },
    /// The record with this number is not stored, and nothing sent after it will be until a
    /// `Persist` with this very number comes again.
    PersistFailed {
        /// Number given in [`FromEnclave::Persist`].
        seq: Seq,
        /// Why.
        fault: StorageFault,
    },
    /// Answer to [`FromEnclave::ReadBlocks`]: entry `i` is the blob at `from + i`, or `None` where
    /// nothing is stored. May be shorter than asked
    /// ([`MAX_BLOCKS_ANSWER`](crate::limits::MAX_BLOCKS_ANSWER)), never empty.
    Blocks {
        /// The request.
        id: ReadId,
        /// Sealed blobs in order of height.
        blocks: Vec<Option<Vec<u8>>>,
    },
    /// Answer to [`FromEnclave::ReadChunk`]; `None` where nothing is stored.
    Chunk {
        /// The request.
        id: ReadId,
        /// The sealed chunk.
        bytes: Option<Vec<u8>>,
    },
    /// Answer to [`FromEnclave::ReadLogSection`]; `None` where nothing is stored.
    LogSection {
        /// The request.
        id: ReadId,
        /// The sealed section.
        bytes: Option<Vec<u8>>,
    },
    /// The read could not be done.
    ReadFailed {
        /// The request.
        id: ReadId,
        /// Why.
        fault: StorageFault,
    },
    /// A client has connected.
    Open {
        /// Its new id.
        conn: ConnId,
        /// Where it comes from.
        peer: PeerOrigin,
    },
    /// Bytes from the client, within the credit the enclave has given.
    Data {
        /// The connection.
        conn: ConnId,
        /// 1 to [`MAX_DATA`](crate::MAX_DATA) bytes.
        bytes: Vec<u8>,
    },
    /// No more bytes will come from this client: it finished writing, or the connection is gone.
    /// Sent exactly once per connection.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// The socket took this many bytes; the enclave may send as many more.
    Credit {
        /// The connection.
        conn: ConnId,
        /// Bytes consumed.
        bytes: u32,
    },
    /// Finish: close connections, persist what was promised, then say `Halt{ShutDown}`.
    Shutdown,
}

/// What the enclave says to the host.
#[derive(Clone, PartialEq, Eq)]
pub enum FromEnclave {
    /// First message of all.
    Hello {
        /// The enclave's [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
        version: u16,
    },
    /// The chain is loaded; clients may connect.
    Ready {
        /// EIP-155 chain id.
        chain_id: u64,
        /// Hash of the genesis block.
        genesis_hash: [u8; 32],
        /// Newest committed block.
        head: Height,
    },
    /// Make this record durable and answer `Persisted` with the same number. Numbers grow by one;
    /// answers come in the same order. After `PersistFailed{seq}` every later record is answered
    /// `PersistFailed` too, until the enclave begins again with the failed number: so the stored
    /// log never has a hole. A number that is stored already may be sent again, as the answer may
    /// still be on its way; it is only answered again.
    Persist {
        /// Number of the request.
        seq: Seq,
        /// What to store.
        record: Record,
    },
    /// Read the blobs `from .. from + count`.
    ReadBlocks {
        /// Chosen by the enclave; at most
        /// [`MAX_READS_IN_FLIGHT`](crate::limits::MAX_READS_IN_FLIGHT) reads are open at one time.
        id: ReadId,
        /// First height.
        from: Height,
        /// 1 to [`MAX_BLOCKS_PER_READ`](crate::limits::MAX_BLOCKS_PER_READ).
        count: u32,
    },
    /// Read one chunk of a snapshot.
    ReadChunk {
        /// Chosen by the enclave.
        id: ReadId,
        /// The snapshot's height.
        snapshot: Height,
        /// Index of the chunk.
        index: u32,
    },
    /// Read one section of the log index.
    ReadLogSection {
        /// Chosen by the enclave.
        id: ReadId,
        /// The section's last height.
        last: Height,
    },
    /// Bytes for the client, within the credit the host has given.
    Data {
        /// The connection.
        conn: ConnId,
        /// 1 to [`MAX_DATA`](crate::MAX_DATA) bytes.
        bytes: Vec<u8>,
    },
    /// The enclave is done with this connection: write out what is queued, then close. Sent exactly
    /// once per connection.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// The enclave consumed this many bytes; the host may send as many more.
    Credit {
        /// The connection.
        conn: ConnId,
        /// Bytes consumed.
        bytes: u32,
    },
    /// Public facts for the operator, sent when they change.
    Status(PublicStatus),
    /// In place of `Ready`, where the options ask for a recovery of the network: what members are to sign, or what is durable
    /// now because they did.
    Recovery(RecoveryStatement),
    /// The enclave's last word.
    Halt {
        /// Why.
        code: HaltCode,
        /// Constant text for the operator.
        detail: Detail,
    },
}

/// One thing for the host to store. Sealed bytes are opaque to it.
#[derive(Clone, PartialEq, Eq)]
pub enum Record {
    /// The next block: its height is one above the last stored, or any for an empty log.
    Block {
        /// Height of the block.
        height: Height,
        /// Transactions, receipts and state delta, sealed and padded. Shared: who sends it keeps it until it is durable.
        sealed: Arc<Vec<u8>>,
    },
    /// One chunk of a snapshot that is being written. Any order; the same index again replaces it.
    SnapshotChunk {
        /// Height of the snapshot.
        snapshot: Height,
        /// Index of the chunk.
        index: u32,
        /// Part of the state, sealed and padded.
        sealed: Vec<u8>,
    },
    /// The snapshot is complete; chunks `0..chunks` must be there.
    SnapshotDone {
        /// Height of the snapshot.
        snapshot: Height,
        /// Number of chunks.
        chunks: u32,
    },
    /// Forget a snapshot, complete or not.
    DropSnapshot {
        /// Height of the snapshot.
        snapshot: Height,
    },
    /// One section of the log index: which of the blocks up to `last` have which logs. Its blocks must
    /// be stored; the same height again replaces it.
    LogSection {
        /// Height of the section's last block.
        last: Height,
        /// The section, sealed and padded.
        sealed: Vec<u8>,
    },
    /// Forget all blocks, snapshots and log sections above `last`: blocks that lost their places, or `evm_revert`.
    Truncate {
        /// Newest block that stays.
        last: Height,
    },
    /// Replace the sealed metadata.
    Meta {
        /// Sealed bytes.
        sealed: Vec<u8>,
    },
    /// The next record of the consensus log.
    Consensus {
        /// Its number; one more than that of the record before it.
        number: u64,
        /// Records with lower numbers than this are forgotten.
        keep_from: u64,
        /// The record, sealed and padded.
        sealed: Vec<u8>,
    },
}

impl Record {
    /// Bytes of sealed payload, which is what the record costs to queue and to store.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        match self {
            Self::Block { sealed, .. } => sealed.len(),
            Self::SnapshotChunk { sealed, .. }
            | Self::LogSection { sealed, .. }
            | Self::Meta { sealed }
            | Self::Consensus { sealed, .. } => sealed.len(),
            Self::SnapshotDone { .. } | Self::DropSnapshot { .. } | Self::Truncate { .. } => 0,
        }
    }
}

/// Why the enclave stopped. Codes and names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HaltCode {
    /// It was asked to.
    ShutDown,
    /// The other side speaks another protocol version.
    WrongVersion,
    /// The genesis file cannot be used.
    BadGenesis,
    /// The options cannot be used.
    BadOptions,
    /// The stored log belongs to another chain.
    ForeignLog,
    /// The sealing key does not open what is stored.
    WrongKey,
    /// A stored blob is missing, torn, swapped, replayed or flipped.
    DamagedLog,
    /// The host could not store what must be stored, and waiting does not help.
    StorageFailed,
    /// The host broke the protocol: a wrong, doubled or unasked answer.
    HostMisbehaved,
    /// A node of the network computed another result for the same block.
    Divergence,
    /// A state that the program excludes.
    Invariant,
    /// The network is not recovered; the text begins with a stable code of its own.
    RecoveryRefused,
    /// Another process has this node's identity.
    IdentityInUse,
}

impl HaltCode {
    /// All codes, in order of their wire values.
    pub const ALL: [Self; 13] = [
        Self::ShutDown,
        Self::WrongVersion,
        Self::BadGenesis,
        Self::BadOptions,
        Self::ForeignLog,
        Self::WrongKey,
        Self::DamagedLog,
        Self::StorageFailed,
        Self::HostMisbehaved,
        Self::Divergence,
        Self::Invariant,
        Self::RecoveryRefused,
        Self::IdentityInUse,
    ];

    /// Stable name, as shown in logs and to operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShutDown => "shut-down",
            Self::WrongVersion => "wrong-version",
            Self::BadGenesis => "bad-genesis",
            Self::BadOptions => "bad-options",
            Self::ForeignLog => "foreign-log",
            Self::WrongKey => "wrong-key",
            Self::DamagedLog => "damaged-log",
            Self::StorageFailed => "storage-failed",
            Self::HostMisbehaved => "host-misbehaved",
            Self::Divergence => "divergence",
            Self::Invariant => "invariant",
            Self::RecoveryRefused => "recovery-refused",
            Self::IdentityInUse => "identity-in-use",
        }
    }
}

impl fmt::Display for HaltCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that was a constant in the enclave's source. Only the decoder, on the host's side, can make
/// one from anything else, so no data of a client can leave the enclave in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(Cow<'static, str>);

impl Detail {
    /// Wraps a constant; what is longer than [`MAX_DETAIL`] bytes is cut when sent.
    #[must_use]
    pub const fn constant(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// Printable text of at most [`MAX_DETAIL`] bytes, as it came over the wire.
    pub(crate) fn decoded(text: &str) -> Option<Self> {
        let printable = text.chars().all(|c| !c.is_control());
        (printable && text.len() <= MAX_DETAIL).then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let mut end = self.0.len().min(MAX_DETAIL);
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        &self.0[..end]
    }
}

impl From<&'static str> for Detail {
    fn from(text: &'static str) -> Self {
        Self::constant(text)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
