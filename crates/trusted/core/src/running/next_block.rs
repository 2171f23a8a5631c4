//! What a development network's user chose about the blocks to come: their time, fees and limits.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256};
use cloister_primitives::ChainSpec;

/// The latest time that can be chosen, seconds: beyond it time goes on by itself, so that there is always a
/// later one for the next block.
const LATEST_S: u64 = 1 << 62;

/// Choices about later blocks; nothing chosen leaves everything to the chain.
#[derive(Debug, Default)]
pub(super) struct NextBlock {
    /// What the chain's clock is ahead of the host's, milliseconds.
    offset_ms: i128,
    /// Fixed timestamps of the next blocks, seconds.
    timestamps: VecDeque<u64>,
    /// Seconds from one block to the next, whatever the clock says.
    pub(super) interval_s: Option<u64>,
    /// Gas limit of later blocks.
    pub(super) gas_limit: Option<u64>,
    /// Beneficiary of later blocks.
    pub(super) beneficiary: Option<Address>,
    /// Base fee of the next block.
    pub(super) base_fee: Option<u64>,
    /// `prevRandao` of the next block.
    pub(super) prev_randao: Option<B256>,
}

impl NextBlock {
    /// The chain's clock, milliseconds.
    pub(super) fn clock_ms(&self, now_ms: u64) -> u64 {
        let clock = i128::from(now_ms) + self.offset_ms;
        u64::try_from(clock.max(0)).unwrap_or(u64::MAX)
    }

    /// Sets the clock. Answers what it is ahead of the host's, seconds.
    pub(super) fn set_clock(&mut self, now_ms: u64, clock_ms: u64) -> u64 {
        self.offset_ms = i128::from(clock_ms) - i128::from(now_ms);
        self.ahead_s()
    }

    /// Moves the clock forward. Answers what it is ahead of the host's, seconds.
    pub(super) fn advance_clock(&mut self, seconds: u64) -> u64 {
        // Far beyond the latest time, and far from overflowing however often it is said.
        let most = i128::from(u64::MAX) * 1_000;
        self.offset_ms = (self.offset_ms + i128::from(seconds) * 1_000).min(most);
        self.ahead_s()
    }

    fn ahead_s(&self) -> u64 {
        u64::try_from(self.offset_ms / 1_000).unwrap_or(0)
    }

    /// Timestamp of the next block, seconds.
    pub(super) fn timestamp(&self, spec: &ChainSpec, parent: u64, now_ms: u64) -> u64 {
        let lowest = if spec.allows_equal_timestamps() { parent } else { parent.saturating_add(1) };
        match (self.timestamps.front(), self.interval_s) {
            (Some(timestamp), _) => *timestamp,
            (_, Some(interval_s)) => parent.saturating_add(interval_s),
            _ => self.clock_ms(now_ms) / 1_000,
        }
        .min(LATEST_S)
        .max(lowest)
    }

    /// Fixes the timestamp of the next block, seconds.
    pub(super) fn fix_timestamp(&mut self, timestamp: u64) {
        self.timestamps = VecDeque::from([timestamp]);
    }

    /// Puts the next `blocks` blocks `interval_s` apart, the first of them at `first`.
    pub(super) fn space_out(&mut self, first: u64, blocks: u64, interval_s: u64) {
        let at = |block: u64| first.saturating_add(interval_s.saturating_mul(block));
        self.timestamps = (0..blocks).map(at).collect();
    }

    /// What was meant for one block has been used by this one. The clock goes on from a fixed timestamp, and never
    /// lags behind the newest block: moving it forward counts from there, as in Hardhat.
    pub(super) fn consumed(&mut self, timestamp: u64, now_ms: u64) {
        let fixed = self.timestamps.pop_front().is_some();
        self.base_fee = None;
        self.prev_randao = None;
        if fixed || self.clock_ms(now_ms) / 1_000 < timestamp {
            self.set_clock(now_ms, timestamp.saturating_mul(1_000));
        }
    }

