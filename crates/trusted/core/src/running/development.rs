//! Time, mining and snapshots of a development network.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256};
use cloister_boundary::Record;
use cloister_execution::Origin;
use cloister_ordering::Input;
use cloister_primitives::{Block, ChainSpec, Code, Height, Rejected};

use super::{
    Running,
    patches::{PatchCount, Patches},
    storage::Purpose,
};
use crate::{CoreEffect, CoreError, DevelopmentRequest, Event, Fatal, RequestId, Response, StatePatch, machine::Step};

/// Blocks one request may mine.
const MAX_MINED: u64 = 100_000;

/// Snapshots kept at one time.
const MAX_SNAPSHOTS: usize = 10_000;

/// A chain to come back to.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    id: u64,
    height: Height,
    /// The chain's clock at that moment, milliseconds.
    clock_ms: u64,
    /// Patches that had been made by then.
    patches: PatchCount,
}

/// Requests that need a moment in which nothing is built or on its way.
#[derive(Debug)]
enum Quiet {
    Snapshot(RequestId),
    Revert(RequestId, u64),
    Patch(RequestId, StatePatch),
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
    /// What the chain's clock is ahead of the host's, milliseconds.
    offset_ms: i128,
    /// Timestamps of the next blocks, seconds; `None` leaves it to the clock.
    timestamps: VecDeque<Option<u64>>,
    /// Seconds from one block to the next, whatever the clock says.
    interval_s: Option<u64>,
    /// Gas limit of later blocks.
    pub(super) gas_limit: Option<u64>,
    /// Beneficiary of later blocks.
    pub(super) beneficiary: Option<Address>,
    /// Base fee of the next block.
    pub(super) next_base_fee: Option<u64>,
    /// `prevRandao` of the next block.
    pub(super) next_prev_randao: Option<B256>,
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
    fn clock_ms(&self, now_ms: u64) -> u64 {
        let clock = i128::from(now_ms) + self.offset_ms;
        u64::try_from(clock.max(0)).unwrap_or(u64::MAX)
    }

    fn set_clock(&mut self, now_ms: u64, clock_ms: u64) {
        self.offset_ms = i128::from(clock_ms) - i128::from(now_ms);
    }

    /// Timestamp of the next block, seconds.
    pub(super) fn next_timestamp(&self, spec: &ChainSpec, parent: u64, now_ms: u64) -> u64 {
        let lowest = if spec.allows_equal_timestamps() { parent } else { parent.saturating_add(1) };
        match (self.timestamps.front(), self.interval_s) {
            (Some(Some(timestamp)), _) => *timestamp,
            (_, Some(interval_s)) => parent.saturating_add(interval_s),
            _ => self.clock_ms(now_ms) / 1_000,
        }
        .max(lowest)
    }

