//! One simulated block.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_consensus::proofs::ordered_trie_root_encoded;
use alloy_evm::block::{BlockExecutionError, BlockExecutor, BlockValidationError};
use alloy_evm::{Evm as _, EvmEnv, EvmFactory as _};
use alloy_primitives::{Address, B256, Bytes};
use cloister_primitives::{Code, Rejected};
use cloister_state::Projection;
use revm::Database as _;
use revm::context_interface::block::BlobExcessGasAndPrice;

use super::call::{self, Filled, Place};
use super::logs::LogCollector;
use super::{CallResult, Checks, Ending, SimulatedBlock, SimulatedCalls, Simulation, SimulationBase};
use crate::build::{Blocks, Body, Executor, Included, Output, fatal};
use crate::call::CallRequest;
use crate::database::{BlockHashes, ViewDatabase, ViewError};
use crate::environment::block_environment;
use crate::error::ExecutionError;
use crate::overrides::BlockOverrides;
use crate::precompiles::Moves;
use crate::supposed::{Supposed, delta_of};
use crate::within::BlockState;

/// What a simulation carries from block to block.
pub(super) struct Progress<'a> {
    base: SimulationBase<'a>,
    supposed: Supposed,
    projection: Projection,
    gas_left: u64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(base: SimulationBase<'a>) -> Self {
        let gas_left = if base.gas_cap == 0 { u64::MAX } else { base.gas_cap };
        Self { base, supposed: Supposed::default(), projection: base.view.project(), gas_left }
    }
}

/// Hashes of simulated blocks and those before them.
pub(super) struct SimulatedHashes<'a> {
    base: SimulationBase<'a>,
    simulated: BTreeMap<u64, B256>,
}

impl<'a> SimulatedHashes<'a> {
    pub(super) const fn new(base: SimulationBase<'a>) -> Self {
        Self { base, simulated: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, height: u64, hash: B256) {
        self.simulated.insert(height, hash);
    }
}

impl BlockHashes for SimulatedHashes<'_> {
    fn block_hash(&self, height: u64) -> Option<B256> {
        let parent = self.base.parent;
        if height == parent.header.number {
            return Some(parent.hash);
        }
        self.simulated.get(&height).copied().or_else(|| self.base.hashes.block_hash(height))
    }
}

/// A block while its calls run.
struct Run<'a> {
    blocks: Blocks<'a, LogCollector>,
    checks: Checks,
    gas_used: u64,
    gas_left: u64,
    included: Vec<Filled>,
    results: Vec<CallResult>,
}

impl Executor {
    pub(super) fn simulate_block(
        &self,
        progress: &mut Progress<'_>,
        hashes: &SimulatedHashes<'_>,
        header: Header,
        block: &SimulatedCalls,
        simulation: &Simulation,
    ) -> Result<SimulatedBlock, ExecutionError> {
        let environment = self.simulated_environment(&header, &block.block, simulation.checks);
        let moves = Moves::of(&block.state, environment.cfg_env.spec)?;
        let view = progress.base.view;
        let plain = ViewDatabase::new(view, hashes, &self.codes).with_designators(self.designators(&header));
        let changes = delta_of(&block.state, &plain.clone().with_supposed(&progress.supposed))?;
        progress.supposed.absorb(&changes);
        progress.projection.apply(&changes)?;

        let withdrawals = block.block.withdrawals.as_deref().unwrap_or_default();
        let database = plain.with_supposed(&progress.supposed);
        let collector = LogCollector::new(simulation.transfers);
        let mut evm = self.factory.guarded_by(Arc::clone(progress.base.guard)).create_evm_with_inspector(
            BlockState::new(database),
            environment,
            collector,
        );
        if let Some(moves) = moves {
            evm.move_precompiles(moves);
        }
        let body = Body { ommers: &[], withdrawals, transactions: block.calls.len() };
        let mut run = Run {
            blocks: self.start_with(evm, &header, body)?,
            checks: simulation.checks,
            gas_used: 0,
            gas_left: progress.gas_left,
            included: Vec::with_capacity(block.calls.len()),
            results: Vec::with_capacity(block.calls.len()),
        };
        for call in &block.calls {
            run.call(call)?;
        }
        let encoded: Vec<Bytes> = run.included.iter().map(|filled| filled.encoded.clone()).collect();
        let included = run.included.into_iter().map(|filled| Arc::new(filled.transaction)).collect();
        let (results, gas_left) = (run.results, run.gas_left);
        let built = self.finish(run.blocks, header, Included(included), withdrawals)?;
        progress.gas_left = gas_left;
        progress.supposed.absorb(&built.delta);
        let root = progress.projection.apply(&built.delta)?;
        let mut executed = built.seal(root);
        // Legacy transactions without a signature are not what sealing takes them for.
        executed.header.transactions_root = ordered_trie_root_encoded(&encoded);
        executed.hash = executed.header.hash_slow();
        let (block, _) = executed.into_block();
        Ok(SimulatedBlock { block, calls: results })
    }

