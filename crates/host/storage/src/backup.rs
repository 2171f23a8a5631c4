//! Everything that a store holds, as one file: sealed bytes, as they are stored.
//!
//! ```text
//! header   magic (16 bytes), version (4 bytes)
//! part     kind (1 byte), length (4 bytes), content, checksum (32 bytes)
//! ```
//!
//! Numbers are big-endian. A part's checksum is the SHA-256 of the checksum before it (of the header, for the first), kind,
//! length and content: so no part can be changed, left out, or put elsewhere unnoticed. That is against accidents. Against
//! malice stands what the enclave finds when it opens what was restored.
//!
//! | kind | content |
//! | --- | --- |
//! | 1, first | chain id (8), genesis hash (32), last block (1 + 8), genesis file |
//! | 2 | column family (1), then entries: length of the key (2), key, length of the value (4), value |
//! | 3, last | number of entries (8) |

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;

use cloister_boundary::limits::{MAX_FRAME, MAX_SEALED};
use cloister_primitives::Height;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::error::StoreError;
use crate::rocks::{lock_folder, make_folder};
use crate::schema::{Database, Entry};
use crate::{BlobStore as _, ChainIdentity, Store, StoreOptions};

const MAGIC: &[u8; 16] = b"cloister-backup\n";
/// Version of the file's format.
pub const BACKUP_VERSION: u32 = 1;

const CHAIN: u8 = 1;
const ENTRIES: u8 = 2;
const END: u8 = 3;

/// Bytes of entries gathered into a part; a larger entry has a part of its own.
const PART_BYTES: usize = 4 << 20;
/// Longest content of a part.
const MAX_PART: usize = MAX_FRAME;
const _: () = assert!(PART_BYTES + MAX_SEALED + (1 << 16) < MAX_PART);

/// Where a store is put together before it takes its place.
const RESTORING: &str = "restoring";
/// The file that makes a folder a database: moved last.
const CURRENT: &str = "CURRENT";

/// Why there is no backup, or none that can be restored.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder belongs to no chain yet.
    #[error("there is no chain to back up")]
    Empty,
    /// The file.
    #[error("the backup cannot be read or written: {0}")]
    File(#[from] std::io::Error),
    /// It begins otherwise.
    #[error("this is no backup of a node")]
    Foreign,
    /// Another version of this program wrote it.
    #[error("the backup has format {found}, this program reads format {BACKUP_VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The file ends before its last part does.
    #[error("the backup ends in the middle of part {part}: it was copied or written only in part")]
    Truncated {
        /// The part, from 1.
        part: u64,
    },
    /// A checksum does not fit.
    #[error("part {part} of the backup is not as it was written: it was changed or damaged")]
    Changed {
        /// The part, from 1.
        part: u64,
    },
    /// There is something behind the last part.
    #[error("there is something behind the end of the backup: it was changed")]
    Trailing,
    /// The genesis beside it is not the one that is wanted.
    #[error("the backup is of another chain: the genesis in the folder is not the one in the backup")]
    OtherGenesis,
    /// The folder holds a chain.
    #[error("the folder holds a chain already; restore into another folder, or move this one away")]
    Occupied,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The chain.
    pub chain: ChainIdentity,
    /// Its newest stored block.
    pub last: Option<Height>,
    /// The genesis file beside it.
    pub genesis: Vec<u8>,
    /// Number of entries of the database.
    pub entries: u64,
}

impl Store {
    /// Writes everything that is stored, with the genesis file that belongs to it.
    ///
    /// # Errors
    /// [`BackupError::Empty`] for a store that belongs to no chain; otherwise what cannot be read or written.
    pub fn back_up(&self, genesis: &[u8], out: impl Write) -> Result<Backup, BackupError> {
        let chain = self.chain().ok_or(BackupError::Empty)?;
        let last = self.bounds().last;
        let mut parts = PartWriter::begin(out)?;
        parts.write(CHAIN, &chain_part(chain, last, genesis))?;
        let mut entries = 0;
        let mut part = Vec::new();
        self.each_entry(|Entry { family, key, value }| {
            let is_full = part.len() + key.len() + value.len() > PART_BYTES;
            if part.first().is_some_and(|of| is_full || *of != family) {
                parts.write(ENTRIES, &part)?;
                part.clear();
            }
            if part.is_empty() {
                part.push(family);
            }
            part.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
            part.extend_from_slice(key);
            part.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
            part.extend_from_slice(value);
            entries += 1;
            Ok::<_, BackupError>(())
        })?;
        if !part.is_empty() {
            parts.write(ENTRIES, &part)?;
        }
        parts.write(END, &u64::to_be_bytes(entries))?;
        Ok(Backup { chain, last, genesis: genesis.to_vec(), entries })
    }
}

