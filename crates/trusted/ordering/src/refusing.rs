//! An engine for tests that refuses tails of the pipeline at random.
//!
//! What replication does to a deposed leader, without a network: now and then everything built and
//! not yet committed loses its slots, and the core has to rewind with nothing lost and nothing
//! visible early.

use crate::{Effect, Input, Ordering, Solo, Status};

/// A [`Solo`] whose speculative tail is discarded at points drawn from a seed.
#[derive(Debug)]
pub struct Refusing {
    inner: Solo,
    /// State of a xorshift generator (Marsaglia 2003); never zero.
    draw: u64,
    /// One tail in so many is refused.
    one_in: u64,
    refused: u64,
}

impl Refusing {
    /// Wraps an engine; about one in `one_in` persist requests takes its tail down with it.
    #[must_use]
    pub fn new(inner: Solo, seed: u64, one_in: u64) -> Self {
        Self { inner, draw: seed | 1, one_in: one_in.max(1), refused: 0 }
    }

    /// How many blocks were refused so far.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn draw(&mut self) -> u64 {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        self.draw
    }

    fn refuse(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        let Status { committed, built, .. } = self.inner.status();
        self.refused += built.0 - committed.0;
        // What the inner engine wanted for the tail dies with it.
        out.retain(|effect| !matches!(effect, Effect::Persist { .. } | Effect::Build { .. }));
        out.push(Effect::Discard { from: committed.next() });
        self.inner.step(now_ms, Input::Reset(committed), out);
        self.inner.step(now_ms, Input::Demand, out);
    }
}

impl Ordering for Refusing {
    fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>) {
        let mut effects = Vec::new();
        self.inner.step(now_ms, input, &mut effects);
        let persists = effects.iter().any(|effect| matches!(effect, Effect::Persist { .. }));
        if persists && self.draw().is_multiple_of(self.one_in) {
            self.refuse(now_ms, &mut effects);
        }
        out.append(&mut effects);
    }

    fn status(&self) -> Status {
        self.inner.status()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cloister_primitives::Height;

    use super::*;
    use crate::Pace;

    #[test]
    fn every_height_is_committed_once_in_order_and_no_slot_repeats() {
        for seed in 1..200 {
            let mut engine = Refusing::new(Solo::new(Height(0), Pace::Instant), seed, 3);
            let mut queue = vec![Input::Demand];
            let mut seen = BTreeSet::new();
            let mut committed = Height(0);
            for _ in 0..500 {
                let input = queue.pop().unwrap_or(Input::Demand);
                let mut out = Vec::new();
                engine.step(0, input, &mut out);
                for effect in out {
                    match effect {
                        Effect::Build { slot, .. } => {
                            assert!(seen.insert(slot), "slot {slot:?} repeats");
                            queue.insert(0, Input::Built(slot));
                        }
                        Effect::Persist { seq, .. } => queue.insert(0, Input::Persisted(seq)),
                        Effect::Commit(height) => {
                            assert_eq!(height, committed.next());
                            committed = height;
                        }
                        Effect::Discard { from } => assert_eq!(from, committed.next()),
                        Effect::Arm { .. } | Effect::Disarm => {}
                    }
                }
            }
            assert!(committed > Height(20), "refusals must not stop the chain");
            assert!(engine.refused() > 0);
        }
    }
}
