//! A sealed blob: its clear header, its parsing, and the padding inside.

use core::{fmt, marker::PhantomData};

use cloister_crypto::{NONCE_LEN, Nonce, TAG_LEN};
use cloister_primitives::Protection;

use crate::{Epoch, INCARNATION_LEN, Incarnation, SizeClass, size_class::LENGTH_BYTES};

/// Version of the blob format that this program writes and reads.
pub const FORMAT_VERSION: u16 = 2;

/// Bytes in the clear before the ciphertext: version, size class, epoch, incarnation, nonce.
pub const HEADER_LEN: usize = NONCE_AT + NONCE_LEN;

/// Bytes that sealing adds to the padded plaintext.
pub(crate) const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

const CLASS_AT: usize = 2;
const EPOCH_AT: usize = 4;
const INCARNATION_AT: usize = 8;
const NONCE_AT: usize = INCARNATION_AT + INCARNATION_LEN;

/// What is inside: a block's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockBlob {}

/// What is inside: one chunk of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotChunk {}

/// What is inside: the enclave's own metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaBlob {}

/// What is inside: one section of the log index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSectionBlob {}

/// What is inside: one record of the consensus log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsensusBlob {}

/// Ciphertext of a `T`, with a clear header; besides public metadata the only thing that may leave the enclave.
///
/// The header is well-formed and the length agrees with it; whether the content is genuine is known after opening.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed<T> {
    bytes: Vec<u8>,
    header: Header,
    content: PhantomData<fn() -> T>,
}

/// The fields in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) class: SizeClass,
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: Incarnation,
    pub(crate) nonce: Nonce,
}

/// Why a blob does not open. Says what is wrong with the blob, nothing about what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Fewer bytes than the header, or than the header's size class, asks for.
    #[error("truncated: {found} bytes of {expected}")]
    Truncated {
        /// Bytes found.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// More bytes than the size class asks for, or a size class beyond the largest.
    #[error("too long: {found} bytes where at most {expected} may be")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        expected: usize,
    },
    /// Written by a program with another format, or not a blob at all.
    #[error("unknown format version {0}")]
    UnknownVersion(u16),
    /// Sealed under the key of another epoch.
    #[error("sealed in key epoch {found}, the key at hand is of epoch {expected}")]
    WrongEpoch {
        /// Epoch in the blob's header.
        found: Epoch,
        /// Epoch of the key.
        expected: Epoch,
    },
    /// Changed, from another place, from another chain, or sealed under another platform key.
    #[error("authentication failed: changed, misplaced, or of another chain or machine")]
    Authentication,
    /// Genuine, but padded in a way this program does not pad.
    #[error("wrong padding")]
    BadPadding,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let truncated = OpenError::Truncated { found: bytes.len(), expected: HEADER_LEN };
        // The version decides what the rest means, so it is looked at first.
        let version = u16::from_be_bytes(field(bytes, 0).ok_or(truncated)?);
        if version != FORMAT_VERSION {
            return Err(OpenError::UnknownVersion(version));
        }
        let number = u16::from_be_bytes(field(bytes, CLASS_AT).ok_or(truncated)?);
        let header = Self {
            class: SizeClass::new(number)
                .ok_or(OpenError::TooLong { found: bytes.len(), expected: crate::MAX_SEALED_BYTES })?,
            epoch: Epoch(u32::from_be_bytes(field(bytes, EPOCH_AT).ok_or(truncated)?)),
            incarnation: field(bytes, INCARNATION_AT).ok_or(truncated)?,
            nonce: field(bytes, NONCE_AT).ok_or(truncated)?,
        };
        let (found, expected) = (bytes.len(), header.class.bytes() + OVERHEAD);
        match found {
            _ if found < expected => Err(OpenError::Truncated { found, expected }),
            _ if found > expected => Err(OpenError::TooLong { found, expected }),
            _ => Ok(header),
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..CLASS_AT].copy_from_slice(&FORMAT_VERSION.to_be_bytes());
        bytes[CLASS_AT..EPOCH_AT].copy_from_slice(&self.class.number().to_be_bytes());
        bytes[EPOCH_AT..INCARNATION_AT].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[INCARNATION_AT..NONCE_AT].copy_from_slice(&self.incarnation);
        bytes[NONCE_AT..].copy_from_slice(&self.nonce);
        bytes
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl<T> Sealed<T> {
    /// Takes bytes that claim to be a blob.
    ///
    /// # Errors
    /// [`OpenError`] if the header is malformed or the length is not that of its size class.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, OpenError> {
        let header = Header::parse(&bytes)?;
        Ok(Self::assemble(bytes, header))
    }

    pub(crate) const fn assemble(bytes: Vec<u8>, header: Header) -> Self {
        Self { bytes, header, content: PhantomData }
    }

    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes to store.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Key epoch in the clear header; unauthenticated until the blob has been opened.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.header.epoch
    }

    /// Incarnation in the clear header; unauthenticated until the blob has been opened.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.header.incarnation
    }

    /// Size class in the clear header.
    #[must_use]
    pub const fn size_class(&self) -> SizeClass {
        self.header.class
    }
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("epoch", &self.header.epoch.0)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Makes the whole blob of a record, without a second buffer where the record has room for it:
/// `header ‖ record ‖ zeros ‖ length ‖ tag`.
pub(crate) fn pad(header: &Header, mut record: Vec<u8>) -> Vec<u8> {
    let len = record.len();
    let room = if Protection::Padding.holds() { header.class.bytes() } else { len + LENGTH_BYTES };
    let end = HEADER_LEN + room;
    let number = u32::try_from(len).expect("invariant: the largest size class is below 4 GiB");
    record.reserve_exact(end + TAG_LEN - len);
    record.resize(end + TAG_LEN, 0);
    record.copy_within(..len, HEADER_LEN);
    record[..HEADER_LEN].copy_from_slice(&header.encode());
    record[end - LENGTH_BYTES..end].copy_from_slice(&number.to_be_bytes());
    record
}

