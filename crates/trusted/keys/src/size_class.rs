//! The ladder of lengths that blobs are padded to.

use crate::blob::OVERHEAD;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Class of 1 MiB, where doubling ends and counting begins.
const ONE_MIB: u16 = 10;

/// The largest class: 31 MiB, so that a sealed blob stays below 32 MiB.
const LARGEST: u16 = 40;

/// Bytes of padded plaintext that hold the true length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// The longest record that can be sealed.
pub const MAX_PLAINTEXT_BYTES: usize = SizeClass(LARGEST).bytes() - LENGTH_BYTES;

/// The longest sealed blob.
pub const MAX_SEALED_BYTES: usize = SizeClass(LARGEST).bytes() + OVERHEAD;

/// How much of a snapshot fits into one chunk. Every chunk is padded to the same size, 1 MiB.
pub const SNAPSHOT_CHUNK_BYTES: usize = SizeClass::CHUNK.bytes() - LENGTH_BYTES;

/// A rung of the ladder 1 KiB, 2 KiB, 4 KiB … 1 MiB, 2 MiB, 3 MiB … 31 MiB.
///
/// Below 1 MiB a blob's length tells the host the order of magnitude of the record; above, its size to 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeClass(u16);

impl SizeClass {
    /// The class of all snapshot chunks: 1 MiB.
    pub const CHUNK: Self = Self(ONE_MIB);

    /// The class with this number, if there is one.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= LARGEST { Some(Self(number)) } else { None }
    }

    /// The smallest class that holds a record of `len` bytes and its length.
    #[must_use]
    pub fn for_record(len: usize) -> Option<Self> {
        let padded = len.checked_add(LENGTH_BYTES)?;
        let number = if padded <= MIB {
            let kib = padded.div_ceil(KIB).next_power_of_two();
            kib.trailing_zeros()
        } else {
            let mib = u32::try_from(padded.div_ceil(MIB)).ok()?;
            mib.checked_add(u32::from(ONE_MIB) - 1)?
        };
        Self::new(u16::try_from(number).ok()?)
    }

    /// Length of a sealed blob of this class.
    #[must_use]
    pub const fn sealed_bytes(self) -> usize {
        self.bytes() + OVERHEAD
    }

    /// The number written into a blob's header.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Bytes of padded plaintext, and so of ciphertext, in this class.
    #[must_use]
    pub const fn bytes(self) -> usize {
        if self.0 <= ONE_MIB {
            KIB << self.0
        } else {
            // Widening; `usize::from` is not const.
            (self.0 - ONE_MIB + 1) as usize * MIB
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_doubles_to_one_mib_and_then_counts() {
        let bytes: Vec<usize> = (0..=12).map(|n| SizeClass::new(n).unwrap().bytes()).collect();
        let kib = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3072];
        assert_eq!(bytes, kib.map(|k| k * KIB));
        assert_eq!(SizeClass::new(LARGEST).unwrap().bytes(), 31 * MIB);
        assert_eq!(SizeClass::new(LARGEST + 1), None);
        assert_eq!(MAX_SEALED_BYTES, 31 * MIB + 52);
    }

    #[test]
    fn a_record_gets_the_smallest_class_that_also_holds_its_length() {
        let class = |len| SizeClass::for_record(len).map(SizeClass::bytes);
        assert_eq!(class(0), Some(KIB));
        assert_eq!(class(1020), Some(KIB));
        assert_eq!(class(1021), Some(2 * KIB));
        assert_eq!(class(2045), Some(4 * KIB));
        assert_eq!(class(SNAPSHOT_CHUNK_BYTES), Some(MIB));
        assert_eq!(class(SNAPSHOT_CHUNK_BYTES + 1), Some(2 * MIB));
        assert_eq!(class(5 * MIB), Some(6 * MIB));
        assert_eq!(class(MAX_PLAINTEXT_BYTES), Some(31 * MIB));
        assert_eq!(class(MAX_PLAINTEXT_BYTES + 1), None);
        assert_eq!(class(usize::MAX), None);
    }
}
