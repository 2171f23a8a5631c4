//! Time, mining and snapshots of a development network.

use std::collections::VecDeque;

use alloy_primitives::Address;
use cloister_boundary::Record;
use cloister_execution::{Origin, SenderFacts, ValidTx};
use cloister_ordering::Input;
use cloister_pool::{AccountContent, SenderState};
use cloister_primitives::{Block, Code, Height, Rejected};

use super::{
    Running,
    next_block::NextBlock,
    patches::{PatchCount, Patches},
    storage::Purpose,
};
use crate::{CoreEffect, CoreError, DevelopmentRequest, Event, Fatal, RequestId, Response, StatePatch, machine::Step};

/// Blocks one request may mine.
const MAX_MINED: u64 = 100_000;

/// Snapshots kept at one time.
const MAX_SNAPSHOTS: usize = 10_000;

/// A chain to come back to.
#[derive(Debug)]
struct Remembered {
    id: u64,
    height: Height,
    /// The chain's clock at that moment, milliseconds.
    clock_ms: u64,
    /// What had been chosen about the blocks to come.
    next: NextBlock,
    /// Patches that had been made by then.
    patches: PatchCount,
    /// Transactions that waited for a block.
    pool: Vec<ValidTx>,
}

/// Requests that need a moment in which nothing is built or on its way.
#[derive(Debug)]
enum Quiet {
    Snapshot(RequestId),
    Revert(RequestId, u64),
    Patch(RequestId, StatePatch),
    Rollback(RequestId, u64),
    Reset(RequestId),
}

/// A request for blocks, answered once the last of them is committed.
#[derive(Debug)]
struct Mining {
    id: RequestId,
    last: Height,
}

/// Everything a development network adds to a node's state.
#[derive(Debug, Default)]
pub(super) struct DevelopmentState {
    /// What was chosen about the blocks to come.
    pub(super) next: NextBlock,
    /// Senders that need no signature.
    impersonated: Vec<Address>,
    remembered: Vec<Remembered>,
    last_id: u64,
    quiet: VecDeque<Quiet>,
    mining: Vec<Mining>,
    /// Blocks asked for and not built.
    owed: u64,
    pub(super) patches: Patches,
}

impl DevelopmentState {
    /// What was meant for one block has been used by this one.
    pub(super) fn consumed(&mut self, timestamp: u64, now_ms: u64) {
        self.next.consumed(timestamp, now_ms);
        self.owed = self.owed.saturating_sub(1);
    }

    pub(super) fn wants_quiet(&self) -> bool {
        !self.quiet.is_empty()
    }
}

fn invalid(detail: impl Into<String>) -> CoreError {
    Rejected::with_detail(Code::InvalidParams, detail.into()).into()
}

