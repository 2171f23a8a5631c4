//! Differential fuzzing: random chains through the real core and through a second, independent one; both must say the same.
//!
//! The first chain is the core (pool, executor, state, sealed log) with restarts, crashes and rewinds in between. The second is
//! plain revm on a state of its own: ordered maps, roots built from nothing for every block, headers by formulas written down
//! here. It uses neither `cloister-execution` nor `cloister-state`, and learns of the first one only which transactions are in
//! which block.
//!
//! [`generate`] makes a [`Case`] from a seed, [`check`] runs it, [`shrink`](shrink::shrink) makes one that fails smaller. A case
//! is a file that a person can read; those in `tests/cases/differential/` are run by every test.

pub mod case;
mod compare;
pub mod generate;
mod host;
mod precompiles;
mod program;
mod reference;
mod run;
pub mod session;
pub mod shrink;
mod wallet;

pub use case::Case;
pub use reference::Fault;
pub use run::{Difference, Tally, check};
