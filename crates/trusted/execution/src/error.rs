//! Why an execution gave no result.

use alloy_primitives::Bytes;
use cloister_primitives::{Code, Rejected};
use cloister_state::StateError;

use crate::block::Mismatch;
use crate::revert::revert_message;

/// Why a block was not built or a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The request is the caller's to mend.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    /// The call reverted where only success is an answer.
    #[error("{}", revert_message(.output))]
    Reverted {
        /// What it returned.
        output: Bytes,
    },
    /// The call ended in an exceptional halt where only success is an answer.
    #[error("{reason}")]
    Halted {
        /// In geth's words.
        reason: String,
    },
    /// A block says something else than consensus rules or its execution do.
    #[error("{0}")]
    Invalid(#[from] Mismatch),
    /// The state could not be read: that height is gone, or not there yet.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// A fault of this program or of the chain's configuration; retrying does not help.
    #[error("execution failed: {0}")]
    Fatal(String),
}

impl ExecutionError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Rejected(rejected) => rejected.code(),
            Self::Reverted { .. } => Code::ExecutionReverted,
            Self::Halted { .. } => Code::ExecutionHalted,
            Self::State(_) => Code::StateUnavailable,
            Self::Invalid(_) | Self::Fatal(_) => Code::Internal,
        }
    }

    /// Return data of a revert, which JSON-RPC shows as `data`.
    #[must_use]
    pub const fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Reverted { output } => Some(output),
            _ => None,
        }
    }
}
