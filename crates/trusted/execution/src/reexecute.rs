//! Executing a block again, to check what somebody claims of it.

use std::sync::Arc;

use alloy_consensus::Eip658Value;
use alloy_consensus::proofs::calculate_ommers_root;
use alloy_evm::Evm as _;
use alloy_evm::block::{BlockExecutionError, BlockExecutor};
use alloy_primitives::B256;
use cloister_primitives::{Block, Code, EthereumHardfork, Receipt, Rejected};
use cloister_state::{StateDelta, StateError, StateView};
use revm::inspector::NoOpInspector;

use crate::block::{BlockAttributes, Built, Claimed, Executed, Mismatch, Parent};
use crate::build::{Blocks, Body, Executor, Included, execute};
use crate::database::BlockHashes;
use crate::error::ExecutionError;
use crate::rules::{check_header, check_ommers};

impl Executor {
    /// Executes `block` on the state after `parent` and returns what comes out.
    ///
    /// Everything that follows from the parent and the block's own attributes is computed anew; of the
    /// block's header only the attributes are taken over. To learn whether the block is true, apply the
    /// delta, [`seal`](Built::seal) with the root, and [`verify`](Executed::verify).
    ///
    /// Blocks of proof of work are paid their rewards. On imported chains receipts from before Byzantium have
    /// the state root after their transaction instead of a status (EIP-658).
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if the block cannot follow the parent; [`ExecutionError::Invalid`] if a
    /// transaction in it is.
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
        let active = |fork| self.spec.is_active(fork, claimed.number, claimed.timestamp);
        let with_roots = self.spec.is_imported() && !active(EthereumHardfork::Byzantium);
        let mut header = self.draft(parent, self.attributes_of(block))?;
        header.difficulty = claimed.difficulty;
        header.nonce = claimed.nonce;
        header.ommers_hash = calculate_ommers_root(block.ommers);
        let body =
            Body { ommers: block.ommers, withdrawals: block.withdrawals, transactions: block.transactions.len() };
        let mut run = self.start(&header, body, view, hashes)?;
        let mut roots = Vec::new();
        for (index, transaction) in block.transactions.iter().enumerate() {
            let output = execute(&mut run, transaction).map_err(|error| refused(claimed.number, index, error))?;
            run.commit_transaction(output);
            if with_roots {
                roots.push(root_so_far(&run, view)?);
            }
        }
        let included = Included(block.transactions.to_vec());
        let mut built = self.finish(run, header, included, block.withdrawals)?;
        built.ommers = block.ommers.to_vec();
        for (receipt, root) in built.receipts.iter_mut().zip(roots) {
            if let Receipt::Legacy(receipt) = receipt {
                receipt.receipt.status = Eip658Value::PostState(root);
            }
        }
        Ok(built)
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
    /// As [`Self::reexecute`]; a difference is [`ExecutionError::Invalid`] and names the field.
    pub fn check_block(
        &self,
        parent: Parent<'_>,
        block: Claimed<'_>,
        view: &StateView,
        hashes: &dyn BlockHashes,
        state_root: impl FnOnce(&StateDelta) -> Result<B256, StateError>,
    ) -> Result<Executed, ExecutionError> {
        let built = self.reexecute(parent, block, view, hashes)?;
        let root = state_root(&built.delta)?;
        let executed = built.seal(root);
        executed.verify(block.header)?;
        Ok(executed)
    }

    /// Checks everything that consensus rules fix about a block of Ethereum's: its header against its parent, its
    /// ommers against its ancestors, and all that its execution leads to. The seal of a mined block is not checked.
    ///
    /// `ancestors` are the blocks before it, newest first: at least seven, or all there are.
    ///
    /// # Errors
    /// [`ExecutionError::Invalid`] names the first field that is wrong.
    pub fn check_foreign_block(
        &self,
        ancestors: &[Arc<Block>],
        block: Claimed<'_>,
        view: &StateView,
        hashes: &dyn BlockHashes,
        state_root: impl FnOnce(&StateDelta) -> Result<B256, StateError>,
    ) -> Result<Executed, ExecutionError> {
        let Some(parent) = ancestors.first() else {
            return Err(ExecutionError::Fatal("a block without a parent".to_owned()));
        };
        let parent = Parent { header: &parent.header, hash: parent.hash };
        check_header(&self.spec, parent, block.header)?;
        check_ommers(&self.spec, ancestors, block.header, block.ommers)?;
        self.check_block(parent, block, view, hashes, state_root)
    }
}

/// A transaction that cannot be in its place, or a fault of this program.
fn refused(height: u64, index: usize, error: BlockExecutionError) -> ExecutionError {
    match error {
        BlockExecutionError::Validation(error) => {
            Mismatch::new(height, format!("transactions[{index}]"), "a valid transaction", error).into()
        }
        BlockExecutionError::Internal(error) => ExecutionError::Fatal(error.to_string()),
    }
}

/// The state root after the transactions so far, which old receipts hold.
///
/// What an account went through within the block does not matter to its root, so each time all changes are looked
/// at as one.
fn root_so_far(run: &Blocks<'_, NoOpInspector>, view: &StateView) -> Result<B256, ExecutionError> {
    Ok(view.project().apply(&run.evm().db().delta())?)
}
