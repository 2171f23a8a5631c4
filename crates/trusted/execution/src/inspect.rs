//! Replaying a block under an inspector, for traces and console output.

use core::ops::Range;

use alloy_consensus::Header;
use alloy_evm::block::BlockExecutor;
use alloy_evm::{Evm as _, EvmFactory as _};
use cloister_primitives::RecoveredTransaction;
use cloister_state::StateView;
use revm::Inspector;
use revm::context::result::ResultAndState;

use crate::build::{Blocks, Body, Executor, execute, fatal};
use crate::database::{BlockDatabase, BlockHashes};
use crate::environment::block_environment;
use crate::error::ExecutionError;
use crate::evm::{CloisterEvm, EvmContext};

/// A block to replay, or the part of it that matters.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    /// The block's header.
    pub header: &'a Header,
    /// Its transactions, from the first one on; those after the last that is inspected may be left out.
    pub transactions: &'a [RecoveredTransaction],
    /// The state before the block.
    pub view: &'a StateView,
    /// Hashes for BLOCKHASH.
    pub hashes: &'a dyn BlockHashes,
}

/// A transaction that has run under the inspector and is not committed yet.
pub struct Observed<'o, 'a, I> {
    /// Its index in the block.
    pub index: usize,
    /// What came of it, and the accounts it touched.
    pub result: &'o ResultAndState,
    /// The inspector. It goes on to the next transaction as it is left here.
    pub inspector: &'o mut I,
    /// The state before the transaction.
    pub database: &'o mut BlockDatabase<'a>,
}

impl Executor {
    /// Replays a block up to the end of `inspected`, with `inspector` watching the transactions in it.
    ///
    /// `observe` is called after each watched transaction.
    ///
    /// # Errors
    /// [`ExecutionError::Fatal`] if a transaction is invalid in this place.
    pub fn inspect_block<'a, I: Inspector<EvmContext<BlockDatabase<'a>>>>(
        &'a self,
        replay: Replay<'a>,
        inspected: Range<usize>,
        inspector: &mut I,
        mut observe: impl FnMut(Observed<'_, 'a, I>),
    ) -> Result<(), ExecutionError> {
        let mut evm = self.on(replay.view).create_evm_with_inspector(
            self.block_database(replay.view, replay.hashes, replay.header),
            block_environment(&self.spec, replay.header),
            inspector,
        );
        evm.disable_inspector();
        let count = inspected.end.min(replay.transactions.len());
        let replay = Replay { transactions: &replay.transactions[..count], ..replay };
        let mut run = self.start_replay(evm, replay)?;
        for (index, transaction) in replay.transactions.iter().enumerate() {
            let watched = inspected.contains(&index);
            run.evm_mut().set_inspector_enabled(watched);
            let output = execute(&mut run, transaction).map_err(fatal)?;
            if watched {
                let (database, inspector, _) = run.evm_mut().components_mut();
                observe(Observed { index, result: &output.result, inspector, database });
            }
            run.commit_transaction(output);
        }
        Ok(())
    }

    /// A block on its way, past its system calls. It is never closed, so ommers and withdrawals do not matter.
    pub(crate) fn start_replay<'a, I: Inspector<EvmContext<BlockDatabase<'a>>>>(
        &self,
        evm: CloisterEvm<BlockDatabase<'a>, I>,
        replay: Replay<'a>,
    ) -> Result<Blocks<'a, I>, ExecutionError> {
        let body = Body { transactions: replay.transactions.len(), ..Body::default() };
        self.start_with(evm, replay.header, body)
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
