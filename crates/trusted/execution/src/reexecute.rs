//! Executing a block again, to check what somebody claims of it.

use alloy_consensus::proofs::calculate_ommers_root;
use alloy_evm::block::BlockExecutor;
use alloy_primitives::B256;
use cloister_primitives::{Code, Rejected};
use cloister_state::{StateDelta, StateView};

use crate::block::{BlockAttributes, Built, Claimed, Executed, Parent};
use crate::build::{Body, Executor, Included, execute, fatal};
use crate::database::BlockHashes;
use crate::error::ExecutionError;

impl Executor {
    /// Executes `block` on the state after `parent` and returns what comes out.
    ///
    /// Everything that follows from the parent and the block's own attributes is computed anew; of the
    /// block's header only the attributes are taken over. To learn whether the block is true, apply the
    /// delta, [`seal`](Built::seal) with the root, and [`verify`](Executed::verify).
    ///
    /// Blocks of proof of work are paid their rewards, but their difficulty is not checked. Receipts have a
    /// status whatever the fork, so the receipts root of a block before Byzantium does not come out right.
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if the block cannot follow the parent; [`ExecutionError::Fatal`] if a
    /// transaction in it is invalid.
    pub fn reexecute(
        &self,
        parent: Parent<'_>,
        block: Claimed<'_>,
        view: &StateView,
        hashes: &dyn BlockHashes,
    ) -> Result<Built, ExecutionError> {
        let claimed = block.header;
        if claimed.parent_hash != parent.hash || Some(claimed.number) != parent.header.number.checked_add(1) {
            return Err(Rejected::with_detail(
                Code::InvalidParams,
                format!("block {} does not follow {}", claimed.number, parent.hash),
            )
            .into());
        }
        let mut header = self.draft(parent, self.attributes_of(block))?;
        header.difficulty = claimed.difficulty;
        header.nonce = claimed.nonce;
        header.ommers_hash = calculate_ommers_root(block.ommers);
        let body =
            Body { ommers: block.ommers, withdrawals: block.withdrawals, transactions: block.transactions.len() };
        let mut run = self.start(&header, body, view, hashes)?;
        for transaction in block.transactions {
            let output = execute(&mut run, transaction).map_err(fatal)?;
            run.commit_transaction(output);
        }
        let included = Included(block.transactions.to_vec());
        self.finish(run, header, included, block.withdrawals)
    }

    fn attributes_of(&self, block: Claimed<'_>) -> BlockAttributes {
        let header = block.header;
        BlockAttributes {
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            prev_randao: header.mix_hash,
            extra_data: header.extra_data.clone(),
            parent_beacon_block_root: header.parent_beacon_block_root,
            withdrawals: block.withdrawals.to_vec(),
            gas_limit: header.gas_limit,
            base_fee_override: self.spec.is_development().then_some(header.base_fee_per_gas).flatten(),
        }
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
        block: Claimed<'_>,
        view: &StateView,
        hashes: &dyn BlockHashes,
        state_root: impl FnOnce(&StateDelta) -> B256,
    ) -> Result<Executed, ExecutionError> {
        let built = self.reexecute(parent, block, view, hashes)?;
        let root = state_root(&built.delta);
        let executed = built.seal(root);
        match executed.verify(block.header) {
            Ok(()) => Ok(executed),
            Err(mismatch) => Err(ExecutionError::Fatal(mismatch.to_string())),
        }
    }
}
