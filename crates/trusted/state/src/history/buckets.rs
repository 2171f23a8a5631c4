//! Heads of hash chains. Grows by one bucket at a time ("linear hashing"), never by doubling.

use super::versions::RecordId;

/// A record id in 31 bits, enough to tell all records held at one time, and those forgotten not
/// too long ago, from each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Short(u32);

const SHORT_MASK: u64 = (1 << 31) - 1;
/// More records than this at one time, and a link to a forgotten one could be mistaken.
pub(super) const MAX_RECORDS: u64 = 1 << 30;

impl Short {
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn of(id: RecordId) -> Self {
        Self((id & SHORT_MASK) as u32 + 1)
    }

    /// The id within `first..next` that this one stands for.
    pub(super) fn resolve(self, first: RecordId, next: RecordId) -> Option<RecordId> {
        let low = u64::from(self.0.checked_sub(1)?);
        let id = first + (low.wrapping_sub(first) & SHORT_MASK);
        (id < next).then_some(id)
    }
}

const CHUNK: usize = 1024;

/// The table of heads.
pub(super) struct Buckets {
    chunks: Vec<Box<[Short]>>,
    count: usize,
}

impl Buckets {
    pub(super) fn new() -> Self {
        let mut buckets = Self { chunks: Vec::new(), count: 0 };
        buckets.grow();
        buckets
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Short>()
    }

    /// The bucket for a hash.
    pub(super) const fn index(&self, hash: u32) -> usize {
        let wide = self.count.next_power_of_two();
        let index = hash as usize & (wide - 1);
        if index < self.count { index } else { index & (wide / 2 - 1) }
    }

    pub(super) fn get(&self, index: usize) -> Short {
        self.chunks[index / CHUNK][index % CHUNK]
    }

    pub(super) fn set(&mut self, index: usize, head: Short) {
        self.chunks[index / CHUNK][index % CHUNK] = head;
    }

    /// Adds one bucket; returns the one whose entries may now belong into the new one.
    pub(super) fn grow(&mut self) -> usize {
        if self.count.is_multiple_of(CHUNK) {
            self.chunks.push(vec![Short::NONE; CHUNK].into_boxed_slice());
        }
        let new = self.count;
        self.count += 1;
        new & (self.count.next_power_of_two() / 2).saturating_sub(1)
    }
}
