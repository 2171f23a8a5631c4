//! Traces: transactions and calls run once more, watched by one of geth's tracers.

mod recorder;
mod tracer;

use std::sync::Arc;

use alloy_evm::block::BlockExecutor;
use alloy_evm::{Evm as _, EvmFactory as _};
use alloy_primitives::Address;
use alloy_rpc_types_trace::geth::GethTrace;
use cloister_state::StateView;
use revm::context::result::EVMError;
use revm_inspectors::tracing::TransactionContext;

use crate::build::{Executor, execute, fatal};
use crate::call::{CallEnv, CallRequest};
use crate::database::{BlockDatabase, CallDatabase};
use crate::environment::block_environment;
use crate::error::ExecutionError;
use crate::inspect::Replay;
use crate::transaction::{rejection, transaction_environment};
use recorder::Recorder;

pub use tracer::Tracer;

/// How a trace is made.
#[derive(Clone, Copy, Debug)]
pub struct TraceRequest<'a> {
    /// Who watches.
    pub tracer: &'a Tracer,
    /// Bytes of memory that the trace of one transaction may take; one that takes more has no answer.
    pub limit_bytes: usize,
}

/// The trace of one transaction of a block.
#[derive(Clone, Debug)]
pub struct TransactionTrace {
    /// Index of the transaction in the block.
    pub index: usize,
    /// What the tracer says.
    pub trace: GethTrace,
}

impl Executor {
    /// Replays a block up to the last of the `traced` transactions, whose indices ascend, and hands the trace
    /// of each of them to `told`, which may end the replay.
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if a trace takes more than the limit, [`ExecutionError::State`] if the
    /// view is gone, [`ExecutionError::Fatal`] if a transaction is invalid in this place; or what `told`
    /// answered.
    pub fn trace_block<'a>(
        &'a self,
        replay: Replay<'a>,
        traced: &[usize],
        request: TraceRequest<'_>,
        mut told: impl FnMut(TransactionTrace) -> Result<(), ExecutionError>,
    ) -> Result<(), ExecutionError> {
        let Some(last) = traced.last() else {
            return Ok(());
        };
        let transactions = &replay.transactions[..replay.transactions.len().min(last + 1)];
        let environment = block_environment(&self.spec, replay.header);
        let block = environment.block_env.clone();
        let hash = replay.header.hash_slow();
        let evm = self
            .on(replay.view)
            .create_evm_with_inspector(
                self.block_database(replay.view, replay.hashes, replay.header),
                environment,
                Recorder::new(request.tracer, request.limit_bytes)?,
            )
            .with_detail(request.tracer.detail());
        let mut run = self.start_replay(evm, replay)?;
        for (index, transaction) in transactions.iter().enumerate() {
            let is_traced = traced.binary_search(&index).is_ok();
            run.evm_mut().set_inspector_enabled(is_traced);
            let output = match execute(&mut run, transaction) {
                Ok(output) => output,
                Err(error) => return Err(why(error, run.evm.inspector(), replay.view)),
            };
            if is_traced {
                let context = TransactionContext {
                    block_hash: Some(hash),
                    tx_index: Some(index),
                    tx_hash: Some(*transaction.tx_hash()),
                };
                let environment = transaction_environment(transaction.inner(), transaction.signer());
                let (database, recorder, _) = run.evm_mut().components_mut();
                let trace = recorder.take(context, (&environment, &block), &output.result, database)?;
                told(TransactionTrace { index, trace })?;
            }
            run.commit_transaction(output);
        }
        Ok(())
    }

    /// Traces a call on `view`, in the context of `env.header`; or, with `after`, on the state between two
    /// transactions of a block: after those in it, which run first.
    ///
    /// # Errors
    /// As [`call`](Self::call), and [`ExecutionError::Rejected`] if the trace takes more than the limit.
    /// Reverts and halts are part of a trace, not errors.
    pub fn trace_call<'a>(
        &'a self,
        view: &'a StateView,
        env: &CallEnv<'a>,
        call: &CallRequest,
        after: Option<Replay<'a>>,
        request: TraceRequest<'_>,
    ) -> Result<GethTrace, ExecutionError> {
        let prepared = self.prepare(env, call)?;
        let base = match after {
            Some(replay) => self.state_after(replay)?,
            None => self.block_database(view, env.hashes, env.header),
        };
        let database = CallDatabase::new(base, env.state_overrides, env.block_overrides)?;
        let recorder = Recorder::new(request.tracer, request.limit_bytes)?;
        let (transaction, block) = (prepared.transaction, prepared.environment.block_env.clone());
        let mut evm = self
            .factory
            .guarded_by(Arc::clone(env.guard))
            .create_evm_with_inspector(database, prepared.environment, recorder)
            .with_detail(request.tracer.detail());
        let result = match evm.transact_raw(transaction.clone()) {
            Ok(result) => result,
            Err(EVMError::Transaction(invalid)) => return Err(rejection(&invalid, transaction.caller).into()),
            Err(error) => return Err(why(error, evm.inspector(), view)),
        };
        let (database, recorder, _) = evm.components_mut();
        recorder.take(TransactionContext::default(), (&transaction, &block), &result, database)
    }

    /// A block's transactions run on the state before it, without its end.
    fn state_after<'a>(&'a self, replay: Replay<'a>) -> Result<BlockDatabase<'a>, ExecutionError> {
        let evm = self.on(replay.view).create_evm(
            self.block_database(replay.view, replay.hashes, replay.header),
            block_environment(&self.spec, replay.header),
        );
        let mut run = self.start_replay(evm, replay)?;
        for transaction in replay.transactions {
            let output = execute(&mut run, transaction).map_err(fatal)?;
            run.commit_transaction(output);
        }
        Ok(run.evm.into_db())
    }
}

/// Why a traced execution failed: its trace was too large, its state has gone in the meantime, or worse.
fn why(error: impl core::fmt::Display, recorder: &Recorder, view: &StateView) -> ExecutionError {
    if let Some(refusal) = recorder.refusal() {
        return refusal.into();
    }
    match view.account(Address::ZERO) {
        Ok(_) => ExecutionError::Fatal(error.to_string()),
        Err(gone) => gone.into(),
    }
}

#[cfg(test)]
mod tests;
