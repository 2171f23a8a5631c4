//! The keys of one epoch of one ledger, and what they seal.

use core::fmt;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use alloy_primitives::B256;
use cloister_crypto::{AeadKey, Key, MAX_SEALS_PER_KEY, NONCE_LEN, Nonce, TAG_LEN, hmac_sha256, siphash_2_4};
use cloister_primitives::{Height, Protection};

use crate::blob::{
    BlockBlob, ConsensusBlob, HEADER_LEN, Header, LogSectionBlob, MetaBlob, OVERHEAD, SnapshotChunk, pad, unpad,
};
use crate::derive::{
    BLOCK, COMMITMENT, CONSENSUS, LEDGER, LOG_FINGERPRINT, LOGS, META, RECORD, SESSION, SNAPSHOT, derive,
};
use crate::{
    Epoch, Incarnation, MAX_PLAINTEXT_BYTES, OpenError, PlatformKey, SNAPSHOT_CHUNK_BYTES, Sealed, SessionKey,
    SizeClass,
};

#[cfg(test)]
mod tests;

/// What a sealed block is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockAad {
    /// The block's height.
    pub height: Height,
    /// Of the process that seals; for opening, [`Sealed::incarnation`].
    pub incarnation: Incarnation,
    /// Hash of the parent's header.
    pub parent_hash: B256,
}

/// What a sealed chunk of a snapshot is bound to.
///
/// All chunks of a snapshot carry one incarnation, drawn for that snapshot: a reader takes it from the first chunk and opens
/// the others with it, so that chunks of two snapshots of one height do not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotAad {
    /// Height of the state in the snapshot.
    pub snapshot: Height,
    /// Index of the chunk, from 0.
    pub index: u32,
    /// Of the snapshot; for opening, that of its first chunk.
    pub incarnation: Incarnation,
}

/// What a sealed section of the log index is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSectionAad {
    /// Height of the section's last block.
    pub last: Height,
    /// Of the process that seals; for opening, [`Sealed::incarnation`].
    pub incarnation: Incarnation,
    /// Hash of the section's last block, and so of all before it.
    pub last_hash: B256,
}

/// What a sealed record of the consensus log is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsensusAad {
    /// The node whose log it is: all nodes of a network have the same keys.
    pub node: u64,
    /// Of the process that seals; for opening, [`Sealed::incarnation`].
    pub incarnation: Incarnation,
}

impl ConsensusAad {
    const fn position(&self) -> [u8; 8] {
        self.node.to_be_bytes()
    }
}

/// What sealed metadata is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaAad {
    /// Of the process that seals; for opening, [`Sealed::incarnation`].
    pub incarnation: Incarnation,
}

/// Why a record is not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// This process has sealed 2^32 records of this kind: a restart or a new epoch helps.
    #[error("the key has sealed as often as it may")]
    KeyExhausted,
    /// The record is longer than the largest size class, or than a snapshot chunk.
    #[error("the record is {len} bytes long, at most {max} can be sealed")]
    TooLong {
        /// Bytes of the record.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
}

/// Which root a salt hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaltDomain {
    /// The state root.
    State,
    /// The receipts root.
    Receipts,
    /// The requests hash (EIP-7685).
    Requests,
}

/// The keys of one epoch: seals and opens what is kept outside of the enclave. Shared between threads.
pub struct LedgerKeys {
    epoch: Epoch,
    block: Family,
    snapshot: Family,
    meta: Family,
    logs: Family,
    consensus: Family,
    log_fingerprint: Key,
    commitment: Key,
    session: Arc<SessionKey>,
}

/// The parent of the record keys of one kind of record.
struct Family {
    domain: &'static [u8],
    parent: Key,
    /// Seals of this process. It has one incarnation, so this bounds the seals of each record key from above.
    seals: AtomicU64,
}

/// Additional data: domain ‖ header ‖ position.
struct Aad {
    bytes: [u8; AAD_MAX],
    len: usize,
}

const AAD_MAX: usize = 18 + HEADER_LEN + 40;

impl LedgerKeys {
    /// Derives the keys of `epoch` for the chain with this id, bound to its genesis block, and to its rules where it is
    /// confidential.
    #[must_use]
    pub fn derive(platform: &PlatformKey, chain_id: u64, binding: B256, epoch: Epoch) -> Self {
        let mut context = [0; 44];
        context[..8].copy_from_slice(&chain_id.to_be_bytes());
        context[8..40].copy_from_slice(binding.as_slice());
        context[40..].copy_from_slice(&epoch.0.to_be_bytes());
        let ledger = derive(platform.key(), LEDGER, &context);
        Self {
            epoch,
            block: Family::new(b"cloister/block\0", derive(&ledger, BLOCK, &[])),
            snapshot: Family::new(b"cloister/snapshot\0", derive(&ledger, SNAPSHOT, &[])),
            meta: Family::new(b"cloister/meta\0", derive(&ledger, META, &[])),
            logs: Family::new(b"cloister/logs\0", derive(&ledger, LOGS, &[])),
            consensus: Family::new(b"cloister/consensus\0", derive(&ledger, CONSENSUS, &[])),
            log_fingerprint: derive(&ledger, LOG_FINGERPRINT, &[]),
            commitment: derive(&ledger, COMMITMENT, &[]),
            session: Arc::new(SessionKey::new(derive(&ledger, SESSION, &[]))),
        }
    }

