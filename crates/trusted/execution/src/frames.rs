//! Running a frame for an inspector that does not ask about instructions.

use alloy_evm::Database;
use revm::Inspector;
use revm::context::{ContextTr, JournalEntry, JournalTr};
use revm::handler::evm::ContextDbError;
use revm::handler::instructions::InstructionProvider;
use revm::handler::{EthFrame, FrameInitOrResult, ItemOrResult};
use revm::inspector::handler::frame_end;
use revm::inspector::{InspectorEvmTr, JournalExt};
use revm::interpreter::InstructionResult;
use revm::interpreter::interpreter_action::InterpreterAction;

use crate::evm::{EvmContext, Inner};

/// Runs the newest frame until it calls or returns, and tells the inspector what it logged and whom its
/// self-destruction paid.
///
/// Both are read off the journal afterwards: nothing but a call or a return ends such a stretch, so their
/// order among the frames is the same as if each instruction had been watched.
pub(crate) fn run_without_steps<DB: Database, I: Inspector<EvmContext<DB>>>(
    evm: &mut Inner<DB, I>,
) -> Result<FrameInitOrResult<EthFrame>, ContextDbError<EvmContext<DB>>> {
    let (context, inspector, frame, instructions) = evm.ctx_inspector_frame_instructions();
    let first_log = context.journal().logs().len();
    let first_entry = context.journal().journal().len();
    let action = frame.interpreter.run_plain(instructions.instruction_table(), instructions.gas_table(), context);
    let logs = context.journal().logs()[first_log..].to_vec();
    for log in logs {
        inspector.log_full(&mut frame.interpreter, context, log);
    }
    if let InterpreterAction::Return(result) = &action
        && result.result == InstructionResult::SelfDestruct
    {
        tell_self_destruct(context, inspector, first_entry);
    }
    let mut outcome = frame.process_next_action(context, action);
    if let Ok(ItemOrResult::Result(result)) = &mut outcome {
        frame_end(context, inspector, &frame.input, result);
        frame.set_finished(true);
    }
    outcome
}

/// What SELFDESTRUCT moved is its last entry in the journal; there is none if it moved nothing.
fn tell_self_destruct<DB: Database, I: Inspector<EvmContext<DB>>>(
    context: &EvmContext<DB>,
    inspector: &mut I,
    first_entry: usize,
) {
    let entries = context.journal().journal();
    match entries.get(first_entry..).and_then(<[_]>::last) {
        Some(JournalEntry::AccountDestroyed { address, target, had_balance, .. }) => {
            inspector.selfdestruct(*address, *target, *had_balance);
        }
        Some(JournalEntry::BalanceTransfer { from, to, balance }) => inspector.selfdestruct(*from, *to, *balance),
        _ => {}
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