    /// What was meant for one block has been used by this one.
    pub(super) fn consumed(&mut self) {
        self.timestamps.pop_front();
        self.next_base_fee = None;
        self.next_prev_randao = None;
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
            DevelopmentRequest::Snapshot => return self.when_quiet(Quiet::Snapshot(id)),
            DevelopmentRequest::Revert { id: name } => {
                return self.when_quiet(Quiet::Revert(id, name));
            }
            DevelopmentRequest::Patch(patch) => return self.when_quiet(Quiet::Patch(id, patch)),
            DevelopmentRequest::Reset => return self.when_quiet(Quiet::Reset(id)),
            DevelopmentRequest::SubmitImpersonated { transaction, answer_at } => {
                let mut admitted = Vec::new();
                let allowed = self.development.impersonated.contains(&transaction.signer());
                let outcome = if allowed {
                    self.admit(transaction, Origin::Impersonated, answer_at, step.now_ms, &mut admitted)
                } else {
                    Err(Code::InvalidSender.into())
                };
                self.answer_submission(id, outcome, step);
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
            DevelopmentRequest::Pace => return Ok(Response::Pace(self.ordering.status().pace)),
            DevelopmentRequest::IncreaseTime { seconds } => {
                development.offset_ms += i128::from(seconds) * 1_000;
                let offset_s = development.offset_ms / 1_000;
                return Ok(Response::Number(u64::try_from(offset_s).unwrap_or(0)));
            }
            DevelopmentRequest::SetTime { now_ms: clock_ms } => {
                development.set_clock(now_ms, clock_ms);
                let offset_s = development.offset_ms / 1_000;
                return Ok(Response::Number(u64::try_from(offset_s).unwrap_or(0)));
            }
            DevelopmentRequest::SetNextTimestamp { timestamp } => {
                self.set_next_timestamp(timestamp, now_ms)?;
            }
            DevelopmentRequest::SetTimestampInterval { interval_s } => {
                development.interval_s = interval_s;
            }
            DevelopmentRequest::SetBlockGasLimit { gas_limit } => {
                development.gas_limit = Some(gas_limit);
            }
            DevelopmentRequest::SetNextBaseFee { base_fee_per_gas } => {
                development.next_base_fee = Some(base_fee_per_gas);
            }
            DevelopmentRequest::SetCoinbase { beneficiary } => {
                development.beneficiary = Some(beneficiary);
            }
            DevelopmentRequest::SetPrevRandao { value } => {
                development.next_prev_randao = Some(value);
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

    fn set_next_timestamp(&mut self, timestamp: u64, now_ms: u64) -> Result<(), CoreError> {
        let newest = self.newest_timestamp();
        let too_early = timestamp < newest || (timestamp == newest && !self.spec.allows_equal_timestamps());
        if too_early {
            return Err(invalid(format!(
                "Timestamp {timestamp} is lower than or equal to previous block's timestamp {newest}"
            )));
        }
        let development = &mut self.development;
        development.timestamps.clear();
        development.timestamps.push_back(Some(timestamp));
        // Later blocks go on from there, as Hardhat and anvil have it.
        development.set_clock(now_ms, timestamp.saturating_mul(1_000));
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
            self.set_next_timestamp(timestamp, step.now_ms)?;
        }
        if let Some(interval) = interval_s {
            let newest = self.newest_timestamp();
            let clock = self.development.next_timestamp(&self.spec, newest, step.now_ms);
            let development = &mut self.development;
            if development.timestamps.is_empty() {
                development.timestamps.push_back(None);
            }
            for block in 1..blocks {
                let at = clock.saturating_add(interval.saturating_mul(block));
                development.timestamps.push_back(Some(at));
            }
            let last = clock.saturating_add(interval.saturating_mul(blocks - 1));
            development.set_clock(step.now_ms, last.saturating_mul(1_000));
        }
        let status = self.ordering.status();
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
                || remembered.iter().any(|remembered| remembered.height == height)
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
            clock_ms: development.clock_ms(now_ms),
            patches: development.patches.count(),
        });
        Ok(Response::Number(development.last_id))
    }

    fn revert(&mut self, name: u64, step: &mut Step<'_>) -> Result<Response, CoreError> {
        let found = self.development.remembered.iter().position(|remembered| remembered.id == name);
        let Some(position) = found else {
            return Ok(Response::Flag(false));
        };
        let target = self.development.remembered[position];
        self.go_back(target.height, target.patches, step)?;
        self.development.remembered.truncate(position);
        self.development.set_clock(step.now_ms, target.clock_ms);
        Ok(Response::Flag(true))
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
        development.timestamps.clear();
        development.next_base_fee = None;
        development.owed = 0;
        for mining in core::mem::take(&mut development.mining) {
            self.reply(mining.id, Response::Done, step);
        }
        self.pool.clear();
        for (_, waiters) in core::mem::take(&mut self.waiting) {
            for waiter in waiters {
                let error = CoreError::Unavailable("the chain was reverted");
                step.out.push(CoreEffect::Reply(waiter, Err(error)));
            }
        }
        self.pipeline.drop_held();
        self.rebuilds.forget();
        self.inputs.push_back(Input::Reset(height));
        step.out.push(CoreEffect::Event(Event::Reverted(height)));
        Ok(())
    }
}
