//! Old blocks, read back from the sealed log in whole sections, so that the host learns which part of
//! history is read and not which block.

use std::collections::{BTreeMap, VecDeque};

use cloister_boundary::{FromEnclave, ReadId};
use cloister_primitives::Height;

use super::{Errand, Running};
use crate::{
    CoreEffect, CoreError, RequestId, Response, StoredBlock, WorkId,
    ledger::Resident,
    machine::Step,
    work::{OpenJob, OpenOutcome, Work},
};

/// Stored blocks that are read together; such sections start at multiples of this.
pub const STORED_SECTION_BLOCKS: u64 = 32;

/// Sections that may be read or opened at one time.
const MAX_READS: usize = 8;

/// Requests that may wait for their turn.
const MAX_WAITING: usize = 1_024;

#[derive(Debug)]
struct Section {
    first: Height,
    last: Height,
    blobs: Vec<Vec<u8>>,
    waiters: Vec<RequestId>,
}

/// Sections being read or opened.
#[derive(Debug, Default)]
pub(super) struct Loads {
    next_read: u64,
    reading: BTreeMap<ReadId, Section>,
    opening: BTreeMap<WorkId, Vec<RequestId>>,
    waiting: VecDeque<(RequestId, Height)>,
}

impl Loads {
    /// A number for the next read.
    pub(super) const fn draw_read(&mut self) -> ReadId {
        let id = ReadId(self.next_read);
        self.next_read += 1;
        id
    }
}

const BUSY: CoreError = CoreError::Unavailable("too many reads of old blocks at once, retry");
const DAMAGED: CoreError = CoreError::Unavailable("an old block cannot be read back");

impl Running {
    pub(super) fn load(&mut self, id: RequestId, height: Height, step: &mut Step<'_>) {
        let head = self.ledger.head();
        if height > head {
            return self.reply(id, Response::Stored(Vec::new()), step);
        }
        let first = Height(height.0 - height.0 % STORED_SECTION_BLOCKS);
        let last = Height((first.0 + STORED_SECTION_BLOCKS - 1).min(head.0));
        if let Some(section) =
            self.loads.reading.values_mut().find(|section| section.first == first && section.last == last)
        {
            section.waiters.push(id);
            return;
        }
        if self.loads.reading.len() + self.loads.opening.len() >= MAX_READS {
            if self.loads.waiting.len() >= MAX_WAITING {
                step.out.push(CoreEffect::Reply(id, Err(BUSY)));
                return;
            }
            self.loads.waiting.push_back((id, height));
            return;
        }
        let section = Section { first, last, blobs: Vec::new(), waiters: vec![id] };
        self.read_on(section, step);
    }

    fn read_on(&mut self, section: Section, step: &mut Step<'_>) {
        let id = self.loads.draw_read();
        let from = Height(section.first.0 + section.blobs.len() as u64);
        let count = u32::try_from(section.last.0 + 1 - from.0).unwrap_or(u32::MAX);
        self.loads.reading.insert(id, section);
        step.host(FromEnclave::ReadBlocks { id, from, count });
    }

    pub(super) fn on_loaded(&mut self, id: ReadId, blocks: Vec<Option<Vec<u8>>>, step: &mut Step<'_>) {
        let Some(mut section) = self.loads.reading.remove(&id) else {
            step.warn("the host answered a read that was not asked for");
            return;
        };
        let wanted = usize::try_from(section.last.0 - section.first.0 + 1).unwrap_or(usize::MAX);
        let before = section.blobs.len();
        let room = wanted - before;
        section.blobs.extend(blocks.into_iter().take(room).map_while(|blob| blob));
        if section.blobs.len() == before {
            step.warn("the host lost an old block");
            Self::fail(&section.waiters, step);
            return self.next_load(step);
        }
        if section.blobs.len() < wanted {
            return self.read_on(section, step);
        }
        let parent_hash = match section.first.parent() {
            Some(parent) => self.ledger.hash_at(parent),
            None => Some(self.spec.genesis().parent_hash),
        };
        let Some(parent_hash) = parent_hash else {
            Self::fail(&section.waiters, step);
            return self.next_load(step);
        };
        let job = OpenJob { keys: self.keys.clone(), first: section.first, parent_hash, blobs: section.blobs };
        let work = self.send_work(Work::Open(Box::new(job)), Errand::Open, step);
        self.loads.opening.insert(work, section.waiters);
    }

    pub(super) fn on_load_failed(&mut self, id: ReadId, step: &mut Step<'_>) {
        match self.loads.reading.remove(&id) {
            Some(section) => {
                Self::fail(&section.waiters, step);
                self.next_load(step);
            }
            None => step.warn("the host failed a read that was not asked for"),
        }
    }

    pub(super) fn on_opened(&mut self, id: WorkId, outcome: OpenOutcome, step: &mut Step<'_>) {
        let waiters = self.loads.opening.remove(&id).unwrap_or_default();
        let genuine =
            outcome.blocks.iter().flatten().all(|block| self.ledger.hash_at(block.height()) == Some(block.hash));
        match outcome.blocks {
            Some(blocks) if genuine => {
                let blocks: Vec<_> = blocks.into_iter().map(|block| StoredBlock(Resident::new(block))).collect();
                for waiter in waiters {
                    self.reply(waiter, Response::Stored(blocks.clone()), step);
                }
            }
            _ => {
                step.warn("an old block in the sealed log is damaged");
                Self::fail(&waiters, step);
            }
        }
        self.next_load(step);
    }

    /// Gives the next ones their turn.
    fn next_load(&mut self, step: &mut Step<'_>) {
        while self.loads.reading.len() + self.loads.opening.len() < MAX_READS
            && let Some((id, height)) = self.loads.waiting.pop_front()
        {
            self.load(id, height, step);
        }
    }

    fn fail(waiters: &[RequestId], step: &mut Step<'_>) {
        for waiter in waiters {
            step.out.push(CoreEffect::Reply(*waiter, Err(DAMAGED)));
        }
    }
}
