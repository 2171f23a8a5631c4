//! What a revert or a halt says, in geth's words.

use alloy_primitives::U256;
use alloy_sol_types::{Panic, Revert, SolError};
use revm::context::result::{HaltReason, OutOfGasError};

/// The reason in return data: that of `Error(string)` or the meaning of `Panic(uint256)`.
///
/// `None` where the data is empty, a custom error, or malformed.
#[must_use]
pub fn revert_reason(output: &[u8]) -> Option<String> {
    if let Ok(revert) = Revert::abi_decode(output) {
        return Some(revert.reason);
    }
    Panic::abi_decode(output).ok().map(|panic| panic_meaning(panic.code))
}

/// `execution reverted`, with the reason where there is one.
#[must_use]
pub fn revert_message(output: &[u8]) -> String {
    match revert_reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// Meanings of Solidity's panic codes.
fn panic_meaning(code: U256) -> String {
    let known = match u64::try_from(code) {
        Ok(0x00) => "generic panic",
        Ok(0x01) => "assert(false)",
        Ok(0x11) => "arithmetic underflow or overflow",
        Ok(0x12) => "division or modulo by zero",
        Ok(0x21) => "enum overflow",
        Ok(0x22) => "invalid encoded storage byte array accessed",
        Ok(0x31) => "out-of-bounds array access; popping on an empty array",
        Ok(0x32) => "out-of-bounds access of an array or bytesN",
        Ok(0x41) => "out of memory",
        Ok(0x51) => "uninitialized function",
        _ => return format!("unknown panic code: {code:#x}"),
    };
    known.to_owned()
}

/// An exceptional halt, as geth names it.
#[must_use]
pub fn halt_message(reason: &HaltReason) -> String {
    let text = match reason {
        HaltReason::OutOfGas(OutOfGasError::MemoryLimit | OutOfGasError::InvalidOperand) => "gas uint64 overflow",
        HaltReason::OutOfGas(_) => "out of gas",
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode",
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StackUnderflow => "stack underflow",
        HaltReason::StackOverflow => "stack limit reached 1024 (1023)",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded",
        HaltReason::NonceOverflow => "nonce uint64 overflow",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => "write protection",
        HaltReason::OutOfFunds => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
        HaltReason::PrecompileErrorWithContext(message) => return message.clone(),
        other => return format!("{other:?}"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn reasons_are_geths() {
        assert_eq!(revert_message(&[]), "execution reverted");
        let reason = hex!(
            "08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000036e6f210000000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(revert_message(&reason), "execution reverted: no!");
        let mut panic = hex!("4e487b710000000000000000000000000000000000000000000000000000000000000011");
        assert_eq!(revert_reason(&panic).as_deref(), Some("arithmetic underflow or overflow"));
        panic[35] = 0x99;
        assert_eq!(revert_reason(&panic).as_deref(), Some("unknown panic code: 0x99"));
        // A custom error, and a truncated Error(string).
        assert_eq!(revert_reason(&hex!("deadbeef")), None);
        assert_eq!(revert_reason(&reason[..40]), None);
    }

    #[test]
    fn halts_are_geths() {
        assert_eq!(halt_message(&HaltReason::OutOfGas(OutOfGasError::Basic)), "out of gas");
        assert_eq!(halt_message(&HaltReason::InvalidJump), "invalid jump destination");
    }
}
