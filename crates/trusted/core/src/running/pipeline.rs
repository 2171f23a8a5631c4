//! Blocks on their way: built on the newest speculative state, sealed, persisted, committed.

use std::{collections::VecDeque, sync::Arc};

use alloy_primitives::{B256, keccak256};
use cloister_boundary::HaltCode;
use cloister_execution::{BlockAttributes, Salts, ValidTx};
use cloister_keys::SaltDomain;
use cloister_ordering::{Effect, Empty, Input, Slot};
use cloister_pool::{Refusal, SenderState, SlotId, TakeLimits};
use cloister_primitives::{Block, Code, Confidentiality, Height, Protection, Rejected};
use cloister_state::StateDelta;

use super::{Errand, Running, engine::Engine, storage::Purpose};
use crate::{
    BlockRecord, CommittedBlock, CoreEffect, CoreError, Event, Fatal, PendingJob, Response,
    ledger::Resident,
    machine::Step,
    work::{BuildJob, BuildOutcome, RecentHashes, Work},
};

/// Block hashes that the `BLOCKHASH` opcode can reach.
pub(super) const REACHABLE_HASHES: u64 = 256;

/// How long a block may wait for transactions whose senders are being recovered, milliseconds.
const GATHER_MS: u64 = 40;

/// So many pending transactions are worth a block at once.
const GATHER_ENOUGH: usize = 2_000;

/// So many pending transactions are all tried for a block of a development network.
const TRIED_AT_ONCE: usize = 256;

/// A block that is built and not committed.
#[derive(Debug)]
struct Speculative {
    slot: Slot,
    block: Arc<Block>,
    delta: Arc<StateDelta>,
    /// Changes made outside of blocks on top of the parent.
    patches: StateDelta,
    /// Transactions that were refused on this state or the parent's: they go or stay once it is committed.
    evicted: Vec<(B256, Rejected)>,
}

/// The blocks between the committed head and the newest one built.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    tail: VecDeque<Speculative>,
    building: Option<Slot>,
    /// A build that waits: for the one in flight to be thrown away, or for quiet.
    held: Option<(Slot, Empty)>,
    /// Heights from here on are lost as soon as the build in flight is back.
    discarding: Option<Height>,
    /// Until when the next block waits for transactions whose senders are being recovered.
    gather_until_ms: Option<u64>,
}

impl Pipeline {
    pub(super) fn newest(&self) -> Option<Arc<Block>> {
        self.tail.back().map(|entry| entry.block.clone())
    }

    /// Nothing is built or waits for its commit.
    pub(super) fn is_idle(&self) -> bool {
        self.tail.is_empty() && self.building.is_none()
    }

    /// Nothing is built, waits for its commit, or is about to be built.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_idle() && self.held.is_none() && self.gather_until_ms.is_none()
    }

    pub(super) const fn is_building(&self) -> bool {
        self.building.is_some()
    }

    /// Builds a block in this slot as soon as nothing stands in its way.
    pub(super) const fn hold(&mut self, slot: Slot, empty: Empty) {
        self.held = Some((slot, empty));
    }

    /// What is stored of the block of this slot.
    pub(super) fn record(&self, slot: Slot) -> Option<BlockRecord> {
        self.tail.iter().find(|entry| entry.slot == slot).map(|entry| BlockRecord {
            block: entry.block.clone(),
            patches: entry.patches.clone(),
            delta: entry.delta.clone(),
        })
    }

    /// Adds a block that is applied and not committed.
    pub(super) fn push(&mut self, slot: Slot, record: BlockRecord) {
        let BlockRecord { block, patches, delta } = record;
        self.tail.push_back(Speculative { slot, block, delta, patches, evicted: Vec::new() });
    }

    /// Height of the oldest block that is not committed, unless it is about to be discarded.
    pub(super) fn oldest_to_stay(&self) -> Option<Height> {
        let oldest = self.tail.front()?.block.height();
        self.discarding.is_none_or(|from| oldest < from).then_some(oldest)
    }

    /// Discards blocks from this height on as soon as what is under way is back.
    pub(super) fn discard_later(&mut self, from: Height) {
        self.discarding = Some(self.discarding.map_or(from, |at| at.min(from)));
    }

    pub(super) const fn take_discarding(&mut self) -> Option<Height> {
        self.discarding.take()
    }

    /// Blocks built and not committed, oldest first.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.tail.iter().map(|entry| &entry.block)
    }

    /// What is built is what will stay: nothing is being built, and nothing waits to be thrown away.
    pub(super) const fn built_is_known(&self) -> bool {
        self.building.is_none() && self.discarding.is_none()
    }

    /// A block is being built in this slot.
    pub(super) fn begin(&mut self, slot: Slot) {
        self.building = Some(slot);
        self.gather_until_ms = None;
    }

    pub(super) const fn gather_until_ms(&self) -> Option<u64> {
        self.gather_until_ms
    }

    /// Forgets a build that waited for a slot from this height on: another leader's blocks come there.
    pub(super) fn drop_held_from(&mut self, from: Height) {
        self.held.take_if(|(slot, _)| slot.height >= from);
    }

    /// Forgets a build that waited; the engine was reset and will ask again.
    pub(super) fn drop_held(&mut self) {
        self.held = None;
    }
}

