//! The store on RocksDB.
//!
//! After a failed write RocksDB refuses all further ones. Its own recovery polls, and its `Resume`
//! is not in the C interface; so the store closes the database and opens it again, once there is
//! room, before the next append. Whatever an interrupted write may have left behind is then removed:
//! the enclave was told that it is not stored.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use cloister_boundary::{Record, StoredLog, StoredSnapshot};
use cloister_primitives::Height;

use crate::error::StoreError;
use crate::index::{Index, Reconciled};
use crate::memory::gather;
use crate::schema::{Database, Entry};
use crate::{BlobStore, ChainIdentity, DiskUse, Kept};

pub(crate) const LOCK_FILE: &str = "node.lock";

/// Room that must be free before the database is opened again after a full disk: its log, which
/// opening turns into tables, and some for what comes next.
const REOPEN_RESERVE: u64 = 4 << 20;

/// How to open a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// The chain it must belong to, if that is known by now; a new store is claimed for it.
    /// Otherwise see [`BlobStore::claim`].
    pub chain: Option<ChainIdentity>,
}

/// Records in RocksDB.
pub struct Store {
    path: PathBuf,
    /// `None` only after reopening failed; the next append tries again.
    database: RwLock<Option<Database>>,
    /// What was acknowledged.
    index: Mutex<Index>,
    chain: Mutex<Option<ChainIdentity>>,
    /// Held during an append; says whether the last one left the database unusable.
    health: Mutex<Health>,
    /// Locked as long as the store lives.
    _lock: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// A write failed.
    Suspect {
        /// It was this truncation.
        truncate: Option<Height>,
    },
}

impl core::fmt::Debug for Store {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Locks a mutex whose content is only ever replaced whole, so a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in the folder `path`, which is created (mode 0700) if it does not exist, and
    /// forgets snapshots that were never finished.
    ///
    /// # Errors
    /// The folder is locked by another process, belongs to another chain, was written by another
    /// version, is damaged, or cannot be used.
    pub fn open(path: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        make_folder(&path)?;
        let folder_lock = lock_folder(&path)?;
        let database = Database::open(&path)?;
        let (index, partial) = database.index(&path)?;
        let forget: Vec<_> = partial.into_iter().map(|snapshot| Record::DropSnapshot { snapshot }).collect();
        if !forget.is_empty() {
            database.write(&path, &forget)?;
        }
        let chain = database.chain(&path)?;
        let store = Self {
            path,
            database: RwLock::new(Some(database)),
            index: Mutex::new(index),
            chain: Mutex::new(chain),
            health: Mutex::new(Health::Sound),
            _lock: folder_lock,
        };
        options.chain.map_or(Ok(()), |chain| store.claim(chain))?;
        Ok(store)
    }

    /// Visits everything that is stored.
    pub(crate) fn each_entry<E: From<StoreError>>(
        &self,
        visit: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.database().as_ref() {
            Some(database) => database.each_entry(&self.path, visit),
            None => Err(self.not_open().into()),
        }
    }

    fn not_open(&self) -> StoreError {
        let detail = "the database could not be opened again after a failed write".to_owned();
        StoreError::Io { path: self.path.clone(), detail }
    }

    fn database(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_database<T>(&self, run: impl FnOnce(&Database, &Path) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self.database().as_ref() {
            Some(database) => run(database, &self.path),
            None => Err(self.not_open()),
        }
    }

    /// Brings the database back after a failed write.
    fn reopen(&self, truncate: Option<Height>) -> Result<(), StoreError> {
        self.check_room()?;
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: RocksDB holds its own lock on the folder.
        *slot = None;
        let database = Database::open(&self.path)?;
        self.forget_unacknowledged(&database, truncate)?;
        *slot = Some(database);
        Ok(())
    }

    /// Room that is left on the disk.
    fn free_bytes(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::statvfs(&self.path).map_err(|error| StoreError::io(&self.path, &error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether opening the database, which writes its log out as tables, would find room.
    fn check_room(&self) -> Result<(), StoreError> {
        let io = |error: std::io::Error| StoreError::io(&self.path, &error);
        let free = self.free_bytes()?;
        let mut needed = REOPEN_RESERVE;
        for entry in std::fs::read_dir(&self.path).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.path().extension().is_some_and(|ext| ext == "log") {
                needed = needed.saturating_add(entry.metadata().map_err(io)?.len());
            }
        }
        if free < needed {
            return Err(StoreError::NoSpace { path: self.path.clone() });
        }
        Ok(())
    }

    /// Removes what a failed write left behind all the same.
    fn forget_unacknowledged(&self, database: &Database, truncate: Option<Height>) -> Result<(), StoreError> {
        let (found, _) = database.index(&self.path)?;
        let known = lock(&self.index).clone();
        let Some(Reconciled { index, snapshots }) = known.reconcile(&found, truncate) else {
            return Err(StoreError::Corrupt {
                path: self.path.clone(),
                detail: "blocks that were stored are gone".to_owned(),
            });
        };
        let last = index.bounds().last;
        if found.bounds().last > last || !snapshots.is_empty() {
            database.forget(&self.path, last, &snapshots)?;
        }
        *lock(&self.index) = index;
        Ok(())
    }
}

/// Makes a folder that nobody else may look into, unless there is one.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StoreError::io(path, &error))
}

pub(crate) fn lock_folder(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path.join(LOCK_FILE))
        .map_err(|error| StoreError::io(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io(path, &error)),
    }
}

impl BlobStore for Store {
    fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut health = lock(&self.health);
        if let Health::Suspect { truncate } = *health {
            self.reopen(truncate)?;
            *health = Health::Sound;
        }
        // Only this function changes the index, and `health` keeps it to one thread.
        let index = lock(&self.index).after(records)?;
        if let Err(error) = self.with_database(|database, path| database.write(path, records)) {
            let truncate = match *records {
                [Record::Truncate { last }] => Some(last),
                _ => None,
            };
            *health = Health::Suspect { truncate };
            return Err(error);
        }
        *lock(&self.index) = index;
        Ok(())
    }

