//! Blocks that another node built: applied in order, committed when the engine says so.

use cloister_boundary::HaltCode;
use cloister_ordering::raft::BlockRef;
use cloister_pool::SlotId;
use cloister_primitives::Height;

use super::{Errand, Running};
use crate::{
    BlockRecord, Fatal, Reexecution,
    machine::Step,
    work::{AdoptJob, Work},
};

impl Running {
    /// Starts to apply the next block, if nothing else changes the state now. Returns whether it did anything.
    pub(in crate::running) fn resume_adopting(&mut self, step: &mut Step<'_>) -> Result<bool, Fatal> {
        if !self.pipeline.built_is_known() {
            return Ok(false);
        }
        let tip = self.tip()?;
        let (keys, state) = (self.keys.clone(), self.ledger.state.clone());
        let Some(network) = self.engine.network() else { return Ok(false) };
        if network.adopting.is_some() {
            return Ok(false);
        }
        if network.adopts.is_empty() {
            network.adopt_from_log(tip.height());
        }
        let Some(block) = network.adopts.front().copied() else { return Ok(false) };
        let (height, parent_hash, id) = (tip.height().next(), tip.hash, network.id);
        if block.height < height {
            // Caught up with already.
            network.adopts.pop_front();
            return Ok(true);
        }
        if block.height > height {
            // Those between them were given up for a state that the log did not need in the end.
            network.adopts.clear();
            network.adopt_from_log(tip.height());
            return Ok(!network.adopts.is_empty());
        }
        let sealed = network.bodies.get(block).cloned();
        let sealed = sealed.ok_or(Fatal::at(HaltCode::Invariant, "a block to adopt is not at hand", height.0))?;
        network.adopts.pop_front();
        network.adopting = Some(block);
        let is_audited = self.options.audit_share.takes(id, block.digest);
        let reexecution = is_audited.then(|| Reexecution {
            executor: self.executor.clone(),
            parent: tip.header.clone(),
            hashes: self.next_hashes(),
        });
        let job = AdoptJob { keys, state, height, parent_hash, sealed, reexecution };
        self.send_work(Work::Adopt(Box::new(job)), Errand::Adopt, step);
        Ok(true)
    }

    /// Whether blocks of others have to be applied before one can be built on them.
    pub(in crate::running) fn is_adopting(&mut self) -> bool {
        self.engine.network().is_some_and(|network| network.adopting.is_some() || !network.adopts.is_empty())
    }

    pub(in crate::running) fn on_adopted(
        &mut self,
        outcome: Result<BlockRecord, Fatal>,
        step: &mut Step<'_>,
    ) -> Result<(), Fatal> {
        let Some(network) = self.engine.network() else { return Ok(()) };
        let Some(block) = network.adopting.take() else {
            return Err(Fatal::new(HaltCode::Invariant, "a block was adopted that nobody asked for"));
        };
        network.remember(block);
        let record = outcome.map_err(|fatal| {
            // The host's disk is not where it came from.
            Fatal::at(HaltCode::Divergence, fatal.detail, block.height.0)
        })?;
        self.push_adopted(record);
        if let Some(from) = self.pipeline.take_discarding() {
            self.discard(from, step)?;
        }
        self.commit_applied(step)?;
        self.go_on_catching_up(step);
        Ok(())
    }

    /// Makes a block that is applied one that waits for its commit.
    pub(in crate::running) fn push_adopted(&mut self, record: BlockRecord) {
        let height = record.block.height();
        let Some(network) = self.engine.network() else { return };
        let slot = network.slot_of_adopted(height);
        let included = record.block.transactions.iter().map(|transaction| *transaction.tx_hash());
        self.pool.adopted(SlotId(slot.attempt), included);
        self.pipeline.push(slot, record);
    }

    /// Commits what the engine has committed and this node has applied.
    pub(super) fn commit_applied(&mut self, step: &mut Step<'_>) -> Result<(), Fatal> {
        while let Some(next) = self.pipeline.oldest_to_stay() {
            let Some(network) = self.engine.network() else { break };
            if next > network.committed {
                break;
            }
            let block = network.stored.block_at(next);
            self.commit(next, step)?;
            if let (Some(block), Some(network)) = (block, self.engine.network()) {
                network.bodies.committed(block);
            }
        }
        self.tell_caught_up();
        self.open_if_confirmed(step);
        Ok(())
    }

    /// Gives up what waits at this height and above. What was caught up with may be committed here before the log has it: that stays.
    pub(super) fn discard_of_network(&mut self, from: Height, step: &mut Step<'_>) -> Result<(), Fatal> {
        let from = from.max(self.ledger.head().next());
        let Some(network) = self.engine.network() else { return Ok(()) };
        network.adopts.retain(|block| block.height < from);
        if network.adopting.is_some() {
            self.pipeline.drop_held_from(from);
            self.pipeline.discard_later(from);
            return Ok(());
        }
        self.discard_when_built(from, step)
    }
}

impl super::Network {
    pub(super) fn remember(&mut self, block: BlockRef) {
        self.sealed_as.insert(block.height, block);
        if self.sealed_as.len() > super::MAX_SEALED_AS {
            self.sealed_as.pop_first();
        }
    }

    /// Takes up the blocks that the log names above `tip`, if it agrees with what was adopted and nothing else is on its way.
    fn adopt_from_log(&mut self, tip: Height) {
        if self.catch_up.is_some() || self.caught_up.is_some() || !self.inputs.is_empty() {
            return;
        }
        if self.ends_below(tip.next()) {
            return;
        }
        let named = self.stored.block_at(tip);
        let agrees = named.is_none_or(|named| self.sealed_as.get(&tip).is_none_or(|sealed| *sealed == named));
        let next = self.stored.blocks().find(|block| block.height > tip).map(|block| block.height);
        if agrees && next == Some(tip.next()) {
            self.adopts.extend(self.stored.blocks().filter(|block| block.height > tip));
        }
    }
}
