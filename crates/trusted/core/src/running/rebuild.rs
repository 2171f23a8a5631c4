//! States older than the resident history, rebuilt into one bounded scratch state from the nearest
//! snapshot and the blocks after it (`--history full`).

use std::collections::VecDeque;

use cloister_boundary::{FromEnclave, ReadId, StoredSnapshot};
use cloister_primitives::{Code, Height};
use cloister_state::State;

use super::{Errand, Running};
use crate::{
    Archive, CoreEffect, CoreError, ReplayedState, RequestId, Response,
    machine::Step,
    replay::SnapshotReplay,
    work::{Advance, RebuildJob, RebuildOutcome, Rebuilding, Work},
};

/// Requests that may wait for a rebuild.
const MAX_WAITING: usize = 64;

/// Blocks read at a time.
const BLOCKS_PER_READ: u64 = 64;

const BUSY: CoreError = CoreError::Unavailable("too many reads of old states at once, retry");
const DAMAGED: CoreError = CoreError::Unavailable("an old state cannot be rebuilt");

/// What the rebuild in progress waits for.
#[derive(Debug)]
enum Awaited {
    Read(ReadId),
    Work,
}

#[derive(Debug)]
struct Current {
    target: Height,
    awaited: Awaited,
    /// What there is so far, while no work holds it.
    so_far: Option<Rebuilding>,
}

/// Rebuilds: one at a time, into a scratch state that stays for the next request.
#[derive(Debug, Default)]
pub(super) struct Rebuilds {
    waiting: VecDeque<(RequestId, Height)>,
    current: Option<Current>,
    scratch: Option<State>,
}

impl Rebuilds {
    /// Forgets what a development network has gone back from.
    pub(super) fn forget(&mut self) {
        self.scratch = None;
        self.current = None;
    }
}

impl Running {
    pub(super) fn rebuild(&mut self, id: RequestId, height: Height, step: &mut Step<'_>) {
        if height <= self.ledger.head()
            && let Ok(view) = self.ledger.state.view(height)
        {
            return self.reply(id, Response::Replayed(ReplayedState(view)), step);
        }
        let refusal = if self.options.archive != Archive::Full || height > self.ledger.head() {
            Some(Code::StateUnavailable.into())
        } else if self.rebuilds.waiting.len() >= MAX_WAITING {
            Some(BUSY)
        } else {
            None
        };
        if let Some(error) = refusal {
            step.out.push(CoreEffect::Reply(id, Err(error)));
            return;
        }
        self.rebuilds.waiting.push_back((id, height));
        self.next_rebuild(step);
    }

    /// Answers what the scratch state can answer, and starts on what it cannot.
    fn next_rebuild(&mut self, step: &mut Step<'_>) {
        if self.rebuilds.current.is_some() {
            return;
        }
        while let Some((id, height)) = self.rebuilds.waiting.pop_front() {
            let view = self.rebuilds.scratch.as_ref().and_then(|scratch| scratch.view(height).ok());
            if let Some(view) = view {
                self.reply(id, Response::Replayed(ReplayedState(view)), step);
                continue;
            }
            self.rebuilds.waiting.push_front((id, height));
            let so_far = self.nearest(height);
            self.advance_rebuild(height, so_far, step);
            return;
        }
    }

    /// The shortest way to a height: on from the scratch state, from a snapshot, or from genesis.
    fn nearest(&mut self, height: Height) -> Rebuilding {
        let snapshot = self.newest_snapshot_up_to(height);
        let from = snapshot.map_or(Height::GENESIS, |snapshot| snapshot.height);
        let scratch = self.rebuilds.scratch.take();
        match scratch.as_ref().and_then(State::tip) {
            Some(tip) if tip >= from && tip < height => {
                // `tip` is there, so the scratch state is.
                scratch.map_or(Rebuilding::Nothing, Rebuilding::State)
            }
            _ => snapshot.map_or(Rebuilding::Nothing, |snapshot| {
                let history = self.options.history;
                let replay = SnapshotReplay::new(self.keys.clone(), snapshot, history);
                Rebuilding::Snapshot(Box::new(replay))
            }),
        }
    }

    fn advance_rebuild(&mut self, target: Height, so_far: Rebuilding, step: &mut Step<'_>) {
        let id = self.loads.draw_read();
        let request = match &so_far {
            Rebuilding::Nothing => return self.rebuild_with(target, so_far, Advance::Begin, step),
            Rebuilding::Snapshot(replay) => match replay.expected() {
                Some(index) => FromEnclave::ReadChunk { id, snapshot: replay.height(), index },
                // Complete: the block at its height says which root it must have.
                None => FromEnclave::ReadBlocks { id, from: replay.height(), count: 1 },
            },
            Rebuilding::State(_) => {
                let from = so_far.next_block();
                let count = (target.0 + 1 - from.0).min(BLOCKS_PER_READ);
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                FromEnclave::ReadBlocks { id, from, count }
            }
        };
        step.host(request);
        self.rebuilds.current = Some(Current { target, awaited: Awaited::Read(id), so_far: Some(so_far) });
    }

    /// Whether this read was made for the rebuild in progress.
    pub(super) fn is_rebuild_read(&self, id: ReadId) -> bool {
        self.rebuilds
            .current
            .as_ref()
            .is_some_and(|current| matches!(current.awaited, Awaited::Read(read) if read == id))
    }

    /// Goes on with what was read; `None` if it could not be read.
    pub(super) fn on_rebuild_read(&mut self, read: Option<Advance>, step: &mut Step<'_>) {
        let Some(current) = self.rebuilds.current.take() else {
            return;
        };
        match (current.so_far, read) {
            (Some(so_far), Some(read)) => self.rebuild_with(current.target, so_far, read, step),
            _ => self.fail_rebuild(step),
        }
    }

    fn rebuild_with(&mut self, target: Height, so_far: Rebuilding, advance: Advance, step: &mut Step<'_>) {
        let parent_hash = so_far
            .next_block()
            .parent()
            .and_then(|parent| self.ledger.hash_at(parent))
            .unwrap_or(self.spec.genesis().parent_hash);
        let job = RebuildJob {
            keys: self.keys.clone(),
            spec: self.spec.clone(),
            history: self.options.history,
            so_far,
            parent_hash,
            advance,
        };
        self.rebuilds.current = Some(Current { target, awaited: Awaited::Work, so_far: None });
        self.send_work(Work::Rebuild(Box::new(job)), Errand::Rebuild, step);
    }

    pub(super) fn on_rebuilt(&mut self, outcome: RebuildOutcome, step: &mut Step<'_>) {
        let Some(current) = self.rebuilds.current.take() else {
            return;
        };
        match outcome.so_far {
            Some(Rebuilding::State(state)) if state.tip().is_some_and(|tip| tip >= current.target) => {
                self.rebuilds.scratch = Some(state);
                self.next_rebuild(step);
            }
            Some(so_far) => self.advance_rebuild(current.target, so_far, step),
            None => self.fail_rebuild(step),
        }
    }

    fn fail_rebuild(&mut self, step: &mut Step<'_>) {
        step.warn("an old state could not be rebuilt from the sealed log");
        self.rebuilds.current = None;
        if let Some((id, _)) = self.rebuilds.waiting.pop_front() {
            step.out.push(CoreEffect::Reply(id, Err(DAMAGED)));
        }
        self.next_rebuild(step);
    }

    fn newest_snapshot_up_to(&self, height: Height) -> Option<StoredSnapshot> {
        self.cutting.stored().iter().rev().find(|snapshot| snapshot.height <= height).copied()
    }
}
