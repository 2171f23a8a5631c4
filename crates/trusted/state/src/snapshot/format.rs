//! The bytes of a snapshot.
//!
//! A chunk is a version byte and whole records. Over all chunks, records come in this order, keys
//! ascending: an account; its code, if it is the first account with that code, in parts; its
//! slots; the next account. Numbers are a length byte and as few big-endian bytes as will do.
//!
//! | kind | record |
//! |---|---|
//! | 1 | account without code: hashed address (32), nonce, balance |
//! | 2 | account with code: the same, code hash (32) |
//! | 3 | code, more to follow: length (4, big-endian), bytes |
//! | 4 | code, last part: length (4, big-endian), bytes |
//! | 5 | slot: hashed slot (32), value |

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};

use crate::{Account, SnapshotError};

/// First byte of every chunk.
pub(super) const VERSION: u8 = 1;
/// Chunks must hold at least this: the version and the largest record that cannot be split.
pub(super) const MIN_CHUNK_BYTES: usize = 128;

const ACCOUNT: u8 = 1;
const CONTRACT: u8 = 2;
const CODE_PART: u8 = 3;
const CODE_END: u8 = 4;
const SLOT: u8 = 5;
/// Bytes of a code part before the code.
const PART_HEADER: usize = 5;

/// One record, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Account(B256, Account),
    CodePart(&'a [u8]),
    CodeEnd(&'a [u8]),
    Slot(B256, U256),
}

/// A chunk being written.
pub(super) struct ChunkWriter {
    bytes: Vec<u8>,
    limit: usize,
}

/// The chunk has no room for the record; it goes into the next one.
pub(super) struct Full;

impl ChunkWriter {
    pub(super) fn new(limit: usize) -> Result<Self, SnapshotError> {
        if limit < MIN_CHUNK_BYTES {
            let (given, minimum) = (limit, MIN_CHUNK_BYTES);
            return Err(SnapshotError::ChunkTooSmall { given, minimum });
        }
        let bytes = vec![VERSION];
        Ok(Self { bytes, limit })
    }

    /// The chunk; `None` if nothing was written.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (self.bytes.len() > 1).then_some(self.bytes)
    }

    pub(super) fn account(&mut self, key: &B256, account: &Account) -> Result<(), Full> {
        self.record(|bytes| {
            bytes.push(if account.has_code() { CONTRACT } else { ACCOUNT });
            bytes.extend_from_slice(key.as_slice());
            number(bytes, &account.nonce.to_be_bytes());
            number(bytes, &account.balance.to_be_bytes::<32>());
            if account.has_code() {
                bytes.extend_from_slice(account.code_hash.as_slice());
            }
        })
    }

    pub(super) fn slot(&mut self, key: &B256, value: &U256) -> Result<(), Full> {
        self.record(|bytes| {
            bytes.push(SLOT);
            bytes.extend_from_slice(key.as_slice());
            number(bytes, &value.to_be_bytes::<32>());
        })
    }

    /// Writes as much of the code as there is room for; returns the length written.
    pub(super) fn code(&mut self, rest: &[u8]) -> Result<usize, Full> {
        let room = (self.limit - self.bytes.len()).saturating_sub(PART_HEADER);
        let part = &rest[..rest.len().min(room).min(u32::MAX as usize)];
        if part.is_empty() {
            return Err(Full);
        }
        let whole = part.len() == rest.len();
        self.record(|bytes| {
            bytes.push(if whole { CODE_END } else { CODE_PART });
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part);
        })?;
        Ok(part.len())
    }

    fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > self.limit {
            self.bytes.truncate(start);
            return Err(Full);
        }
        Ok(())
    }
}

fn number(bytes: &mut Vec<u8>, big_endian: &[u8]) {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let digits = &big_endian[zeros..];
    bytes.push(digits.len() as u8);
    bytes.extend_from_slice(digits);
}

/// A chunk being read.
pub(super) struct ChunkReader<'a>(&'a [u8]);

impl<'a> ChunkReader<'a> {
    pub(super) fn new(chunk: &'a [u8]) -> Result<Self, SnapshotError> {
        match chunk.split_first() {
            Some((&VERSION, records)) => Ok(Self(records)),
            other => Err(SnapshotError::Version(other.map(|(version, _)| *version))),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Record<'a>>, SnapshotError> {
        let Some((kind, rest)) = self.0.split_first() else {
            return Ok(None);
        };
        self.0 = rest;
        let record = match *kind {
            ACCOUNT | CONTRACT => {
                let key = self.hash()?;
                let nonce = self.number::<8>()?;
                let balance = self.number::<32>()?;
                let code_hash = if *kind == CONTRACT { self.hash()? } else { KECCAK256_EMPTY };
                let account =
                    Account { nonce: u64::from_be_bytes(nonce), balance: U256::from_be_bytes(balance), code_hash };
                Record::Account(key, account)
            }
            CODE_PART => Record::CodePart(self.part()?),
            CODE_END => Record::CodeEnd(self.part()?),
            SLOT => Record::Slot(self.hash()?, U256::from_be_bytes(self.number::<32>()?)),
            unknown => return Err(SnapshotError::UnknownRecord(unknown)),
        };
        Ok(Some(record))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], SnapshotError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SnapshotError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn hash(&mut self) -> Result<B256, SnapshotError> {
        self.take(32).map(B256::from_slice)
    }

    fn part(&mut self) -> Result<&'a [u8], SnapshotError> {
        let length = self.take(4)?.iter();
        let length = length.fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        self.take(length)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let length = usize::from(self.take(1)?[0]);
        if length > N {
            return Err(SnapshotError::NumberForm);
        }
        let digits = self.take(length)?;
        if digits.first() == Some(&0) {
            return Err(SnapshotError::NumberForm);
        }
        let mut number = [0; N];
        number[N - length..].copy_from_slice(digits);
        Ok(number)
    }
}
