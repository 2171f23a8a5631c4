//! The log index on its way: sections built when their last block is committed, sealed, stored, read back
//! when a query needs them, and built again from their blocks where they are missing or damaged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::B256;
use cloister_boundary::{FromEnclave, ReadId, Record};
use cloister_crypto::draw_nonce;
use cloister_keys::LogSectionAad;
use cloister_primitives::Height;

use super::{Errand, Running, storage::Purpose};
use crate::{
    CoreEffect, CoreError, LogSection, RequestId, Response, WorkId,
    log_index::{
        IndexJob, IndexOutcome, IndexSource, LOG_SECTION_BLOCKS, OpenLogsJob, SectionDraft, log_section_end,
        log_section_start,
    },
    machine::Step,
    work::Work,
};

/// Sections that may be read, opened or built at one time.
const MAX_ACTIVE: usize = 16;

/// Sections that may be wanted at one time.
const MAX_WANTED: usize = 4_096;

const BUSY: CoreError = CoreError::Unavailable("too many log queries at once, retry");
const UNFINISHED: CoreError = CoreError::Unavailable("that part of the log index is not finished");
const REVERTED: CoreError = CoreError::Unavailable("the chain was reverted");
const DAMAGED: CoreError = CoreError::Unavailable("an old block cannot be read back");

/// What a section waits for.
#[derive(Debug)]
enum Stage {
    /// Its turn.
    Queued,
    /// Its blob.
    Reading(ReadId),
    /// Its blob to be opened.
    Opening(WorkId),
    /// Blocks, as the blob is of no use.
    ReadingBlocks(ReadId, SectionDraft),
    /// Blocks to be added to it.
    Indexing(WorkId),
}

#[derive(Debug)]
struct Wanted {
    last_hash: B256,
    stage: Stage,
    waiters: Vec<RequestId>,
}

/// Sections that are not at hand yet, by their last height.
#[derive(Debug, Default)]
pub(super) struct LogSections {
    wanted: BTreeMap<Height, Wanted>,
    queue: VecDeque<Height>,
    /// Reads whose answers are of no use any more.
    abandoned: BTreeSet<ReadId>,
}

impl LogSections {
    fn active(&self) -> usize {
        self.wanted.len() - self.queue.len()
    }

    fn reading(&self, id: ReadId) -> Option<Height> {
        let reads = |wanted: &Wanted| matches!(wanted.stage, Stage::Reading(read) | Stage::ReadingBlocks(read, _) if read == id);
        self.wanted.iter().find(|(_, wanted)| reads(wanted)).map(|(last, _)| *last)
    }

    fn working(&self, id: WorkId) -> Option<Height> {
        let works =
            |wanted: &Wanted| matches!(wanted.stage, Stage::Opening(work) | Stage::Indexing(work) if work == id);
        self.wanted.iter().find(|(_, wanted)| works(wanted)).map(|(last, _)| *last)
    }

    fn enter(&mut self, last: Height, stage: Stage) {
        if let Some(wanted) = self.wanted.get_mut(&last) {
            wanted.stage = stage;
        }
    }
}

impl Running {
    /// Has the section built whose last block this is, from blocks that are all resident.
    pub(super) fn index_logs_if_due(&mut self, height: Height, step: &mut Step<'_>) {
        if height != log_section_end(height) {
            return;
        }
        let blocks = self.ledger.resident_range(log_section_start(height), height);
        let Some(last_hash) = blocks.last().map(|block| block.hash) else {
            return;
        };
        // Without all of its blocks the section is built when it is first asked for.
        if blocks.len() as u64 == LOG_SECTION_BLOCKS {
            let wanted = Wanted { last_hash, stage: Stage::Queued, waiters: Vec::new() };
            self.log_sections.wanted.insert(height, wanted);
            self.index_blocks(height, SectionDraft::default(), IndexSource::Resident(blocks), step);
        }
    }

