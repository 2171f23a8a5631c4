//! The resident part of the chain: recent blocks, and where every transaction stands.
//!
//! Written by the core at each commit, read by everyone else through [`crate::Reader`]. Holds only
//! committed blocks: nothing speculative is ever visible here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use alloy_primitives::{Address, B256};
use cloister_access::{Access, Caller};
use cloister_governance::RuleCache;
use cloister_keys::{LedgerKeys, SessionKey};
use cloister_primitives::{Block, ChainSpec, Height, Receipt};
use cloister_state::{State, StateView};

use crate::{
    Reader, StoredBlock,
    audits::Reads,
    log_index::{BlockLogs, LogPlaces, ResidentSections, Section},
};

/// Blocks that stay resident whatever the budget: `BLOCKHASH` reaches 256 back.
pub const MIN_RESIDENT_BLOCKS: usize = 300;

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Height of its block.
    pub height: Height,
    /// Its index in the block.
    pub index: u32,
}

/// How much of the chain stays in memory.
#[derive(Clone, Copy, Debug)]
pub struct ResidentLimits {
    /// Budget for bodies and receipts, in bytes; at least [`MIN_RESIDENT_BLOCKS`] blocks stay.
    pub bytes: usize,
    /// Budget for finished sections of the log index, in bytes.
    pub log_index_bytes: usize,
}

impl Default for ResidentLimits {
    fn default() -> Self {
        Self { bytes: 256 << 20, log_index_bytes: 64 << 20 }
    }
}

/// Maps hashes to places in 16 bytes each, with a full-hash overflow for the pairs whose first
/// eight bytes agree (an adversary can grind such pairs, so they must not hide each other).
#[derive(Debug)]
struct HashIndex<T> {
    places: HashMap<u64, T>,
    overflow: HashMap<B256, T>,
}

impl<T> Default for HashIndex<T> {
    fn default() -> Self {
        Self { places: HashMap::new(), overflow: HashMap::new() }
    }
}

impl<T: Copy> HashIndex<T> {
    fn prefix(hash: &B256) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        u64::from_be_bytes(bytes)
    }

    fn insert(&mut self, hash: B256, place: T) {
        match self.places.entry(Self::prefix(&hash)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(place);
            }
            std::collections::hash_map::Entry::Occupied(_) => {
                self.overflow.insert(hash, place);
            }
        }
    }

    fn remove(&mut self, hash: &B256) {
        if self.overflow.remove(hash).is_none() {
            self.places.remove(&Self::prefix(hash));
        }
    }

    /// The place, if the hash was inserted; possibly the place of another hash with the same
    /// prefix, which the caller sees when it looks there.
    fn get(&self, hash: &B256) -> Option<T> {
        self.overflow.get(hash).or_else(|| self.places.get(&Self::prefix(hash))).copied()
    }
}

/// A block in memory, with what its readers share.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    pub(crate) block: Arc<Block>,
    first_logs: Arc<OnceLock<Vec<u64>>>,
}

impl Resident {
    pub(crate) fn new(block: Arc<Block>) -> Self {
        Self { block, first_logs: Arc::default() }
    }

    /// `logIndex` of a receipt's first log. Numbering walks the whole block, once for all readers.
    pub(crate) fn first_log(&self, index: usize) -> u64 {
        let first_logs = self.first_logs.get_or_init(|| {
            let mut next = 0;
            let first = |receipt: &Receipt| {
                let first = next;
                next += receipt.logs().len() as u64;
                first
            };
            self.block.receipts.iter().map(first).collect()
        });
        first_logs.get(index).copied().unwrap_or(0)
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// Resident blocks, oldest first, without gaps; the last is the committed head.
    blocks: VecDeque<Resident>,
    bytes: usize,
    transactions: HashIndex<Position>,
    heights: HashIndex<Height>,
    /// Hashes of all blocks by height.
    hashes: Vec<B256>,
    transaction_count: u64,
}

/// A cheap handle to the resident chain and its state.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<RwLock<Inner>>,
    log_sections: Arc<RwLock<ResidentSections>>,
    keys: Arc<LedgerKeys>,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) state: State,
    pub(crate) access: Access,
    rules: RuleCache,
    pub(crate) audits: Arc<Reads>,
    limits: ResidentLimits,
}

impl Ledger {
    pub(crate) fn new(
        spec: Arc<ChainSpec>,
        keys: Arc<LedgerKeys>,
        state: State,
        access: Access,
        limits: ResidentLimits,
    ) -> Self {
        let (inner, log_sections, rules, audits) = Default::default();
        Self { inner, log_sections, keys, spec, state, access, rules, audits, limits }
    }

    /// The chain is loaded: what is committed from now on, this node has seen being committed.
    pub(crate) fn opened(&self) {
        self.audits.begin(self.head());
    }

    /// What is known of contracts' rules, by whoever reads them.
    pub(crate) const fn rules(&self) -> &RuleCache {
        &self.rules
    }

