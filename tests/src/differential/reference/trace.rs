//! Traces of the reference: the same transaction run on the state before it, with an inspector.

use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use revm::context::Context;
use revm::context::result::ResultAndState;
use revm::{ExecuteCommitEvm, ExecuteEvm, InspectEvm, MainBuilder, MainContext};
use revm_inspectors::tracing::{DebugInspector, TransactionContext};

use super::{Reference, Surroundings, World, begin, evm, rules, surroundings};
use crate::differential::wallet::SignedTransaction;

/// A transaction of the next block to trace, and how.
#[derive(Clone, Copy, Debug)]
pub(in crate::differential) struct Traced<'t> {
    pub(in crate::differential) index: usize,
    /// Hash of the block it is in.
    pub(in crate::differential) block: B256,
    pub(in crate::differential) options: &'t GethDebugTracingOptions,
}

impl Reference<'_> {
    /// Traces a transaction of the next block, which stays to be made.
    pub(in crate::differential) fn trace(
        &self,
        around: Surroundings,
        transactions: &[&SignedTransaction],
        traced: Traced<'_>,
    ) -> Result<GethTrace, String> {
        let header = self.draft(around);
        let fork = self.case.fork_at(header.number, header.timestamp);
        let mut world: World = self.world.clone();
        begin(&mut world, fork, &header);
        let (before, at) = transactions.split_at(traced.index);
        let mut plain = evm(self.case, self.fault, &header, &mut world);
        for transaction in before {
            plain.transact_commit(transaction.environment.clone()).map_err(|error| error.to_string())?;
        }
        let transaction = at.first().ok_or("no such transaction")?;
        let inspector = DebugInspector::new(traced.options.clone()).map_err(|error| error.to_string())?;
        let block = surroundings(fork, &header);
        let mut watched = Context::mainnet()
            .with_db(&mut world)
            .with_cfg(rules(fork, self.fault))
            .with_block(block.clone())
            .build_mainnet_with_inspector(inspector);
        let result = watched.inspect_one_tx(transaction.environment.clone()).map_err(|error| error.to_string())?;
        let result = ResultAndState::new(result, watched.finalize());
        let context = TransactionContext {
            block_hash: Some(traced.block),
            tx_index: Some(traced.index),
            tx_hash: Some(transaction.hash),
        };
        let mut inspector = watched.inspector;
        let trace = inspector.get_result(Some(context), &transaction.environment, &block, &result, &mut world);
        trace.map(as_geth_shows_it).map_err(|error| error.to_string())
    }
}

/// revm's inspector writes down what geth leaves out: memory and return data where there is none, a refund of zero.
fn as_geth_shows_it(mut trace: GethTrace) -> GethTrace {
    if let GethTrace::Default(frame) = &mut trace {
        for log in &mut frame.struct_logs {
            log.memory.take_if(|memory| memory.is_empty());
            log.return_data.take_if(|data| data.is_empty());
            log.refund_counter.take_if(|refund| *refund == 0);
        }
    }
    trace
}
