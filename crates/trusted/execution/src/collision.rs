//! EIP-7610: no contract is created where storage is.
//!
//! revm refuses to create over a nonce or code. An address with storage and neither of them comes only from a
//! genesis, or from a creation before EIP-161, so it is recognised when its account is read, and marked.

use alloy_evm::Database;
use alloy_primitives::Bytes;
use revm::context::{ContextTr, JournalTr};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::handler::FrameResult;
use revm::handler::evm::ContextDbError;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::{CreateInputs, CreateOutcome, FrameInput, Gas, InstructionResult, InterpreterResult};
use revm::primitives::constants::CALL_STACK_LIMIT;
use revm::state::{AccountId, AccountInfo};

use crate::evm::{CloisterEvm, EvmContext};

/// Marks what revm is told of an account as that of one with storage.
///
/// The id is for databases that find storage faster by it; ours does not look at it. It stays with the account
/// for as long as revm keeps it, and goes when the account is cleared. Only accounts without nonce and code are
/// looked at: over all others revm does not create anyway.
pub(crate) fn mark_storage(info: &mut AccountInfo, has_storage: bool) {
    info.account_id = if has_storage { AccountId::new(0) } else { None };
}

const fn has_storage(info: &AccountInfo) -> bool {
    info.account_id.is_some()
}

/// The outcome of a creation that never ran.
pub(crate) fn uncreated(inputs: &CreateInputs, result: InstructionResult) -> FrameResult {
    let gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit(), inputs.reservoir());
    let mut outcome = CreateOutcome::new(InterpreterResult { result, output: Bytes::new(), gas }, None);
    outcome.charged_create_state_gas = inputs.charged_create_state_gas();
    FrameResult::Create(outcome)
}

impl<DB: Database, I> CloisterEvm<DB, I> {
    /// The outcome of a creation over storage; `None` if `init` is anything else.
    ///
    /// As for every other collision the creator's nonce counts it, the address becomes warm (EIP-2929), and
    /// all gas is gone.
    pub(crate) fn collision(
        &mut self,
        init: &FrameInit,
    ) -> Result<Option<FrameResult>, ContextDbError<EvmContext<DB>>> {
        let FrameInput::Create(inputs) = &init.frame_input else {
            return Ok(None);
        };
        let journal = self.context_mut().journal_mut();
        let (nonce, balance) = {
            let creator = journal.load_account(inputs.caller())?.data;
            (creator.info.nonce, creator.info.balance)
        };
        // What revm refuses for these reasons never reaches the address.
        if init.depth > CALL_STACK_LIMIT as usize || balance < inputs.value() || nonce == u64::MAX {
            return Ok(None);
        }
        let address = inputs.created_address(nonce);
        // Read past the journal: whether the address is warm must not depend on this look.
        let found = journal.db_mut().basic(address)?;
        if !found.as_ref().is_some_and(has_storage) {
            return Ok(None);
        }
        journal.load_account_mut(inputs.caller())?.bump_nonce();
        journal.load_account(address)?;
        Ok(Some(uncreated(inputs, InstructionResult::CreateCollision)))
    }
}

#[cfg(test)]
#[path = "collision_tests.rs"]
mod tests;
