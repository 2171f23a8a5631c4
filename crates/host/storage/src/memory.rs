//! A store that ends with its process, for nodes without a data folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cloister_boundary::limits::{MAX_BLOCKS_ANSWER, MAX_BLOCKS_PER_READ};
use cloister_boundary::{Record, StoredLog, StoredSnapshot};
use cloister_primitives::Height;

use crate::index::Index;
use crate::{BlobStore, ChainIdentity, DiskUse, Kept, StoreError};

/// Records in memory. "Durable" means: until the process ends.
#[derive(Debug, Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    index: Index,
    blocks: BTreeMap<Height, Vec<u8>>,
    chunks: BTreeMap<(Height, u32), Vec<u8>>,
    log_sections: BTreeMap<Height, Vec<u8>>,
    meta: Option<Vec<u8>>,
    consensus: BTreeMap<u64, Vec<u8>>,
    chain: Option<ChainIdentity>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Nothing below panics half way through a change.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn store(&mut self, record: &Record) {
        match record {
            Record::Block { height, sealed } => {
                self.blocks.insert(*height, sealed.to_vec());
            }
            Record::SnapshotChunk { snapshot, index, sealed } => {
                self.chunks.insert((*snapshot, *index), sealed.clone());
            }
            Record::SnapshotDone { .. } => {}
            Record::DropSnapshot { snapshot } => {
                self.chunks.retain(|(height, _), _| height != snapshot);
            }
            Record::LogSection { last, sealed } => {
                self.log_sections.insert(*last, sealed.clone());
            }
            Record::Truncate { last } => {
                self.log_sections.retain(|height, _| height <= last);
                self.blocks.retain(|height, _| height <= last);
                self.chunks.retain(|(height, _), _| height <= last);
            }
            Record::Meta { sealed } => self.meta = Some(sealed.clone()),
            Record::Consensus { number, keep_from, sealed } => {
                self.consensus.retain(|number, _| number >= keep_from);
                self.consensus.insert(*number, sealed.clone());
            }
        }
    }
}

impl BlobStore for MemoryStore {
    fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        let mut content = self.content();
        let index = content.index.after(records)?;
        records.iter().for_each(|record| content.store(record));
        content.index = index;
        Ok(())
    }

    fn blocks(&self, from: Height, count: u32) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let content = self.content();
        gather(from, count, |height| Ok(content.blocks.get(&height).cloned()))
    }

    fn chunk(&self, snapshot: Height, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().chunks.get(&(snapshot, index)).cloned())
    }

    fn log_section(&self, last: Height) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().log_sections.get(&last).cloned())
    }

    fn bounds(&self) -> StoredLog {
        self.content().index.bounds()
    }

    fn snapshots(&self) -> Vec<StoredSnapshot> {
        self.content().index.snapshots()
    }

    fn kept(&self) -> Result<Kept, StoreError> {
        let content = self.content();
        Ok(Kept { meta: content.meta.clone(), consensus: content.consensus.values().cloned().collect() })
    }

    fn disk(&self) -> Result<Option<DiskUse>, StoreError> {
        Ok(None)
    }

    fn chain(&self) -> Option<ChainIdentity> {
        self.content().chain
    }

    fn claim(&self, chain: ChainIdentity) -> Result<(), StoreError> {
        let found = *self.content().chain.get_or_insert(chain);
        if found != chain {
            return Err(StoreError::ForeignChain { path: PathBuf::from("memory"), expected: chain, found });
        }
        Ok(())
    }
}

/// Collects blobs until their number or their size is reached.
pub(crate) fn gather(
    from: Height,
    count: u32,
    mut read: impl FnMut(Height) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let mut blocks = Vec::new();
    let mut total = 0usize;
    for offset in 0..u64::from(count.min(MAX_BLOCKS_PER_READ)) {
        let block = match from.0.checked_add(offset) {
            Some(height) => read(Height(height))?,
            None => None,
        };
        total += block.as_ref().map_or(0, Vec::len);
        if total > MAX_BLOCKS_ANSWER && !blocks.is_empty() {
            break;
        }
        blocks.push(block);
    }
    Ok(blocks)
}
