//! Blocks in a file, one RLP list after the other, as geth writes and reads them.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use cloister_shell::MAX_FOREIGN_BLOCK_BYTES;

/// First byte of a list whose length follows in so many bytes more (RLP).
const LONG_LIST: u8 = 0xf7;
/// First byte of a list of no bytes.
const SHORT_LIST: u8 = 0xc0;

/// Why the next block of a file cannot be had; the names are stable.
#[derive(Debug)]
pub(crate) enum FileFault {
    /// The file ends within a block: bytes that the block should have, and has.
    Truncated { expected: u64, found: u64 },
    /// What is there is no list.
    Malformed { found: u8 },
    /// The block is larger than any that is taken.
    Oversized { found: u64 },
    /// The file cannot be read.
    Io(io::Error),
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { expected, found } => {
                write!(f, "rlp: expected {expected} bytes, found {found} (truncated-file)")
            }
            Self::Malformed { found } => write!(f, "rlp: expected a list, found byte {found:#04x} (malformed-block)"),
            Self::Oversized { found } => {
                write!(f, "size: expected at most {MAX_FOREIGN_BLOCK_BYTES} bytes, found {found} (oversized-block)")
            }
            Self::Io(error) => write!(f, "the file cannot be read: {error}"),
        }
    }
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file of blocks, read block by block.
pub(crate) struct BlockFile<R> {
    reader: R,
}

impl BlockFile<BufReader<File>> {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(|file| Self::new(BufReader::with_capacity(1 << 20, file)))
    }
}

impl<R: Read> BlockFile<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader }
    }

    /// The next block; `None` at the end of the file.
    pub(crate) fn next_block(&mut self) -> Result<Option<Vec<u8>>, FileFault> {
        let mut block = Vec::new();
        if self.take(&mut block, 1)? == 0 {
            return Ok(None);
        }
        let first = block[0];
        let length = match first {
            ..SHORT_LIST => return Err(FileFault::Malformed { found: first }),
            SHORT_LIST..=LONG_LIST => u64::from(first - SHORT_LIST),
            _ => {
                let digits = u64::from(first - LONG_LIST);
                self.exactly(&mut block, digits)?;
                block[1..].iter().fold(0, |length, digit| length << 8 | u64::from(*digit))
            }
        };
        let whole = length.saturating_add(block.len() as u64);
        if whole > MAX_FOREIGN_BLOCK_BYTES as u64 {
            return Err(FileFault::Oversized { found: whole });
        }
        self.exactly(&mut block, length)?;
        Ok(Some(block))
    }

    fn exactly(&mut self, block: &mut Vec<u8>, bytes: u64) -> Result<(), FileFault> {
        let expected = block.len() as u64 + bytes;
        if self.take(block, bytes)? < bytes {
            return Err(FileFault::Truncated { expected, found: block.len() as u64 });
        }
        Ok(())
    }

    fn take(&mut self, block: &mut Vec<u8>, bytes: u64) -> io::Result<u64> {
        self.reader.by_ref().take(bytes).read_to_end(block).map(|read| read as u64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut file = BlockFile::new(&mut bytes);
        let mut blocks = Vec::new();
        loop {
            match file.next_block() {
                Ok(Some(block)) => blocks.push(block),
                Ok(None) => return Ok(blocks),
                Err(fault) => return Err(fault.to_string()),
            }
        }
    }

    #[test]
    fn lists_are_taken_apart() {
        let long = [&[0xf8, 60][..], &[1; 60]].concat();
        let file = [&[0xc0][..], &[0xc2, 1, 2], &long].concat();
        assert_eq!(read(&file).unwrap(), [vec![0xc0], vec![0xc2, 1, 2], long]);
        assert_eq!(read(&[]).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn what_is_no_list_or_not_all_of_it_is_named() {
        assert_eq!(read(&[0x82, 1, 2]).unwrap_err(), "rlp: expected a list, found byte 0x82 (malformed-block)");
        assert_eq!(read(&[0xc2, 1]).unwrap_err(), "rlp: expected 3 bytes, found 2 (truncated-file)");
        assert_eq!(read(&[0xf9, 1]).unwrap_err(), "rlp: expected 3 bytes, found 2 (truncated-file)");
        let huge = read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
        assert!(huge.ends_with("found 18446744073709551615 (oversized-block)"), "{huge}");
    }
}
