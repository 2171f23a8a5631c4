//! Where nodes live: an arena for the live trie, an overlay on it for tries of older heights.

use std::collections::BTreeMap;

/// Nodes of one kind, by index.
pub(crate) trait NodeStore<T> {
    fn get(&self, index: u32) -> &T;
    fn get_mut(&mut self, index: u32) -> &mut T;
    fn add(&mut self, node: T) -> u32;
    /// Gives the node's place back; the index must not be used again until `add` returns it.
    fn remove(&mut self, index: u32);
}

/// A node that can lend its bytes to the arena's free list while it is unused.
pub(crate) trait Vacant {
    fn vacate(&mut self, next: u32);
    fn next_vacant(&self) -> u32;
}

/// Nodes per chunk: large enough to make the list of chunks short, small enough that an almost
/// empty state stays below two megabytes.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;
/// Ends the free list. Node ids have 31 bits, so it is no index.
const NO_VACANCY: u32 = u32::MAX;

/// Nodes in chunks of fixed size, so that growth never copies or doubles.
pub(crate) struct Arena<T> {
    chunks: Vec<Vec<T>>,
    vacant: u32,
    live: u32,
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), vacant: NO_VACANCY, live: 0 }
    }

    /// Nodes in use.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }

    /// The index after the last one ever used.
    fn end(&self) -> u32 {
        match self.chunks.split_last() {
            None => 0,
            Some((last, full)) => ((full.len() << CHUNK_BITS) + last.len()) as u32,
        }
    }

    fn push(&mut self, node: T) -> u32 {
        let index = self.end();
        assert!(index < i32::MAX as u32, "an arena holds less than 2^31 nodes");
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(node);
        }
        index
    }
}

const fn place(index: u32) -> (usize, usize) {
    ((index >> CHUNK_BITS) as usize, index as usize & (CHUNK - 1))
}

impl<T: Vacant> NodeStore<T> for Arena<T> {
    fn get(&self, index: u32) -> &T {
        let (chunk, at) = place(index);
        &self.chunks[chunk][at]
    }

    fn get_mut(&mut self, index: u32) -> &mut T {
        let (chunk, at) = place(index);
        &mut self.chunks[chunk][at]
    }

    fn add(&mut self, node: T) -> u32 {
        self.live += 1;
        if self.vacant == NO_VACANCY {
            return self.push(node);
        }
        let index = self.vacant;
        let place = self.get_mut(index);
        let next = place.next_vacant();
        *place = node;
        self.vacant = next;
        index
    }

    fn remove(&mut self, index: u32) {
        let next = self.vacant;
        self.get_mut(index).vacate(next);
        self.vacant = index;
        self.live -= 1;
    }
}

/// Changes on top of an arena that stay out of it.
pub(crate) struct Overlay<'a, T> {
    base: &'a Arena<T>,
    edits: Edits<T>,
}

/// The changes of an overlay by themselves. They mean nothing without the arena they were made on, as
/// it was then.
pub(crate) struct Edits<T> {
    changed: BTreeMap<u32, T>,
    next: u32,
}

impl<'a, T> Overlay<'a, T> {
    pub(crate) fn new(base: &'a Arena<T>) -> Self {
        Self { edits: Edits { changed: BTreeMap::new(), next: base.end() }, base }
    }

    /// Goes on with changes made earlier on the same arena.
    pub(crate) const fn resume(base: &'a Arena<T>, edits: Edits<T>) -> Self {
        Self { base, edits }
    }

    pub(crate) fn into_edits(self) -> Edits<T> {
        self.edits
    }
}

impl<T: Vacant + Clone> NodeStore<T> for Overlay<'_, T> {
    fn get(&self, index: u32) -> &T {
        self.edits.changed.get(&index).unwrap_or_else(|| self.base.get(index))
    }

    fn get_mut(&mut self, index: u32) -> &mut T {
        let base = self.base;
        self.edits.changed.entry(index).or_insert_with(|| base.get(index).clone())
    }

    fn add(&mut self, node: T) -> u32 {
        let index = self.edits.next;
        self.edits.next += 1;
        self.edits.changed.insert(index, node);
        index
    }

    fn remove(&mut self, index: u32) {
        // Nothing refers to the node any more, and an overlay is short-lived.
        self.edits.changed.remove(&index);
    }
}