/// Makes a store in the folder out of a backup. All of the file is checked before anything is written, and the folder holds
/// the whole store or none: what an interruption leaves behind is taken away the next time.
///
/// # Errors
/// [`BackupError::Occupied`] where there is a chain already, [`BackupError::OtherGenesis`] where `is_wanted` says no to the
/// backup's genesis file; what is wrong with the file; what cannot be written.
pub fn restore(
    mut from: impl Read + Seek,
    folder: &Path,
    is_wanted: impl FnOnce(&[u8]) -> bool,
) -> Result<Backup, BackupError> {
    let backup = read(&mut from, |_| Ok(()))?;
    if !is_wanted(&backup.genesis) {
        return Err(BackupError::OtherGenesis);
    }
    make_folder(folder)?;
    let _lock = lock_folder(folder)?;
    if folder.join(CURRENT).exists() {
        if !Database::open(folder)?.is_new(folder)? {
            return Err(BackupError::Occupied);
        }
        Database::destroy(folder)?;
    }
    let building = folder.join(RESTORING);
    if building.exists() {
        fs::remove_dir_all(&building)?;
    }
    from.rewind()?;
    let database = Database::open(&building)?;
    let again = read(&mut from, |entries| Ok(database.put(&building, entries)?))?;
    database.sync(&building)?;
    drop(database);
    let store = Store::open(&building, StoreOptions { chain: Some(backup.chain) })?;
    if again != backup || store.bounds().last != backup.last {
        return Err(BackupError::Changed { part: 1 });
    }
    drop(store);
    take_place(&building, folder)?;
    Ok(backup)
}

/// Moves a closed database to where it belongs.
fn take_place(building: &Path, folder: &Path) -> Result<(), std::io::Error> {
    let directory = File::open(folder)?;
    for entry in fs::read_dir(building)? {
        let name = entry?.file_name();
        // The folder has a lock of its own.
        if name != CURRENT && name != crate::rocks::LOCK_FILE {
            fs::rename(building.join(&name), folder.join(&name))?;
        }
    }
    directory.sync_all()?;
    fs::rename(building.join(CURRENT), folder.join(CURRENT))?;
    fs::remove_dir_all(building)?;
    directory.sync_all()
}

fn chain_part(chain: ChainIdentity, last: Option<Height>, genesis: &[u8]) -> Vec<u8> {
    let mut part = chain.chain_id.to_be_bytes().to_vec();
    part.extend_from_slice(&chain.genesis_hash);
    part.push(u8::from(last.is_some()));
    part.extend_from_slice(&last.unwrap_or_default().0.to_be_bytes());
    part.extend_from_slice(genesis);
    part
}

/// Writes parts, each bound to the one before it.
struct PartWriter<W> {
    out: W,
    checksum: [u8; 32],
}

impl<W: Write> PartWriter<W> {
    fn begin(mut out: W) -> Result<Self, BackupError> {
        let header = [&MAGIC[..], &BACKUP_VERSION.to_be_bytes()].concat();
        out.write_all(&header)?;
        Ok(Self { out, checksum: Sha256::digest(&header).into() })
    }

    fn write(&mut self, kind: u8, content: &[u8]) -> Result<(), BackupError> {
        let too_long = || std::io::Error::new(std::io::ErrorKind::InvalidData, "a part is too long");
        let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= MAX_PART).ok_or_else(too_long)?;
        self.checksum = checksum(self.checksum, kind, length, content);
        self.out.write_all(&[kind])?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(content)?;
        self.out.write_all(&self.checksum)?;
        Ok(())
    }
}

