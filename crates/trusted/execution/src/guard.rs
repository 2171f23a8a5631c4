//! The frame guard: asked before every frame, whatever starts it.

use core::fmt;
use std::sync::Arc;

use alloy_eips::eip4788;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The frame runs.
    Admitted,
    /// The frame reverts before it starts.
    Refused,
    /// Contracts are to be asked whether the frame runs.
    Asks(Inquiry),
    /// The rules could not be read: the whole execution fails.
    Unknown,
}

/// Contracts to be asked about a frame. Each of the lists must admit it, which any of the contracts in it can.
///
/// Each is asked `canSee(address viewer, bytes4 selector, bytes args)` in a static call by the account whose storage the
/// frame works on. What it calls is asked about in its own name, and refused where contracts would have to be asked about
/// that. The frame pays [`Self::GAS_OF_EACH`] for each of them out of the
/// gas that it was forwarded, whatever they say and use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry(pub Vec<Vec<Address>>);

impl Inquiry {
    /// Gas that each contract that is asked may use, and that is paid for it.
    pub const GAS_OF_EACH: u64 = 100_000;

    /// Gas that is paid for all.
    #[must_use]
    pub fn gas(&self) -> u64 {
        let count: usize = self.0.iter().map(Vec::len).sum();
        (count as u64).saturating_mul(Self::GAS_OF_EACH)
    }
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
    /// Whom the transaction or call names as recipient; `None` where it creates a contract.
    pub recipient: Option<Address>,
    /// The calldata of the transaction or call, or its initcode.
    pub transaction_input: &'a [u8],
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

/// Who makes system calls (EIP-4788 and later). Nobody has its key.
pub const SYSTEM_ADDRESS: Address = eip4788::SYSTEM_ADDRESS;

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
