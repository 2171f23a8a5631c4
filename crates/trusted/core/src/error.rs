//! The three kinds of error: the caller's, the moment's, and the end.

use cloister_boundary::HaltCode;
use cloister_primitives::{Code, Rejected};
use cloister_state::StateError;
use thiserror::Error;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CoreError {
    /// The caller has to change the request.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    /// Trying again later may help.
    #[error("temporarily unavailable: {0}")]
    Unavailable(&'static str),
    /// The transaction was taken and then could not be executed.
    #[error("transaction dropped: {0}")]
    Dropped(Rejected),
}

impl From<Code> for CoreError {
    fn from(code: Code) -> Self {
        Self::Rejected(code.into())
    }
}

impl From<StateError> for CoreError {
    fn from(_: StateError) -> Self {
        Self::Rejected(Code::StateUnavailable.into())
    }
}

/// Why the core stops for good: told to the host by a stable code and a constant text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {detail}")]
pub struct Fatal {
    /// The stable code.
    pub code: HaltCode,
    /// Constant text; the place in the log, where it matters, is in `height`.
    pub detail: &'static str,
    /// Height of the block concerned, if one is.
    pub height: Option<u64>,
}

impl Fatal {
    pub(crate) const fn new(code: HaltCode, detail: &'static str) -> Self {
        Self { code, detail, height: None }
    }

    pub(crate) const fn at(code: HaltCode, detail: &'static str, height: u64) -> Self {
        Self { code, detail, height: Some(height) }
    }
}
