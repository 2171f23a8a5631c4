//! Pending transactions: nonce order, limits, replacement, and what is in blocks that are not committed yet.
//!
//! **Duty.** Keeps a lane of transactions per sender, answers which ones can run now, hands the best to the block builder, and
//! takes back what a block did not include or what a lost slot set free.
//!
//! **Trusts.** That a [`ValidTx`](cloister_execution::ValidTx) is what its name says, that the sender states it is told are those of the newest
//! committed block, and that slots are reported in the order of the chain.
//!
//! **Invariants.**
//! - A transaction is in one place: pooled, in flight for one slot, or refused until one slot is committed. It leaves by commit,
//!   eviction, replacement or request.
//! - What [`Pool::take`] gives is in nonce order for each sender and starts at the sender's next nonce.
//! - Count and bytes stay within [`PoolLimits`]; one account cannot fill the pool.
//! - The same calls give the same answers: hash maps are looked up, never walked.
//!
//! **Not here.** Validity of a transaction by itself (`cloister-execution`), who may see a pending transaction (access), gossip,
//! and keeping transactions over a restart.

mod admission;
mod content;
mod error;
mod flight;
mod heads;
mod lane;
mod limits;
mod pool;
mod tails;

#[cfg(test)]
mod measure;
#[cfg(test)]
mod model;
#[cfg(test)]
mod testing;

pub use admission::Admitted;
pub use content::AccountContent;
pub use error::PoolError;
pub use limits::{Order, PoolLimits, TakeLimits};
pub use pool::Pool;

use alloy_primitives::U256;

/// A block that is being made: whatever number the caller gives it. Unique among the blocks not yet committed or rewound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u64);

/// Why a builder refused a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its sender had too little left where it stood in the block.
    Unpaid,
    /// It cannot be in a block on this state, whatever its sender has.
    Invalid,
}

/// What the newest committed block says about a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderState {
    /// Nonce of the next transaction to be executed.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
}