    /// Forgets what was meant for single blocks.
    pub(super) fn forget_single(&mut self) {
        self.timestamps.clear();
        self.base_fee = None;
        self.prev_randao = None;
    }

    /// As a snapshot remembers it: without the timestamps of blocks that are being mined.
    pub(super) fn remembered(&self) -> Self {
        let fixed = self.timestamps.front().filter(|_| self.timestamps.len() == 1);
        Self {
            offset_ms: self.offset_ms,
            timestamps: fixed.into_iter().copied().collect(),
            interval_s: self.interval_s,
            gas_limit: self.gas_limit,
            beneficiary: self.beneficiary,
            base_fee: self.base_fee,
            prev_randao: self.prev_randao,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use cloister_primitives::DevChain;

    const NOW_MS: u64 = 1_000_000;

    fn spec() -> ChainSpec {
        ChainSpec::development(DevChain::default()).unwrap()
    }

    #[test]
    fn each_block_is_later_than_its_parent_and_the_clock_keeps_up() {
        let (spec, mut next) = (spec(), NextBlock::default());
        assert_eq!(next.timestamp(&spec, 900, NOW_MS), 1_000);
        next.consumed(1_000, NOW_MS);
        for parent in 1_000..1_100 {
            let timestamp = next.timestamp(&spec, parent, NOW_MS);
            assert_eq!(timestamp, parent + 1, "more than one block a second");
            next.consumed(timestamp, NOW_MS);
        }
        // An hour from the newest block, not from the host's time.
        next.advance_clock(3_600);
        assert_eq!(next.timestamp(&spec, 1_100, NOW_MS), 4_700);
    }

    #[test]
    fn a_fixed_timestamp_holds_for_one_block_and_the_clock_goes_on_from_it() {
        let (spec, mut next) = (spec(), NextBlock::default());
        next.fix_timestamp(5_000);
        assert_eq!(next.timestamp(&spec, 1_000, NOW_MS + 9_000), 5_000);
        next.consumed(5_000, NOW_MS + 9_000);
        assert_eq!(next.timestamp(&spec, 5_000, NOW_MS + 19_000), 5_010);
    }

    #[test]
    fn there_is_always_a_later_time() {
        let spec = spec();
        let choices: [fn(&mut NextBlock); 4] = [
            |next| next.fix_timestamp(u64::MAX),
            |next| next.interval_s = Some(u64::MAX),
            |next| next.space_out(u64::MAX, 2, u64::MAX),
            |next| (0..3).for_each(|_| _ = next.advance_clock(u64::MAX)),
        ];
        for choose in choices {
            let mut next = NextBlock::default();
            let mut parent = 1_000;
            for _ in 0..5 {
                choose(&mut next);
                let timestamp = next.timestamp(&spec, parent, NOW_MS);
                assert!(spec.timestamp_may_follow(parent, timestamp), "{timestamp} after {parent}");
                next.consumed(timestamp, NOW_MS);
                parent = timestamp;
            }
        }
    }

    #[test]
    fn blocks_mined_together_are_spaced_out() {
        let (spec, mut next) = (spec(), NextBlock::default());
        next.space_out(1_000, 3, 12);
        let mut seen = vec![990];
        for _ in 0..4 {
            let timestamp = next.timestamp(&spec, seen[seen.len() - 1], NOW_MS);
            next.consumed(timestamp, NOW_MS);
            seen.push(timestamp);
        }
        assert_eq!(seen[1..], [1_000, 1_012, 1_024, 1_025]);
    }

    #[test]
    fn a_snapshot_remembers_a_fixed_timestamp_but_not_those_of_blocks_being_mined() {
        let (spec, mut next) = (spec(), NextBlock { gas_limit: Some(7), ..NextBlock::default() });
        next.fix_timestamp(5_000);
        let remembered = next.remembered();
        assert_eq!((remembered.timestamp(&spec, 1_000, NOW_MS), remembered.gas_limit), (5_000, Some(7)));
        next.space_out(5_000, 3, 12);
        assert_eq!(next.remembered().timestamps.len(), 0);
    }
}
