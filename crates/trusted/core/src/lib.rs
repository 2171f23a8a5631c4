//! Composition of the trusted crates: one deterministic state machine, [`Core::handle`].
//!
//! **Duty.** Takes transactions, has them recovered, validated and pooled; has blocks built, sealed,
//! persisted and committed in the order the engine decides; keeps the resident ledger; brings the
//! chain back after a restart.
//!
//! **Trusts.** The entropy handed in. Nothing of what the host says: stored blobs are opened and
//! checked, answers are matched with questions, time only moves timers and timestamps.
//!
//! **Invariants.** Same messages and same entropy, same effects. Nothing of a block is visible before
//! its commit. No plaintext leaves in a [`CoreEffect::Host`]. A transaction whose receipt was
//! answered is durable.
//!
//! **Not here.** Threads, sockets, clocks, files, JSON-RPC. Long computations leave as
//! [`work::Work`].

mod audits;
mod boot;
mod error;
mod import;
mod ledger;
mod log_index;
mod machine;
mod message;
mod network_boot;
mod notes;
mod peer_word;
mod pending;
mod reader;
mod record;
mod recovery;
mod reexecution;
mod replay;
mod running;
mod verify;
pub mod work;

pub use audits::AuditRefusal;
pub use cloister_ordering::{
    Pace,
    raft::{LogLimits, NodeId},
};
pub use cloister_state::HistoryLimits;
pub use error::{CoreError, Fatal};
pub use import::{ImportCode, ImportRefusal, Imported, ImportedBlock, MAX_FOREIGN_BLOCK_BYTES};
pub use ledger::{Ledger, MIN_RESIDENT_BLOCKS, Position, ResidentLimits};
pub use log_index::{BlockLogs, LOG_SECTION_BLOCKS, LogPlaces, LogSection, log_section_end};
pub use machine::{Archive, Core, CoreOptions, Opened, RefuseTails};
pub use message::{
    AnswerAt, CommittedBlock, CoreEffect, CoreMessage, DevelopmentRequest, Event, MAX_NOTES_BYTES,
    MAX_PEER_MESSAGE_BYTES, NetworkStatus, PatchChange, PeerEvent, Request, RequestBody, RequestId, Response,
    SealingOffer, StatePatch, Tick, WorkId,
};
pub use pending::{PendingBlock, PendingJob};
pub use reader::{Lookup, Reader, ReplayedState, SeenBlock, SeenLog, SeenState, SeenTransaction, StoredBlock};
pub use record::{BlockRecord, RecordError};
pub use recovery::RecoveryRequest;
pub use reexecution::{AuditShare, NotAShare, Reexecution};
pub use replay::chain_of;
pub use running::STORED_SECTION_BLOCKS;
pub use verify::{VerifiedBlock, Verifier};
