//! The layout in RocksDB, and one open database with it.
//!
//! | family | key | value |
//! | --- | --- | --- |
//! | `blocks` | height, 8 bytes big-endian | sealed block |
//! | `snapshots` | height, 8 bytes | number of chunks, 4 bytes; written last, so its presence means complete |
//! | `snapshots` | height, index: 8 + 4 bytes | sealed chunk |
//! | `logs` | height of a section's last block, 8 bytes | sealed section of the log index |
//! | `meta` | `format` | [`FORMAT_VERSION`], 4 bytes |
//! | `meta` | `chain` | chain id and genesis hash, 8 + 32 bytes |
//! | `meta` | `sealed` | sealed metadata |
//!
//! Keys of blocks, snapshots and log sections only grow, so compaction moves whole files instead of rewriting
//! them, and large values need no store of their own.

use std::collections::BTreeMap;
use std::path::Path;

use cloister_boundary::Record;
use cloister_primitives::Height;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    IteratorMode, LogLevel, Options, WriteBatch, WriteOptions,
};
use rustix::fs::{Mode, OFlags};

use crate::error::StoreError;
use crate::index::Index;
use crate::{ChainIdentity, FORMAT_VERSION, Kept};

const BLOCKS: &str = "blocks";
const SNAPSHOTS: &str = "snapshots";
const LOGS: &str = "logs";
const META: &str = "meta";

/// All families. Backups name them by their places here.
const FAMILIES: [&str; 4] = [BLOCKS, SNAPSHOTS, LOGS, META];

const FORMAT_KEY: &[u8] = b"format";
const CHAIN_KEY: &[u8] = b"chain";
const SEALED_KEY: &[u8] = b"sealed";
/// Before the number of a record of the consensus log.
const CONSENSUS_PREFIX: &[u8] = b"consensus/";

/// Memory for cached blocks. Reads happen at a restart and for old history, each blob once.
const CACHE_LEN: usize = 8 << 20;

/// Memory for what is written and not yet in a table, over all families.
const WRITE_BUFFERS_LEN: usize = 48 << 20;

/// Length of the write-ahead log at which tables are written: also what a restart reads again.
const MAX_WAL_LEN: u64 = 64 << 20;

/// Tables held open at one time.
const MAX_OPEN_FILES: i32 = 256;

/// One entry, whatever it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Place of its family in [`FAMILIES`].
    pub(crate) family: u8,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// One open database.
pub(crate) struct Database(DB);

fn consensus_key(number: u64) -> Vec<u8> {
    [CONSENSUS_PREFIX, &number.to_be_bytes()].concat()
}

/// A point in a snapshot's or the log's key space.
fn height_key(height: Height) -> [u8; 8] {
    height.0.to_be_bytes()
}

fn chunk_key(snapshot: Height, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&height_key(snapshot));
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

/// A key above all keys of this height and below all of the next.
fn end_of(height: Height) -> Vec<u8> {
    let mut key = height_key(height).to_vec();
    key.extend_from_slice(&[0xff; 5]);
    key
}

/// A key above all keys.
const END: [u8; 16] = [0xff; 16];

/// Whether files in a folder can be written past the system's cache. Not every file system can.
fn writes_directly(folder: &Path) -> bool {
    let unnamed = OFlags::TMPFILE | OFlags::RDWR | OFlags::DIRECT;
    rustix::fs::open(folder, unnamed, Mode::RUSR | Mode::WUSR).is_ok()
}

fn options(folder: &Path) -> Options {
    let mut options = Options::default();
    // Blocks go from memory to tables once and are seldom read again: copying them into the system's cache
    // costs more CPU time than all else that is done to write them, and drives out what others need there.
    options.set_use_direct_io_for_flush_and_compaction(writes_directly(folder));
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // What was synced is never rolled back: only the torn tail of a crash is dropped silently,
    // damage before it is an error.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS_LEN);
    options.set_max_total_wal_size(MAX_WAL_LEN);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_max_manifest_file_size(4 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options
}

fn families() -> [ColumnFamilyDescriptor; 4] {
    let cache = Cache::new_lru_cache(CACHE_LEN);
    [(BLOCKS, 16 << 20), (SNAPSHOTS, 16 << 20), (LOGS, 4 << 20), (META, 1 << 20)].map(|(name, buffer_len)| {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&cache);
        table.set_block_size(16 << 10);
        let mut options = Options::default();
        // Ciphertext does not compress.
        options.set_compression_type(DBCompressionType::None);
        options.set_bottommost_compression_type(DBCompressionType::None);
        options.set_write_buffer_size(buffer_len);
        options.set_max_write_buffer_number(3);
        options.set_target_file_size_base(64 << 20);
        options.set_block_based_table_factory(&table);
        ColumnFamilyDescriptor::new(name, options)
    })
}

fn durable() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

