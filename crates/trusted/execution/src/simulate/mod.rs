//! Simulations: blocks of calls on top of a block, each on the state that the one before left
//! (`eth_simulateV1` of the execution-apis specification; where that is silent, as geth).

mod block;
mod call;
mod chain;
mod conceal;
mod logs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use alloy_primitives::Bytes;
use cloister_primitives::{Block, Protection};
use cloister_state::StateView;
use revm::context::result::ExecutionResult;

use crate::block::Parent;
use crate::build::Executor;
use crate::call::CallRequest;
use crate::database::BlockHashes;
use crate::error::ExecutionError;
use crate::guard::FrameGuard;
use crate::overrides::{BlockOverrides, StateOverrides};
use crate::revert::{halt_message, revert_message};

pub use chain::MAX_SIMULATED_BLOCKS;
pub use logs::SimulatedLog;

use block::{Progress, SimulatedHashes};

/// What to simulate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// Blocks in ascending order; gaps between their heights are filled with empty ones.
    pub blocks: Vec<SimulatedCalls>,
    /// What calls must satisfy.
    pub checks: Checks,
    /// Whether transfers of ether show up as logs.
    pub transfers: Transfers,
}

/// One block to simulate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulatedCalls {
    /// What its header shall say.
    pub block: BlockOverrides,
    /// What changes in the state before its first call.
    pub state: StateOverrides,
    /// Its calls, each a transaction without a signature.
    pub calls: Vec<CallRequest>,
}

/// What simulated calls must satisfy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// Nonces are not checked, and the base fee is zero unless overridden.
    #[default]
    Lenient,
    /// Everything that a transaction in a block must satisfy, but for the sender's being no contract.
    Full,
}

/// Whether transfers of ether show up as logs, as if ether were a token (ERC-7528).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfers {
    /// They do not.
    #[default]
    Hidden,
    /// They do, in the answer only: receipts and blooms do not change.
    Logged,
}

/// What a simulation begins on.
#[derive(Clone, Copy)]
pub struct SimulationBase<'a> {
    /// The block that the first simulated one follows.
    pub parent: Parent<'a>,
    /// Its state.
    pub view: &'a StateView,
    /// Hashes of it and its ancestors, for BLOCKHASH.
    pub hashes: &'a dyn BlockHashes,
    /// Decides about the calls' frames.
    pub guard: &'a Arc<dyn FrameGuard>,
    /// Gas that all calls together may use at most.
    pub gas_cap: u64,
}

/// A simulated block. Its header, roots and hashes are what they would be; where the guard conceals something, they are
/// constants.
#[derive(Clone, Debug)]
pub struct SimulatedBlock {
    /// The block; its transactions carry a signature of zeros.
    pub block: Block,
    /// What became of its calls, one each.
    pub calls: Vec<CallResult>,
}

/// What became of a simulated call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult {
    /// How it ended.
    pub ending: Ending,
    /// Gas used, refunds deducted.
    pub gas_used: u64,
    /// The most gas that was in use at any time: what its gas limit must be.
    pub max_gas_used: u64,
    /// Logs with their index in the block, transfers of ether among them if asked for.
    pub logs: Vec<SimulatedLog>,
}

/// How a simulated call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ran to its end and returned this.
    Returned(Bytes),
    /// It reverted.
    Reverted {
        /// geth's message, with the reason where there is one.
        message: String,
        /// Revert data.
        data: Bytes,
    },
    /// It ended in an exceptional halt, in geth's words.
    Halted(String),
}

impl Ending {
    fn of(result: ExecutionResult) -> Self {
        match result {
            ExecutionResult::Success { output, .. } => Self::Returned(output.into_data()),
            ExecutionResult::Revert { output, .. } => Self::Reverted { message: revert_message(&output), data: output },
            ExecutionResult::Halt { reason, .. } => Self::Halted(halt_message(&reason)),
        }
    }
}

impl Executor {
    /// Simulates blocks on top of `base`.
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if blocks are out of order or too many, an override contradicts
    /// itself, or a call is invalid: then nothing is answered of the others either.
    /// [`ExecutionError::State`] if the state cannot be read.
    pub fn simulate(
        &self,
        base: SimulationBase<'_>,
        simulation: &Simulation,
    ) -> Result<Vec<SimulatedBlock>, ExecutionError> {
        let blocks = chain::in_order(base.parent.header, &simulation.blocks)?;
        let mut progress = Progress::new(base);
        let mut hashes = SimulatedHashes::new(base);
        let mut simulated: Vec<SimulatedBlock> = Vec::with_capacity(blocks.len());
        for block in &blocks {
            let parent = simulated
                .last()
                .map_or(base.parent, |before| Parent { header: &before.block.header, hash: before.block.hash });
            let header = chain::draft(&self.spec, parent, &block.block, simulation.checks);
            let mut done = self.simulate_block(&mut progress, &hashes, header, block, simulation)?;
            if base.guard.conceals() && Protection::SimulatedRoots.holds() {
                conceal::conceal(&mut done.block);
            }
            hashes.add(done.block.header.number, done.block.hash);
            simulated.push(done);
        }
        Ok(simulated)
    }
}