    /// The epoch of these keys.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The key that authenticates session tokens.
    #[must_use]
    pub fn session(&self) -> Arc<SessionKey> {
        self.session.clone()
    }

    /// Pads and seals a block's record, in place if it has [`SizeClass::sealed_bytes`] of room. `nonce` is fresh
    /// randomness, used once.
    ///
    /// # Errors
    /// [`SealError`]; the record has then gone nowhere.
    pub fn seal_block(
        &self,
        nonce: Nonce,
        aad: &BlockAad,
        record: impl Into<Vec<u8>>,
    ) -> Result<Sealed<BlockBlob>, SealError> {
        let record = record.into();
        let class = class_of(&record)?;
        self.seal(&self.block, class, aad.incarnation, nonce, &aad.position(), record)
    }

    /// Opens a block's record.
    ///
    /// # Errors
    /// [`OpenError`]; a genuine blob of another height, parent, incarnation or chain is an [`OpenError::Authentication`].
    pub fn open_block(&self, aad: &BlockAad, sealed: Sealed<BlockBlob>) -> Result<Vec<u8>, OpenError> {
        self.open(&self.block, aad.incarnation, &aad.position(), sealed)
    }

    /// Pads and seals a chunk of a snapshot: at most [`SNAPSHOT_CHUNK_BYTES`]. All sealed chunks are equally long.
    ///
    /// # Errors
    /// [`SealError`]; the chunk has then gone nowhere.
    pub fn seal_chunk(
        &self,
        nonce: Nonce,
        aad: &SnapshotAad,
        chunk: impl Into<Vec<u8>>,
    ) -> Result<Sealed<SnapshotChunk>, SealError> {
        let chunk = chunk.into();
        let len = chunk.len();
        if len > SNAPSHOT_CHUNK_BYTES {
            return Err(SealError::TooLong { len, max: SNAPSHOT_CHUNK_BYTES });
        }
        self.seal(&self.snapshot, SizeClass::CHUNK, aad.incarnation, nonce, &aad.position(), chunk)
    }

    /// Opens a chunk of a snapshot.
    ///
    /// # Errors
    /// [`OpenError`]; a genuine chunk of another index or snapshot is an [`OpenError::Authentication`].
    pub fn open_chunk(&self, aad: &SnapshotAad, sealed: Sealed<SnapshotChunk>) -> Result<Vec<u8>, OpenError> {
        self.open(&self.snapshot, aad.incarnation, &aad.position(), sealed)
    }

    /// Pads and seals metadata.
    ///
    /// # Errors
    /// [`SealError`]; the metadata has then gone nowhere.
    pub fn seal_meta(
        &self,
        nonce: Nonce,
        aad: &MetaAad,
        meta: impl Into<Vec<u8>>,
    ) -> Result<Sealed<MetaBlob>, SealError> {
        let meta = meta.into();
        let class = class_of(&meta)?;
        self.seal(&self.meta, class, aad.incarnation, nonce, &[], meta)
    }

