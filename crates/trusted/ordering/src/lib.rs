//! Total order of blocks: the [`Ordering`] trait and its engines.
//!
//! **Duty.** Decides *when* a block is built on which parent, when it is persisted, and when it is
//! committed. It never looks into a block.
//!
//! **Trusts.** The core to report truthfully what was built, and the host to report what is
//! durable; a host that lies about durability can lose data, which the threat model says.
//!
//! **Invariants.** Commits come in order of height, each height once. Nothing is committed before
//! it was reported persisted. A `Build` is idempotent per slot: asking twice for the same slot
//! means the same block. After `Discard { from }` nothing at or above `from` is ever committed
//! except what is built anew.
//!
//! **Not here.** Execution, the pool, clocks (time comes in with each step), I/O.

pub mod raft;
mod refusing;
mod schedule;
mod solo;

pub use refusing::Refusing;
pub use solo::Solo;

use cloister_primitives::{Height, Seq};

/// One attempt at building one height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The height to build.
    pub height: Height,
    /// Which attempt at this height; grows over the life of the process, never repeats.
    pub attempt: u64,
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as there is work.
    Instant,
    /// Every so many milliseconds, empty or not.
    Interval {
        /// Time from one block to the next.
        period_ms: u64,
    },
    /// Only when forced.
    Manual,
}

/// What the engine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// There are transactions that could go into a block.
    Demand,
    /// Build the next block whatever the pace and even if it is empty.
    Force,
    /// The time the engine armed has come.
    Timer,
    /// A block for the slot has been executed; it waits to be persisted.
    Built(Slot),
    /// Nothing was left to include: there is no block for the slot.
    Nothing(Slot),
    /// The record is durable.
    Persisted(Seq),
    /// Blocks are made differently from now on.
    SetPace(Pace),
    /// Committed blocks above this height were withdrawn (development networks only).
    Reset(Height),
}

/// What the engine wants done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Build a block; its parent is the block built last for the height below.
    Build {
        /// The attempt.
        slot: Slot,
        /// What to do when there is nothing to include.
        empty: Empty,
    },
    /// Make the block built for the slot durable, under this number.
    Persist {
        /// The number the host's answer will carry.
        seq: Seq,
        /// The slot whose block is meant.
        slot: Slot,
    },
    /// The block at this height is final and becomes visible.
    Commit(Height),
    /// Blocks built at this height and above lost their slots: rewind.
    Discard {
        /// The lowest height that is undone.
        from: Height,
    },
    /// Give an [`Input::Timer`] at this time; replaces an earlier one.
    Arm {
        /// When, in the time of `step`.
        deadline_ms: u64,
    },
    /// No timer is wanted any more.
    Disarm,
}

/// Whether a block without transactions is a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// It is made.
    Make,
    /// It is skipped.
    Skip,
}

/// Where the engine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest committed height.
    pub committed: Height,
    /// The newest height built; at or above `committed`.
    pub built: Height,
    /// The slot being built now.
    pub building: Option<Slot>,
    /// How blocks are made.
    pub pace: Pace,
}

/// An ordering engine: a deterministic state machine without clock, I/O or randomness.
pub trait Ordering: Send {
    /// Takes one input at the given time and appends what is to be done.
    fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>);

    /// Where the engine stands.
    fn status(&self) -> Status;
}