fn checksum(before: [u8; 32], kind: u8, length: u32, content: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(before).chain_update([kind]).chain_update(length.to_be_bytes());
    hash.chain_update(content).finalize().into()
}

/// Reads a backup to its end and hands on its entries, part by part.
fn read(from: impl Read, mut each: impl FnMut(&[Entry<'_>]) -> Result<(), BackupError>) -> Result<Backup, BackupError> {
    let mut parts = PartReader::begin(from)?;
    let first = parts.next()?;
    let mut backup = first.chain().ok_or(BackupError::Changed { part: 1 })?;
    loop {
        let part = parts.next()?;
        let changed = BackupError::Changed { part: parts.number };
        match part.kind {
            ENTRIES => {
                let entries = part.entries().ok_or(changed)?;
                backup.entries += entries.len() as u64;
                each(&entries)?;
            }
            END if part.content == backup.entries.to_be_bytes() => break,
            _ => return Err(changed),
        }
    }
    match parts.from.read(&mut [0])? {
        0 => Ok(backup),
        _ => Err(BackupError::Trailing),
    }
}

struct PartReader<R> {
    from: R,
    checksum: [u8; 32],
    /// Of the part that was read last, from 1.
    number: u64,
}

struct Part {
    kind: u8,
    content: Vec<u8>,
}

impl<R: Read> PartReader<R> {
    fn begin(mut from: R) -> Result<Self, BackupError> {
        let mut header = [0; MAGIC.len() + 4];
        // A file that is too short for one is no backup.
        fill(&mut from, &mut header)?.ok_or(BackupError::Foreign)?;
        let version = header.strip_prefix(MAGIC).ok_or(BackupError::Foreign)?;
        let found = version.try_into().map_or(0, u32::from_be_bytes);
        if found != BACKUP_VERSION {
            return Err(BackupError::Version { found });
        }
        Ok(Self { from, checksum: Sha256::digest(header).into(), number: 0 })
    }

    fn next(&mut self) -> Result<Part, BackupError> {
        self.number += 1;
        let truncated = || BackupError::Truncated { part: self.number };
        let changed = BackupError::Changed { part: self.number };
        let mut head = [0; 5];
        fill(&mut self.from, &mut head)?.ok_or_else(truncated)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        if length as usize > MAX_PART {
            return Err(changed);
        }
        // Grows with what is there, whatever the length says.
        let mut content = Vec::new();
        (&mut self.from).take(length.into()).read_to_end(&mut content)?;
        let mut found = [0; 32];
        if content.len() < length as usize {
            return Err(truncated());
        }
        fill(&mut self.from, &mut found)?.ok_or_else(truncated)?;
        self.checksum = checksum(self.checksum, kind, length, &content);
        if found != self.checksum {
            return Err(changed);
        }
        Ok(Part { kind, content })
    }
}

/// Fills a buffer; `None` where the file ends before.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<Option<()>, std::io::Error> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl Part {
    fn chain(self) -> Option<Backup> {
        let (chain_id, rest) = self.content.split_first_chunk::<8>()?;
        let (genesis_hash, rest) = rest.split_first_chunk::<32>()?;
        let ([has_blocks], rest) = rest.split_first_chunk::<1>()?;
        let (last, genesis) = rest.split_first_chunk::<8>()?;
        let last = (*has_blocks == 1).then(|| Height(u64::from_be_bytes(*last)));
        let chain = ChainIdentity { chain_id: u64::from_be_bytes(*chain_id), genesis_hash: *genesis_hash };
        (self.kind == CHAIN).then(|| Backup { chain, last, genesis: genesis.to_vec(), entries: 0 })
    }

    fn entries(&self) -> Option<Vec<Entry<'_>>> {
        let (&family, mut rest) = self.content.split_first()?;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk()?;
            let (key, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            let (length, behind) = behind.split_first_chunk()?;
            let (value, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            entries.push(Entry { family, key, value });
            rest = behind;
        }
        Some(entries)
    }
}