    /// What `caller` may read, and nothing else.
    #[must_use]
    pub fn reader<'a>(&'a self, caller: &'a Caller) -> Reader<'a> {
        Reader::new(self, caller)
    }

    /// Who may see what by the rules of today, and of the height that this view shows if there is one.
    pub(crate) fn access(&self, asked: Option<&StateView>) -> Access {
        if !self.access.is_confidential() {
            return self.access.clone();
        }
        let table = |view| Arc::new(self.rules.table(view));
        let today = self.state.view(self.head()).ok();
        let tables = today.map(|today| std::iter::once(today).chain(asked.cloned()).map(table).collect());
        let asked = asked.map_or_else(|| self.head(), StateView::height);
        self.access.clone().with_rules(tables, asked)
    }

    /// The chain's rules.
    #[must_use]
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// The committed head.
    #[must_use]
    pub fn head(&self) -> Height {
        self.read().blocks.back().map_or(Height(0), |resident| resident.block.height())
    }

    /// Timestamp of the committed head, seconds since 1970; public.
    #[must_use]
    pub fn head_time_s(&self) -> u64 {
        self.read().blocks.back().map_or(0, |resident| resident.block.header.timestamp)
    }

    /// The key that authenticates session tokens.
    #[must_use]
    pub fn session_key(&self) -> Arc<SessionKey> {
        self.keys.session()
    }

    /// Whether callers see different things here.
    #[must_use]
    pub const fn is_confidential(&self) -> bool {
        self.access.is_confidential()
    }

    /// Transactions in committed blocks since genesis.
    #[must_use]
    pub fn transaction_count(&self) -> u64 {
        self.read().transaction_count
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A poisoned lock means a writer panicked, and a panic ends the process: what is behind
        // the lock is never read half-written.
        self.inner.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn head_block(&self) -> Option<Arc<Block>> {
        self.read().blocks.back().map(|resident| resident.block.clone())
    }

    /// The committed head, with what its readers share.
    pub(crate) fn head_resident(&self) -> Option<Resident> {
        self.read().blocks.back().cloned()
    }

    /// A resident block; `None` if it is older than what is resident or beyond the head.
    pub(crate) fn resident(&self, height: Height) -> Option<Resident> {
        let inner = self.read();
        let first = inner.blocks.front()?.block.height();
        let offset = usize::try_from(height.0.checked_sub(first.0)?).ok()?;
        inner.blocks.get(offset).cloned()
    }

    /// The blocks from `first` to `last`, as far as they are resident.
    pub(crate) fn resident_range(&self, first: Height, last: Height) -> Vec<Arc<Block>> {
        let inner = self.read();
        let newest_first = inner.blocks.iter().rev().map(|resident| &resident.block);
        let newest_first = newest_first.skip_while(|block| block.height() > last);
        let mut blocks: Vec<_> = newest_first.take_while(|block| block.height() >= first).cloned().collect();
        blocks.reverse();
        blocks
    }

    /// A section of the log index, if it is resident and its blocks are still these.
    pub(crate) fn log_section(&self, last: Height) -> Option<Arc<Section>> {
        let sections = self.log_sections.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let section = sections.get(last).cloned();
        drop(sections);
        section.filter(|section| self.is_current(section))
    }

    /// Whether the section is about blocks of this chain.
    pub(crate) fn is_current(&self, section: &Section) -> bool {
        self.hash_at(section.last()) == Some(section.last_hash())
    }

    /// Makes a section resident, within the budget.
    pub(crate) fn keep_log_section(&self, section: Arc<Section>) {
        let mut sections = self.log_sections.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        sections.insert(section, self.limits.log_index_bytes);
    }

    /// What the log index knows addresses and topics by.
    pub(crate) fn log_places(&self, addresses: &[Address], topics: &[Vec<B256>]) -> LogPlaces {
        LogPlaces::new(&self.keys, addresses, topics)
    }

    /// What is in a block's logs, for [`Reader::log_candidates`].
    #[must_use]
    pub fn block_logs(&self, block: &StoredBlock) -> BlockLogs {
        BlockLogs::new(&self.keys, &block.0.block)
    }

    pub(crate) fn height_of(&self, hash: &B256) -> Option<Height> {
        let inner = self.read();
        let height = inner.heights.get(hash)?;
        (inner.hash_at(height) == Some(*hash)).then_some(height)
    }

    pub(crate) fn position_of(&self, hash: &B256) -> Option<Position> {
        self.read().transactions.get(hash)
    }

    /// Adds a committed block on top of the head.
    pub(crate) fn push(&self, resident: Resident) {
        let size = resident_bytes(&resident.block);
        // Freed after the lock is: a large block takes a while.
        let mut evicted = Vec::new();
        let mut inner = self.write();
        inner.index(&resident.block);
        inner.bytes += size;
        inner.blocks.push_back(resident);
        while inner.bytes > self.limits.bytes && inner.blocks.len() > MIN_RESIDENT_BLOCKS {
            if let Some(old) = inner.blocks.pop_front() {
                inner.bytes = inner.bytes.saturating_sub(resident_bytes(&old.block));
                evicted.push(old);
            }
        }
        drop(inner);
    }

    /// Hash of the first block: with the chain id, the name of this network.
    #[must_use]
    pub fn genesis_hash(&self) -> B256 {
        self.hash_at(Height::GENESIS).unwrap_or_default()
    }

    /// The hash of a committed block.
    pub(crate) fn hash_at(&self, height: Height) -> Option<B256> {
        self.read().hash_at(height)
    }

    /// Hashes of the `count` blocks up to and including `last`, oldest first, and the height of the
    /// first of them.
    pub(crate) fn hashes_up_to(&self, last: Height, count: u64) -> (Height, Vec<B256>) {
        let first = Height((last.0 + 1).saturating_sub(count));
        let inner = self.read();
        let hashes = (first.0..=last.0).map_while(|height| inner.hash_at(Height(height))).collect();
        (first, hashes)
    }

    /// Takes back the blocks above `height`, which must be resident itself.
    pub(crate) fn truncate(&self, height: Height) {
        let mut inner = self.write();
        while let Some(Resident { block, .. }) = inner.blocks.pop_back_if(|last| last.block.height() > height) {
            inner.bytes = inner.bytes.saturating_sub(resident_bytes(&block));
            inner.unindex(&block);
        }
        drop(inner);
        let mut sections = self.log_sections.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        sections.truncate(height);
    }
}

impl Inner {
    fn hash_at(&self, height: Height) -> Option<B256> {
        self.hashes.get(usize::try_from(height.0).ok()?).copied()
    }

