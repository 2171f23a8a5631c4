//! Running committed transactions once more, to learn what receipts do not say: return data of
//! reverts, reasons of halts, and what contracts logged to the console.

use std::ops::Range;

use alloy_primitives::Bytes;
use cloister_access::Caller;
use cloister_core::SeenBlock;
use cloister_execution::{Observed, Replay, halt_message};
use cloister_primitives::Height;
use cloister_rpc::RpcContext;
use revm::{
    Inspector,
    context::result::{ExecutionResult, HaltReason},
    context_interface::ContextTr,
    interpreter::{CallInputs, CallOutcome, interpreter::EthInterpreter},
};

use crate::console::{CONSOLE_ADDRESS, decode_log, describe_revert};

/// Most lines kept of one transaction.
const MAX_LOGS: usize = 100;

/// Why a transaction had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The code reverted and returned this.
    Reverted(Bytes),
    /// The machine stopped: out of gas, invalid opcode, ….
    Halted(HaltReason),
}

impl Failure {
    /// In words, for the console.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Reverted(output) => describe_revert(output),
            Self::Halted(reason) => halt_message(reason),
        }
    }
}

/// What running a transaction again told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Its index in the block.
    pub index: usize,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// What contracts said with `console.log`.
    pub logs: Vec<String>,
}

/// Runs the transactions of a block up to the end of `watched` and tells about those in it. Empty
/// where the block or the state before it is no longer at hand.
pub(crate) fn replay(context: &RpcContext, caller: &Caller, block: &SeenBlock, watched: Range<usize>) -> Vec<Replayed> {
    try_replay(context, caller, block, watched).unwrap_or_default()
}

fn try_replay(
    context: &RpcContext,
    caller: &Caller,
    block: &SeenBlock,
    watched: Range<usize>,
) -> Option<Vec<Replayed>> {
    let reader = context.ledger.reader(caller);
    let whole = block.whole()?;
    let state = reader.state(block.height().parent()?).ok()?;
    let first = whole.transactions.first()?;
    let view = state.call_view(first.signer(), None)?;
    let hashes = |height| context.ledger.reader(caller).hash_at(Height(height));
    let replay = Replay { header: block.header(), transactions: &whole.transactions, view, hashes: &hashes };
    let mut told = Vec::with_capacity(watched.len());
    let observe = |observed: Observed<'_, '_, ConsoleCalls>| {
        told.push(Replayed {
            index: observed.index,
            failure: failure(&observed.result.result),
            logs: std::mem::take(&mut observed.inspector.logs),
        });
    };
    context.executor.inspect_block(replay, watched, &mut ConsoleCalls::default(), observe).ok()?;
    Some(told)
}

fn failure(result: &ExecutionResult) -> Option<Failure> {
    match result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(Failure::Reverted(output.clone())),
        ExecutionResult::Halt { reason, .. } => Some(Failure::Halted(reason.clone())),
    }
}

/// Listens to calls of the console's address.
#[derive(Debug, Default)]
struct ConsoleCalls {
    logs: Vec<String>,
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for ConsoleCalls {
    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        if inputs.target_address == CONSOLE_ADDRESS && self.logs.len() < MAX_LOGS {
            let line = decode_log(&inputs.input.bytes(context));
            self.logs.extend(line);
        }
        None
    }
}
