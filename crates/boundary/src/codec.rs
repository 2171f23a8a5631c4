//! Frames: how a message becomes bytes and bytes become a message again.
//!
//! ```text
//!  0       2         4      5        9
//!  ┌───────┬─────────┬──────┬────────┬──────────────┐
//!  │ magic │ version │ kind │ length │ body (length)│     all integers big-endian
//!  └───────┴─────────┴──────┴────────┴──────────────┘
//! ```
//!
//! Kinds towards the enclave are below 0x80, kinds from it above, so a frame sent back to its
//! author is refused. A body has no padding and no optional tail: one message, one encoding.

use core::marker::PhantomData;

use thiserror::Error;

use crate::limits::MAX_FRAME;
use crate::message::{FromEnclave, ToEnclave};
use crate::wire::{Reader, Writer};

/// Version of the messages and their encoding. It is in every frame; another version is refused.
pub const PROTOCOL_VERSION: u16 = 5;

/// First two bytes of every frame.
pub const MAGIC: u16 = 0xC15E;

/// Bytes before a frame's body.
pub const HEADER_LEN: usize = 9;

/// Why bytes are not a message, or a message cannot become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The frame does not begin with [`MAGIC`].
    #[error("not a frame: it begins with {found:#06x}")]
    BadMagic {
        /// First two bytes.
        found: u16,
    },
    /// The frame is of another protocol version.
    #[error("protocol version {found}, expected {PROTOCOL_VERSION}")]
    BadVersion {
        /// Its version.
        found: u16,
    },
    /// No message of this direction has this kind.
    #[error("unknown kind of frame {kind:#04x}")]
    UnknownKind {
        /// Its kind.
        kind: u8,
    },
    /// A frame, field or list is longer than its limit.
    #[error("{what} has length {found}, the limit is {limit}")]
    TooLong {
        /// Name of the field.
        what: &'static str,
        /// Its length: bytes, or entries of a list.
        found: usize,
        /// The limit, in the same unit.
        limit: usize,
    },
    /// The bytes end inside this field.
    #[error("the frame ends inside {what}")]
    Truncated {
        /// Name of the field.
        what: &'static str,
    },
    /// The body is longer than its message.
    #[error("{count} bytes follow the message")]
    TrailingBytes {
        /// Number of bytes left over.
        count: usize,
    },
    /// A field has a value that its type excludes.
    #[error("{what} has no such value")]
    BadValue {
        /// Name of the field.
        what: &'static str,
    },
}

impl FrameError {
    /// Stable name, for logs and tests.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BadMagic { .. } => "bad-magic",
            Self::BadVersion { .. } => "bad-version",
            Self::UnknownKind { .. } => "unknown-kind",
            Self::TooLong { .. } => "too-long",
            Self::Truncated { .. } => "truncated",
            Self::TrailingBytes { .. } => "trailing-bytes",
            Self::BadValue { .. } => "bad-value",
        }
    }
}

/// A message of either direction. Implemented by [`ToEnclave`] and [`FromEnclave`] alone.
pub trait Message: Body {}

impl Message for ToEnclave {}
impl Message for FromEnclave {}

/// What a direction must define for the codec; out of reach for other crates.
pub trait Body: Sized {
    /// Writes the fields and returns the kind.
    #[doc(hidden)]
    fn write(&self, out: &mut Vec<u8>) -> Result<u8, FrameError>;
    /// Longest body of this kind; `None` for an unknown kind.
    #[doc(hidden)]
    fn limit(kind: u8) -> Option<usize>;
    /// Reads the fields and returns the message with the bytes left over.
    #[doc(hidden)]
    fn read(kind: u8, body: &[u8]) -> Result<(Self, usize), FrameError>;
}

/// Appends one message to `out` as a frame.
///
/// # Errors
/// [`FrameError::TooLong`] when a field is over its limit; `out` is then as it was before.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    let mut header = Writer(out);
    header.u16(MAGIC);
    header.u16(PROTOCOL_VERSION);
    header.u8(0);
    header.u32(0);
    match finish(message, out, start) {
        Ok(()) => Ok(()),
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Writes the body, then fills in the kind and length left open in the header.
fn finish<M: Message>(message: &M, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
    let kind = message.write(out)?;
    let found = out.len() - start - HEADER_LEN;
    let limit = M::limit(kind).unwrap_or(MAX_FRAME);
    let len = u32::try_from(found).ok().filter(|_| found <= limit).ok_or(FrameError::TooLong {
        what: "frame",
        found,
        limit,
    })?;
    out[start + 4] = kind;
    out[start + 5..start + HEADER_LEN].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

/// Cuts a stream of bytes into messages.
///
/// Give it bytes in pieces of any size with [`push`](Self::push), take messages with
/// [`next_message`](Self::next_message) until there is none. After an error it stays in that
/// error: where the next frame begins is no longer known.
#[derive(Debug)]
pub struct Decoder<M> {
    buffer: Vec<u8>,
    start: usize,
    failed: Option<FrameError>,
    message: PhantomData<fn() -> M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self { buffer: Vec::new(), start: 0, failed: None, message: PhantomData }
    }
}

/// A buffer that grew beyond this is given back once it is empty.
const KEPT_CAPACITY: usize = 1 << 20;

impl<M: Message> Decoder<M> {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes to the end of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        self.reclaim();
        self.buffer.extend_from_slice(bytes);
    }

    /// Drops consumed bytes, in amortised constant time for each byte.
    fn reclaim(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > KEPT_CAPACITY {
                self.buffer = Vec::new();
            }
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }

    /// The next whole message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The first malformed frame, for ever after.
    pub fn next_message(&mut self) -> Result<Option<M>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match parse(&self.buffer[self.start..]) {
            Ok(None) => Ok(None),
            Ok(Some((message, len))) => {
                self.start += len;
                Ok(Some(message))
            }
            Err(error) => {
                self.failed = Some(error);
                self.buffer = Vec::new();
                self.start = 0;
                Err(error)
            }
        }
    }

    /// Call at the end of the stream.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when it ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.start < self.buffer.len() => Err(FrameError::Truncated { what: "frame" }),
            None => Ok(()),
        }
    }
}

/// Parses the frame at the front of `bytes`: the message and the frame's length.
fn parse<M: Message>(bytes: &[u8]) -> Result<Option<(M, usize)>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let mut reader = Reader(header);
    let found = reader.u16("magic")?;
    if found != MAGIC {
        return Err(FrameError::BadMagic { found });
    }
    let found = reader.u16("version")?;
    if found != PROTOCOL_VERSION {
        return Err(FrameError::BadVersion { found });
    }
    let kind = reader.u8("kind")?;
    let found = reader.u32("length")? as usize;
    let limit = M::limit(kind).ok_or(FrameError::UnknownKind { kind })?;
    if found > limit {
        return Err(FrameError::TooLong { what: "frame", found, limit });
    }
    let Some(body) = rest.get(..found) else {
        return Ok(None);
    };
    match M::read(kind, body)? {
        (message, 0) => Ok(Some((message, HEADER_LEN + found))),
        (_, count) => Err(FrameError::TrailingBytes { count }),
    }
}
