//! What goes into the core and what comes out of it.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use cloister_access::Caller;
use cloister_boundary::{FromEnclave, NodeRole, ToEnclave, limits::MAX_SEALED};
use cloister_keys::SealingPublic;
use cloister_ordering::{Pace, raft::NodeId};
use cloister_primitives::{Height, RecoveredTransaction};

use crate::{
    CoreError, Fatal, Imported, LogSection, Opened, PendingJob, ReplayedState, StoredBlock,
    ledger::Resident,
    work::{Work, WorkResult},
};

/// Host time, as the host reports it. Moves timers and block timestamps, nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Number of a request; the reply carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Number of a piece of work; the result carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// Everything the core reacts to.
#[derive(Debug)]
pub enum CoreMessage {
    /// From the host, over the boundary. Connection traffic is the shell's and never comes here.
    Host(ToEnclave),
    /// Requests that arrived together; recovery of their senders is batched.
    Requests(Vec<(RequestId, Request)>),
    /// A piece of work is done.
    Done(WorkId, WorkResult),
    /// Something about a link to another node, whose other end has proved to be that node.
    Peer(NodeId, PeerEvent),
    /// Time went on: the armed deadline may have passed.
    Wake,
}

/// What happens on a link between two nodes.
#[derive(Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// The node can be spoken to.
    Connected,
    /// It said this.
    Said(Vec<u8>),
    /// It cannot be spoken to any more. What was said last may not have arrived.
    Gone,
}

impl core::fmt::Debug for PeerEvent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Connected => f.write_str("Connected"),
            Self::Said(message) => write!(f, "Said(<{} bytes>)", message.len()),
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// What the core wants done. Effects are carried out in order.
#[derive(Debug)]
pub enum CoreEffect {
    /// To the host, over the boundary.
    Host(FromEnclave),
    /// A long pure computation; its result comes back as [`CoreMessage::Done`].
    Work(WorkId, Work),
    /// To another node. It may get lost, with all that follows, when the link breaks.
    Peer {
        /// The node.
        to: NodeId,
        /// At most [`MAX_PEER_MESSAGE_BYTES`].
        message: Bytes,
    },
    /// Who else may be a node of the network from now on, and the SHA-256 of the key that proves it.
    Nodes(Vec<(NodeId, B256)>),
    /// The answer to a request.
    Reply(RequestId, Result<Response, CoreError>),
    /// Something readers wait for.
    Event(Event),
    /// Call again with [`CoreMessage::Wake`] at this time.
    Arm {
        /// Milliseconds since the Unix epoch, in the host's time.
        deadline_ms: u64,
    },
    /// No timer is wanted.
    Disarm,
    /// The chain is loaded: readers may be served.
    Opened(Opened),
    /// Something odd that the core survived, in constant words.
    Warn(&'static str),
    /// The same about the blocks up to a height.
    WarnAt(&'static str, Height),
    /// The last effect: the core takes no more messages.
    Halt(Fatal),
}

/// What subscribers hear.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block was committed.
    Committed(Arc<CommittedBlock>),
    /// Transactions entered the pool and could be executed: (hash, sender).
    Admitted(Vec<(B256, Address)>),
    /// A development network went back to this height.
    Reverted(Height),
}

/// A committed block; opaque until opened for a caller.
#[derive(Clone, Debug)]
pub struct CommittedBlock(pub(crate) Resident);

impl CommittedBlock {
    /// The block's height.
    #[must_use]
    pub fn height(&self) -> Height {
        self.0.block.height()
    }

    /// Opaque handle for [`crate::Reader::open`].
    #[must_use]
    pub fn stored(&self) -> StoredBlock {
        StoredBlock(self.0.clone())
    }
}

/// A typed request of a known caller.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// What for.
    pub body: RequestBody,
}

/// When a submitted transaction is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerAt {
    /// Once it is in the pool.
    Admission,
    /// Once its block is committed, where blocks are made instantly and it is executable; else at
    /// admission.
    CommitIfInstant,
    /// Once its block is committed, however long that takes.
    Commit,
}

