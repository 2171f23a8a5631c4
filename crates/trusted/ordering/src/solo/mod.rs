//! One node orders alone: a block is committed once it is durable.
//!
//! Pipelined: while block n is being persisted, block n+1 is built on top of it, up to
//! [`DEPTH`] blocks ahead of the last commit.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use cloister_primitives::{Height, Seq};

use crate::{Effect, Empty, Input, Ordering, Pace, Slot, Status};

/// How many blocks may be built and not yet committed.
const DEPTH: u64 = 4;

/// A block waiting for the disk.
#[derive(Debug)]
struct InFlight {
    height: Height,
    seq: Seq,
    durable: bool,
}

/// The single-node engine.
#[derive(Debug)]
pub struct Solo {
    committed: Height,
    built: Height,
    building: Option<Slot>,
    in_flight: VecDeque<InFlight>,
    next_attempt: u64,
    next_seq: Seq,
    pace: Pace,
    /// Transactions wait for a block.
    demand: bool,
    /// Blocks wanted whatever the pace, empty or not.
    forced: u64,
}

impl Solo {
    /// An engine that goes on from a committed head.
    #[must_use]
    pub fn new(committed: Height, pace: Pace) -> Self {
        Self {
            committed,
            built: committed,
            building: None,
            in_flight: VecDeque::new(),
            next_attempt: 0,
            next_seq: Seq(0),
            pace,
            demand: false,
            forced: 0,
        }
    }

    fn depth(&self) -> u64 {
        self.built.0 - self.committed.0
    }

    /// Starts the next block if one is wanted and the pipeline has room.
    fn advance(&mut self, out: &mut Vec<Effect>) {
        if self.building.is_some() || self.depth() >= DEPTH {
            return;
        }
        let empty = if self.forced > 0 {
            self.forced -= 1;
            Empty::Make
        } else if self.demand && self.pace == Pace::Instant {
            self.demand = false;
            Empty::Skip
        } else {
            return;
        };
        let slot = Slot { height: self.built.next(), attempt: self.next_attempt };
        self.next_attempt += 1;
        self.building = Some(slot);
        out.push(Effect::Build { slot, empty });
    }

    fn on_built(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        if self.building != Some(slot) {
            return;
        }
        self.building = None;
        self.built = slot.height;
        let seq = self.next_seq;
        self.next_seq = seq.next();
        self.in_flight.push_back(InFlight { height: slot.height, seq, durable: false });
        out.push(Effect::Persist { seq, slot });
    }

    fn on_persisted(&mut self, seq: Seq, out: &mut Vec<Effect>) {
        if let Some(entry) = self.in_flight.iter_mut().find(|entry| entry.seq == seq) {
            entry.durable = true;
        }
        while let Some(entry) = self.in_flight.pop_front_if(|entry| entry.durable) {
            self.committed = entry.height;
            out.push(Effect::Commit(entry.height));
        }
    }

    fn set_pace(&mut self, now_ms: u64, pace: Pace, out: &mut Vec<Effect>) {
        self.pace = pace;
        match pace {
            Pace::Interval { period_ms } => out.push(Effect::Arm { deadline_ms: now_ms.saturating_add(period_ms) }),
            Pace::Instant | Pace::Manual => out.push(Effect::Disarm),
        }
    }

    fn on_timer(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        if let Pace::Interval { period_ms } = self.pace {
            // A slow disk must not pile up periods: one block is owed at most.
            self.forced = self.forced.max(1);
            out.push(Effect::Arm { deadline_ms: now_ms.saturating_add(period_ms) });
        }
    }
}

impl Ordering for Solo {
    fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Demand => self.demand = true,
            Input::Force => self.forced = self.forced.saturating_add(1),
            Input::Timer => self.on_timer(now_ms, out),
            Input::Built(slot) => self.on_built(slot, out),
            Input::Nothing(slot) => {
                if self.building == Some(slot) {
                    self.building = None;
                }
            }
            Input::Persisted(seq) => self.on_persisted(seq, out),
            Input::SetPace(pace) => self.set_pace(now_ms, pace, out),
            Input::Reset(height) => {
                self.committed = height;
                self.built = height;
                self.building = None;
                self.in_flight.clear();
                self.forced = 0;
            }
        }
        self.advance(out);
    }

    fn status(&self) -> Status {
        Status { committed: self.committed, built: self.built, building: self.building, pace: self.pace }
    }
}