    fn index(&mut self, block: &Block) {
        self.heights.insert(block.hash, block.height());
        self.hashes.push(block.hash);
        for (index, transaction) in (0..).zip(&block.transactions) {
            self.transactions.insert(*transaction.tx_hash(), Position { height: block.height(), index });
        }
        self.transaction_count += block.transactions.len() as u64;
    }

    fn unindex(&mut self, block: &Block) {
        self.heights.remove(&block.hash);
        self.hashes.pop();
        for transaction in &block.transactions {
            self.transactions.remove(transaction.tx_hash());
        }
        self.transaction_count = self.transaction_count.saturating_sub(block.transactions.len() as u64);
    }
}

/// What a block costs in memory, roughly: headers and bookkeeping, calldata, logs.
fn resident_bytes(block: &Block) -> usize {
    use alloy_consensus::Transaction as _;
    let transactions: usize = block.transactions.iter().map(|transaction| 512 + transaction.input().len()).sum();
    let receipts: usize = block
        .receipts
        .iter()
        .map(|receipt| 320 + receipt.logs().iter().map(|log| 128 + log.data.data.len()).sum::<usize>())
        .sum();
    1_024 + transactions + receipts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::Header;
    use cloister_access::Development;
    use cloister_keys::{Epoch, PlatformKey};
    use cloister_primitives::{Commitments, DevChain};
    use cloister_state::HistoryLimits;

    use super::*;
    use crate::Lookup;

    #[test]
    fn hashes_that_share_a_prefix_do_not_hide_each_other() {
        let mut index = HashIndex::default();
        let mut first = B256::repeat_byte(7);
        let mut second = first;
        first[31] = 1;
        second[31] = 2;
        index.insert(first, 10);
        index.insert(second, 20);
        assert_eq!(index.get(&second), Some(20));
        assert_eq!(index.get(&first), Some(10));
        index.remove(&second);
        assert_eq!(index.get(&first), Some(10));
        assert_eq!(index.get(&B256::ZERO), None);
    }

    #[test]
    fn hashes_outlive_the_blocks_that_are_resident() {
        let spec = Arc::new(ChainSpec::development(DevChain::default()).unwrap());
        let access = Access::open(Development::Refused);
        let keys = LedgerKeys::derive(&PlatformKey::from_bytes(&[7; 32]).unwrap(), 1, B256::ZERO, Epoch(0));
        let limits = ResidentLimits { bytes: 0, ..ResidentLimits::default() };
        let ledger = Ledger::new(spec, Arc::new(keys), State::new(HistoryLimits::default()), access, limits);
        let last = MIN_RESIDENT_BLOCKS as u64 + 10;
        for number in 0..=last {
            let header = Header { number, ..Header::default() };
            ledger.push(Resident::new(Arc::new(Block {
                hash: header.hash_slow(),
                header,
                commitments: Commitments::open(B256::ZERO, B256::ZERO, B256::ZERO),
                transactions: Vec::new(),
                receipts: Vec::new(),
                ommers: Vec::new(),
                withdrawals: None,
            })));
        }
        let reader = ledger.reader(&Caller::Anonymous);
        assert!(matches!(reader.block(Height(1)), Lookup::Stored(Height(1))));
        assert_eq!(reader.hash_at(Height(1)), Some(Header { number: 1, ..Header::default() }.hash_slow()));
        assert_eq!(reader.hash_at(Height(last + 1)), None);
    }
}