    /// Answers with the section that ends at `last`.
    pub(super) fn load_log_section(&mut self, id: RequestId, last: Height, step: &mut Step<'_>) {
        let finished = last == log_section_end(last) && last <= self.ledger.head();
        let is_full = self.log_sections.wanted.len() >= MAX_WANTED;
        let answer = match self.ledger.hash_at(last).filter(|_| finished) {
            None => Err(UNFINISHED),
            Some(last_hash) => match self.log_sections.wanted.get_mut(&last) {
                Some(wanted) => {
                    wanted.waiters.push(id);
                    return;
                }
                None if is_full => Err(BUSY),
                None => Ok(last_hash),
            },
        };
        match answer {
            Ok(last_hash) => {
                let wanted = Wanted { last_hash, stage: Stage::Queued, waiters: vec![id] };
                self.log_sections.wanted.insert(last, wanted);
                self.log_sections.queue.push_back(last);
                self.read_log_sections(step);
            }
            Err(error) => step.out.push(CoreEffect::Reply(id, Err(error))),
        }
    }

    /// Reads what is queued, as far as there is room.
    fn read_log_sections(&mut self, step: &mut Step<'_>) {
        while self.log_sections.active() < MAX_ACTIVE
            && let Some(last) = self.log_sections.queue.pop_front()
        {
            let id = self.loads.draw_read();
            self.log_sections.enter(last, Stage::Reading(id));
            step.host(FromEnclave::ReadLogSection { id, last });
        }
    }

    /// Whether this read was made for the log index.
    pub(super) fn is_log_read(&self, id: ReadId) -> bool {
        self.log_sections.abandoned.contains(&id) || self.log_sections.reading(id).is_some()
    }

    /// A section's blob came; `None` if there is none, or the host cannot read it.
    pub(super) fn on_log_section(&mut self, id: ReadId, blob: Option<Vec<u8>>, step: &mut Step<'_>) {
        if self.log_sections.abandoned.remove(&id) {
            return;
        }
        let Some(last) = self.log_sections.reading(id) else {
            step.warn("the host answered a read that was not asked for");
            return;
        };
        match (blob, self.log_sections.wanted.get(&last)) {
            (Some(blob), Some(wanted)) => {
                let job = OpenLogsJob { keys: self.keys.clone(), last, last_hash: wanted.last_hash, blob };
                let work = self.send_work(Work::OpenLogs(Box::new(job)), Errand::OpenLogs, step);
                self.log_sections.enter(last, Stage::Opening(work));
            }
            // A process that ended before it was stored, or a folder of an earlier version.
            _ => self.read_blocks_of(last, SectionDraft::default(), step),
        }
    }

    pub(super) fn on_logs_opened(&mut self, id: WorkId, section: Option<LogSection>, step: &mut Step<'_>) {
        let Some(last) = self.log_sections.working(id) else {
            return;
        };
        match section {
            Some(section) => self.finish_log_section(last, section, step),
            None => {
                let text = "a stored section of the log index is damaged: it is built again from its blocks";
                step.out.push(CoreEffect::WarnAt(text, last));
                self.read_blocks_of(last, SectionDraft::default(), step);
            }
        }
    }

    /// Reads the blocks that a section still lacks.
    fn read_blocks_of(&mut self, last: Height, draft: SectionDraft, step: &mut Step<'_>) {
        let id = self.loads.draw_read();
        let from = Height(log_section_start(last).0 + draft.len());
        let count = u32::try_from(last.0 + 1 - from.0).unwrap_or(u32::MAX);
        step.host(FromEnclave::ReadBlocks { id, from, count });
        self.log_sections.enter(last, Stage::ReadingBlocks(id, draft));
    }

