//! The gas schedule that says nothing about the state.
//!
//! Every instruction that touches the state costs the most that it can on Ethereum, and nothing is given back. Who
//! measures gas learns what code ran and for how long, not whether a slot was empty, an account new, or either
//! touched before.

use revm::bytecode::opcode::{
    BALANCE, CALL, CALLCODE, DELEGATECALL, EXTCODECOPY, EXTCODEHASH, EXTCODESIZE, SELFDESTRUCT, SLOAD, STATICCALL,
};
use revm::context::CfgEnv;
use revm::context_interface::cfg::gas_params::GasId;
use revm::handler::instructions::EthInstructions;
use revm::interpreter::{Host, InterpreterTypes};

/// Reading a slot for the first time in a transaction (EIP-2929).
const COLD_SLOT: u16 = 2_100;
/// Touching an account for the first time in a transaction (EIP-2929).
const COLD_ACCOUNT: u16 = 2_600;
/// Making an account by sending it value (EIP-161).
const NEW_ACCOUNT: u16 = 25_000;
/// Filling an empty slot (EIP-2200).
const FRESH_SLOT: u64 = 20_000;
/// What a call that carries value costs on top (EIP-150).
const VALUE_TRANSFER: u64 = 9_000;
/// SELFDESTRUCT itself (EIP-150).
const DESTRUCTION: u16 = 5_000;

/// Makes everything that touches the state cost the same, whatever the state.
pub(crate) fn charge<W: InterpreterTypes, H: Host>(cfg: &mut CfgEnv, instructions: &mut EthInstructions<W, H>) {
    // What depends on the state costs nothing on top …
    let nothing = [
        GasId::cold_account_additional_cost(),
        GasId::cold_storage_additional_cost(),
        GasId::cold_storage_cost(),
        GasId::warm_storage_read_cost(),
        GasId::new_account_cost(),
        GasId::new_account_cost_for_selfdestruct(),
        GasId::sstore_set_without_load_cost(),
        GasId::sstore_reset_without_cold_load_cost(),
        GasId::sstore_clearing_slot_refund(),
        GasId::sstore_set_refund(),
        GasId::sstore_reset_refund(),
        GasId::selfdestruct_refund(),
        // An authority that exists is given nothing back (EIP-7702).
        GasId::tx_eip7702_regular_refund(),
    ];
    // … because it is charged from the start.
    let always = [
        (GasId::sstore_static(), FRESH_SLOT + u64::from(COLD_SLOT)),
        (GasId::transfer_value_cost(), VALUE_TRANSFER + u64::from(NEW_ACCOUNT)),
    ];
    cfg.gas_params.override_gas(nothing.into_iter().map(|id| (id, 0)).chain(always));
    instructions.insert_gas(SLOAD, COLD_SLOT);
    for opcode in [BALANCE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH] {
        instructions.insert_gas(opcode, COLD_ACCOUNT);
    }
    // The account, and the one it may delegate to (EIP-7702).
    for opcode in [CALL, CALLCODE, DELEGATECALL, STATICCALL] {
        instructions.insert_gas(opcode, 2 * COLD_ACCOUNT);
    }
    instructions.insert_gas(SELFDESTRUCT, DESTRUCTION + COLD_ACCOUNT + NEW_ACCOUNT);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::{Address, Bytes, U256, hex};
    use cloister_primitives::{Confidentiality, DevChain};

    use crate::testing::{World, address};
    use crate::{CallRequest, Open};

    const CONTRACT: Address = Address::repeat_byte(0xc0);

    /// Gas that a contract with this code uses, called with these two words.
    fn used(confidentiality: Confidentiality, code: &[u8], words: [U256; 2]) -> u64 {
        let mut world = World::with(DevChain { confidentiality, ..DevChain::default() }, Arc::new(Open));
        world.deploy(CONTRACT, code);
        let input: Bytes = words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect();
        // Data costs gas by its own: as many bytes that are not zero, whatever the words.
        let request = CallRequest { to: Some(CONTRACT), input, gas: Some(1_000_000), ..CallRequest::default() };
        world.call(&request).unwrap().gas_used()
    }

    /// On Ethereum the two pairs of words cost differently, with a flat schedule the same.
    fn tells_nothing(code: &[u8], one: [U256; 2], other: [U256; 2]) {
        let difference =
            |confidentiality| used(confidentiality, code, one).abs_diff(used(confidentiality, code, other));
        assert_ne!(difference(Confidentiality::Off), 0, "the test tells nothing");
        assert_eq!(difference(Confidentiality::On), 0);
    }

    fn word(byte: u8) -> U256 {
        U256::from_be_bytes([byte; 32])
    }

    #[test]
    fn reading_a_slot_again_costs_what_it_cost_first() {
        // sload(word0), sload(word1)
        tells_nothing(&hex!("5f355450602035545000"), [word(1), word(1)], [word(1), word(2)]);
    }

    #[test]
    fn writing_costs_the_same_whatever_stands_there() {
        // sstore(word0, 1), sstore(word1, 2)
        tells_nothing(&hex!("60015f355560026020355500"), [word(1), word(1)], [word(1), word(2)]);
        // sstore(1, 0) after sstore(word0, word1): what is cleared gives nothing back.
        tells_nothing(&hex!("6020355f35555f60015500"), [U256::from(1), word(2)], [U256::from(3), word(2)]);
    }

    #[test]
    fn looking_at_an_account_costs_the_same_whether_it_exists_or_was_seen_before() {
        let account = |number| U256::from_be_slice(address(number).as_slice());
        // balance(word0), balance(word1)
        tells_nothing(&hex!("5f353150602035315000"), [account(1), account(1)], [account(1), account(2)]);
        // call(gas, word0, 1 wei): a new account, and one that exists
        tells_nothing(
            &hex!("5f5f5f5f60015f355af100"),
            [account(1), word(9)],
            [U256::from_be_slice(Address::repeat_byte(0x99).as_slice()), word(9)],
        );
    }
}
