//! Whole states in chunks: cutting one while blocks go on, and loading one.

mod cut;
mod format;
mod loader;
mod merge;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use self::cut::SnapshotCut;
pub use self::loader::SnapshotLoader;

pub(crate) use self::cut::Pinned;