impl Database {
    /// Opens or creates the database in `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let existed = path.join("CURRENT").exists();
        let database =
            DB::open_cf_descriptors(&options(path), path, families()).map(Self).map_err(
                |error| match StoreError::rocks(path, &error) {
                    // Without an old database nothing can be damaged.
                    StoreError::Corrupt { path, detail } if !existed => StoreError::Io { path, detail },
                    other => other,
                },
            )?;
        database.check_format(path)?;
        Ok(database)
    }

    fn check_format(&self, path: &Path) -> Result<(), StoreError> {
        let expected = FORMAT_VERSION.to_be_bytes();
        match self.get(path, META, FORMAT_KEY)? {
            Some(found) if found == expected => Ok(()),
            Some(found) => match <[u8; 4]>::try_from(found) {
                Ok(found) => Err(StoreError::Format { path: path.to_owned(), found: u32::from_be_bytes(found) }),
                Err(_) => Err(corrupt(path, "its format version is unreadable")),
            },
            None if self.edge(path, BLOCKS, IteratorMode::Start)?.is_some() => {
                Err(corrupt(path, "it has blocks but no format version"))
            }
            None => self.put_meta(path, FORMAT_KEY, &expected),
        }
    }

    fn family(&self, path: &Path, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        self.0.cf_handle(name).ok_or_else(|| corrupt(path, "a column family is missing"))
    }

    fn get(&self, path: &Path, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get_cf(self.family(path, family)?, key).map_err(|error| StoreError::rocks(path, &error))
    }

    fn put_meta(&self, path: &Path, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.0
            .put_cf_opt(self.family(path, META)?, key, value, &durable())
            .map_err(|error| StoreError::rocks(path, &error))
    }

    /// The first key from a position on.
    fn edge(&self, path: &Path, family: &'static str, mode: IteratorMode<'_>) -> Result<Option<Box<[u8]>>, StoreError> {
        self.0
            .iterator_cf(self.family(path, family)?, mode)
            .next()
            .transpose()
            .map(|entry| entry.map(|(key, _)| key))
            .map_err(|error| StoreError::rocks(path, &error))
    }

    pub(crate) fn block(&self, path: &Path, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(path, BLOCKS, &height_key(height))
    }

    pub(crate) fn chunk(&self, path: &Path, snapshot: Height, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(path, SNAPSHOTS, &chunk_key(snapshot, index))
    }

    pub(crate) fn log_section(&self, path: &Path, last: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(path, LOGS, &height_key(last))
    }

    pub(crate) fn kept(&self, path: &Path) -> Result<Kept, StoreError> {
        let from = IteratorMode::From(CONSENSUS_PREFIX, Direction::Forward);
        let mut consensus = Vec::new();
        for entry in self.0.iterator_cf(self.family(path, META)?, from) {
            let (key, record) = entry.map_err(|error| StoreError::rocks(path, &error))?;
            if !key.starts_with(CONSENSUS_PREFIX) {
                break;
            }
            consensus.push(record.into_vec());
        }
        Ok(Kept { meta: self.get(path, META, SEALED_KEY)?, consensus })
    }

    pub(crate) fn chain(&self, path: &Path) -> Result<Option<ChainIdentity>, StoreError> {
        let Some(value) = self.get(path, META, CHAIN_KEY)? else {
            return Ok(None);
        };
        let identity = value.split_first_chunk::<8>().and_then(|(id, hash)| {
            Some(ChainIdentity { chain_id: u64::from_be_bytes(*id), genesis_hash: hash.try_into().ok()? })
        });
        match identity {
            Some(identity) => Ok(Some(identity)),
            None => Err(corrupt(path, "its chain identity is unreadable")),
        }
    }

    pub(crate) fn set_chain(&self, path: &Path, chain: &ChainIdentity) -> Result<(), StoreError> {
        let mut value = chain.chain_id.to_be_bytes().to_vec();
        value.extend_from_slice(&chain.genesis_hash);
        self.put_meta(path, CHAIN_KEY, &value)
    }

    /// Writes all records in one batch with one sync.
    pub(crate) fn write(&self, path: &Path, records: &[Record]) -> Result<(), StoreError> {
        let blocks = self.family(path, BLOCKS)?;
        let snapshots = self.family(path, SNAPSHOTS)?;
        let logs = self.family(path, LOGS)?;
        let meta = self.family(path, META)?;
        let mut batch = WriteBatch::default();
        for record in records {
            match record {
                Record::Block { height, sealed } => {
                    batch.put_cf(blocks, height_key(*height), sealed.as_slice());
                }
                Record::SnapshotChunk { snapshot, index, sealed } => {
                    batch.put_cf(snapshots, chunk_key(*snapshot, *index), sealed)
                }
                Record::SnapshotDone { snapshot, chunks } => {
                    batch.put_cf(snapshots, height_key(*snapshot), chunks.to_be_bytes());
                }
                Record::DropSnapshot { snapshot } => {
                    batch.delete_range_cf(snapshots, height_key(*snapshot).to_vec(), end_of(*snapshot))
                }
                Record::Truncate { last } => {
                    batch.delete_range_cf(blocks, end_of(*last), END.to_vec());
                    batch.delete_range_cf(snapshots, end_of(*last), END.to_vec());
                    batch.delete_range_cf(logs, end_of(*last), END.to_vec());
                }
                Record::LogSection { last, sealed } => batch.put_cf(logs, height_key(*last), sealed),
                Record::Meta { sealed } => batch.put_cf(meta, SEALED_KEY, sealed),
                Record::Consensus { number, keep_from, sealed } => {
                    batch.delete_range_cf(meta, consensus_key(0), consensus_key(*keep_from));
                    batch.put_cf(meta, consensus_key(*number), sealed);
                }
            }
        }
        self.0.write_opt(batch, &durable()).map_err(|error| StoreError::rocks(path, &error))
    }

    /// Visits all entries in order.
    pub(crate) fn each_entry<E: From<StoreError>>(
        &self,
        path: &Path,
        mut visit: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (family, name) in (0..).zip(FAMILIES) {
            for entry in self.0.iterator_cf(self.family(path, name)?, IteratorMode::Start) {
                let (key, value) = entry.map_err(|error| StoreError::rocks(path, &error))?;
                visit(Entry { family, key: &key, value: &value })?;
            }
        }
        Ok(())
    }

    /// Writes entries as they are. They are durable after [`Self::sync`].
    pub(crate) fn put(&self, path: &Path, entries: &[Entry<'_>]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for entry in entries {
            let family = FAMILIES.get(usize::from(entry.family)).ok_or_else(|| corrupt(path, "an unknown family"))?;
            batch.put_cf(self.family(path, family)?, entry.key, entry.value);
        }
        self.0.write(batch).map_err(|error| StoreError::rocks(path, &error))
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&self, path: &Path) -> Result<(), StoreError> {
        self.0.flush_wal(true).map_err(|error| StoreError::rocks(path, &error))
    }

    /// Whether nothing was ever stored here.
    pub(crate) fn is_new(&self, path: &Path) -> Result<bool, StoreError> {
        let is_empty = self.kept(path)? == Kept::default() && self.chain(path)?.is_none();
        Ok(is_empty && self.edge(path, BLOCKS, IteratorMode::Start)?.is_none())
    }

    /// Removes a closed database, and nothing else that is in its folder.
    pub(crate) fn destroy(path: &Path) -> Result<(), StoreError> {
        DB::destroy(&options(path), path).map_err(|error| StoreError::rocks(path, &error))
    }

    /// Removes blocks and log sections above `last` (all for `None`) and the given snapshots.
    pub(crate) fn forget(&self, path: &Path, last: Option<Height>, snapshots: &[Height]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let from = last.map_or_else(Vec::new, end_of);
        batch.delete_range_cf(self.family(path, BLOCKS)?, from.clone(), END.to_vec());
        batch.delete_range_cf(self.family(path, LOGS)?, from, END.to_vec());
        for &snapshot in snapshots {
            let from = height_key(snapshot).to_vec();
            batch.delete_range_cf(self.family(path, SNAPSHOTS)?, from, end_of(snapshot));
        }
        self.0.write_opt(batch, &durable()).map_err(|error| StoreError::rocks(path, &error))
    }

    /// Reads what is stored. Also returns the heights of snapshots that were never finished.
    pub(crate) fn index(&self, path: &Path) -> Result<(Index, Vec<Height>), StoreError> {
        let bound = |mode| match self.edge(path, BLOCKS, mode)? {
            None => Ok(None),
            Some(key) => match <[u8; 8]>::try_from(&key[..]) {
                Ok(height) => Ok(Some(Height(u64::from_be_bytes(height)))),
                Err(_) => Err(corrupt(path, "a block has a key that is no height")),
            },
        };
        let blocks = bound(IteratorMode::Start)?.zip(bound(IteratorMode::End)?);
        let (mut complete, mut partial) = (BTreeMap::new(), Vec::new());
        let mut from = Vec::new();
        while let Some(key) = self.edge(path, SNAPSHOTS, IteratorMode::From(&from, Direction::Forward))? {
            let (height, rest) =
                key.split_first_chunk::<8>().ok_or_else(|| corrupt(path, "a snapshot has a key that is no height"))?;
            let height = Height(u64::from_be_bytes(*height));
            // The mark of a complete snapshot sorts before its chunks.
            if rest.is_empty() {
                let chunks = self.get(path, SNAPSHOTS, &key)?.unwrap_or_default();
                let chunks = <[u8; 4]>::try_from(chunks)
                    .map_err(|_| corrupt(path, "a snapshot's number of chunks is unreadable"))?;
                complete.insert(height, u32::from_be_bytes(chunks));
            } else {
                partial.push(height);
            }
            from = end_of(height);
        }
        Ok((Index::new(blocks, complete), partial))
    }
}

fn corrupt(path: &Path, detail: &str) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), detail: detail.to_owned() }
}
