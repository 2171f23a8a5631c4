//! Blocks of other nodes that this one executes as well: a difference is found out where it happens.

use core::{fmt, str::FromStr};
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, keccak256};
use cloister_boundary::HaltCode;
use cloister_execution::{Claimed, Executor, Parent};
use cloister_ordering::raft::NodeId;
use cloister_primitives::Height;
use cloister_state::State;

use crate::{BlockRecord, Fatal, work::RecentHashes};

/// Parts of a whole share.
const PARTS: u32 = 1_000_000;

/// Of the blocks that other nodes execute, the share that this one executes itself, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditShare(u32);

/// The text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("want a share of the blocks from 0 to 1, such as 0.01")]
pub struct NotAShare;

impl AuditShare {
    /// No block.
    pub const NONE: Self = Self(0);
    /// Every block.
    pub const ALL: Self = Self(PARTS);

    /// So many of a million.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(if millionths > PARTS { PARTS } else { millionths })
    }

    /// How many of a million.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Whether a block of this digest is one of them. Each node has others.
    pub(crate) fn takes(self, node: NodeId, digest: B256) -> bool {
        let drawn = keccak256([digest.as_slice(), &node.get().to_be_bytes()].concat());
        let drawn = u64::from_be_bytes(drawn[..8].try_into().unwrap_or_default());
        // The product of two numbers of 64 bits fits.
        (u128::from(drawn) * u128::from(PARTS)) >> 64 < u128::from(self.0)
    }
}

impl Default for AuditShare {
    /// One block in a hundred.
    fn default() -> Self {
        Self(PARTS / 100)
    }
}

impl FromStr for AuditShare {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let share: f64 = text.parse().map_err(|_| NotAShare)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(NotAShare);
        }
        // In range, so it fits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(Self((share * f64::from(PARTS)).round() as u32))
    }
}

impl fmt::Display for AuditShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / f64::from(PARTS))
    }
}

/// What executing another node's block needs.
#[derive(Clone, Debug)]
pub struct Reexecution {
    /// Executes.
    pub executor: Arc<Executor>,
    /// The parent's header.
    pub parent: Header,
    /// Hashes that `BLOCKHASH` can reach.
    pub hashes: RecentHashes,
}

impl Reexecution {
    /// Executes the block on its parent's state, which stays as it is, and compares what comes of it.
    pub(crate) fn check(&self, state: &State, parent_hash: B256, record: &BlockRecord) -> Result<(), Fatal> {
        let height = record.block.height();
        let differs = |detail| Fatal::at(HaltCode::Divergence, detail, height.0);
        let view = state.view(Height(self.parent.number));
        let view = view.map_err(|_| differs("the state below a block of another node cannot be read"))?;
        let parent = Parent { header: &self.parent, hash: parent_hash };
        let built = self.executor.reexecute(parent, Claimed::from(&*record.block), &view, &self.hashes);
        let built = built.map_err(|_| differs("a block of another node could not be executed again"))?;
        if built.receipts != record.block.receipts {
            return Err(differs("executing a block of another node again leads to other receipts"));
        }
        if built.delta != *record.delta {
            return Err(differs("executing a block of another node again leads to another state"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_between_nothing_and_everything() {
        for (text, share) in [("0", AuditShare::NONE), ("1", AuditShare::ALL), ("0.01", AuditShare::default())] {
            assert_eq!(text.parse(), Ok(share));
            assert_eq!(share.to_string(), text);
        }
        for text in ["", "-0.1", "1.5", "NaN", "all"] {
            assert_eq!(text.parse::<AuditShare>(), Err(NotAShare), "{text}");
        }
    }

    #[test]
    fn a_share_of_the_blocks_is_taken_and_each_node_takes_others() {
        let [one, two] = [1, 2].map(|id| NodeId::new(id).unwrap());
        let share: AuditShare = "0.25".parse().unwrap();
        let digests = || (0..2_000_u64).map(|number| keccak256(number.to_be_bytes()));
        let taken = digests().filter(|digest| share.takes(one, *digest)).count();
        assert!((400..600).contains(&taken), "{taken} of 2000");
        let both = digests().filter(|digest| share.takes(one, *digest) && share.takes(two, *digest)).count();
        assert!((60..200).contains(&both), "{both} of 2000");
        assert!(digests().all(|digest| AuditShare::ALL.takes(one, digest) && !AuditShare::NONE.takes(one, digest)));
    }
}