impl Running {
    pub(super) fn on_effect(&mut self, effect: Effect, step: &mut Step<'_>) -> Result<(), Fatal> {
        match effect {
            Effect::Build { slot, empty } => self.pipeline.hold(slot, empty),
            Effect::Persist { seq, slot } => {
                if let Some(record) = self.pipeline.record(slot) {
                    self.seal(Purpose::Block(seq), record, step);
                }
            }
            Effect::Commit(height) => self.commit(height, step)?,
            Effect::Discard { from } => self.discard_when_built(from, step)?,
            Effect::Arm { deadline_ms } => self.engine_deadline_ms = Some(deadline_ms),
            Effect::Disarm => self.engine_deadline_ms = None,
        }
        Ok(())
    }

    /// Starts the build that waits, if nothing stands in its way. Returns whether it did anything.
    pub(super) fn resume_build(&mut self, step: &mut Step<'_>) -> bool {
        if self.pipeline.building.is_some() || self.development.wants_quiet() || self.is_adopting() {
            return false;
        }
        let Some((slot, empty)) = self.pipeline.held.take() else {
            return false;
        };
        self.build(slot, empty, step);
        true
    }

    fn build(&mut self, slot: Slot, empty: Empty, step: &mut Step<'_>) {
        if self.build_import(slot, step) {
            return;
        }
        let Ok(parent) = self.tip() else {
            return;
        };
        let attributes = self.attributes(&parent, step.now_ms);
        let limits = self.take_limits(&parent, &attributes);
        let candidates = self.pool.take(SlotId(slot.attempt), limits);
        if candidates.is_empty() && empty == Empty::Skip {
            self.pool.built(SlotId(slot.attempt), &[]);
            self.inputs.push_back(Input::Nothing(slot));
            return;
        }
        self.pipeline.begin(slot);
        let hashes = self.next_hashes();
        let job = self.build_job(&parent, attributes, hashes, candidates, empty);
        self.send_work(Work::Build(Box::new(job)), Errand::Build, step);
    }

    /// The block that would be made now on the committed head.
    pub(super) fn pending(&self, now_ms: u64) -> Result<Response, CoreError> {
        let parent = self.ledger.head_block().ok_or(CoreError::Unavailable("the node is stopping"))?;
        let attributes = self.attributes(&parent, now_ms);
        let limits = self.take_limits(&parent, &attributes);
        let candidates = self.pool.preview(limits).into_iter().cloned().collect();
        let hashes = self.recent_hashes(core::iter::empty());
        let job = self.build_job(&parent, attributes, hashes, candidates, Empty::Make);
        Ok(Response::Pending(PendingJob(Box::new(job))))
    }

    fn take_limits(&self, parent: &Block, attributes: &BlockAttributes) -> TakeLimits {
        let computed = || self.spec.next_base_fee(&parent.header, attributes.timestamp);
        // Where gas used decides what fits, all that wait are tried, while they are few.
        let by_use = self.spec.is_development() || !Protection::DeclaredGas.holds();
        let all = by_use && self.pool.len() <= TRIED_AT_ONCE;
        TakeLimits {
            max_transactions: self.spec.limits().max_transactions_per_block,
            gas_limit: if all { u64::MAX } else { attributes.gas_limit },
            base_fee: attributes.base_fee_override.or_else(computed).unwrap_or(0),
        }
    }

    fn build_job(
        &self,
        parent: &Block,
        attributes: BlockAttributes,
        hashes: RecentHashes,
        candidates: Vec<ValidTx>,
        empty: Empty,
    ) -> BuildJob {
        BuildJob {
            executor: self.executor.clone(),
            state: self.ledger.state.clone(),
            parent: parent.header.clone(),
            parent_hash: parent.hash,
            attributes,
            hashes,
            candidates,
            empty,
            salts: self.salts(Height(parent.header.number).next()),
        }
    }

    /// What hides the roots of the block at this height, where the chain hides anything.
    fn salts(&self, height: Height) -> Option<Salts> {
        let salt = |domain| self.keys.commitment_salt(height, domain);
        (self.spec.confidentiality() == Confidentiality::On).then(|| Salts {
            state: salt(SaltDomain::State),
            receipts: salt(SaltDomain::Receipts),
            requests: salt(SaltDomain::Requests),
        })
    }

