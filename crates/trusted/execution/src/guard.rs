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

/// The guard of queries on a confidential chain without rules: what a call's top frame may be has been decided
/// before, and nothing that it calls is anybody's to ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopOnly;

impl FrameGuard for TopOnly {
    fn admit(&self, frame: &FrameFacts<'_>) -> Admission {
        let is_precompile = frame.code_address.is_some_and(|address| is_precompile(&address));
        if frame.depth == 0 || is_precompile { Admission::Admitted } else { Admission::Refused }
    }
}

/// Precompiles compute from what they are given and nothing else.
fn is_precompile(address: &Address) -> bool {
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
    fn without_rules_a_query_reaches_precompiles_and_nobody_else() {
        let frame = |depth, code_address| FrameFacts {
            kind: FrameKind::StaticCall,
            depth,
            caller: Address::ZERO,
            storage_address: Some(code_address),
            code_address: Some(code_address),
            value: U256::ZERO,
            is_static: true,
            input: &[],
        };
        let contract = Address::repeat_byte(7);
        assert_eq!(TopOnly.admit(&frame(0, contract)), Admission::Admitted);
        assert_eq!(TopOnly.admit(&frame(1, contract)), Admission::Refused);
        assert_eq!(TopOnly.admit(&frame(1, Address::with_last_byte(1))), Admission::Admitted);
        assert_eq!(TopOnly.admit(&frame(1, Address::with_last_byte(0x12))), Admission::Refused);
        assert_eq!(TopOnly.admit(&frame(1, Address::ZERO)), Admission::Refused);
    }
}
