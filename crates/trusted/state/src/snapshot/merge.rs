//! The live trie seen through older values.

use std::iter::Peekable;

use alloy_primitives::B256;

/// Merges live entries with older versions of some: where there is an older version, it holds,
/// be it that there was nothing. Both must be in ascending order of key.
pub(super) struct Merge<L: Iterator, O: Iterator> {
    live: Peekable<L>,
    older: Peekable<O>,
}

impl<T, L, O> Merge<L, O>
where
    L: Iterator<Item = (B256, T)>,
    O: Iterator<Item = (B256, Option<T>)>,
{
    pub(super) fn new(live: L, older: O) -> Self {
        Self { live: live.peekable(), older: older.peekable() }
    }
}

impl<T, L, O> Iterator for Merge<L, O>
where
    L: Iterator<Item = (B256, T)>,
    O: Iterator<Item = (B256, Option<T>)>,
{
    type Item = (B256, T);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let live = self.live.peek().map(|(key, _)| *key);
            let older = self.older.peek().map(|(key, _)| *key);
            match (live, older) {
                (_, None) => return self.live.next(),
                (Some(live), Some(older)) if live < older => return self.live.next(),
                (live, Some(_)) => {
                    if live == older {
                        self.live.next();
                    }
                    let (key, value) = self.older.next()?;
                    if let Some(value) = value {
                        return Some((key, value));
                    }
                }
            }
        }
    }
}
