//! The handle to one state, and the one writer at a time behind it.

use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use cloister_keccak::keccak256_all;
use cloister_primitives::Height;

use crate::contents::{Change, Contents, Emptied};
use crate::history::HistoryLimits;
use crate::trie::Settling;
use crate::{SnapshotCut, StateDelta, StateError, StateView, StorageCleared};

/// Changes made under one write lock; readers get their turn in between.
const SLICE: usize = 512;

/// The accounts, storage and code of one chain: the newest height and some before it.
///
/// A cheap handle; clones share one state. One writer works at a time, others wait.
#[derive(Clone)]
pub struct State(Arc<Shared>);

pub(crate) struct Shared {
    contents: RwLock<Contents>,
    /// Held by whoever changes the state, also between slices.
    writer: Mutex<()>,
}

/// Sizes of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateStats {
    /// Accounts at the tip.
    pub accounts: u64,
    /// Storage slots at the tip, over all accounts.
    pub slots: u64,
    /// Codes held, each once, for the tip or for history.
    pub codes: u64,
    /// Bytes allocated for tries and code.
    pub resident_bytes: usize,
    /// Bytes allocated for history.
    pub history_bytes: usize,
    /// Heights below the tip that can be read and rewound to.
    pub history_blocks: usize,
}

impl State {
    /// An empty state without a tip: the first block applied may have any height.
    #[must_use]
    pub fn new(history: HistoryLimits) -> Self {
        Self::from_contents(Contents::new(history))
    }

    pub(crate) fn from_contents(contents: Contents) -> Self {
        Self(Arc::new(Shared { contents: RwLock::new(contents), writer: Mutex::new(()) }))
    }

    /// Makes `delta` the block at `height`, which must be the one after the tip. Returns the
    /// state root.
    ///
    /// The tip moves when all is done. Views of older heights stay readable meanwhile: values are
    /// written in short slices, and hashes are computed beside readers.
    pub fn apply(&self, height: Height, delta: &StateDelta) -> Result<B256, StateError> {
        delta.check()?;
        let codes = hash_codes(delta);
        let _writer = self.0.writer();
        let mut access = Access::Sliced(&self.0);
        access.write(|contents| {
            let expected = contents.tip.map_or(height, Height::next);
            if height != expected {
                let got = height;
                return Err(StateError::NotNext { expected, got });
            }
            contents.add_codes(delta, codes)?;
            contents.history.begin(height);
            Ok(())
        })?;
        let changed_storage = access.write_values(delta);
        let root = access.settle(changed_storage);
        access.write(|contents| {
            contents.history.set_root(root);
            contents.tip = Some(height);
            contents.tidy();
        });
        Ok(root)
    }

    /// Changes the tip in place, for development networks. Rewinding below the tip undoes the
    /// changes with the block; views of the tip taken before become unavailable.
    pub fn patch(&self, delta: &StateDelta) -> Result<B256, StateError> {
        delta.check()?;
        let codes = hash_codes(delta);
        let _writer = self.0.writer();
        let mut contents = self.0.write();
        contents.tip.ok_or(StateError::Empty)?;
        contents.add_codes(delta, codes)?;
        contents.history.renew();
        // One lock for all of it: a new view of the tip must not see half a patch.
        let mut access = Access::Held(&mut contents);
        let changed_storage = access.write_values(delta);
        let root = access.settle(changed_storage);
        contents.history.set_root(root);
        contents.tidy();
        Ok(root)
    }

    /// Undoes all blocks above `to`. Returns the state root there.
    pub fn rewind(&self, to: Height) -> Result<B256, StateError> {
        let _writer = self.0.writer();
        let mut access = Access::Sliced(&self.0);
        let expected = access.write(|contents| {
            let tip = contents.tip.ok_or(StateError::Empty)?;
            if to > tip {
                return Err(StateError::NotYetApplied { height: to });
            }
            let unavailable = StateError::HistoryUnavailable { height: to };
            let (_, root) = contents.history.version(to).ok_or(unavailable)?;
            contents.history.withdraw(to);
            contents.tip = Some(to);
            Ok(root)
        })?;
        let mut changed_storage = Vec::new();
        while access.read(|contents| contents.history.newest() > Some(to)) {
            access.undo_block(&mut changed_storage);
        }
        changed_storage.sort_unstable();
        changed_storage.dedup();
        let computed = access.settle(changed_storage);
        access.write(Contents::tidy);
        if computed != expected {
            return Err(StateError::RootMismatch { expected, computed });
        }
        Ok(computed)
    }

    /// The newest height; `None` before the first block.
    #[must_use]
    pub fn tip(&self) -> Option<Height> {
        self.0.read().tip
    }

    /// The state root at the tip; that of the empty trie before the first block.
    #[must_use]
    pub fn root(&self) -> B256 {
        let contents = self.0.read();
        let version = contents.tip.and_then(|tip| contents.history.version(tip));
        version.map_or(EMPTY_ROOT_HASH, |(_, root)| root)
    }

    /// An immutable view of one height, readable until the height leaves the history.
    pub fn view(&self, height: Height) -> Result<StateView, StateError> {
        let contents = self.0.read();
        let (version, root) = contents.version(height)?;
        Ok(StateView::new(Arc::clone(&self.0), version, root))
    }

    /// Notes that blocks up to `height` are final: only their reverse deltas may be forgotten.
    /// Until the first call, that is the first height applied or loaded.
    pub fn set_committed(&self, height: Height) {
        self.0.write().history.set_committed(height);
    }

