//! Executing a block again, to check what somebody claims of it.

use alloy_evm::block::BlockExecutor;
use alloy_primitives::B256;
use cloister_primitives::{Block, Code, Rejected};
use cloister_state::StateView;

use crate::block::{BlockAttributes, Built, Parent};
use crate::build::{Executor, Included, execute, fatal};
use crate::database::BlockHashes;
use crate::error::ExecutionError;

impl Executor {
    /// Executes `block` on the state after `parent` and returns what comes out.
    ///
    /// Everything that follows from the parent and the block's own attributes is computed anew; of the
    /// block's header only the attributes are taken over. To learn whether the block is true, apply the
    /// delta, [`seal`](Built::seal) with the root, and [`verify`](crate::Executed::verify).
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if the block cannot follow the parent; [`ExecutionError::Fatal`] if a
    /// transaction in it is invalid.
    pub fn reexecute(
        &self,
        parent: Parent<'_>,
        block: &Block,
        view: &StateView,
        hashes: &dyn BlockHashes,
    ) -> Result<Built, ExecutionError> {
        let claimed = &block.header;
        if claimed.parent_hash != parent.hash || claimed.number != parent.header.number + 1 {
            return Err(Rejected::with_detail(
                Code::InvalidParams,
                format!("block {} does not follow {}", claimed.number, parent.hash),
            )
            .into());
        }
        let withdrawals = block
            .withdrawals
            .as_ref()
            .map(|withdrawals| withdrawals.to_vec())
            .unwrap_or_default();
        let attributes = BlockAttributes {
            timestamp: claimed.timestamp,
            beneficiary: claimed.beneficiary,
            prev_randao: claimed.mix_hash,
            extra_data: claimed.extra_data.clone(),
            parent_beacon_block_root: claimed.parent_beacon_block_root,
            withdrawals: withdrawals.clone(),
            gas_limit: claimed.gas_limit,
            base_fee_override: self
                .spec
                .is_development()
                .then_some(claimed.base_fee_per_gas)
                .flatten(),
        };
        let header = self.draft(parent, attributes)?;
        let count = block.transactions.len();
        let mut run = self.start(&header, &withdrawals, view, hashes, count)?;
        for transaction in &block.transactions {
            let output = execute(&mut run, transaction).map_err(fatal)?;
            run.commit_transaction(output);
        }
        let included = Included(block.transactions.clone());
        self.finish(run, header, included, withdrawals)
    }

    /// Executes `block` and compares all of it, the state root included.
    ///
    /// `state_root` is asked for the root of the parent's state after a delta.
    ///
    /// # Errors
    /// As [`Self::reexecute`]; a difference is [`ExecutionError::Fatal`] and names the field.
    pub fn check_block(
        &self,
        parent: Parent<'_>,
        block: &Block,
        view: &StateView,
        hashes: &dyn BlockHashes,
        state_root: impl FnOnce(&cloister_state::StateDelta) -> B256,
    ) -> Result<crate::Executed, ExecutionError> {
        let built = self.reexecute(parent, block, view, hashes)?;
        let root = state_root(&built.delta);
        let executed = built.seal(root);
        match executed.verify(&block.header) {
            Ok(()) => Ok(executed),
            Err(mismatch) => Err(ExecutionError::Fatal(mismatch.to_string())),
        }
    }
}
