//! Sealed blocks at hand: those being ordered, and recent ones for followers that ask.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};
use cloister_ordering::raft::BlockRef;
use cloister_primitives::Height;

/// Bytes of committed blocks that are kept for others.
const MAX_COMMITTED_BYTES: usize = 64 << 20;

/// Bytes of blocks that are not committed and were sent without being asked for.
const MAX_AHEAD_BYTES: usize = 256 << 20;

/// How far ahead of the committed head a block may be.
const MAX_AHEAD: u64 = 1_024;

/// Sealed blocks by height; several where leaders changed.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    by_height: BTreeMap<Height, Vec<(B256, Bytes)>>,
    bytes: usize,
}

impl Bodies {
    pub(super) fn get(&self, block: BlockRef) -> Option<&Bytes> {
        let bodies = self.by_height.get(&block.height)?;
        bodies.iter().find(|(digest, _)| *digest == block.digest).map(|(_, sealed)| sealed)
    }

    /// Keeps a block. Returns whether there was room for it.
    pub(super) fn insert(&mut self, block: BlockRef, sealed: Bytes, committed: Height) -> bool {
        let in_reach = block.height > committed && block.height.0 - committed.0 <= MAX_AHEAD;
        if !in_reach || self.bytes + sealed.len() > MAX_COMMITTED_BYTES + MAX_AHEAD_BYTES {
            return false;
        }
        let bodies = self.by_height.entry(block.height).or_default();
        if bodies.iter().all(|(digest, _)| *digest != block.digest) {
            self.bytes += sealed.len();
            bodies.push((block.digest, sealed));
        }
        true
    }

    /// Forgets what lost its place at this height, and the oldest committed blocks beyond the budget.
    pub(super) fn committed(&mut self, block: BlockRef) {
        if let Some(bodies) = self.by_height.get_mut(&block.height) {
            let before: usize = bodies.iter().map(|(_, sealed)| sealed.len()).sum();
            bodies.retain(|(digest, _)| *digest == block.digest);
            let after: usize = bodies.iter().map(|(_, sealed)| sealed.len()).sum();
            self.bytes -= before - after;
        }
        while self.bytes > MAX_COMMITTED_BYTES
            && let Some(oldest) = self.by_height.first_entry()
            && *oldest.key() < block.height
        {
            let gone: usize = oldest.remove().iter().map(|(_, sealed)| sealed.len()).sum();
            self.bytes -= gone;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn block(height: u64, tag: u8) -> BlockRef {
        BlockRef { height: Height(height), digest: B256::repeat_byte(tag) }
    }

    #[test]
    fn of_two_blocks_of_a_height_the_committed_one_stays() {
        let mut bodies = Bodies::default();
        for tag in [1, 2] {
            assert!(bodies.insert(block(5, tag), Bytes::from(vec![tag; 10]), Height(4)));
        }
        bodies.committed(block(5, 2));
        assert_eq!(bodies.get(block(5, 1)), None);
        assert_eq!(bodies.get(block(5, 2)), Some(&Bytes::from(vec![2; 10])));
        assert_eq!(bodies.bytes, 10);
    }

    #[test]
    fn what_is_committed_or_far_ahead_is_not_taken() {
        let mut bodies = Bodies::default();
        assert!(!bodies.insert(block(4, 1), Bytes::new(), Height(4)));
        assert!(!bodies.insert(block(5 + MAX_AHEAD, 1), Bytes::new(), Height(4)));
        assert!(bodies.insert(block(4 + MAX_AHEAD, 1), Bytes::new(), Height(4)));
    }

    #[test]
    fn committed_blocks_are_kept_within_a_budget_the_newest_last() {
        let mut bodies = Bodies::default();
        let big = Bytes::from(vec![0; MAX_COMMITTED_BYTES / 2]);
        for height in 1..=4 {
            assert!(bodies.insert(block(height, 1), big.clone(), Height(height - 1)));
            bodies.committed(block(height, 1));
        }
        let kept: Vec<_> = (1..=4).filter(|height| bodies.get(block(*height, 1)).is_some()).collect();
        assert_eq!(kept, [3, 4]);
    }
}