    fn simulated_environment(&self, header: &Header, overrides: &BlockOverrides, checks: Checks) -> EvmEnv {
        let mut environment = block_environment(&self.spec, header);
        let cfg = &mut environment.cfg_env;
        // A call may come from a contract and use more gas than a transaction may.
        cfg.disable_eip3607 = true;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        cfg.disable_nonce_check = checks == Checks::Lenient;
        if let Some(price) = overrides.blob_base_fee {
            let excess_blob_gas = header.excess_blob_gas.unwrap_or_default();
            environment.block_env.blob_excess_gas_and_price =
                Some(BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice: price });
        }
        environment
    }
}

impl Run<'_> {
    /// Runs a call and keeps what it did.
    fn call(&mut self, request: &CallRequest) -> Result<(), ExecutionError> {
        let sender = request.from.unwrap_or_default();
        let nonce = self.nonce(sender)?;
        let environment = EvmEnv::new(self.blocks.evm().cfg_env().clone(), self.blocks.evm().block().clone());
        let place = Place {
            environment: &environment,
            nonce,
            gas_used: self.gas_used,
            gas_left: self.gas_left,
            checks: self.checks,
        };
        let filled = call::fill(request, &place)?;
        let lenient = self.checks == Checks::Lenient;
        let evm = self.blocks.evm_mut();
        // As in geth: whoever offers nothing is not asked for the base fee.
        let offers = filled.environment.gas_price > 0 || filled.environment.gas_priority_fee.unwrap_or(0) > 0;
        evm.cfg_mut().disable_base_fee = lenient && !offers;
        if lenient
            && filled.environment.max_fee_per_blob_gas == 0
            && !filled.environment.blob_hashes.is_empty()
            && let Some(blob) = evm.block_mut().blob_excess_gas_and_price.as_mut()
        {
            blob.blob_gasprice = 0;
        }
        let executed = self.execute(&filled);
        self.blocks.evm_mut().block_mut().blob_excess_gas_and_price = environment.block_env.blob_excess_gas_and_price;
        let mut output = executed?;
        if nonce == u64::MAX
            && let Some(account) = output.result.state.get_mut(&sender)
        {
            // geth's nonces begin again after the last one.
            account.info.nonce = 0;
        }
        let result = output.result.result.clone();
        let gas_used = result.tx_gas_used();
        let max_gas_used = result.gas().total_gas_spent().max(gas_used);
        self.blocks.commit_transaction(output);
        self.gas_used += gas_used;
        self.gas_left = self.gas_left.saturating_sub(gas_used);
        let (_, collector, _) = self.blocks.evm_mut().components_mut();
        let logs = collector.take();
        self.results.push(CallResult { ending: Ending::of(result), gas_used, max_gas_used, logs });
        self.included.push(filled);
        Ok(())
    }

    fn nonce(&mut self, sender: Address) -> Result<u64, ExecutionError> {
        let account = self.blocks.evm_mut().db_mut().basic(sender);
        let account = account.map_err(|ViewError(error)| ExecutionError::State(error))?;
        Ok(account.map_or(0, |account| account.nonce))
    }

    fn execute(&mut self, filled: &Filled) -> Result<Output, ExecutionError> {
        let executed =
            self.blocks.execute_transaction_without_commit((filled.environment.clone(), &filled.transaction));
        executed.map_err(|error| match &error {
            BlockExecutionError::Validation(BlockValidationError::InvalidTx { error: invalid, .. }) => {
                match invalid.as_invalid_tx_err() {
                    Some(invalid) => {
                        let base_fee = self.blocks.evm().block().basefee;
                        call::refusal(invalid, filled, base_fee).into()
                    }
                    None => Rejected::with_detail(Code::SimulatedCallInvalid, invalid.to_string()).into(),
                }
            }
            _ => fatal(error),
        })
    }
}
