//! The restart of a node of a network: its consensus log, and which of the stored blocks it names.

use alloy_primitives::Bytes;
use cloister_boundary::{HaltCode, StartInfo};
use cloister_ordering::raft::{BlockRef, Members, NodeId, StoredLog};
use cloister_primitives::{Height, RaftGenesis};

use crate::{
    BlockRecord, Fatal,
    peer_word::digest,
    replay::Origin,
    running::network::{NetworkParts, open_log},
};

/// What is known of the log while blocks are read back.
pub(crate) struct NetworkBoot {
    id: NodeId,
    stored: StoredLog,
    next_record: u64,
    host_last: Option<Height>,
    /// The lowest height whose block the log names and the host does not have.
    cut: Option<Height>,
    pub(crate) tail: Vec<BlockRecord>,
    /// Their sealed bytes.
    pub(crate) sealed_tail: Vec<(BlockRef, Bytes)>,
}

impl NetworkBoot {
    /// Reads the log of this node, if genesis names nodes.
    pub(crate) fn begin(info: &StartInfo, origin: &Origin) -> Result<Option<Self>, Fatal> {
        let (raft, membership) = match (origin.spec.raft(), &info.membership) {
            (None, None) => return Ok(None),
            (Some(raft), Some(membership)) => (raft, membership),
            (None, Some(_)) => {
                return Err(Fatal::new(HaltCode::BadOptions, "this genesis names no nodes: start without a node id"));
            }
            (Some(_), None) => {
                return Err(Fatal::new(HaltCode::BadOptions, "this genesis names nodes: say which of them this is"));
            }
        };
        let id = NodeId::new(membership.node).ok_or(Fatal::new(HaltCode::BadOptions, "a node id is not zero"))?;
        let fresh = StoredLog::new(Members::of_voters(voters(raft)));
        let (stored, next_record) = open_log(&origin.keys, id, fresh, &info.consensus)?;
        let boot = Self {
            id,
            stored,
            next_record,
            host_last: info.log.last,
            cut: None,
            tail: Vec::new(),
            sealed_tail: Vec::new(),
        };
        if boot.begins_after() > info.log.last {
            return Err(Fatal::new(HaltCode::DamagedLog, "the stored blocks end before the consensus log begins"));
        }
        Ok(Some(boot))
    }

    /// The last block before the log.
    fn begins_after(&self) -> Option<Height> {
        self.stored.base().block.map(|block| block.height)
    }

    /// The newest stored block that the log names.
    pub(crate) fn last(&self, stored: Option<Height>) -> Option<Height> {
        let named = self.stored.newest().map_or(Height::GENESIS, |block| block.height);
        stored.map(|stored| stored.min(named))
    }

    pub(crate) const fn node(&self) -> NodeId {
        self.id
    }

    /// The number of the next record of the log.
    pub(crate) const fn next_record(&self) -> u64 {
        self.next_record
    }

    /// The log as it is stored.
    pub(crate) const fn stored(&self) -> &StoredLog {
        &self.stored
    }

    pub(crate) const fn was_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Whether the block at this height is the one that the log names. What is not was never acknowledged; of what the network
    /// may still replace the bytes are kept.
    pub(crate) fn keeps(
        &mut self,
        height: Height,
        blob: &[u8],
        newest_snapshot: Option<Height>,
    ) -> Result<bool, Fatal> {
        let Some(block) = self.stored.block_at(height) else { return Ok(true) };
        if block.digest == digest(blob) {
            if self.is_tail(height, newest_snapshot) {
                self.sealed_tail.push((block, Bytes::copy_from_slice(blob)));
            }
            return Ok(true);
        }
        if Some(height) <= self.begins_after() || Some(height) <= newest_snapshot {
            return Err(Fatal::at(HaltCode::DamagedLog, "a stored block is not the one that was ordered", height.0));
        }
        self.cut = Some(height);
        Ok(false)
    }

    /// Whether the network may still replace this block, as far as this node knows. A snapshot is cut of what is committed.
    pub(crate) fn is_tail(&self, height: Height, newest_snapshot: Option<Height>) -> bool {
        height > Height::GENESIS && Some(height) > self.begins_after() && Some(height) > newest_snapshot
    }

    pub(crate) fn into_parts(mut self) -> NetworkParts {
        let stored_upto = self.host_last;
        let cut = self.cut;
        let kept = |block: BlockRef| Some(block.height) <= stored_upto && cut.is_none_or(|cut| block.height < cut);
        self.stored.cut(kept);
        NetworkParts {
            id: self.id,
            stored: self.stored,
            next_record: self.next_record,
            tail: self.tail,
            sealed_tail: self.sealed_tail,
            host_last: Some(self.host_last.unwrap_or(Height::GENESIS)),
        }
    }
}

fn voters(raft: &RaftGenesis) -> impl Iterator<Item = NodeId> + '_ {
    raft.nodes.iter().filter_map(|node| NodeId::new(node.id))
}
