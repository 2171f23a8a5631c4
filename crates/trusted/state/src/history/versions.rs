//! Older values of keys, in the order they were replaced, with an index from key to versions.
//!
//! Records form a queue: new ones at the back, forgotten ones leave from the front, undone ones
//! from the back. A hash table leads from a key to its newest record. From there links lead to
//! older ones, and jumps over many of them, so that a key which changes in every block is found
//! at any height in logarithmic time (a "skew-binary" list of jump pointers).

use std::collections::VecDeque;

use alloy_primitives::B256;

use super::buckets::{Buckets, MAX_RECORDS, Short};

/// Number of a record, counted from the first ever made.
pub(crate) type RecordId = u64;

const CHUNK: usize = 1024;

/// The value a key had before a block changed it.
pub(crate) struct Record<V> {
    pub(crate) key: B256,
    pub(crate) old: V,
    hash: u32,
    /// The next record in the same bucket. Only the newest record of a key is in its bucket.
    chain: Short,
    /// The record of the same key before this one.
    older: Short,
    /// A record of the same key, as far back or further.
    jump: Short,
    /// Records of this key that were there when this one was made; zero makes links void.
    depth: u32,
}

/// A queue of records with its index.
pub(crate) struct Versions<V> {
    chunks: VecDeque<Vec<Record<V>>>,
    /// The first record still held; it is in the first chunk.
    first: RecordId,
    /// The record to come.
    next: RecordId,
    buckets: Buckets,
    /// Keys that have a record.
    keys: usize,
}

impl<V> Versions<V> {
    pub(crate) fn new() -> Self {
        Self { chunks: VecDeque::new(), first: 0, next: 0, buckets: Buckets::new(), keys: 0 }
    }

    /// The record to come.
    pub(crate) const fn next_id(&self) -> RecordId {
        self.next
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Record<V>>() + self.buckets.bytes()
    }

    /// The record with this id, if it is still held.
    pub(crate) fn get(&self, id: RecordId) -> Option<&Record<V>> {
        if !(self.first..self.next).contains(&id) {
            return None;
        }
        let (chunk, at) = self.place(id);
        self.chunks.get(chunk)?.get(at)
    }

