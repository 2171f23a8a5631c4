//! Failures in the words of Hardhat Network, as Hardhat's plugins and Waffle's matchers read them.
//!
//! Words that other clients look for stand behind Hardhat's: ethers and viem tell an unpaid
//! transaction by geth's.

use alloy_primitives::{U256, hex};
use alloy_sol_types::{Panic, Revert, SolError as _};
use cloister_primitives::{Code, Rejected};
use revm::context::result::HaltReason;

use crate::console::describe_custom_error;

/// Where a transaction failed in the machine, and not before.
const VM_EXCEPTION: &str = "VM Exception while processing transaction:";

/// What a reverted transaction returned.
pub(crate) fn revert_message(output: &[u8]) -> String {
    if output.is_empty() {
        return "Transaction reverted without a reason string".to_owned();
    }
    if let Ok(revert) = Revert::abi_decode(output) {
        return format!("{VM_EXCEPTION} reverted with reason string '{}'", revert.reason);
    }
    if let Ok(panic) = Panic::abi_decode(output) {
        let meaning = panic_meaning(panic.code);
        return format!("{VM_EXCEPTION} reverted with panic code {:#x} ({meaning})", panic.code);
    }
    match describe_custom_error(output) {
        Some(error) => format!("{VM_EXCEPTION} reverted with custom error '{error}'"),
        None => format!(
            "{VM_EXCEPTION} reverted with an unrecognized custom error (return data: {})",
            hex::encode_prefixed(output)
        ),
    }
}

/// Hardhat's meanings of Solidity's panic codes.
fn panic_meaning(code: U256) -> &'static str {
    match u64::try_from(code) {
        Ok(0x01) => "Assertion error",
        Ok(0x11) => "Arithmetic operation overflowed outside of an unchecked block",
        Ok(0x12) => "Division or modulo division by zero",
        Ok(0x21) => "Tried to convert a value into an enum, but the value was too big or negative",
        Ok(0x22) => "Incorrectly encoded storage byte array",
        Ok(0x31) => ".pop() was called on an empty array",
        Ok(0x32) => "Array accessed at an out-of-bounds or negative index",
        Ok(0x41) => "Too much memory was allocated, or an array was created that is too large",
        Ok(0x51) => "Called a zero-initialized variable of internal function type",
        _ => "Unknown panic code",
    }
}

/// Why the machine stopped.
pub(crate) fn halt_message(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "Transaction ran out of gas".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => format!("{VM_EXCEPTION} invalid opcode"),
        HaltReason::CreateContractSizeLimit => {
            "Transaction reverted: trying to deploy a contract whose code is too large".to_owned()
        }
        other => format!("{VM_EXCEPTION} {}", cloister_execution::halt_message(other)),
    }
}

/// What a refused transaction said, and what the chain knew about its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its nonce.
    pub nonce: u64,
    /// Its gas limit.
    pub gas_limit: u64,
    /// The most it could have cost, wei.
    pub cost: U256,
    /// The nonce expected of its sender.
    pub next_nonce: u64,
    /// The balance of its sender, wei.
    pub balance: U256,
    /// The gas limit of a block.
    pub block_gas_limit: u64,
}

impl Refused {
    /// Why it was refused.
    pub(crate) fn message(&self, reason: &Rejected) -> String {
        let Self { nonce, gas_limit, cost, next_nonce, balance, block_gas_limit } = self;
        match reason.code() {
            Code::NonceTooLow => format!("Nonce too low. Expected nonce to be {next_nonce} but got {nonce}."),
            Code::InsufficientFunds => format!(
                "Sender doesn't have enough funds to send tx. The max upfront cost is: {cost} and the sender's balance \
                 is: {balance}. {reason}"
            ),
            Code::ExceedsBlockGasLimit => {
                format!("Transaction gas limit is {gas_limit} and exceeds block gas limit of {block_gas_limit}")
            }
            _ => reason.to_string(),
        }
    }
}

/// A fee that does not suffice for the block that would be made at once.
pub(crate) fn fee_too_low(name: &str, fee: u128, base_fee: u64) -> String {
    format!("Transaction {name} ({fee}) is too low for the next block, which has a baseFeePerGas of {base_fee}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::context::result::OutOfGasError;

    #[test]
    fn reverts_as_hardhats_plugins_read_them() {
        assert_eq!(revert_message(&[]), "Transaction reverted without a reason string");
        let reason = Revert { reason: "no".to_owned() }.abi_encode();
        assert_eq!(
            revert_message(&reason),
            "VM Exception while processing transaction: reverted with reason string 'no'"
        );
        let panic = Panic { code: U256::from(0x11) }.abi_encode();
        assert_eq!(
            revert_message(&panic),
            "VM Exception while processing transaction: reverted with panic code 0x11 \
             (Arithmetic operation overflowed outside of an unchecked block)"
        );
        assert_eq!(
            revert_message(&hex!("deadbeef01")),
            "VM Exception while processing transaction: reverted with an unrecognized custom error (return data: 0xdeadbeef01)"
        );
        // EnforcedPause(), of OpenZeppelin's contracts.
        assert_eq!(
            revert_message(&hex!("d93c0665")),
            "VM Exception while processing transaction: reverted with custom error 'EnforcedPause()'"
        );
    }

    #[test]
    fn halts_as_hardhats_plugins_read_them() {
        assert_eq!(halt_message(&HaltReason::OutOfGas(OutOfGasError::Basic)), "Transaction ran out of gas");
        assert_eq!(
            halt_message(&HaltReason::InvalidFEOpcode),
            "VM Exception while processing transaction: invalid opcode"
        );
        assert_eq!(
            halt_message(&HaltReason::InvalidJump),
            "VM Exception while processing transaction: invalid jump destination"
        );
    }

    #[test]
    fn refusals_say_what_both_families_look_for() {
        let refused = Refused {
            nonce: 3,
            gas_limit: 40,
            cost: U256::from(7),
            next_nonce: 5,
            balance: U256::from(6),
            block_gas_limit: 30,
        };
        let of = |code: Code| refused.message(&Rejected::new(code));
        assert_eq!(of(Code::NonceTooLow), "Nonce too low. Expected nonce to be 5 but got 3.");
        assert_eq!(
            of(Code::InsufficientFunds),
            "Sender doesn't have enough funds to send tx. The max upfront cost is: 7 and the sender's balance is: 6. \
             insufficient funds for gas * price + value"
        );
        assert_eq!(of(Code::ExceedsBlockGasLimit), "Transaction gas limit is 40 and exceeds block gas limit of 30");
        assert_eq!(of(Code::ReplacementUnderpriced), "replacement transaction underpriced");
    }
}
