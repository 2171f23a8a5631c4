//! Resident accounts and storage: one mutable Merkle-Patricia trie, versioned views of it for
//! readers, block deltas and snapshots.
//!
//! **Duty.** Hold all live state in memory, in one form only: the tries themselves, in arenas.
//! Apply the delta of a block and say what the state root is. Show readers any height that is
//! still in the ring of reverse deltas, with proofs, and the state roots of
//! changes that are only supposed. Undo blocks. Cut snapshots while blocks go
//! on, and load them.
//!
//! **Trusts.** That a delta is what execution made of a block: its form is checked here, its
//! meaning is not. Bytes of deltas and snapshots are hostile until they are decoded, snapshots
//! until their root agrees.
//!
//! **Invariants.**
//! - A [`StateView`] answers as of its height, or not at all: a height that is forgotten, rewound
//!   or patched gives [`StateError::HistoryUnavailable`], never another block's value.
//! - What is not committed is never forgotten, so it can always be undone.
//! - Keys are Keccak-256 hashes of addresses and slots; their preimages are not kept.
//! - Writers exclude each other, and hold readers up for a slice of work at a time, not a block.
//! - The same calls give the same answers: no clock, no randomness, no iteration order of hash
//!   maps.
//!
//! **Not here.** Execution; which height is committed, and who may read what; sealing of deltas
//! and snapshots; blocks, receipts and their indexes; threads.

mod account;
mod codes;
mod contents;
mod delta;
mod error;
mod history;
mod projection;
mod proof;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod trie;
mod view;

pub use account::Account;
pub use delta::{AccountDelta, StateDelta, StorageCleared};
pub use error::{DeltaError, SnapshotError, StateError};
pub use history::HistoryLimits;
pub use projection::Projection;
pub use proof::{AccountProof, StorageProof};
pub use snapshot::{SnapshotCut, SnapshotLoader};
pub use state::{State, StateStats};
pub use view::StateView;
