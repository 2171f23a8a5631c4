//! The ladder of lengths that blobs are padded to.

use crate::blob::OVERHEAD;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Class of 64 KiB, where doubling ends and steps of a quarter begin.
const LAST_DOUBLING: u16 = 6;

/// Class of 4 MiB, where a quarter is 1 MiB, and counting begins.
const LAST_QUARTER: u16 = 30;

/// The largest class: 31 MiB, so that a sealed blob stays below 32 MiB.
const LARGEST: u16 = 57;

/// Bytes of padded plaintext that hold the true length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// The longest record that can be sealed.
pub const MAX_PLAINTEXT_BYTES: usize = SizeClass(LARGEST).bytes() - LENGTH_BYTES;

/// The longest sealed blob.
pub const MAX_SEALED_BYTES: usize = SizeClass(LARGEST).bytes() + OVERHEAD;

/// How much of a snapshot fits into one chunk. Every chunk is padded to the same size, 1 MiB.
pub const SNAPSHOT_CHUNK_BYTES: usize = SizeClass::CHUNK.bytes() - LENGTH_BYTES;

/// A rung of the ladder 1 KiB, 2 KiB, 4 KiB … 64 KiB, 80, 96, 112, 128, 160 KiB … 4 MiB, 5 MiB, 6 MiB … 31 MiB.
///
/// Up to 64 KiB a blob's length tells the host the order of magnitude of the record. Above, where a record is
/// many transactions and doubling would pad a third of all bytes written, it tells the length to a quarter,
/// and from 4 MiB on to 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeClass(u16);

impl SizeClass {
    /// The class of all snapshot chunks: 1 MiB.
    pub const CHUNK: Self = Self(22);

    /// The class with this number, if there is one.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= LARGEST { Some(Self(number)) } else { None }
    }

    /// The smallest class that holds a record of `len` bytes and its length.
    #[must_use]
    pub fn for_record(len: usize) -> Option<Self> {
        let kib = len.checked_add(LENGTH_BYTES)?.div_ceil(KIB);
        let above = kib.checked_next_power_of_two()?;
        let number = if above <= 64 {
            above.trailing_zeros()
        } else if above <= 4 * KIB {
            // Quarters of the octave that ends at `above`, which is 128 KiB or more.
            let quarters = kib.div_ceil(above / 8) - 4;
            let octave = above.trailing_zeros() - 7;
            u32::from(LAST_DOUBLING) + 4 * octave + u32::try_from(quarters).ok()?
        } else {
            u32::from(LAST_QUARTER) + u32::try_from(kib.div_ceil(KIB)).ok()?.checked_sub(4)?
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
        // Widening; `usize::from` is not const.
        let number = self.0 as usize;
        if self.0 <= LAST_DOUBLING {
            KIB << number
        } else if self.0 <= LAST_QUARTER {
            let step = number - LAST_DOUBLING as usize - 1;
            let octave = (64 * KIB) << (step / 4);
            octave / 4 * (5 + step % 4)
        } else {
            (number - LAST_QUARTER as usize + 4) * MIB
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_doubles_to_64_kib_then_rises_by_quarters_and_then_counts() {
        let bytes: Vec<usize> = (0..=LARGEST).map(|n| SizeClass::new(n).unwrap().bytes()).collect();
        let first = [1, 2, 4, 8, 16, 32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
        assert_eq!(bytes[..16], first.map(|k| k * KIB));
        let last = [2048, 2560, 3072, 3584, 4096, 5120, 6144];
        assert_eq!(bytes[26..33], last.map(|k| k * KIB));
        assert!(bytes.is_sorted_by(|a, b| a < b), "each class is longer than the one before");
        assert_eq!(SizeClass::new(LARGEST).unwrap().bytes(), 31 * MIB);
        assert_eq!(SizeClass::new(LARGEST + 1), None);
        assert_eq!(SizeClass::CHUNK.bytes(), MIB);
        assert_eq!(MAX_SEALED_BYTES, 31 * MIB + 52);
    }

    #[test]
    fn a_class_is_the_smallest_that_fits_at_each_of_its_ends() {
        for number in 0..=LARGEST {
            let class = SizeClass::new(number).unwrap();
            let longest = class.bytes() - LENGTH_BYTES;
            assert_eq!(SizeClass::for_record(longest), Some(class));
            assert_eq!(SizeClass::for_record(longest + 1), SizeClass::new(number + 1));
        }
    }

    #[test]
    fn a_record_gets_the_smallest_class_that_also_holds_its_length() {
        let class = |len| SizeClass::for_record(len).map(SizeClass::bytes);
        assert_eq!(class(0), Some(KIB));
        assert_eq!(class(1020), Some(KIB));
        assert_eq!(class(1021), Some(2 * KIB));
        assert_eq!(class(2045), Some(4 * KIB));
        assert_eq!(class(SNAPSHOT_CHUNK_BYTES), Some(MIB));
        assert_eq!(class(SNAPSHOT_CHUNK_BYTES + 1), Some(5 * MIB / 4));
        assert_eq!(class(5 * MIB), Some(6 * MIB));
        assert_eq!(class(MAX_PLAINTEXT_BYTES), Some(31 * MIB));
        assert_eq!(class(MAX_PLAINTEXT_BYTES + 1), None);
        assert_eq!(class(usize::MAX), None);
    }
}
