//! Cutting a snapshot of one height while the state moves on.
//!
//! The live trie is walked in order of key. What a block overwrites behind the cut's back is
//! noted by the writer, first value only, in maps that belong to the cut ([`Pinned`]); a walk
//! through the trie and these maps at once sees the height that was pinned.

use std::collections::BTreeMap;
use std::iter;
use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, Bytes, U256};
use cloister_primitives::Height;

use super::format::{ChunkWriter, Full};
use super::merge::Merge;
use crate::contents::Contents;
use crate::state::Shared;
use crate::{Account, StateError};

/// What changed since the height of a cut, as it was then.
#[derive(Default)]
pub(crate) struct Pinned {
    accounts: BTreeMap<B256, Option<Account>>,
    slots: BTreeMap<(B256, B256), U256>,
    /// Accounts before this one have been cut: their changes are of no interest any more.
    from: B256,
}

impl Pinned {
    pub(crate) fn note_account(&mut self, key: B256, current: Option<Account>) {
        if key >= self.from {
            self.accounts.entry(key).or_insert(current);
        }
    }

    pub(crate) fn note_slot(&mut self, account: B256, key: B256, current: U256) {
        if account >= self.from {
            self.slots.entry((account, key)).or_insert(current);
        }
    }

    fn advance(&mut self, from: B256) {
        self.from = from;
        while let Some(first) = self.accounts.first_entry()
            && *first.key() < from
        {
            first.remove();
        }
        while let Some(first) = self.slots.first_entry()
            && first.key().0 < from
        {
            first.remove();
        }
    }
}

/// A snapshot in the making: one height, chunk by chunk.
///
/// The height stays as it was while blocks are applied, rewound or patched. Dropping the cut ends
/// its hold.
pub struct SnapshotCut {
    state: Arc<Shared>,
    pinned: Arc<Mutex<Pinned>>,
    /// Code that has not been cut yet, though it need not belong to this height.
    codes: BTreeMap<B256, Bytes>,
    height: Height,
    root: B256,
    position: Position,
}

/// What is to be cut next.
enum Position {
    /// The first account at or after a key.
    Account(B256),
    /// What is left of an account's code, then its slots.
    Code { account: B256, rest: Bytes },
    /// An account's first slot at or after a key.
    Slot { account: B256, from: B256 },
    /// Nothing.
    End,
}

impl Position {
    const fn account(&self) -> Option<B256> {
        match self {
            Self::Account(key) => Some(*key),
            Self::Code { account, .. } | Self::Slot { account, .. } => Some(*account),
            Self::End => None,
        }
    }
}

impl SnapshotCut {
    /// Pins a height. The caller keeps writers away.
    pub(crate) fn begin(state: &Arc<Shared>, height: Height) -> Result<Self, StateError> {
        let mut contents = state.write();
        let (version, root) = contents.version(height)?;
        let since = contents.history.since(version)?;
        let mut pinned = Pinned::default();
        for (key, old) in contents.history.accounts_since(since) {
            pinned.note_account(key, old.map(|old| old.account));
        }
        for (account, key, value) in contents.history.slots_since(since) {
            pinned.note_slot(account, key, value);
        }
        let pinned = Arc::new(Mutex::new(pinned));
        contents.pins.push(Arc::downgrade(&pinned));
        Ok(Self {
            state: Arc::clone(state),
            pinned,
            codes: contents.codes.share(),
            height,
            root,
            position: Position::Account(B256::ZERO),
        })
    }

    /// The height this snapshot shows.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The state root at that height, which whoever loads the snapshot must expect.
    #[must_use]
    pub const fn root(&self) -> B256 {
        self.root
    }

    /// The next chunk, of at most `max_bytes`; `None` when all has been cut.
    ///
    /// The writer waits while a chunk is put together, about a microsecond per record.
    pub fn next_chunk(&mut self, max_bytes: usize) -> Result<Option<Vec<u8>>, StateError> {
        let mut chunk = ChunkWriter::new(max_bytes)?;
        let contents = self.state.read();
        let mut pinned = self.pinned.lock().expect("no writer panicked");
        loop {
            let next = match &self.position {
                Position::End => break,
                Position::Account(from) => cut_account(&contents, &pinned, &mut self.codes, &mut chunk, from),
                Position::Code { account, rest } => cut_code(&mut chunk, *account, rest),
                Position::Slot { account, from } => cut_slots(&contents, &pinned, &mut chunk, *account, *from),
            };
            match next {
                Step::On(position) => self.position = position,
                Step::Full(position) => {
                    self.position = position;
                    break;
                }
            }
        }
        match self.position.account() {
            Some(account) => pinned.advance(account),
            // Unpin: what is still noted, and will be, is of no use.
            None => {
                drop(pinned);
                self.pinned = Arc::default();
            }
        }
        Ok(chunk.finish())
    }
}

impl core::fmt::Debug for SnapshotCut {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SnapshotCut").field("height", &self.height).field("root", &self.root).finish_non_exhaustive()
    }
}

/// How cutting goes on: in the same chunk or in the next.
enum Step {
    On(Position),
    Full(Position),
}

fn cut_account(
    contents: &Contents,
    pinned: &Pinned,
    codes: &mut BTreeMap<B256, Bytes>,
    chunk: &mut ChunkWriter,
    from: &B256,
) -> Step {
    let mut live = contents.tries.accounts_from(from);
    let live = iter::from_fn(|| live.next_leaf().map(|leaf| (leaf.key, leaf.account)));
    let older = pinned.accounts.range(*from..).map(|(key, old)| (*key, *old));
    let Some((key, account)) = Merge::new(live, older).next() else {
        return Step::On(Position::End);
    };
    if let Err(Full) = chunk.account(&key, &account) {
        return Step::Full(Position::Account(key));
    }
    Step::On(match codes.remove(&account.code_hash) {
        Some(rest) => Position::Code { account: key, rest },
        None => Position::Slot { account: key, from: B256::ZERO },
    })
}

fn cut_code(chunk: &mut ChunkWriter, account: B256, rest: &Bytes) -> Step {
    let length = match chunk.code(rest) {
        Ok(length) => length,
        Err(Full) => {
            let rest = rest.clone();
            return Step::Full(Position::Code { account, rest });
        }
    };
    let rest = rest.slice(length..);
    Step::On(if rest.is_empty() {
        Position::Slot { account, from: B256::ZERO }
    } else {
        Position::Code { account, rest }
    })
}

fn cut_slots(contents: &Contents, pinned: &Pinned, chunk: &mut ChunkWriter, account: B256, from: B256) -> Step {
    let id = contents.tries.account_id(&account);
    let mut live = id.map(|id| contents.tries.slots_from(id, &from));
    let live = iter::from_fn(|| {
        let leaf = live.as_mut()?.next_leaf()?;
        Some((leaf.key, leaf.value()))
    });
    let range = (account, from)..=(account, B256::repeat_byte(0xff));
    let older = pinned.slots.range(range);
    let older = older.map(|((_, key), old)| (*key, (!old.is_zero()).then_some(*old)));
    for (key, value) in Merge::new(live, older) {
        if let Err(Full) = chunk.slot(&key, &value) {
            return Step::Full(Position::Slot { account, from: key });
        }
    }
    Step::On(successor(account).map_or(Position::End, Position::Account))
}

fn successor(key: B256) -> Option<B256> {
    let next = U256::from_be_bytes(key.0).checked_add(U256::ONE)?;
    Some(next.into())
}
