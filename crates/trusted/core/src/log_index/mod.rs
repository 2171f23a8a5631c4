//! Which blocks have which logs: an index over sections of finished blocks, so that a query over a long
//! range looks into few blocks.
//!
//! A section lists, for each of its blocks, fingerprints of what the block's logs have at each place:
//! the address, and the topics by position. It is built from the true logs, not from the header's bloom
//! filter, which shows nothing on a confidential chain. What matches is a superset: whoever searches
//! looks into the blocks named and decides about each log there.

mod jobs;
mod resident;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Log};
use cloister_keys::{LedgerKeys, MAX_PLAINTEXT_BYTES};
use cloister_primitives::{Block, Height};

pub use jobs::{IndexJob, IndexOutcome, IndexSource, OpenLogsJob};
pub(crate) use resident::ResidentSections;

/// Blocks in a section; sections begin at multiples of this. The blocks of the newest section, which is not finished,
/// are all resident.
pub const LOG_SECTION_BLOCKS: u64 = 256;

/// Fingerprints listed for one block at most. A block with more is looked into by every query.
const MAX_LISTED: usize = 30 * 1_024;

/// Count of a block that has more.
const DENSE: u32 = u32::MAX;

/// Version of a section's bytes.
const VERSION: u8 = 1;

/// Version and counts.
const HEAD_LEN: usize = 1 + 4 * LOG_SECTION_BLOCKS as usize;

const _: () = assert!(HEAD_LEN + 4 * LOG_SECTION_BLOCKS as usize * MAX_LISTED <= MAX_PLAINTEXT_BYTES);
const _: () = assert!(LOG_SECTION_BLOCKS <= crate::MIN_RESIDENT_BLOCKS as u64);

/// The last height of the section that `height` is in.
#[must_use]
pub const fn log_section_end(height: Height) -> Height {
    Height(height.0 | (LOG_SECTION_BLOCKS - 1))
}

/// The first height of the section that `height` is in.
pub(crate) const fn log_section_start(height: Height) -> Height {
    Height(height.0 & !(LOG_SECTION_BLOCKS - 1))
}

/// A section that is being put together, block by block.
#[derive(Clone, Debug, Default)]
pub struct SectionDraft {
    counts: Vec<u32>,
    values: Vec<u32>,
    /// Values with their repetitions: what the sealed section makes room for, so that its length follows from the
    /// number of logs and topics alone and not from how often they name the same.
    room: usize,
}

impl SectionDraft {
    /// Blocks in it.
    pub(crate) fn len(&self) -> u64 {
        self.counts.len() as u64
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.len() >= LOG_SECTION_BLOCKS
    }

    /// Adds the next block.
    pub(crate) fn push(&mut self, keys: &LedgerKeys, block: &Block) {
        let mut listed = fingerprints(keys, block);
        self.room += listed.len().min(MAX_LISTED);
        listed.sort_unstable();
        listed.dedup();
        if listed.len() > MAX_LISTED {
            self.counts.push(DENSE);
            return;
        }
        // In range: the list is shorter than `MAX_LISTED`.
        self.counts.push(listed.len() as u32);
        self.values.append(&mut listed);
    }

    /// The section whose last block has this hash.
    pub(crate) fn finish(self, last: Height, last_hash: B256) -> Section {
        Section {
            last,
            last_hash,
            counts: self.counts.into_boxed_slice(),
            values: self.values.into_boxed_slice(),
            room: self.room,
        }
    }
}

/// What the logs of a block have at each place, with repetitions.
fn fingerprints(keys: &LedgerKeys, block: &Block) -> Vec<u32> {
    let logs = block.receipts.iter().flat_map(|receipt| receipt.logs());
    logs.flat_map(|log| log_fingerprints(keys, log)).collect()
}

/// What a log has at each place.
fn log_fingerprints(keys: &LedgerKeys, log: &Log) -> impl Iterator<Item = u32> {
    let topics = (1..).zip(log.topics()).map(|(place, topic)| keys.log_fingerprint(place, topic));
    core::iter::once(address_fingerprint(keys, &log.address)).chain(topics)
}

fn address_fingerprint(keys: &LedgerKeys, address: &Address) -> u32 {
    keys.log_fingerprint(0, &address.into_word())
}

/// What a query asks for, as the index knows it: for each place that is named, the fingerprints of the alternatives.
#[derive(Clone, Debug)]
pub struct LogPlaces(Vec<Vec<u32>>);

impl LogPlaces {
    /// Addresses, and topics by position; nothing in a place means anything.
    pub(crate) fn new(keys: &LedgerKeys, addresses: &[Address], topics: &[Vec<B256>]) -> Self {
        let addresses = addresses.iter().map(|address| address_fingerprint(keys, address)).collect();
        let topics =
            (1..).zip(topics).map(|(place, topics)| topics.iter().map(|t| keys.log_fingerprint(place, t)).collect());
        let mut places: Vec<Vec<u32>> = core::iter::once(addresses).chain(topics).collect();
        places.retain(|alternatives| !alternatives.is_empty());
        places.iter_mut().for_each(|alternatives| alternatives.sort_unstable());
        Self(places)
    }

    /// Whether this sorted list has, for each place, one of the values asked for.
    fn may_match(&self, listed: &[u32]) -> bool {
        !listed.is_empty() && self.0.iter().all(|alternatives| intersect(alternatives, listed))
    }
}

