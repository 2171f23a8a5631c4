//! Audits, as a person reads and keeps them.

mod events;
mod export;

pub(crate) use events::read_entries;
pub(crate) use export::{Export, MAX_SLOTS, Scope};