    /// The oldest height a view can be had for; genesis while there is none at all.
    #[must_use]
    pub fn oldest(&self) -> Height {
        self.0.read().history.oldest().unwrap_or_default()
    }

    /// How large the state is.
    #[must_use]
    pub fn stats(&self) -> StateStats {
        let contents = self.0.read();
        StateStats {
            accounts: contents.tries.live_accounts(),
            slots: contents.tries.live_slots(),
            codes: contents.codes.len() as u64,
            resident_bytes: contents.tries.bytes() + contents.codes.bytes(),
            history_bytes: contents.history.bytes(),
            history_blocks: contents.history.blocks_below_tip(),
        }
    }

    /// Begins a snapshot of one height. It stays as it is while blocks are applied or rewound;
    /// what they overwrite is kept aside until the cut is dropped.
    pub fn snapshot(&self, height: Height) -> Result<SnapshotCut, StateError> {
        // Between two blocks: a cut does not know which changes of an unfinished one it missed.
        let _writer = self.0.writer();
        SnapshotCut::begin(&self.0, height)
    }
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State").field("tip", &self.tip()).finish()
    }
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().expect("no writer panicked: a state may be half written")
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        let mut contents = self.contents.write().expect("no writer panicked: a state may be half written");
        contents.generation += 1;
        contents
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().expect("no writer panicked: a state may be half written")
    }
}

fn hash_codes(delta: &StateDelta) -> Vec<(B256, Bytes)> {
    let codes = delta.codes.iter();
    codes.map(|code| (keccak256(code), code.clone())).collect()
}

/// How a writer gets at the contents.
enum Access<'a> {
    /// Lock by lock, readers in between.
    Sliced(&'a Shared),
    /// Under one lock.
    Held(&'a mut Contents),
}

impl Access<'_> {
    fn write<R>(&mut self, f: impl FnOnce(&mut Contents) -> R) -> R {
        match self {
            Self::Sliced(shared) => f(&mut shared.write()),
            Self::Held(contents) => f(contents),
        }
    }

    fn read<R>(&self, f: impl FnOnce(&Contents) -> R) -> R {
        match self {
            Self::Sliced(shared) => f(&shared.read()),
            Self::Held(contents) => f(contents),
        }
    }

    /// Writes all values of a delta. Returns the accounts whose storage changed.
    fn write_values(&mut self, delta: &StateDelta) -> Vec<B256> {
        let mut changed_storage = Vec::new();
        // Keys are hashed outside the lock, one slice at a time: a gap in which readers get in.
        let mut slice = Vec::with_capacity(SLICE);
        let addresses: Vec<_> = delta.accounts.iter().map(|change| change.address).collect();
        for (change, key) in delta.accounts.iter().zip(keccak256_all(&addresses)) {
            let account = change.account;
            self.queue(&mut slice, Change::Account { key, account });
            let cleared = change.storage_cleared == StorageCleared::Yes || account.is_none();
            if cleared {
                self.flush(&mut slice);
                while self.write(|contents| contents.clear_storage(&key, SLICE)) == Emptied::No {}
            }
            if account.is_none() {
                self.queue(&mut slice, Change::Remove { key });
            } else if cleared || !change.storage.is_empty() {
                changed_storage.push(key);
            }
            for slots in change.storage.chunks(SLICE) {
                let numbers: Vec<_> = slots.iter().map(|(slot, _)| slot.to_be_bytes::<32>()).collect();
                for ((_, value), slot) in slots.iter().zip(keccak256_all(&numbers)) {
                    self.queue(&mut slice, Change::Slot { account: key, key: slot, value: *value });
                }
            }
        }
        self.flush(&mut slice);
        changed_storage
    }

    fn queue(&mut self, slice: &mut Vec<Change>, change: Change) {
        slice.push(change);
        if slice.len() >= SLICE {
            self.flush(slice);
        }
    }

    fn flush(&mut self, slice: &mut Vec<Change>) {
        self.write(|contents| contents.change(slice));
        slice.clear();
    }

    /// Brings hashes up to date and returns the root.
    fn settle(&mut self, changed_storage: Vec<B256>) -> B256 {
        let mut settling = Settling::new(changed_storage);
        while let Some(step) = self.read(|contents| settling.step(&contents.tries)) {
            self.write(|contents| contents.tries.store(&step));
        }
        self.read(|contents| contents.tries.root_hash())
    }

    /// Undoes the newest block. The order matters: slots need their account, and an account may
    /// go only when its storage has gone.
    fn undo_block(&mut self, changed_storage: &mut Vec<B256>) {
        let mut restored = 0;
        loop {
            let slice: Vec<_> = self.read(|contents| {
                let accounts = contents.history.newest_accounts(restored);
                accounts.take(SLICE).collect()
            });
            if slice.is_empty() {
                break;
            }
            restored += slice.len() as u64;
            changed_storage.extend(slice.iter().map(|(key, _)| *key));
            self.write(|contents| {
                for (key, old) in slice {
                    contents.restore_account(key, old);
                }
            });
        }
        while self.write(|contents| repeat(|| contents.undo_slot())) == Emptied::No {}
        while self.write(|contents| repeat(|| contents.undo_account())) == Emptied::No {}
        self.write(|contents| contents.history.take_block());
    }
}

/// Does a slice of work, or less if it ends before.
fn repeat(mut work: impl FnMut() -> Option<()>) -> Emptied {
    for _ in 0..SLICE {
        if work().is_none() {
            return Emptied::Yes;
        }
    }
    Emptied::No
}
