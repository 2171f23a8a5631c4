//! What is stored, in memory: the rules that both backends share, and nothing of their I/O.

use std::collections::BTreeMap;

use cloister_boundary::limits::{MAX_CHUNKS, MAX_SNAPSHOTS};
use cloister_boundary::{Record, StoredLog, StoredSnapshot};
use cloister_primitives::Height;

use crate::error::Refusal;

/// Which chunks of an unfinished snapshot are there: one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chunks {
    bits: Vec<u64>,
    count: u32,
}

impl Chunks {
    fn insert(&mut self, index: u32) {
        let (word, bit) = (index as usize / 64, 1u64 << (index % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.count += 1;
        }
    }

    /// One above the highest index.
    fn end(&self) -> u32 {
        let top = self.bits.last().copied().unwrap_or(0);
        let words = u32::try_from(self.bits.len()).unwrap_or(u32::MAX);
        (words * 64).saturating_sub(top.leading_zeros())
    }
}

/// Bounds of the log, complete snapshots, and those being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// First and last block.
    blocks: Option<(Height, Height)>,
    /// Complete snapshots and their numbers of chunks.
    complete: BTreeMap<Height, u32>,
    /// Snapshots being written.
    partial: BTreeMap<Height, Chunks>,
}

/// What is stored after a database was opened again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// What stays. Blocks above its last are to be removed.
    pub(crate) index: Index,
    /// Snapshots to be removed.
    pub(crate) snapshots: Vec<Height>,
}

impl Index {
    pub(crate) fn new(blocks: Option<(Height, Height)>, complete: BTreeMap<Height, u32>) -> Self {
        Self { blocks, complete, partial: BTreeMap::new() }
    }

    pub(crate) fn bounds(&self) -> StoredLog {
        StoredLog { first: self.blocks.map(|(first, _)| first), last: self.blocks.map(|(_, last)| last) }
    }

    pub(crate) fn snapshots(&self) -> Vec<StoredSnapshot> {
        self.complete.iter().map(|(&height, &chunks)| StoredSnapshot { height, chunks }).collect()
    }

    /// What is stored once these records are, or why they do not fit.
    pub(crate) fn after(&self, records: &[Record]) -> Result<Self, Refusal> {
        let truncates = |record| matches!(record, &Record::Truncate { .. });
        if records.len() > 1 && records.iter().any(truncates) {
            return Err(Refusal::TruncateNotAlone);
        }
        let mut after = self.clone();
        records.iter().try_for_each(|record| after.admit(record))?;
        Ok(after)
    }