    /// Opens metadata. That it is the newest cannot be seen from it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_meta(&self, aad: &MetaAad, sealed: Sealed<MetaBlob>) -> Result<Vec<u8>, OpenError> {
        self.open(&self.meta, aad.incarnation, &[], sealed)
    }

    /// Pads and seals a record of the consensus log.
    ///
    /// # Errors
    /// [`SealError`]; the record has then gone nowhere.
    pub fn seal_consensus(
        &self,
        nonce: Nonce,
        aad: &ConsensusAad,
        record: impl Into<Vec<u8>>,
    ) -> Result<Sealed<ConsensusBlob>, SealError> {
        let record = record.into();
        let class = class_of(&record)?;
        self.seal(&self.consensus, class, aad.incarnation, nonce, &aad.position(), record)
    }

    /// Opens a record of the consensus log. That it is the newest cannot be seen from it.
    ///
    /// # Errors
    /// [`OpenError`]; a genuine record of another node is an [`OpenError::Authentication`].
    pub fn open_consensus(&self, aad: &ConsensusAad, sealed: Sealed<ConsensusBlob>) -> Result<Vec<u8>, OpenError> {
        self.open(&self.consensus, aad.incarnation, &aad.position(), sealed)
    }

    /// Pads and seals a section of the log index.
    ///
    /// # Errors
    /// [`SealError`]; the section has then gone nowhere.
    pub fn seal_log_section(
        &self,
        nonce: Nonce,
        aad: &LogSectionAad,
        section: impl Into<Vec<u8>>,
    ) -> Result<Sealed<LogSectionBlob>, SealError> {
        let section = section.into();
        let class = class_of(&section)?;
        self.seal(&self.logs, class, aad.incarnation, nonce, &aad.position(), section)
    }

    /// Opens a section of the log index.
    ///
    /// # Errors
    /// [`OpenError`]; a genuine section of other blocks is an [`OpenError::Authentication`].
    pub fn open_log_section(&self, aad: &LogSectionAad, sealed: Sealed<LogSectionBlob>) -> Result<Vec<u8>, OpenError> {
        self.open(&self.logs, aad.incarnation, &aad.position(), sealed)
    }

    /// Four bytes that stand for a value at a place of a log (its address, or one of its topics) in the log index. Who does
    /// not have the key cannot choose two values that share them, and so cannot make other people's queries slow.
    #[must_use]
    pub fn log_fingerprint(&self, place: u8, value: &B256) -> u32 {
        let mut input = [0; 33];
        input[0] = place;
        input[1..].copy_from_slice(value.as_slice());
        let [.., a, b, c, d] = siphash_2_4(&self.log_fingerprint, &input).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The salt that hides a root in the public header: a pseudo-random function of height and domain.
    #[must_use]
    pub fn commitment_salt(&self, height: Height, domain: SaltDomain) -> B256 {
        let domain: &[u8] = match domain {
            SaltDomain::State => b"state\0",
            SaltDomain::Receipts => b"receipts\0",
            SaltDomain::Requests => b"requests\0",
        };
        B256::from(hmac_sha256(&self.commitment, &[domain, &height.0.to_be_bytes()]))
    }

    fn seal<T>(
        &self,
        family: &Family,
        class: SizeClass,
        incarnation: Incarnation,
        nonce: Nonce,
        position: &[u8],
        record: Vec<u8>,
    ) -> Result<Sealed<T>, SealError> {
        if family.seals.fetch_add(1, Ordering::Relaxed) >= MAX_SEALS_PER_KEY {
            return Err(SealError::KeyExhausted);
        }
        let header = Header { class, epoch: self.epoch, incarnation, nonce };
        let mut bytes = pad(&header, record);
        if !Protection::Sealing.holds() {
            return Ok(Sealed::assemble(bytes, header));
        }
        let tag_at = bytes.len() - TAG_LEN;
        let aad = Aad::new(family.domain, &bytes[..HEADER_LEN], position);
        let tag = family
            .record_key(&incarnation)
            .seal_in_place(nonce, aad.as_bytes(), &mut bytes[HEADER_LEN..tag_at])
            .map_err(|_| SealError::KeyExhausted)?;
        bytes[tag_at..].copy_from_slice(&tag);
        Ok(Sealed::assemble(bytes, header))
    }

    fn open<T>(
        &self,
        family: &Family,
        incarnation: Incarnation,
        position: &[u8],
        sealed: Sealed<T>,
    ) -> Result<Vec<u8>, OpenError> {
        let header = *sealed.header();
        if header.epoch != self.epoch {
            return Err(OpenError::WrongEpoch { found: header.epoch, expected: self.epoch });
        }
        if header.incarnation != incarnation {
            return Err(OpenError::Authentication);
        }
        let mut bytes = sealed.into_bytes();
        let aad = Aad::new(family.domain, &bytes[..HEADER_LEN], position);
        let plaintext = family
            .record_key(&incarnation)
            .open_in_place(header.nonce, aad.as_bytes(), &mut bytes, HEADER_LEN)
            .map_err(|_| OpenError::Authentication)?;
        let len = unpad(plaintext)?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// Shows the epoch, no key.
impl fmt::Debug for LedgerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerKeys").field("epoch", &self.epoch.0).finish_non_exhaustive()
    }
}

impl Family {
    const fn new(domain: &'static [u8], parent: Key) -> Self {
        Self { domain, parent, seals: AtomicU64::new(0) }
    }

    /// Deriving takes a microsecond or two, so keys are not kept.
    fn record_key(&self, incarnation: &Incarnation) -> AeadKey {
        AeadKey::new(&derive(&self.parent, RECORD, incarnation))
    }
}

impl BlockAad {
    fn position(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.height.0.to_be_bytes());
        bytes[8..].copy_from_slice(self.parent_hash.as_slice());
        bytes
    }
}

impl LogSectionAad {
    fn position(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.last.0.to_be_bytes());
        bytes[8..].copy_from_slice(self.last_hash.as_slice());
        bytes
    }
}

impl SnapshotAad {
    fn position(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.snapshot.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }
}

impl Aad {
    /// Concatenates; the parts' lengths are fixed for each domain, so none needs a length of its own.
    fn new(domain: &[u8], header: &[u8], position: &[u8]) -> Self {
        let mut aad = Self { bytes: [0; AAD_MAX], len: 0 };
        for part in [domain, header, position] {
            aad.bytes[aad.len..aad.len + part.len()].copy_from_slice(part);
            aad.len += part.len();
        }
        aad
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn class_of(record: &[u8]) -> Result<SizeClass, SealError> {
    SizeClass::for_record(record.len()).ok_or(SealError::TooLong { len: record.len(), max: MAX_PLAINTEXT_BYTES })
}

// The unused constants of the layout are pinned here, since `docs/keys.md` states them.
const _: () = assert!(OVERHEAD == 52 && NONCE_LEN == 12);
