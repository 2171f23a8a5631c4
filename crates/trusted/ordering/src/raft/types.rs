//! What the Raft engine is told, what it wants, and what it names.

use core::num::NonZeroU64;

use alloy_primitives::B256;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use cloister_primitives::{Height, Seq};

use super::stored::LogRecord;
use crate::{Empty, Pace, Slot};

/// A node of the network, for as long as its disk lives: a node that lost its log comes back under another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// The node with this number; zero is nobody (`raft` reserves it).
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// A sealed block as the log names it. Its bytes travel and are stored beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct BlockRef {
    /// Its height.
    pub height: Height,
    /// Digest of its sealed bytes.
    pub digest: B256,
}

/// How much of the log there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Entries kept in memory below the beginning of the log: a follower that is further behind catches up with the state
    /// instead.
    pub kept_entries: usize,
    /// Committed entries between two beginnings of the log.
    pub rebase_every: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { kept_entries: 4_096, rebase_every: 256 }
    }
}

/// Who takes part. While `outgoing` is not empty, decisions need a majority of it as well (Raft §6, joint consensus).
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Members {
    /// Numbers of the nodes that vote.
    pub voters: Vec<u64>,
    /// Numbers of the nodes that only listen.
    pub learners: Vec<u64>,
    /// The voters that are on their way out.
    pub outgoing: Vec<u64>,
    /// Outgoing voters that become learners.
    pub learners_next: Vec<u64>,
    /// Whether the engine leaves the joint configuration by itself.
    pub auto_leave: bool,
}

impl Members {
    /// A network of these voters.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { voters: voters.into_iter().map(NodeId::get).collect(), ..Self::default() }
    }

    /// Whether a node takes part in any way.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        [&self.voters, &self.learners, &self.outgoing, &self.learners_next]
            .into_iter()
            .any(|nodes| nodes.contains(&node.get()))
    }
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It votes.
    Voter,
    /// It listens.
    Learner,
    /// It takes no part.
    Gone,
}

/// Names one question for the newest committed height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// What the engine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// There are transactions that could go into a block.
    Demand,
    /// Build the next block whatever the pace and even if it is empty.
    Force,
    /// The time the engine armed has come.
    Timer,
    /// A block for the slot has been executed.
    Built(Slot),
    /// Nothing was left to include: there is no block for the slot.
    Nothing(Slot),
    /// The block built for the slot is sealed.
    Sealed(Slot, BlockRef),
    /// The record is durable, with the blocks that it names.
    Persisted(Seq),
    /// A peer can be spoken to from here on.
    Connected(NodeId),
    /// An authenticated peer said this.
    Peer(NodeId, Vec<u8>),
    /// The bytes of a block are here, and their digest is the block's.
    Received(BlockRef),
    /// The state after this block is here: what [`Effect::CatchUp`] asked for.
    CaughtUp(BlockRef),
    /// An approved change of who takes part.
    Reconfigure(Vec<(NodeId, Standing)>),
    /// Somebody wants to read what is newest.
    Read(ReadId),
    /// Blocks are made differently from now on.
    SetPace(Pace),
}

/// What the engine wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Build a block; its parent is the block built or adopted last.
    Build {
        /// The attempt.
        slot: Slot,
        /// What to do when there is nothing to include.
        empty: Empty,
    },
    /// Seal the block built for the slot, then say [`Input::Sealed`].
    Seal(Slot),
    /// Give these bytes to a peer. They may be lost, repeated, or overtaken by others.
    Send {
        /// The peer.
        to: NodeId,
        /// The message.
        message: Vec<u8>,
    },
    /// Make the record durable, and the sealed blocks that it names.
    Persist {
        /// The number the host's answer will carry; they are answered in order.
        seq: Seq,
        /// What to store.
        record: LogRecord,
    },
    /// Get the sealed bytes of a block from a peer, then say [`Input::Received`].
    Fetch {
        /// Who has it.
        from: NodeId,
        /// The block.
        block: BlockRef,
    },
    /// The log before this block is gone everywhere: get the state after it, then say [`Input::CaughtUp`].
    CatchUp {
        /// Who has it.
        from: NodeId,
        /// The block.
        block: BlockRef,
    },
    /// The state that was caught up with takes the place of this node's own, up to this block, which is committed; what was built
    /// or adopted above it is lost.
    Restore(BlockRef),
    /// Open the block another node built, check that it continues the newest one, and apply it; nobody sees it yet.
    Adopt(BlockRef),
    /// The block at this height is final and becomes visible.
    Commit(Height),
    /// Blocks built or adopted at this height and above lost their places: rewind.
    Discard {
        /// The lowest height that is undone.
        from: Height,
    },
    /// From here on these take part.
    Members(Members),
    /// The newest committed height was at least this when the question was asked, confirmed by a majority (Raft §8).
    ReadAt {
        /// The question.
        read: ReadId,
        /// The height, which is committed here.
        height: Height,
    },
    /// No majority answered in time: the question may be asked again.
    Unconfirmed(ReadId),
    /// Give an [`Input::Timer`] at this time; replaces an earlier one.
    Arm {
        /// When, in the time of `step`.
        deadline_ms: u64,
    },
    /// Another node leads, or none is known to.
    Leader(Option<NodeId>),
    /// The engine takes part no longer. It still tells others that start how far it was.
    Halt(Fault),
}

/// Why an engine stops for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Members recovered the network from another node's disk: this node's part of it has ended.
    #[error("the network was recovered without this node, which knows of {known} recoveries; join anew")]
    LeftBehind {
        /// How many recoveries this node knows of.
        known: u64,
    },
    /// Another process with this node's identity started later, and claims to be it.
    #[error(
        "two processes have this node's identity; stop one of them, and never start two with one folder or its copy"
    )]
    Twice,
    /// Committed entries are not blocks in order of height.
    #[error("entry {index} of the log is committed and does not continue the chain")]
    BrokenChain {
        /// The entry.
        index: u64,
    },
    /// The engine below refuses to go on.
    #[error("the consensus engine failed: {0}")]
    Engine(String),
}

/// Where the engine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// The term (Raft §5.1).
    pub term: u64,
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Whether this node leads.
    pub leads: bool,
    /// The newest committed height.
    pub committed: Height,
    /// The newest height built or adopted.
    pub built: Height,
    /// The slot being built now.
    pub building: Option<Slot>,
    /// Index of the last entry of the log.
    pub last_index: u64,
    /// Whether it has not heard yet, after a start, how far the others are: until then it neither votes nor leads.
    pub is_waiting: bool,
}
