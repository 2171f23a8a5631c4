//! One node orders alone: a block is committed once it is durable.
//!
//! Pipelined: while block n is being persisted, block n+1 is built on top of it, up to
//! [`DEPTH`](crate::schedule::DEPTH) blocks ahead of the last commit.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use cloister_primitives::{Height, Seq};

use crate::schedule::Schedule;
use crate::{Effect, Input, Ordering, Pace, Slot, Status};

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
    in_flight: VecDeque<InFlight>,
    next_seq: Seq,
    schedule: Schedule,
}

impl Solo {
    /// An engine that goes on from a committed head.
    #[must_use]
    pub fn new(committed: Height, pace: Pace) -> Self {
        Self {
            committed,
            built: committed,
            in_flight: VecDeque::new(),
            next_seq: Seq(0),
            schedule: Schedule::new(pace),
        }
    }

    /// Starts the next block if one is wanted and the pipeline has room.
    fn advance(&mut self, out: &mut Vec<Effect>) {
        if let Some((slot, empty)) = self.schedule.start(self.committed, self.built) {
            out.push(Effect::Build { slot, empty });
        }
    }

    fn on_built(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        if !self.schedule.finish(slot) {
            return;
        }
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
        self.schedule.set_pace(pace);
        match pace {
            Pace::Interval { period_ms } => out.push(Effect::Arm { deadline_ms: now_ms.saturating_add(period_ms) }),
            Pace::Instant | Pace::Manual => out.push(Effect::Disarm),
        }
    }

    fn on_timer(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        if let Pace::Interval { period_ms } = self.schedule.pace() {
            self.schedule.owe();
            out.push(Effect::Arm { deadline_ms: now_ms.saturating_add(period_ms) });
        }
    }
}

impl Ordering for Solo {
    fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Demand => self.schedule.demand(),
            Input::Force => self.schedule.force(),
            Input::Timer => self.on_timer(now_ms, out),
            Input::Built(slot) => self.on_built(slot, out),
            Input::Nothing(slot) => {
                self.schedule.finish(slot);
            }
            Input::Persisted(seq) => self.on_persisted(seq, out),
            Input::SetPace(pace) => self.set_pace(now_ms, pace, out),
            Input::Reset(height) => {
                self.committed = height;
                self.built = height;
                self.in_flight.clear();
                self.schedule.reset();
            }
        }
        self.advance(out);
    }

    fn status(&self) -> Status {
        let (building, pace) = (self.schedule.building(), self.schedule.pace());
        Status { committed: self.committed, built: self.built, building, pace }
    }
}
