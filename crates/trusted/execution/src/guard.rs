//! The frame guard: asked before every frame, whatever starts it.

use core::fmt;

use alloy_primitives::{Address, U256};

/// Decides whether a frame may run.
///
/// Asked for every CALL, CALLCODE, DELEGATECALL, STATICCALL, CREATE and CREATE2, for precompiles and for
/// the top frame of transactions, calls and system calls. A refused frame reverts with empty data, and all
/// gas forwarded to it goes back.
pub trait FrameGuard: Send + Sync + fmt::Debug {
    /// Decides about one frame.
    fn admit(&self, frame: &FrameFacts<'_>) -> Admission;
}

/// What a guard decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The frame runs.
    Admitted,
    /// The frame reverts before it starts.
    Refused,
}

/// How a frame came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// CALL, and the top frame of a transaction to an address.
    Call,
    /// CALLCODE.
    CallCode,
    /// DELEGATECALL.
    DelegateCall,
    /// STATICCALL.
    StaticCall,
    /// CREATE, and the top frame of a transaction that creates a contract.
    Create,
    /// CREATE2.
    Create2,
}

/// What a guard may base its decision on.
#[derive(Clone, Copy, Debug)]
pub struct FrameFacts<'a> {
    /// How the frame came to be.
    pub kind: FrameKind,
    /// 0 for the top frame.
    pub depth: usize,
    /// The frame's `msg.sender`.
    pub caller: Address,
    /// Whose storage the frame works on; `None` for a creation, whose address is not known yet.
    pub storage_address: Option<Address>,
    /// Whose code the frame runs; differs from `storage_address` in DELEGATECALL and CALLCODE.
    pub code_address: Option<Address>,
    /// `msg.value` in wei.
    pub value: U256,
    /// Whether the frame may not change state.
    pub is_static: bool,
    /// Calldata, or initcode for a creation.
    pub input: &'a [u8],
}

/// The guard that admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl FrameGuard for Open {
    fn admit(&self, _frame: &FrameFacts<'_>) -> Admission {
        Admission::Admitted
    }
}