/// Which transactions of one block have which logs, for many queries of the same block; opaque, because it knows of logs
/// that not everybody may see.
#[derive(Debug)]
pub struct BlockLogs {
    /// Fingerprints with the transactions that they come from, sorted, each pair once.
    listed: Vec<(u32, u32)>,
    transactions: u32,
}

impl BlockLogs {
    pub(crate) fn new(keys: &LedgerKeys, block: &Block) -> Self {
        let mut listed = Vec::new();
        for (transaction, receipt) in (0..).zip(&block.receipts) {
            let of_logs = receipt.logs().iter().flat_map(|log| log_fingerprints(keys, log));
            listed.extend(of_logs.map(|fingerprint| (fingerprint, transaction)));
        }
        listed.sort_unstable();
        listed.dedup();
        Self { listed, transactions: block.receipts.len() as u32 }
    }

    /// All transactions of the block, in order.
    pub(crate) fn all(&self) -> Vec<u32> {
        (0..self.transactions).collect()
    }

    /// The transactions that may have a match, in order: all that have one, and some that have not.
    pub(crate) fn candidates(&self, places: &LogPlaces) -> Vec<u32> {
        if self.listed.is_empty() {
            return Vec::new();
        }
        // The place that fewest have anything asked for at decides, as in a search for the rarest word of several.
        let count = |alternatives: &[u32]| alternatives.iter().map(|value| self.having(*value).len()).sum::<usize>();
        let Some(rarest) = places.0.iter().min_by_key(|alternatives| count(alternatives)) else {
            return self.all();
        };
        let having = rarest.iter().flat_map(|value| self.having(*value));
        let mut transactions: Vec<_> = having.map(|(_, transaction)| *transaction).collect();
        transactions.sort_unstable();
        transactions.dedup();
        transactions
    }

    fn having(&self, value: u32) -> &[(u32, u32)] {
        let start = self.listed.partition_point(|(fingerprint, _)| *fingerprint < value);
        let from = &self.listed[start..];
        &from[..from.partition_point(|(fingerprint, _)| *fingerprint == value)]
    }
}

/// One finished section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    last: Height,
    /// Names the section's blocks: a development network may go back and make others of the same heights.
    last_hash: B256,
    counts: Box<[u32]>,
    values: Box<[u32]>,
    room: usize,
}

impl Section {
    pub(crate) const fn last(&self) -> Height {
        self.last
    }

    pub(crate) const fn last_hash(&self) -> B256 {
        self.last_hash
    }

    /// What it costs in memory.
    pub(crate) fn resident_bytes(&self) -> usize {
        size_of::<Self>() + 4 * (self.counts.len() + self.values.len())
    }

    /// The section as bytes, before it is padded to a size class and sealed.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_LEN + 4 * self.room);
        out.push(VERSION);
        for number in self.counts.iter().chain(&self.values) {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.resize(HEAD_LEN + 4 * self.room, 0);
        out
    }

    /// Reads a section back; `None` if the bytes are none of this version.
    pub(crate) fn decode(last: Height, last_hash: B256, bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_LEN)?;
        let (version, counts) = head.split_first()?;
        let (rest, []) = rest.as_chunks::<4>() else {
            return None;
        };
        let counts: Box<[u32]> = counts.as_chunks::<4>().0.iter().map(|count| u32::from_be_bytes(*count)).collect();
        let listed: usize = counts.iter().filter(|count| **count != DENSE).map(|count| *count as usize).sum();
        let (values, padding) = rest.split_at_checked(listed)?;
        let values: Box<[u32]> = values.iter().map(|value| u32::from_be_bytes(*value)).collect();
        let section = Self { last, last_hash, counts, values, room: rest.len() };
        let sound = *version == VERSION
            && padding.iter().all(|padding| *padding == [0; 4])
            && section.blocks().all(|listed| listed.is_none_or(|listed| listed.is_sorted_by(|one, two| one < two)));
        sound.then_some(section)
    }

    /// For each block what is listed for it; `None` for a block with too much to list.
    fn blocks(&self) -> impl Iterator<Item = Option<&[u32]>> {
        let mut rest = &*self.values;
        self.counts.iter().map(move |count| {
            if *count == DENSE {
                return None;
            }
            let (listed, later) = rest.split_at_checked(*count as usize)?;
            rest = later;
            Some(listed)
        })
    }

    /// The blocks from `first` to `last` that may have a match, in order.
    pub(crate) fn candidates(&self, places: &LogPlaces, first: Height, last: Height) -> Vec<Height> {
        let start = log_section_start(self.last).0;
        (start..)
            .map(Height)
            .zip(self.blocks())
            .filter(|(height, _)| (first..=last).contains(height))
            .filter(|(_, listed)| listed.is_none_or(|listed| places.may_match(listed)))
            .map(|(height, _)| height)
            .collect()
    }
}

/// Whether two sorted lists have a value in common.
fn intersect(one: &[u32], other: &[u32]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short.iter().any(|value| long.binary_search(value).is_ok())
}

/// A section of the log index; opaque, because it knows of logs that not everybody may see.
#[derive(Clone, Debug)]
pub struct LogSection(pub(crate) Arc<Section>);

#[cfg(test)]
mod tests;