    fn blocks(&self, from: Height, count: u32) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.with_database(|database, path| gather(from, count, |height| database.block(path, height)))
    }

    fn chunk(&self, snapshot: Height, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_database(|database, path| database.chunk(path, snapshot, index))
    }

    fn log_section(&self, last: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_database(|database, path| database.log_section(path, last))
    }

    fn bounds(&self) -> StoredLog {
        lock(&self.index).bounds()
    }

    fn snapshots(&self) -> Vec<StoredSnapshot> {
        lock(&self.index).snapshots()
    }

    fn kept(&self) -> Result<Kept, StoreError> {
        self.with_database(Database::kept)
    }

    fn disk(&self) -> Result<Option<DiskUse>, StoreError> {
        let io = |error: std::io::Error| StoreError::io(&self.path, &error);
        let mut used_bytes = 0_u64;
        for entry in std::fs::read_dir(&self.path).map_err(io)? {
            // A file may go away meanwhile: tables do.
            let len = entry.and_then(|entry| entry.metadata()).map_or(0, |metadata| metadata.len());
            used_bytes = used_bytes.saturating_add(len);
        }
        Ok(Some(DiskUse { used_bytes, free_bytes: self.free_bytes()? }))
    }

    fn chain(&self) -> Option<ChainIdentity> {
        *lock(&self.chain)
    }

    fn claim(&self, chain: ChainIdentity) -> Result<(), StoreError> {
        let mut owner = lock(&self.chain);
        match *owner {
            Some(found) if found == chain => Ok(()),
            Some(found) => Err(StoreError::ForeignChain { path: self.path.clone(), expected: chain, found }),
            None => {
                self.with_database(|database, path| database.set_chain(path, &chain))?;
                *owner = Some(chain);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn block(height: u64) -> Record {
        Record::Block { height: Height(height), sealed: vec![height as u8].into() }
    }

    fn snapshot(height: u64) -> [Record; 2] {
        let snapshot = Height(height);
        [Record::SnapshotChunk { snapshot, index: 0, sealed: vec![1] }, Record::SnapshotDone { snapshot, chunks: 1 }]
    }

    /// A store whose last write is in the database although its sync was reported to have failed.
    fn unacknowledged(store: &Store, records: &[Record], truncate: Option<Height>) {
        store.with_database(|database, path| database.write(path, records)).unwrap();
        *lock(&store.health) = Health::Suspect { truncate };
    }

    fn heights(store: &Store) -> (Option<u64>, Vec<u64>) {
        (store.bounds().last.map(|height| height.0), store.snapshots().iter().map(|s| s.height.0).collect())
    }

    #[test]
    fn a_write_reported_as_failed_is_undone_and_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        unacknowledged(&store, &[block(7)], None);
        store.append(&[block(7)]).unwrap();
        store.append(&snapshot(7)).unwrap();
        assert_eq!(heights(&store), (Some(7), vec![7]));

        let [chunk, done] = snapshot(8);
        let batch = [block(8), chunk, done, Record::DropSnapshot { snapshot: Height(7) }];
        unacknowledged(&store, &batch, None);
        store.append(&batch).unwrap();
        assert_eq!(heights(&store), (Some(8), vec![8]));

        drop(store);
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        assert_eq!(heights(&store), (Some(8), vec![8]));
        assert_eq!(store.blocks(Height(7), 3).unwrap(), [Some(vec![7]), Some(vec![8]), None]);
    }

    #[test]
    fn a_truncation_reported_as_failed_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        store.append(&[block(1), block(2), block(3)]).unwrap();
        let truncate = Record::Truncate { last: Height(1) };
        unacknowledged(&store, core::slice::from_ref(&truncate), Some(Height(1)));
        store.append(&[truncate]).unwrap();
        store.append(&[block(2)]).unwrap();
        assert_eq!(heights(&store), (Some(2), vec![]));
    }

    #[test]
    fn blocks_that_vanish_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        store.append(&[block(1), block(2)]).unwrap();
        unacknowledged(&store, &[Record::Truncate { last: Height(1) }], None);
        let error = store.append(&[block(3)]).unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { detail, .. } if detail.contains("gone")), "{error}");
    }
}
