//! Snapshots, cut in the background at heights divisible by a constant, and by nothing else: when one
//! is cut must not depend on what is in it.

use cloister_boundary::{Record, StoredSnapshot};
use cloister_crypto::draw_nonce;
use cloister_keys::{Incarnation, SnapshotAad, draw_incarnation};
use cloister_primitives::Height;
use cloister_state::SnapshotCut;

use super::{Errand, Running, storage::Purpose};
use crate::{
    Archive,
    machine::Step,
    work::{CutJob, CutOutcome, Work},
};

/// Snapshots kept on the host: the newest, and the one before it should the newest be damaged.
const KEPT: usize = 2;

/// The snapshot being cut, and those that are complete.
#[derive(Debug)]
pub(super) struct Cutting {
    stored: Vec<StoredSnapshot>,
    /// Height and number of chunks so far.
    current: Option<(Height, u32)>,
    /// Of the snapshot being cut: its own, so that chunks of two snapshots of one height (a development
    /// network can have that) do not mix.
    incarnation: Incarnation,
    /// The pinned state, while no work holds it.
    cut: Option<SnapshotCut>,
}

impl Cutting {
    pub(super) const fn new(stored: Vec<StoredSnapshot>) -> Self {
        Self { stored, current: None, incarnation: [0; 16], cut: None }
    }

    /// Complete snapshots, oldest first.
    pub(super) fn stored(&self) -> &[StoredSnapshot] {
        &self.stored
    }
}

impl Running {
    pub(super) fn cut_if_due(&mut self, height: Height, step: &mut Step<'_>) {
        let every = self.options.snapshot_every_blocks.max(1);
        if !height.0.is_multiple_of(every) || self.cutting.current.is_some() {
            return;
        }
        // Where blocks were fetched that the log does not reach yet, a start would go on below such a snapshot.
        if self.engine.network().is_some_and(|network| network.ends_below(height)) {
            return;
        }
        let Ok(cut) = self.ledger.state.snapshot(height) else {
            step.warn("a snapshot could not be started");
            return;
        };
        self.cutting.incarnation = draw_incarnation(step.entropy);
        self.cutting.current = Some((height, 0));
        self.cutting.cut = Some(cut);
        self.cut_next(step);
    }

    /// Has the next chunk cut, once the one before it is durable.
    pub(super) fn cut_next(&mut self, step: &mut Step<'_>) {
        let (Some((height, index)), Some(cut)) = (self.cutting.current, self.cutting.cut.take()) else {
            return;
        };
        let job = CutJob {
            keys: self.keys.clone(),
            nonce: draw_nonce(step.entropy),
            aad: SnapshotAad { snapshot: height, index, incarnation: self.cutting.incarnation },
            cut,
        };
        self.send_work(Work::Cut(Box::new(job)), Errand::Cut(self.cutting.incarnation), step);
    }

    pub(super) fn on_cut(&mut self, incarnation: Incarnation, outcome: CutOutcome, step: &mut Step<'_>) {
        let Some((snapshot, index)) = self.cutting.current else {
            return;
        };
        if incarnation != self.cutting.incarnation {
            // A piece of a snapshot that was given up.
            return;
        }
        if outcome.failed {
            self.abandon_snapshot(step);
            return;
        }
        match outcome.sealed {
            Some(sealed) => {
                self.cutting.cut = Some(outcome.cut);
                self.cutting.current = Some((snapshot, index + 1));
                let record = Record::SnapshotChunk { snapshot, index, sealed };
                self.store(Purpose::Chunk, record, step);
            }
            None => {
                self.cutting.current = None;
                let chunks = index;
                self.store(Purpose::Upkeep, Record::SnapshotDone { snapshot, chunks }, step);
                self.cutting.stored.push(StoredSnapshot { height: snapshot, chunks });
                self.drop_old_snapshots(step);
            }
        }
    }

    fn drop_old_snapshots(&mut self, step: &mut Step<'_>) {
        if self.options.archive == Archive::Full {
            return;
        }
        while self.cutting.stored.len() > KEPT {
            let snapshot = self.cutting.stored.remove(0).height;
            self.store(Purpose::Upkeep, Record::DropSnapshot { snapshot }, step);
        }
    }

    /// Gives up the snapshot being cut; the next due height starts another.
    pub(super) fn abandon_snapshot(&mut self, step: &mut Step<'_>) {
        self.cutting.cut = None;
        if let Some((snapshot, _)) = self.cutting.current.take() {
            step.warn("a snapshot was given up");
            self.store(Purpose::Upkeep, Record::DropSnapshot { snapshot }, step);
        }
    }

    /// A development network went back to `height`: later snapshots are gone with it.
    pub(super) fn forget_snapshots_above(&mut self, height: Height, step: &mut Step<'_>) {
        self.cutting.stored.retain(|snapshot| snapshot.height <= height);
        if self.cutting.current.is_some_and(|(at, _)| at > height) {
            self.abandon_snapshot(step);
        }
    }
}