    fn get_mut(&mut self, id: RecordId) -> Option<&mut Record<V>> {
        if !(self.first..self.next).contains(&id) {
            return None;
        }
        let (chunk, at) = self.place(id);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    const fn place(&self, id: RecordId) -> (usize, usize) {
        let chunk = id / CHUNK as u64 - self.first / CHUNK as u64;
        (chunk as usize, (id % CHUNK as u64) as usize)
    }

    /// The record a short id stands for, if it is still held.
    pub(super) fn resolve(&self, short: Short) -> Option<RecordId> {
        short.resolve(self.first, self.next)
    }

    /// The newest record of a key, which is known by its hash and by `is_key`.
    pub(crate) fn newest(&self, hash: u32, is_key: impl Fn(&Record<V>) -> bool) -> Option<RecordId> {
        let mut id = self.resolve(self.buckets.get(self.buckets.index(hash)))?;
        loop {
            let record = self.get(id)?;
            if record.hash == hash && is_key(record) {
                return Some(id);
            }
            id = self.resolve(record.chain)?;
        }
    }

    /// The oldest record of a key that is not before `since`, given the newest.
    pub(crate) fn oldest_since(&self, newest: RecordId, since: RecordId) -> Option<&Record<V>> {
        if newest < since {
            return None;
        }
        let mut record = self.get(newest)?;
        loop {
            let [older, jump] = self.links(record).map(|id| id.filter(|id| *id >= since));
            match jump.or(older) {
                Some(id) => record = self.get(id)?,
                None => return Some(record),
            }
        }
    }

    /// Whether no older record since `since` has the same key as this one.
    pub(crate) fn is_oldest_since(&self, record: &Record<V>, since: RecordId) -> bool {
        self.links(record)[0].is_none_or(|older| older < since)
    }

    /// The previous record and the one to jump to, as far as they are still held.
    fn links(&self, record: &Record<V>) -> [Option<RecordId>; 2] {
        if record.depth == 0 {
            return [None, None];
        }
        [self.resolve(record.older), self.resolve(record.jump)]
    }

    /// Adds a record. `newest` is the newest one of the same key, if there is one.
    pub(crate) fn push(&mut self, hash: u32, key: B256, old: V, newest: Option<RecordId>) {
        assert!(self.next - self.first < MAX_RECORDS, "history holds less than 2^30 changes");
        let id = self.next;
        let mut record = Record { key, old, hash, chain: Short::NONE, older: Short::NONE, jump: Short::NONE, depth: 0 };
        if let Some((older_id, older)) = newest.and_then(|id| Some((id, self.get(id)?))) {
            record.depth = older.depth.saturating_add(1);
            record.older = Short::of(older_id);
            record.jump = self.jump_over(older).unwrap_or(record.older);
        }
        // Chunks begin at multiples of their size, so a queue without chunks is at one.
        if id.is_multiple_of(CHUNK as u64) {
            self.chunks.push_back(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(record);
        }
        self.next += 1;
        match newest {
            Some(newest) => self.replace_in_bucket(newest, id),
            None => self.add_to_bucket(id),
        }
    }

    /// Where a record on top of `older` jumps to, if further than `older` itself: two jumps of
    /// equal width merge into one.
    fn jump_over(&self, older: &Record<V>) -> Option<Short> {
        let middle = self.get(self.links(older)[1]?)?;
        let far = self.get(self.links(middle)[1]?)?;
        let equal = older.depth - middle.depth == middle.depth - far.depth;
        equal.then_some(middle.jump)
    }

    /// Takes the newest record away.
    pub(crate) fn pop_back(&mut self) -> Option<Record<V>> {
        let id = self.next.checked_sub(1)?;
        match self.links(self.get(id)?)[0] {
            Some(older) => self.replace_in_bucket(id, older),
            None => self.remove_from_bucket(id),
        }
        let chunk = self.chunks.back_mut()?;
        let record = chunk.pop();
        if chunk.is_empty() {
            self.chunks.pop_back();
        }
        self.next = id;
        record
    }

    /// Forgets all records before `end`, handing over what they hold.
    pub(crate) fn forget_before(&mut self, end: RecordId, mut forgotten: impl FnMut(&V)) {
        while self.first < end.min(self.next) {
            let id = self.first;
            self.remove_from_bucket(id);
            if let Some(record) = self.get(id) {
                forgotten(&record.old);
            }
            self.first += 1;
            if self.first.is_multiple_of(CHUNK as u64) {
                self.chunks.pop_front();
            }
        }
    }

    fn add_to_bucket(&mut self, id: RecordId) {
        self.keys += 1;
        if self.keys > self.buckets.count() {
            let split = self.buckets.grow();
            self.distribute(split);
        }
        self.link(id);
    }

    /// Puts a record in front of the chain it belongs to.
    fn link(&mut self, id: RecordId) {
        let Some(hash) = self.get(id).map(|record| record.hash) else {
            return;
        };
        let bucket = self.buckets.index(hash);
        let head = self.buckets.get(bucket);
        self.buckets.set(bucket, Short::of(id));
        self.set_chain(id, head);
    }

    /// Deals the records of a bucket out anew, after the table has grown.
    fn distribute(&mut self, bucket: usize) {
        let mut rest = self.resolve(self.buckets.get(bucket));
        self.buckets.set(bucket, Short::NONE);
        while let Some(id) = rest {
            rest = self.get(id).and_then(|record| self.resolve(record.chain));
            // The record to come is linked by the caller.
            self.link(id);
        }
    }

    fn replace_in_bucket(&mut self, old: RecordId, by: RecordId) {
        let Some(chain) = self.get(old).map(|record| record.chain) else {
            return;
        };
        self.set_chain(by, chain);
        self.redirect(old, Short::of(by));
    }

    /// Takes a record out of its bucket, if it is there: only the newest of a key is.
    fn remove_from_bucket(&mut self, id: RecordId) {
        let Some(chain) = self.get(id).map(|record| record.chain) else {
            return;
        };
        if self.redirect(id, chain) {
            self.keys -= 1;
        }
    }

    fn set_chain(&mut self, id: RecordId, chain: Short) {
        if let Some(record) = self.get_mut(id) {
            record.chain = chain;
        }
    }

    /// Makes what points at `id` in its bucket point elsewhere. Tells whether it was there.
    fn redirect(&mut self, id: RecordId, to: Short) -> bool {
        let Some(hash) = self.get(id).map(|record| record.hash) else {
            return false;
        };
        let bucket = self.buckets.index(hash);
        let mut at = self.resolve(self.buckets.get(bucket));
        if at == Some(id) {
            self.buckets.set(bucket, to);
            return true;
        }
        while let Some(previous) = at {
            at = self.get(previous).and_then(|record| self.resolve(record.chain));
            if at == Some(id) {
                self.set_chain(previous, to);
                return true;
            }
        }
        false
    }
}