    /// Blocks of a section came; none if the host cannot read them.
    pub(super) fn on_log_blocks(&mut self, id: ReadId, blocks: Vec<Option<Vec<u8>>>, step: &mut Step<'_>) {
        if self.log_sections.abandoned.remove(&id) {
            return;
        }
        let Some(last) = self.log_sections.reading(id) else {
            return;
        };
        let Some(Wanted { stage: Stage::ReadingBlocks(_, draft), .. }) = self.log_sections.wanted.get_mut(&last) else {
            step.warn("the host answered a read with something else");
            return self.read_blocks_of(last, SectionDraft::default(), step);
        };
        let draft = core::mem::take(draft);
        let first = Height(log_section_start(last).0 + draft.len());
        let room = usize::try_from(last.0 + 1 - first.0).unwrap_or(usize::MAX);
        let blobs: Vec<_> = blocks.into_iter().take(room).map_while(|blob| blob).collect();
        let parent_hash = match first.parent() {
            Some(parent) => self.ledger.hash_at(parent),
            None => Some(self.spec.genesis().parent_hash),
        };
        match parent_hash {
            Some(parent_hash) if !blobs.is_empty() => {
                self.index_blocks(last, draft, IndexSource::Stored { parent_hash, blobs }, step);
            }
            _ => {
                step.warn("the host lost an old block");
                self.end_log_section(last, Err(DAMAGED), step);
            }
        }
    }

    /// The host cannot read: without the blob the blocks are read, without them there is nothing to read.
    pub(super) fn on_log_read_failed(&mut self, id: ReadId, step: &mut Step<'_>) {
        let last = self.log_sections.reading(id);
        match last.and_then(|last| self.log_sections.wanted.get(&last)) {
            Some(Wanted { stage: Stage::ReadingBlocks(..), .. }) => self.on_log_blocks(id, Vec::new(), step),
            _ => self.on_log_section(id, None, step),
        }
    }

    fn index_blocks(&mut self, last: Height, draft: SectionDraft, source: IndexSource, step: &mut Step<'_>) {
        let Some(wanted) = self.log_sections.wanted.get(&last) else {
            return;
        };
        let aad = LogSectionAad { last, incarnation: self.outbox.incarnation(), last_hash: wanted.last_hash };
        let job = IndexJob { keys: self.keys.clone(), nonce: draw_nonce(step.entropy), aad, draft, source };
        let work = self.send_work(Work::IndexLogs(Box::new(job)), Errand::IndexLogs, step);
        self.log_sections.enter(last, Stage::Indexing(work));
    }

    pub(super) fn on_logs_indexed(&mut self, id: WorkId, outcome: IndexOutcome, step: &mut Step<'_>) {
        let Some(last) = self.log_sections.working(id) else {
            return;
        };
        match outcome {
            IndexOutcome::Complete(section, sealed) => {
                match sealed {
                    Some(sealed) => self.store(Purpose::Upkeep, Record::LogSection { last, sealed }, step),
                    None => step.warn("a section of the log index is not stored: a sealing key is used up"),
                }
                self.finish_log_section(last, section, step);
            }
            IndexOutcome::Partial(draft) => self.read_blocks_of(last, draft, step),
            IndexOutcome::Damaged => {
                step.out.push(CoreEffect::WarnAt("an old block in the sealed log is damaged", last));
                self.end_log_section(last, Err(DAMAGED), step);
            }
        }
    }

    fn finish_log_section(&mut self, last: Height, section: LogSection, step: &mut Step<'_>) {
        self.ledger.keep_log_section(section.0.clone());
        self.end_log_section(last, Ok(section), step);
    }

    fn end_log_section(&mut self, last: Height, outcome: Result<LogSection, CoreError>, step: &mut Step<'_>) {
        if let Some(wanted) = self.log_sections.wanted.remove(&last) {
            for waiter in wanted.waiters {
                step.out.push(CoreEffect::Reply(waiter, outcome.clone().map(Response::LogSection)));
            }
        }
        self.read_log_sections(step);
    }

    /// A development network went back to `height`: what reaches beyond it is not wanted any more.
    pub(super) fn forget_logs_above(&mut self, height: Height, step: &mut Step<'_>) {
        self.log_sections.queue.retain(|last| *last <= height);
        for (_, wanted) in self.log_sections.wanted.split_off(&height.next()) {
            if let Stage::Reading(read) | Stage::ReadingBlocks(read, _) = wanted.stage {
                self.log_sections.abandoned.insert(read);
            }
            for waiter in wanted.waiters {
                step.out.push(CoreEffect::Reply(waiter, Err(REVERTED)));
            }
        }
        self.read_log_sections(step);
    }
}
