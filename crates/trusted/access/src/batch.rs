//! Queries that ask several things at once, by way of Multicall3.
//!
//! What does that is pinned by hash: the contract at its own address, and what viem sends where it expects none, initcode
//! that creates a contract, calls it and returns its answer, with initcode of Multicall3 to create.

use alloy_primitives::{B256, U256, b256, keccak256};
use cloister_execution::{FrameFacts, FrameKind};
use cloister_governance::RuleTable;
use cloister_primitives::MULTICALL3_ADDRESS;
use cloister_state::StateError;

/// Code as it has to be.
struct Pinned {
    length: usize,
    hash: B256,
}

/// Code of Multicall3, as deployed on Ethereum.
const MULTICALL3_HASH: B256 = b256!("0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891");

/// `deploylessCallViaBytecodeBytecode` of viem 2.
const DEPLOYLESS: Pinned =
    Pinned { length: 398, hash: b256!("0x22296fa8f815086ccadc3cb4a9fb337da50380b8231699362f2c541dc63d0249") };

/// `multicall3Bytecode` of viem 2.
const DEPLOYLESS_MULTICALL3: Pinned =
    Pinned { length: 5_593, hash: b256!("0x0388a0d41a63e5bbe5b1005f52975ef622c77817a483f36849c5447365555071") };

impl Pinned {
    /// What follows this code; `None` where something else stands.
    fn strip<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (code, rest) = bytes.split_at_checked(self.length)?;
        (keccak256(code) == self.hash).then_some(rest)
    }
}

/// Whether a frame is Multicall3 itself, which a query calls.
pub(crate) fn is_whole(table: &RuleTable, frame: &FrameFacts<'_>) -> Result<bool, StateError> {
    match (frame.recipient, frame.depth) {
        (Some(MULTICALL3_ADDRESS), 0) => is_multicall3(table),
        // The only call that the initcode makes.
        (None, 1) => Ok(is_call(frame) && is_deployless(frame.transaction_input)),
        _ => Ok(false),
    }
}

/// Whether a frame is a call that Multicall3 makes for who asks.
pub(crate) fn is_part(table: &RuleTable, frame: &FrameFacts<'_>) -> Result<bool, StateError> {
    match (frame.recipient, frame.depth) {
        (Some(MULTICALL3_ADDRESS), 1) => {
            Ok(is_call(frame) && frame.caller == MULTICALL3_ADDRESS && is_multicall3(table)?)
        }
        (None, 2) => Ok(is_call(frame) && is_deployless(frame.transaction_input)),
        _ => Ok(false),
    }
}

fn is_call(frame: &FrameFacts<'_>) -> bool {
    matches!(frame.kind, FrameKind::Call | FrameKind::StaticCall)
}

fn is_multicall3(table: &RuleTable) -> Result<bool, StateError> {
    Ok(table.code_hash(MULTICALL3_ADDRESS)? == Some(MULTICALL3_HASH))
}

/// Whether initcode is viem's, with Multicall3 as its first argument, of two of type `bytes`.
fn is_deployless(initcode: &[u8]) -> bool {
    // Cheap to tell from other initcode: it would have to be as long.
    initcode.len() > DEPLOYLESS.length + DEPLOYLESS_MULTICALL3.length
        && DEPLOYLESS.strip(initcode).is_some_and(begins_with_multicall3)
}

fn begins_with_multicall3(arguments: &[u8]) -> bool {
    let word = |number: usize| U256::from(number).to_be_bytes::<32>();
    arguments.get(96..).is_some_and(|code| {
        arguments[..32] == word(64)
            && arguments[64..96] == word(DEPLOYLESS_MULTICALL3.length)
            && DEPLOYLESS_MULTICALL3.strip(code).is_some()
    })
}

#[cfg(test)]
mod tests {
    use cloister_primitives::MULTICALL3_CODE;

    use super::*;

    #[test]
    fn the_pinned_code_is_multicall3() {
        assert_eq!(keccak256(&MULTICALL3_CODE), MULTICALL3_HASH);
    }

    #[test]
    fn other_initcode_is_no_batch() {
        assert!(!is_deployless(&[]));
        assert!(!is_deployless(&[0; 10_000]));
        assert!(DEPLOYLESS.strip(&[0; 397]).is_none() && DEPLOYLESS.strip(&[0; 400]).is_none());
    }
}
