//! What a simulated host keeps: durable in the order it was written, up to some point.

use std::collections::{BTreeMap, VecDeque};

use cloister_boundary::{Record, StoredLog, StoredSnapshot};
use cloister_primitives::{Height, Seq};

/// Durable records.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) blocks: BTreeMap<Height, Vec<u8>>,
    chunks: BTreeMap<(Height, u32), Vec<u8>>,
    snapshots: BTreeMap<Height, u32>,
    sections: BTreeMap<Height, Vec<u8>>,
    consensus: BTreeMap<u64, Vec<u8>>,
    meta: Option<Vec<u8>>,
}

/// A disk, and what is on its way to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) kept: Kept,
    written: VecDeque<(Seq, Record)>,
}

impl Kept {
    fn store(&mut self, record: Record) {
        match record {
            Record::Block { height, sealed } => {
                self.blocks.insert(height, sealed.to_vec());
            }
            Record::SnapshotChunk { snapshot, index, sealed } => {
                self.chunks.insert((snapshot, index), sealed);
            }
            Record::SnapshotDone { snapshot, chunks } => {
                self.snapshots.insert(snapshot, chunks);
            }
            Record::DropSnapshot { snapshot } => {
                self.snapshots.remove(&snapshot);
                self.chunks.retain(|(height, _), _| *height != snapshot);
            }
            Record::LogSection { last, sealed } => {
                self.sections.insert(last, sealed);
            }
            Record::Truncate { last } => {
                self.blocks.retain(|height, _| *height <= last);
                self.sections.retain(|height, _| *height <= last);
                self.snapshots.retain(|height, _| *height <= last);
                self.chunks.retain(|(height, _), _| *height <= last);
            }
            Record::Meta { sealed } => self.meta = Some(sealed),
            Record::Consensus { number, keep_from, sealed } => {
                self.consensus.retain(|number, _| *number >= keep_from);
                self.consensus.insert(number, sealed);
            }
        }
    }

    pub(super) fn bounds(&self) -> StoredLog {
        StoredLog { first: self.blocks.keys().next().copied(), last: self.blocks.keys().next_back().copied() }
    }

    pub(super) fn snapshots(&self) -> Vec<StoredSnapshot> {
        self.snapshots.iter().map(|(height, chunks)| StoredSnapshot { height: *height, chunks: *chunks }).collect()
    }

    pub(super) fn consensus(&self) -> Vec<Vec<u8>> {
        self.consensus.values().cloned().collect()
    }

    pub(super) fn meta(&self) -> Option<Vec<u8>> {
        self.meta.clone()
    }

    pub(super) fn read(&self, from: Height, count: u32) -> Vec<Option<Vec<u8>>> {
        (from.0..from.0 + u64::from(count)).map(|height| self.blocks.get(&Height(height)).cloned()).collect()
    }

    pub(super) fn chunk(&self, snapshot: Height, index: u32) -> Option<Vec<u8>> {
        self.chunks.get(&(snapshot, index)).cloned()
    }

    pub(super) fn section(&self, last: Height) -> Option<Vec<u8>> {
        self.sections.get(&last).cloned()
    }

    /// Changes one bit of the newest block that is stored.
    pub(super) fn flip_a_bit(&mut self, draw: u64) -> bool {
        let Some(mut newest) = self.blocks.last_entry() else { return false };
        let bytes = newest.get_mut();
        let at = usize::try_from(draw).unwrap_or_default() % bytes.len();
        bytes[at] ^= 1 << (draw >> 32 & 7);
        true
    }
}

impl Disk {
    pub(super) fn write(&mut self, seq: Seq, record: Record) {
        self.written.push_back((seq, record));
    }

    /// Everything up to this number is durable.
    pub(super) fn sync(&mut self, upto: Seq) {
        while let Some((_, record)) = self.written.pop_front_if(|(seq, _)| *seq <= upto) {
            self.kept.store(record);
        }
    }

    /// The machine stops: of what was written, so many records reached the disk.
    pub(super) fn stop(&mut self, reached: usize) {
        let reached = reached.min(self.written.len());
        for (_, record) in self.written.drain(..reached) {
            self.kept.store(record);
        }
        self.written.clear();
    }

    pub(super) fn in_flight(&self) -> usize {
        self.written.len()
    }
}
