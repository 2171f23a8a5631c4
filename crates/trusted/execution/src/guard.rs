//! The frame guard: asked before every frame, whatever starts it.

use core::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use cloister_state::StateView;

/// Decides whether a frame may run.
///
/// Asked for every CALL, CALLCODE, DELEGATECALL, STATICCALL, CREATE and CREATE2, for precompiles and for
/// the top frame of transactions, calls and system calls. A refused frame reverts with empty data, and all
/// gas forwarded to it goes back.
pub trait FrameGuard: Send + Sync + fmt::Debug {
    /// Decides about one frame.
    fn admit(&self, frame: &FrameFacts<'_>) -> Admission;

    /// Whether there is anything that [`Self::show`] does not show.
    fn conceals(&self) -> bool {
        false
    }

    /// Decides whether code that runs as `viewer` sees what is true of an account, or nothing.
    fn show(&self, _viewer: Address, _fact: AccountFact) -> Admission {
        Admission::Admitted
    }
}

/// Where the guard of a block's frames comes from, whose rules are part of the state.
pub trait BlockRules: Send + Sync + fmt::Debug {
    /// The guard of the block after the one that `parent` is the state of.
    fn guard(&self, parent: &StateView) -> Arc<dyn FrameGuard>;
}

/// What instructions tell of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFact {
    /// BALANCE.
    Balance(Address),
    /// EXTCODESIZE, EXTCODECOPY and EXTCODEHASH.
    Code(Address),
}

/// What a guard decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The frame runs.
    Admitted,
    /// The frame reverts before it starts.
    Refused,
    /// The rules could not be read: the whole execution fails.
    Unknown,
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

impl FrameKind {
    /// Whether the frame runs another account's code on the storage of the frame that started it.
    #[must_use]
    pub const fn is_delegated(self) -> bool {
        matches!(self, Self::CallCode | Self::DelegateCall)
    }
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
    /// `tx.origin`: who signed the transaction, or is said to make the call.
    pub origin: Address,
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

/// Precompiles compute from what they are given and nothing else.
#[must_use]
pub fn is_precompile(address: &Address) -> bool {
    // 0x01 to 0x11, and 0x0100 (EIP-7951).
    let word = U256::from_be_slice(address.as_slice());
    (U256::from(1)..=U256::from(0x11)).contains(&word) || word == U256::from(0x100)
}

/// The guard that admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl FrameGuard for Open {
    fn admit(&self, _frame: &FrameFacts<'_>) -> Admission {
        Admission::Admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precompiles_are_at_their_addresses_and_nowhere_else() {
        for number in [1, 0x11] {
            assert!(is_precompile(&Address::with_last_byte(number)));
        }
        for other in [Address::ZERO, Address::with_last_byte(0x12), Address::repeat_byte(1)] {
            assert!(!is_precompile(&other));
        }
    }
}