impl Running {
    pub(super) fn on_development(&mut self, id: RequestId, request: DevelopmentRequest, step: &mut Step<'_>) {
        let answer = match request {
            DevelopmentRequest::Mine { blocks, interval_s, timestamp } => {
                match self.mine(id, blocks, interval_s, timestamp, step) {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            DevelopmentRequest::Pending => self.pending(step.now_ms),
            DevelopmentRequest::Snapshot => return self.when_quiet(Quiet::Snapshot(id)),
            DevelopmentRequest::Revert { id: name } => {
                return self.when_quiet(Quiet::Revert(id, name));
            }
            DevelopmentRequest::Patch(patch) => return self.when_quiet(Quiet::Patch(id, patch)),
            DevelopmentRequest::Rollback { blocks } => return self.when_quiet(Quiet::Rollback(id, blocks)),
            DevelopmentRequest::Reset => return self.when_quiet(Quiet::Reset(id)),
            DevelopmentRequest::SubmitImpersonated { transaction, answer_at } => {
                let mut admitted = Vec::new();
                let sender = transaction.signer();
                let allowed = self.development.impersonated.contains(&sender);
                let outcome = match self.facts(&[sender], step.now_ms).pop() {
                    Some(facts) if allowed => {
                        self.admit(transaction, facts, Origin::Impersonated, answer_at, &mut admitted)
                    }
                    _ => Err(Code::InvalidSender.into()),
                };
                self.answer_submission(id, answer_at, outcome, step);
                return self.announce(admitted, step);
            }
            other => self.set(other, step.now_ms),
        };
        step.out.push(CoreEffect::Reply(id, answer));
    }

    /// Requests that only set something.
    fn set(&mut self, request: DevelopmentRequest, now_ms: u64) -> Result<Response, CoreError> {
        let development = &mut self.development;
        match request {
            DevelopmentRequest::SetPace(pace) => {
                self.inputs.push_back(Input::SetPace(pace));
                self.demand(now_ms);
            }
            DevelopmentRequest::Pace => return Ok(Response::Pace(self.engine.pace())),
            DevelopmentRequest::NextBaseFee => return Ok(Response::Number(self.next_base_fee())),
            DevelopmentRequest::IncreaseTime { seconds } => {
                return Ok(Response::Number(development.next.advance_clock(seconds)));
            }
            DevelopmentRequest::SetTime { now_ms: clock_ms } => {
                return Ok(Response::Number(development.next.set_clock(now_ms, clock_ms)));
            }
            DevelopmentRequest::SetNextTimestamp { timestamp } => {
                self.set_next_timestamp(timestamp)?;
            }
            DevelopmentRequest::SetTimestampInterval { interval_s } => {
                development.next.interval_s = interval_s;
            }
            DevelopmentRequest::SetBlockGasLimit { gas_limit } => {
                development.next.gas_limit = Some(gas_limit);
            }
            DevelopmentRequest::SetNextBaseFee { base_fee_per_gas } => {
                development.next.base_fee = Some(base_fee_per_gas);
            }
            DevelopmentRequest::SetCoinbase { beneficiary } => {
                development.next.beneficiary = Some(beneficiary);
            }
            DevelopmentRequest::SetPrevRandao { value } => {
                development.next.prev_randao = Some(value);
            }
            DevelopmentRequest::Impersonate { address } => {
                if !development.impersonated.contains(&address) {
                    development.impersonated.push(address);
                }
            }
            DevelopmentRequest::StopImpersonating { address } => {
                development.impersonated.retain(|other| *other != address);
            }
            DevelopmentRequest::DropTransaction { hash } => {
                return Ok(Response::Flag(self.pool.drop_transaction(&hash).is_some()));
            }
            DevelopmentRequest::DropAll => self.pool.clear(),
            _ => return Err(Code::Internal.into()),
        }
        Ok(Response::Done)
    }

    fn newest_timestamp(&self) -> u64 {
        self.tip().map_or(0, |tip| tip.header.timestamp)
    }

    fn set_next_timestamp(&mut self, timestamp: u64) -> Result<(), CoreError> {
        let newest = self.newest_timestamp();
        let too_early = timestamp < newest || (timestamp == newest && !self.spec.allows_equal_timestamps());
        if too_early {
            return Err(invalid(format!(
                "Timestamp {timestamp} is lower than or equal to previous block's timestamp {newest}"
            )));
        }
        self.development.next.fix_timestamp(timestamp);
        Ok(())
    }

    fn mine(
        &mut self,
        id: RequestId,
        blocks: u64,
        interval_s: Option<u64>,
        timestamp: Option<u64>,
        step: &mut Step<'_>,
    ) -> Result<(), CoreError> {
        if blocks == 0 {
            self.reply(id, Response::Done, step);
            return Ok(());
        }
        if blocks > MAX_MINED {
            return Err(invalid(format!("at most {MAX_MINED} blocks at once")));
        }
        if let Some(timestamp) = timestamp {
            self.set_next_timestamp(timestamp)?;
        }
        if let Some(interval) = interval_s {
            let first = self.development.next.timestamp(&self.spec, self.newest_timestamp(), step.now_ms);
            self.development.next.space_out(first, blocks, interval);
        }
        let Some(status) = self.engine.status_alone() else {
            return Err(CoreError::Unavailable("a network makes its blocks when it has transactions"));
        };
        let building = u64::from(status.building.is_some());
        let last = Height(status.built.0 + building + self.development.owed + blocks);
        self.development.owed += blocks;
        self.development.mining.push(Mining { id, last });
        self.inputs.extend((0..blocks).map(|_| Input::Force));
        Ok(())
    }

    fn patch(&mut self, patch: &StatePatch) -> Result<Response, CoreError> {
        let head = self.ledger.head();
        self.development.patches.make(&self.ledger.state, head, patch)?;
        Ok(Response::Done)
    }

    pub(super) fn development_committed(&mut self, block: &Block, step: &mut Step<'_>) {
        let development = &mut self.development;
        let remembered = &development.remembered;
        development.patches.retain(|height| {
            height >= block.height()
                || height == Height::GENESIS
                // Later snapshots are never of lower heights.
                || remembered.binary_search_by_key(&height, |remembered| remembered.height).is_ok()
        });
        if self.development.mining.is_empty() {
            return;
        }
        let (done, rest): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.development.mining).into_iter().partition(|mining| mining.last <= block.height());
        self.development.mining = rest;
        for mining in done {
            self.reply(mining.id, Response::Done, step);
        }
    }

    fn when_quiet(&mut self, request: Quiet) {
        self.development.quiet.push_back(request);
    }

    /// Serves requests that need quiet, if it is quiet. Returns whether it did anything.
    pub(super) fn run_when_idle(&mut self, step: &mut Step<'_>) -> Result<bool, Fatal> {
        if !self.development.wants_quiet() || !self.pipeline.is_idle() {
            return Ok(false);
        }
        let Some(request) = self.development.quiet.pop_front() else {
            return Ok(false);
        };
        let (id, answer) = match request {
            Quiet::Snapshot(id) => (id, self.remember(step.now_ms)),
            Quiet::Revert(id, name) => (id, self.revert(name, step)),
            Quiet::Patch(id, patch) => (id, self.patch(&patch)),
            Quiet::Rollback(id, blocks) => (id, self.roll_back(blocks, step)),
            Quiet::Reset(id) => (id, self.reset(step)),
        };
        step.out.push(CoreEffect::Reply(id, answer));
        Ok(true)
    }

    fn remember(&mut self, now_ms: u64) -> Result<Response, CoreError> {
        let height = self.ledger.head();
        let development = &mut self.development;
        if development.remembered.len() >= MAX_SNAPSHOTS {
            return Err(Code::LimitExceeded.into());
        }
        development.last_id += 1;
        development.remembered.push(Remembered {
            id: development.last_id,
            height,
            clock_ms: development.next.clock_ms(now_ms),
            next: development.next.remembered(),
            patches: development.patches.count(),
            pool: self.pool.content().iter().flat_map(AccountContent::transactions).cloned().collect(),
        });
        Ok(Response::Number(development.last_id))
    }

    fn revert(&mut self, name: u64, step: &mut Step<'_>) -> Result<Response, CoreError> {
        let found = self.development.remembered.iter().position(|remembered| remembered.id == name);
        let Some(position) = found else {
            return Ok(Response::Flag(false));
        };
        let Remembered { height, patches, .. } = self.development.remembered[position];
        self.go_back(height, patches, step)?;
        let target = self.development.remembered.drain(position..).next();
        if let Some(target) = target {
            self.development.next = target.next;
            self.development.next.set_clock(step.now_ms, target.clock_ms);
            self.refill_pool(target.pool, step);
        }
        Ok(Response::Flag(true))
    }

    fn roll_back(&mut self, blocks: u64, step: &mut Step<'_>) -> Result<Response, CoreError> {
        let head = self.ledger.head();
        let Some(height) = head.0.checked_sub(blocks) else {
            return Err(invalid(format!("cannot take back {blocks} blocks: the height is {}", head.0)));
        };
        self.go_back(Height(height), self.development.patches.count(), step)?;
        self.development.remembered.retain(|remembered| remembered.height.0 <= height);
        Ok(Response::Done)
    }

    /// Puts back the transactions that waited when a snapshot was taken.
    fn refill_pool(&mut self, transactions: Vec<ValidTx>, step: &mut Step<'_>) {
        let Ok(view) = self.ledger.state.view(self.ledger.head()) else {
            return;
        };
        for transaction in transactions {
            let Ok(sender) = SenderFacts::read(&view, transaction.sender()) else {
                continue;
            };
            // What was admitted on this very state once is admitted again.
            let _ = self.pool.add(transaction, SenderState { nonce: sender.nonce, balance: sender.balance });
        }
        self.demand(step.now_ms);
    }

    /// Starts over from the genesis block, with nothing that was set since.
    fn reset(&mut self, step: &mut Step<'_>) -> Result<Response, CoreError> {
        self.go_back(Height::GENESIS, PatchCount::NONE, step)?;
        self.development = DevelopmentState {
            last_id: self.development.last_id,
            quiet: core::mem::take(&mut self.development.quiet),
            ..DevelopmentState::default()
        };
        Ok(Response::Done)
    }

    /// Takes back every block above `height`, and what was on its way.
    fn go_back(&mut self, height: Height, patches: PatchCount, step: &mut Step<'_>) -> Result<(), CoreError> {
        if self.ledger.resident(height).is_none() {
            return Err(CoreError::Unavailable("that is too far back"));
        }
        if height < self.ledger.head() {
            self.ledger.state.rewind(height)?;
            self.ledger.truncate(height);
            self.ledger.state.set_committed(height);
            self.forget_snapshots_above(height, step);
            self.forget_logs_above(height, step);
            self.store(Purpose::Upkeep, Record::Truncate { last: height }, step);
        }
        self.development.patches.undo(&self.ledger.state, height, patches)?;
        let development = &mut self.development;
        development.next.forget_single();
        development.owed = 0;
        for mining in core::mem::take(&mut development.mining) {
            self.reply(mining.id, Response::Done, step);
        }
        self.pool.clear();
        for waiter in self.waiting.take_all() {
            let error = CoreError::Unavailable("the chain was reverted");
            step.out.push(CoreEffect::Reply(waiter, Err(error)));
        }
        self.pipeline.drop_held();
        self.rebuilds.forget();
        self.inputs.push_back(Input::Reset(height));
        step.out.push(CoreEffect::Event(Event::Reverted(height)));
        Ok(())
    }
}
