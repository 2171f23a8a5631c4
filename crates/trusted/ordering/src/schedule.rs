//! When the next block is built: what the engines have in common.

use cloister_primitives::Height;

use crate::{Empty, Pace, Slot};

/// How many blocks may be built and not yet committed.
pub(crate) const DEPTH: u64 = 4;

/// Wishes for blocks, and the build in flight.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    building: Option<Slot>,
    next_attempt: u64,
    /// Transactions wait for a block.
    demand: bool,
    /// Blocks wanted whatever the pace, empty or not.
    forced: u64,
}

impl Schedule {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self { pace, building: None, next_attempt: 0, demand: false, forced: 0 }
    }

    pub(crate) const fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) const fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    pub(crate) const fn building(&self) -> Option<Slot> {
        self.building
    }

    pub(crate) const fn demand(&mut self) {
        self.demand = true;
    }

    pub(crate) const fn force(&mut self) {
        self.forced = self.forced.saturating_add(1);
    }

    /// The period is over. A slow disk must not pile up periods: one block is owed at most.
    pub(crate) fn owe(&mut self) {
        self.forced = self.forced.max(1);
    }

    /// The build to start now, if a block is wanted and the pipeline has room for one.
    pub(crate) fn start(&mut self, committed: Height, built: Height) -> Option<(Slot, Empty)> {
        if self.building.is_some() || built.0.saturating_sub(committed.0) >= DEPTH {
            return None;
        }
        let empty = if self.forced > 0 {
            self.forced -= 1;
            Empty::Make
        } else if self.demand && self.pace == Pace::Instant {
            self.demand = false;
            Empty::Skip
        } else {
            return None;
        };
        let slot = Slot { height: built.next(), attempt: self.next_attempt };
        self.next_attempt += 1;
        self.building = Some(slot);
        Some((slot, empty))
    }

    /// The build of this slot is over. Returns whether it was the one in flight.
    pub(crate) fn finish(&mut self, slot: Slot) -> bool {
        let current = self.building == Some(slot);
        if current {
            self.building = None;
        }
        current
    }

    /// Forgets the build in flight; its outcome will be ignored.
    pub(crate) const fn abandon(&mut self) -> Option<Slot> {
        self.building.take()
    }

    /// Forgets the build in flight and every block that was forced.
    pub(crate) const fn reset(&mut self) {
        self.building = None;
        self.forced = 0;
    }
}