    /// Hashes that `BLOCKHASH` reaches in the block after the newest one.
    pub(super) fn next_hashes(&self) -> RecentHashes {
        self.recent_hashes(self.pipeline.tail.iter().map(|entry| entry.block.hash))
    }

    /// Hashes of committed blocks, and of those in flight on top of them.
    fn recent_hashes(&self, in_flight: impl Iterator<Item = B256>) -> RecentHashes {
        let (first, mut hashes) = self.ledger.hashes_up_to(self.ledger.head(), REACHABLE_HASHES);
        hashes.extend(in_flight);
        RecentHashes { first: first.0, hashes: Arc::new(hashes) }
    }

    /// What the builder may choose about the next block.
    fn attributes(&self, parent: &Block, now_ms: u64) -> BlockAttributes {
        let genesis = self.spec.genesis();
        let next = &self.development.next;
        let timestamp = next.timestamp(&self.spec, parent.header.timestamp, now_ms);
        let gas_limit = next.gas_limit.unwrap_or(parent.header.gas_limit);
        BlockAttributes {
            timestamp,
            beneficiary: next.beneficiary.unwrap_or(genesis.coinbase),
            // Public and predictable: nobody may rely on it for secrets.
            prev_randao: next.prev_randao.unwrap_or_else(|| keccak256(parent.hash)),
            extra_data: Default::default(),
            parent_beacon_block_root: None,
            withdrawals: Vec::new(),
            gas_limit,
            base_fee_override: next.base_fee,
        }
    }

    pub(super) fn on_built(&mut self, outcome: BuildOutcome, step: &mut Step<'_>) -> Result<(), Fatal> {
        let Some(slot) = self.pipeline.building.take() else {
            return Err(Fatal::new(HaltCode::Invariant, "a block nobody asked for"));
        };
        if let Some(fault) = outcome.fault {
            return Err(Fatal::at(HaltCode::Invariant, fault, slot.height.0));
        }
        self.import_built(outcome.refused, step);
        let included: Vec<_> = outcome
            .block
            .iter()
            .flat_map(|(block, _)| block.transactions.iter())
            .map(|transaction| *transaction.tx_hash())
            .collect();
        let evicted = outcome.evicted;
        let any_evicted = !evicted.is_empty();
        // The state that decides about them is that of the block they were refused in, or of the newest one below it.
        let judge = outcome.block.as_ref().map(|_| slot).or_else(|| self.pipeline.tail.back().map(|entry| entry.slot));
        let refused: Vec<_> = evicted.iter().map(|(hash, rejected)| (*hash, refusal(rejected))).collect();
        self.pool.refused(SlotId(slot.attempt), &refused, judge.map(|judge| SlotId(judge.attempt)));
        self.pool.built(SlotId(slot.attempt), &included);
        match outcome.block {
            Some((block, delta)) => {
                let parent = block.height().parent().unwrap_or(Height::GENESIS);
                let patches = self.development.patches.at(parent);
                self.development.consumed(block.header.timestamp, step.now_ms);
                self.pipeline.tail.push_back(Speculative { slot, block, delta, patches, evicted });
                self.inputs.push_back(Input::Built(slot));
                self.demand(step.now_ms);
            }
            None => {
                match self.pipeline.tail.back_mut() {
                    Some(newest) => newest.evicted.extend(evicted),
                    None => self.answer_evicted(evicted, step),
                }
                self.inputs.push_back(Input::Nothing(slot));
                if any_evicted {
                    self.demand(step.now_ms);
                }
            }
        }
        if let Some(from) = self.pipeline.discarding.take() {
            // The engine has forgotten this slot; its answer would only confuse it.
            self.inputs.retain(|input| !matches!(input, Input::Built(other) | Input::Nothing(other) if *other == slot));
            self.discard(from, step)?;
        }
        self.imports_go_on(step);
        Ok(())
    }

    /// Tells who waits for transactions that have left the pool why they did.
    fn answer_evicted(&mut self, evicted: Vec<(B256, Rejected)>, step: &mut Step<'_>) {
        for (hash, rejected) in evicted {
            if !self.pool.contains(&hash) {
                self.answer_dropped(&hash, &rejected, step);
            }
        }
    }

    /// Tells the engine that there is something to build, if there is.
    pub(super) fn demand(&mut self, now_ms: u64) {
        let wanted = self.pool.has_executable(self.next_base_fee());
        if wanted && self.gathers(now_ms) {
            return;
        }
        self.pipeline.gather_until_ms = None;
        if wanted {
            self.inputs.push_back(Input::Demand);
        }
    }