/// Length of the record in padded plaintext, if all padding is zero.
pub(crate) fn unpad(plaintext: &[u8]) -> Result<usize, OpenError> {
    let (room, length) = plaintext.split_last_chunk::<LENGTH_BYTES>().ok_or(OpenError::BadPadding)?;
    let len = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| OpenError::BadPadding)?;
    let padding = room.get(len..).ok_or(OpenError::BadPadding)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(OpenError::BadPadding);
    }
    Ok(len)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unpad_wants_zeros_and_a_length_that_fits() {
        assert_eq!(unpad(b"abc\0\0\0\0\0\x03"), Ok(3));
        assert_eq!(unpad(b"abc\0\0\0\0\0\x05"), Ok(5));
        assert_eq!(unpad(b"abc\0\0\0\0\0\x06"), Err(OpenError::BadPadding));
        assert_eq!(unpad(b"abc\0\0\0\0\0\x02"), Err(OpenError::BadPadding));
        assert_eq!(unpad(b"abc\0\0\xff\xff\xff\xff"), Err(OpenError::BadPadding));
        assert_eq!(unpad(b"\0\0\0"), Err(OpenError::BadPadding));
    }

    #[test]
    fn header_fields_stand_where_the_documentation_says() {
        let header = Header {
            class: SizeClass::new(3).unwrap(),
            epoch: Epoch(0x0102_0304),
            incarnation: [0xaa; 16],
            nonce: [0xbb; 12],
        };
        let bytes = header.encode();
        assert_eq!(hex::encode(&bytes[..8]), "0002000301020304");
        assert_eq!(bytes[8..24], [0xaa; 16]);
        assert_eq!(bytes[24..], [0xbb; 12]);
        assert_eq!(bytes.len(), 36);
    }
}