/// What is asked of the core. Reads of committed data do not come here: they go through
/// [`crate::Reader`].
#[derive(Clone, Debug)]
pub enum RequestBody {
    /// An EIP-2718 or legacy transaction as it came from a client, or one sealed in an envelope.
    Submit {
        /// The raw bytes.
        raw: Bytes,
        /// When to answer.
        answer_at: AnswerAt,
    },
    /// What clients seal transactions for.
    SealingKeys,
    /// Where this node and its network stand.
    NetworkStatus,
    /// The next nonce of a sender over the state, blocks in flight and the pool.
    PendingNonce {
        /// The sender.
        address: Address,
    },
    /// A pending transaction by hash.
    PoolTransaction {
        /// Its hash.
        hash: B256,
    },
    /// Pending and queued transactions.
    PoolContent {
        /// Only this sender's.
        sender: Option<Address>,
    },
    /// A section of old blocks that contains this height.
    Load {
        /// The height.
        height: Height,
    },
    /// The section of the log index that ends at this height.
    LoadLogSection {
        /// As [`crate::Lookup::Stored`] named it.
        last: Height,
    },
    /// A state older than the resident history, rebuilt from a snapshot (`--history full`).
    Replay {
        /// The height.
        height: Height,
    },
    /// A block of Ethereum's, for a chain whose genesis says that its blocks are imported. Several may be on their
    /// way; they are executed in the order they come.
    Import {
        /// Its RLP.
        block: Bytes,
    },
    /// Keeps notes of the shell's own, in place of those that were kept before; answered once they are durable. They are
    /// handed out again when the chain is opened.
    KeepNotes {
        /// At most [`MAX_NOTES_BYTES`].
        notes: Vec<u8>,
    },
    /// Time, mining and snapshots of a development network.
    Development(DevelopmentRequest),
}

/// Longest message between two nodes: a sealed block, and what says which.
pub const MAX_PEER_MESSAGE_BYTES: usize = MAX_SEALED + (64 << 10);

/// Longest notes that are kept.
pub const MAX_NOTES_BYTES: usize = 500_000;

/// Requests that exist in development networks only.
#[derive(Clone, Debug)]
pub enum DevelopmentRequest {
    /// Makes `blocks` blocks, `interval_s` apart in chain time.
    Mine {
        /// How many.
        blocks: u64,
        /// Seconds between their timestamps; `None` leaves time alone.
        interval_s: Option<u64>,
        /// Timestamp of the first one, seconds.
        timestamp: Option<u64>,
    },
    /// Changes how blocks are made.
    SetPace(Pace),
    /// How blocks are made.
    Pace,
    /// Moves the clock forward for all later blocks.
    IncreaseTime {
        /// Seconds.
        seconds: u64,
    },
    /// Sets the clock, also back, for all later blocks.
    SetTime {
        /// Unix time in milliseconds.
        now_ms: u64,
    },
    /// Fixes the timestamp of the next block.
    SetNextTimestamp {
        /// Unix time in seconds.
        timestamp: u64,
    },
    /// Puts the timestamps of later blocks this far apart; `None` lets them follow the clock again.
    SetTimestampInterval {
        /// Seconds.
        interval_s: Option<u64>,
    },
    /// The block that would be made now.
    Pending,
    /// Remembers the chain as it is.
    Snapshot,
    /// Goes back to a remembered chain and forgets it and later ones.
    Revert {
        /// What [`Response::Number`] named.
        id: u64,
    },
    /// Takes back the newest blocks, and forgets snapshots above those that stay.
    Rollback {
        /// How many.
        blocks: u64,
    },
    /// Goes back to the genesis block, forgets everything else and every snapshot.
    Reset,
    /// Sets the gas limit of later blocks.
    SetBlockGasLimit {
        /// Gas.
        gas_limit: u64,
    },
    /// The base fee of the next block.
    NextBaseFee,
    /// Fixes the base fee of the next block.
    SetNextBaseFee {
        /// Wei per gas.
        base_fee_per_gas: u64,
    },
    /// Sets the beneficiary of later blocks.
    SetCoinbase {
        /// The account.
        beneficiary: Address,
    },
    /// Fixes `prevRandao` of the next block.
    SetPrevRandao {
        /// The value.
        value: B256,
    },
    /// Changes the state of the head without a block.
    Patch(StatePatch),
    /// Lets transactions be sent in this account's name without its key.
    Impersonate {
        /// The account.
        address: Address,
    },
    /// Ends [`Self::Impersonate`].
    StopImpersonating {
        /// The account.
        address: Address,
    },
    /// An unsigned transaction of an impersonated account.
    SubmitImpersonated {
        /// The transaction with its pretended sender.
        transaction: RecoveredTransaction,
        /// When to answer.
        answer_at: AnswerAt,
    },
    /// Takes a transaction out of the pool.
    DropTransaction {
        /// Its hash.
        hash: B256,
    },
    /// Empties the pool.
    DropAll,
}

