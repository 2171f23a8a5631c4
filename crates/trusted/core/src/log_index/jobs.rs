//! Building, sealing and opening sections, as work beside the core.

use std::sync::Arc;

use alloy_primitives::B256;
use cloister_crypto::Nonce;
use cloister_keys::{LedgerKeys, LogSectionAad, LogSectionBlob, Sealed};
use cloister_primitives::{Block, Height};

use super::{LogSection, Section, SectionDraft, log_section_start};
use crate::replay::open_block;

/// Blocks of a section, to be added to what there is of it.
#[derive(Debug)]
pub struct IndexJob {
    /// The keys.
    pub keys: Arc<LedgerKeys>,
    /// A fresh nonce, for the case that the section becomes complete.
    pub nonce: Nonce,
    /// What the ciphertext is bound to.
    pub aad: LogSectionAad,
    /// The section so far.
    pub draft: SectionDraft,
    /// The blocks that follow.
    pub source: IndexSource,
}

/// Where the blocks come from.
#[derive(Debug)]
pub enum IndexSource {
    /// They are resident.
    Resident(Vec<Arc<Block>>),
    /// They were read back.
    Stored {
        /// Hash of the block before the first.
        parent_hash: B256,
        /// Blobs of consecutive heights.
        blobs: Vec<Vec<u8>>,
    },
}

/// What there is of a section now.
#[derive(Debug)]
pub enum IndexOutcome {
    /// All of it, and its sealed form; `None` if the key is used up.
    Complete(LogSection, Option<Vec<u8>>),
    /// More blocks are needed.
    Partial(SectionDraft),
    /// A block read back is damaged.
    Damaged,
}

impl IndexJob {
    pub(crate) fn run(mut self) -> IndexOutcome {
        match self.source {
            IndexSource::Resident(blocks) => {
                blocks.iter().for_each(|block| self.draft.push(&self.keys, block));
            }
            IndexSource::Stored { mut parent_hash, blobs } => {
                for blob in blobs {
                    let height = Height(log_section_start(self.aad.last).0 + self.draft.len());
                    let Ok(record) = open_block(&self.keys, height, parent_hash, blob) else {
                        return IndexOutcome::Damaged;
                    };
                    self.draft.push(&self.keys, &record.block);
                    parent_hash = record.block.hash;
                }
                if self.draft.is_complete() && parent_hash != self.aad.last_hash {
                    return IndexOutcome::Damaged;
                }
            }
        }
        if !self.draft.is_complete() {
            return IndexOutcome::Partial(self.draft);
        }
        let section = self.draft.finish(self.aad.last, self.aad.last_hash);
        let sealed = self.keys.seal_log_section(self.nonce, &self.aad, section.encode()).ok();
        IndexOutcome::Complete(LogSection(Arc::new(section)), sealed.map(Sealed::into_bytes))
    }
}

/// A sealed section to open.
#[derive(Debug)]
pub struct OpenLogsJob {
    /// The keys.
    pub keys: Arc<LedgerKeys>,
    /// The section's last height.
    pub last: Height,
    /// Hash of the block there.
    pub last_hash: B256,
    /// The blob.
    pub blob: Vec<u8>,
}

impl OpenLogsJob {
    /// `None` if the blob is damaged or belongs elsewhere.
    pub(crate) fn run(self) -> Option<LogSection> {
        let sealed = Sealed::<LogSectionBlob>::from_bytes(self.blob).ok()?;
        let aad = LogSectionAad { last: self.last, incarnation: sealed.incarnation(), last_hash: self.last_hash };
        let bytes = self.keys.open_log_section(&aad, sealed).ok()?;
        Section::decode(self.last, self.last_hash, &bytes).map(|section| LogSection(Arc::new(section)))
    }
}