    /// Compares this, which was acknowledged, with what a database holds that was opened again
    /// after a failed batch; `truncate` is that batch's truncation, if it was one. A batch is
    /// atomic, so either nothing of it is there or all. Of the latter, removals are adopted (asking
    /// for them again does no harm) and additions are named, to be removed.
    ///
    /// `None` means that something acknowledged is gone.
    pub(crate) fn reconcile(mut self, found: &Self, truncate: Option<Height>) -> Option<Reconciled> {
        if let Some(keep) = truncate
            && found.bounds().last < self.bounds().last
        {
            self.truncate(keep);
        }
        self.complete.retain(|height, _| found.complete.contains_key(height));
        let gone = match (self.blocks, found.blocks) {
            (Some(known), Some(found)) => found.0 != known.0 || found.1 < known.1,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let snapshots = found.complete.keys().filter(|height| !self.complete.contains_key(height)).copied().collect();
        (!gone).then_some(Reconciled { index: self, snapshots })
    }

    /// Takes a record into account, or says why it does not fit. A refused record changes nothing.
    fn admit(&mut self, record: &Record) -> Result<(), Refusal> {
        match *record {
            Record::Block { height, .. } => self.admit_block(height),
            Record::SnapshotChunk { snapshot, index, .. } => self.admit_chunk(snapshot, index),
            Record::SnapshotDone { snapshot, chunks } => self.finish_snapshot(snapshot, chunks),
            Record::DropSnapshot { snapshot } => {
                self.complete.remove(&snapshot);
                self.partial.remove(&snapshot);
                Ok(())
            }
            Record::LogSection { last, .. } => match self.blocks {
                Some((_, stored)) if last <= stored => Ok(()),
                _ => Err(Refusal::LogSectionAhead { last }),
            },
            Record::Truncate { last } => {
                self.truncate(last);
                Ok(())
            }
            Record::Meta { .. } | Record::Consensus { .. } => Ok(()),
        }
    }

    fn admit_block(&mut self, height: Height) -> Result<(), Refusal> {
        self.blocks = Some(match self.blocks {
            None => (height, height),
            Some((first, last)) if last.0.checked_add(1) == Some(height.0) => (first, height),
            Some((_, last)) => {
                return Err(Refusal::OutOfOrder { last, found: height });
            }
        });
        Ok(())
    }

    fn admit_chunk(&mut self, snapshot: Height, index: u32) -> Result<(), Refusal> {
        if self.complete.contains_key(&snapshot) {
            return Err(Refusal::SnapshotComplete { snapshot });
        }
        if index >= MAX_CHUNKS {
            return Err(Refusal::ChunkLimit { snapshot, index });
        }
        let count = self.complete.len() + self.partial.len();
        if count >= MAX_SNAPSHOTS && !self.partial.contains_key(&snapshot) {
            return Err(Refusal::SnapshotLimit { count });
        }
        self.partial.entry(snapshot).or_default().insert(index);
        Ok(())
    }

    fn finish_snapshot(&mut self, snapshot: Height, chunks: u32) -> Result<(), Refusal> {
        if self.complete.contains_key(&snapshot) {
            return Err(Refusal::SnapshotComplete { snapshot });
        }
        let (found, end) = self.partial.get(&snapshot).map_or((0, 0), |stored| (stored.count, stored.end()));
        if chunks == 0 || found != chunks || end != chunks {
            return Err(Refusal::ChunkCount { snapshot, chunks, found });
        }
        self.partial.remove(&snapshot);
        self.complete.insert(snapshot, chunks);
        Ok(())
    }

    fn truncate(&mut self, keep: Height) {
        self.blocks = self.blocks.filter(|(first, _)| *first <= keep).map(|(first, last)| (first, last.min(keep)));
        self.complete.retain(|height, _| *height <= keep);
        self.partial.retain(|height, _| *height <= keep);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn chunk(index: u32) -> Record {
        Record::SnapshotChunk { snapshot: Height(9), index, sealed: vec![] }
    }

    fn done(chunks: u32) -> Record {
        Record::SnapshotDone { snapshot: Height(9), chunks }
    }

    #[test]
    fn a_snapshot_is_complete_with_exactly_its_chunks() {
        let mut index = Index::default();
        for n in [130, 0, 64, 130] {
            index.admit(&chunk(n)).unwrap();
        }
        for chunks in [0, 2, 3, 130, 131] {
            assert_eq!(index.admit(&done(chunks)), Err(Refusal::ChunkCount { snapshot: Height(9), chunks, found: 3 }));
        }
        for n in 0..131 {
            index.admit(&chunk(n)).unwrap();
        }
        assert_eq!(index.admit(&done(131)), Ok(()));
        assert_eq!(index.admit(&chunk(5)), Err(Refusal::SnapshotComplete { snapshot: Height(9) }));
    }

    #[test]
    fn limits_hold() {
        let mut index = Index::default();
        assert_eq!(
            index.admit(&chunk(MAX_CHUNKS)),
            Err(Refusal::ChunkLimit { snapshot: Height(9), index: MAX_CHUNKS })
        );
        for n in 0..MAX_SNAPSHOTS as u64 {
            let record = Record::SnapshotChunk { snapshot: Height(100 + n), index: 0, sealed: vec![] };
            index.admit(&record).unwrap();
        }
        assert_eq!(index.admit(&chunk(0)), Err(Refusal::SnapshotLimit { count: MAX_SNAPSHOTS }));
        let last = Height(u64::MAX);
        let block = Record::Block { height: last, sealed: vec![].into() };
        index.admit(&block).unwrap();
        assert_eq!(
            index.admit(&block),
            Err(Refusal::OutOfOrder { last, found: last }),
            "no height comes after the last"
        );
    }
}
