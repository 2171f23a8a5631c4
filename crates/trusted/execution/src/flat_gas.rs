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
