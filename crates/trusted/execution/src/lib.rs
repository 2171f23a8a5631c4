//! Transaction validation, block building and re-execution, and calls, on revm.
//!
//! **Duty.** From candidate transactions and a parent state to a block, its receipts and its state delta;
//! from a call to its outcome. The one place that names revm's execution types.
//!
//! **Trusts.** The state view it reads, and the chain specification. Not: transactions, calls, overrides,
//! or the header of a block that it re-executes.
//!
//! **Invariants.**
//! - The same inputs give the same bytes, on every machine: no clock, no randomness, no iteration over
//!   hash maps that reaches an output.
//! - [`ValidTx`] comes out of [`validate`] and from nowhere else.
//! - No frame runs that the [`FrameGuard`] has not admitted, precompiles and inspected frames included.
//! - Whether a candidate fits a block is decided on declared gas limits, never on gas used.
//!
//! **Not here.** State roots (the state computes them from the delta), nonce lanes and replacement
//! (the pool), who may ask for what (access), JSON.

mod access_list;
mod blobs;
mod block;
mod build;
mod call;
mod collision;
mod conceal;
mod database;
mod environment;
mod error;
mod estimate;
mod evm;
mod flat_gas;
mod frames;
mod genesis;
mod guard;
mod handler;
mod inquiry;
mod inspect;
mod ordered_root;
mod overrides;
mod precompiles;
mod receipt;
mod recover;
mod recover_all;
mod reexecute;
mod revert;
mod rules;
mod simulate;
mod supposed;
mod trace;
mod transaction;
mod unseen;
mod validate;
mod within;

#[cfg(test)]
mod testing;

pub use access_list::AccessListOutcome;
/// What tracers are told and what they answer, in geth's JSON.
pub use alloy_rpc_types_trace::geth as tracing;
pub use blobs::recover_with_blobs;
pub use block::{BlockAttributes, Built, Claimed, Executed, Mismatch, Parent};
pub use build::Executor;
pub use call::{CallEnv, CallOutcome, CallRequest, DEFAULT_CALL_GAS_CAP};
pub use conceal::Salts;
pub use database::{BlockDatabase, BlockHashes, CallDatabase, NoBlockHashes, ViewError};
pub use error::ExecutionError;
pub use evm::{CloisterEvm, CloisterEvmFactory, Detail, EvmContext};
pub use genesis::{genesis_block, genesis_delta};
pub use guard::{
    AccountFact, Admission, BlockRules, FrameFacts, FrameGuard, FrameKind, Inquiry, Open, SYSTEM_ADDRESS, is_precompile,
};
pub use inspect::{Observed, Replay};
pub use overrides::{AccountOverride, BlockOverrides, StateOverrides};
pub use precompiles::Precompiles;
pub use recover::{decode, impersonate, recover, recover_batch, recover_included, recover_signer, recover_transaction};
pub use recover_all::recover_all;
pub use revert::{halt_message, revert_message, revert_reason};
pub use rules::{check_block_size, check_header};
pub use simulate::{
    CallResult, Checks, Ending, MAX_SIMULATED_BLOCKS, SimulatedBlock, SimulatedCalls, SimulatedLog, Simulation,
    SimulationBase, Transfers,
};
pub use trace::{TraceRequest, Tracer, TransactionTrace};
pub use validate::{HeadFacts, Origin, SenderCode, SenderFacts, ValidTx, validate};
pub use within::BlockState;