    /// Base fee of the next block, wei per gas; zero before London.
    pub(super) fn next_base_fee(&self) -> u64 {
        let computed = || {
            let tip = self.tip().ok()?;
            self.spec.next_base_fee(&tip.header, tip.header.timestamp)
        };
        self.development.next.base_fee.or_else(computed).unwrap_or(0)
    }

    /// Each block costs its own system calls, seal and fsync, so the next one waits for the transactions
    /// that are about to enter the pool. A client that sends one at a time never waits: nothing else is
    /// on its way then.
    fn gathers(&mut self, now_ms: u64) -> bool {
        if self.recovering == 0 || self.pool.len() >= GATHER_ENOUGH {
            return false;
        }
        let until_ms = *self.pipeline.gather_until_ms.get_or_insert(now_ms.saturating_add(GATHER_MS));
        now_ms < until_ms
    }

    /// The time to gather is over, or nothing is on its way any more.
    pub(super) fn end_gathering(&mut self, now_ms: u64) {
        if self.pipeline.gather_until_ms.is_some() {
            self.demand(now_ms);
        }
    }

    pub(super) fn discard_when_built(&mut self, from: Height, step: &mut Step<'_>) -> Result<(), Fatal> {
        self.pipeline.drop_held_from(from);
        if self.pipeline.building.is_some() {
            self.pipeline.discard_later(from);
            return Ok(());
        }
        self.discard(from, step)
    }

    /// Undoes blocks that lost their slots; their transactions return to the pool.
    pub(super) fn discard(&mut self, from: Height, step: &mut Step<'_>) -> Result<(), Fatal> {
        let mut lost = false;
        self.imports_discarded(from);
        while let Some(entry) = self.pipeline.tail.pop_back_if(|entry| entry.block.height() >= from) {
            self.pool.rewound(SlotId(entry.slot.attempt));
            lost = true;
        }
        if !lost {
            return Ok(());
        }
        let last = from.parent().unwrap_or(Height::GENESIS);
        self.ledger
            .state
            .rewind(last)
            .map_err(|_| Fatal::at(HaltCode::Invariant, "a speculative tail cannot be rewound", from.0))?;
        if let Engine::Alone(_) = self.engine {
            self.withdraw_records(last, step);
        }
        self.demand(step.now_ms);
        self.imports_go_on(step);
        Ok(())
    }

    pub(super) fn commit(&mut self, height: Height, step: &mut Step<'_>) -> Result<(), Fatal> {
        let out_of_order = || Fatal::at(HaltCode::Invariant, "a commit out of order", height.0);
        let entry = self.pipeline.tail.pop_front().ok_or_else(out_of_order)?;
        if entry.block.height() != height {
            return Err(out_of_order());
        }
        let block = entry.block;
        let resident = Resident::new(block.clone());
        self.ledger.push(resident.clone());
        self.ledger.state.set_committed(height);
        self.settle_pool(entry.slot, &entry.delta);
        self.read_changed_nodes(entry.delta.accounts.iter().map(|account| account.address), step);
        self.answer_evicted(entry.evicted, step);
        // The block may have raised the nonce of an account that sent nothing in it (EIP-7702).
        self.demand(step.now_ms);
        self.answer_waiting(&block, step);
        self.import_committed(height, step);
        step.out.push(CoreEffect::Event(Event::Committed(Arc::new(CommittedBlock(resident)))));
        self.development_committed(&block, step);
        self.cut_if_due(height, step);
        self.index_logs_if_due(height, step);
        Ok(())
    }

    fn settle_pool(&mut self, slot: Slot, delta: &StateDelta) {
        let changed = delta.accounts.iter().map(|account| {
            let state = account.account.as_ref().map_or(SenderState::default(), |account| SenderState {
                nonce: account.nonce,
                balance: account.balance,
            });
            (account.address, state)
        });
        self.pool.committed(SlotId(slot.attempt), changed);
    }
}

fn refusal(rejected: &Rejected) -> Refusal {
    match rejected.code() {
        Code::InsufficientFunds => Refusal::Unpaid,
        _ => Refusal::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_waits_is_forgotten_with_the_heights_that_are_lost() {
        let mut pipeline = Pipeline::default();
        let slot = Slot { height: Height(46), attempt: 3 };
        pipeline.hold(slot, Empty::Skip);
        pipeline.drop_held_from(Height(47));
        assert_eq!(pipeline.held, Some((slot, Empty::Skip)), "it stands below them");
        pipeline.drop_held_from(Height(46));
        assert_eq!(pipeline.held, None);
    }
}