/// One change to the state of a development network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePatch {
    /// The account that changes.
    pub address: Address,
    /// What changes about it.
    pub change: PatchChange,
}

/// What a [`StatePatch`] changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchChange {
    /// The balance, wei.
    Balance(alloy_primitives::U256),
    /// The nonce.
    Nonce(u64),
    /// The code.
    Code(Bytes),
    /// One storage slot and its value.
    Storage(alloy_primitives::U256, alloy_primitives::U256),
}

/// Where a node and its network stand. Public: the host can tell most of it from what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkStatus {
    /// This node.
    pub node: NodeId,
    /// The term (Raft §5.1).
    pub term: u64,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// The newest committed block here.
    pub head: Height,
    /// The newest block that the network has committed, as far as this node knows.
    pub committed: Height,
    /// Index of the last entry of its log.
    pub last_index: u64,
    /// Numbers of the nodes that vote.
    pub voters: Vec<u64>,
    /// Numbers of the nodes that only listen.
    pub learners: Vec<u64>,
    /// Nodes that this one can speak to.
    pub connected: Vec<NodeId>,
    /// It fetches blocks that the others' logs do not reach back to any more.
    pub is_catching_up: bool,
    /// It has not heard yet, after its start, how far the others are.
    pub is_waiting: bool,
    /// Transactions in its pool; not said on a confidential chain.
    pub pending: Option<usize>,
    /// Why it takes no part any more.
    pub fault: Option<&'static str>,
}

impl NetworkStatus {
    /// What this node does.
    #[must_use]
    pub fn role(&self) -> NodeRole {
        if self.fault.is_some() {
            NodeRole::Out
        } else if self.leader == Some(self.node) {
            NodeRole::Leader
        } else if self.is_catching_up {
            NodeRole::CatchingUp
        } else if self.is_waiting {
            NodeRole::Waiting
        } else if self.learners.contains(&self.node.get()) {
            NodeRole::Learner
        } else {
            NodeRole::Follower
        }
    }
}

/// What a client needs to seal transactions for this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingOffer {
    /// Public keys and their epoch.
    pub keys: SealingPublic,
    /// The chain that envelopes are bound to.
    pub chain_id: u64,
    /// Hash of its first block.
    pub genesis_hash: B256,
    /// How long the keys will be the current ones, milliseconds.
    pub expires_in_ms: u64,
}

/// Answers.
#[derive(Clone, Debug)]
pub enum Response {
    /// The transaction is in the pool.
    Admitted {
        /// Its hash.
        hash: B256,
    },
    /// The transaction's block is committed.
    Included {
        /// Its hash.
        hash: B256,
        /// Height of its block.
        height: Height,
        /// Its index there.
        index: u32,
    },
    /// The public sealing keys of this epoch.
    SealingKeys(SealingOffer),
    /// Where the network stands; nothing where there is none.
    NetworkStatus(Option<Box<NetworkStatus>>),
    /// A nonce, a snapshot's id, a time: what the request asked for.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A pending transaction, if there is one that the caller may see.
    PoolTransaction(Option<RecoveredTransaction>),
    /// Pending (executable) and queued transactions, each ordered by sender and nonce.
    PoolContent {
        /// Executable ones.
        pending: Vec<RecoveredTransaction>,
        /// Those waiting for a nonce before them.
        queued: Vec<RecoveredTransaction>,
    },
    /// A section of old blocks.
    Stored(Vec<StoredBlock>),
    /// A section of the log index.
    LogSection(LogSection),
    /// A state rebuilt at a height.
    Replayed(ReplayedState),
    /// What became of a block to import.
    Imported(Imported),
    /// How blocks are made.
    Pace(Pace),
    /// The block that would be made now.
    Pending(PendingJob),
    /// Done; nothing to say.
    Done,
}
