//! What the length of an answer says to who carries it: its size class, and no more.
//!
//! White space follows the JSON, which it allows. Over HTTP a body is padded as a whole; on a WebSocket each text frame
//! is, on its way out (RFC 6455, section 5.2). How the bytes are cut into writes follows from padded lengths, too: with
//! TLS around them the network sees where a record ends.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use cloister_keys::SizeClass;
use cloister_primitives::Protection;
use cloister_rpc::Backlog;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::frames::Head;

/// First byte of a text message that is a frame of its own.
const WHOLE_TEXT: u8 = 0x81;
/// What ends the head of an answer over HTTP.
const END_OF_HEAD: &[u8; 4] = b"\r\n\r\n";
/// Bytes of one write in the middle of a long frame.
const WRITE_BYTES: usize = 64 << 10;

/// What the length of an answer says to who carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// How long it is.
    Exact,
    /// Its size class.
    Classes,
}

impl Lengths {
    /// The body with white space behind it.
    #[must_use]
    pub fn pad(self, mut body: Vec<u8>) -> Vec<u8> {
        body.resize(self.padded(body.len()), b' ');
        body
    }

    /// How long something of `len` bytes is on the wire. What is longer than any class stays as it is.
    fn padded(self, len: usize) -> usize {
        match (self, SizeClass::for_record(len)) {
            (Self::Classes, Some(class)) if Protection::AnswerPadding.holds() => class.bytes(),
            _ => len,
        }
    }
}

/// Where the next byte belongs.
#[derive(Clone, Debug)]
enum Position {
    /// In a head, of which these bytes are there.
    Head(Vec<u8>),
    /// In a payload, behind which so many spaces belong.
    Payload { left: u64, spaces: usize },
}

/// Makes the text frames of a WebSocket's server longer, and leaves others as they are.
#[derive(Clone, Debug)]
pub struct FramePadder(Position);

impl Default for FramePadder {
    fn default() -> Self {
        Self(Position::Head(Vec::new()))
    }
}

impl FramePadder {
    /// Takes in bytes as the server writes them, and appends what goes out instead.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.0 {
                Position::Head(head) => {
                    head.push(*first);
                    bytes = rest;
                    if let Some(parsed) = Head::parse(head) {
                        self.0 = begin(head, parsed.payload, out);
                    }
                }
                Position::Payload { left, spaces } => {
                    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    out.extend_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                    *left -= count as u64;
                    let spaces = *spaces;
                    if *left == 0 {
                        self.end(spaces, out);
                    }
                }
            }
        }
    }

    fn end(&mut self, spaces: usize, out: &mut Vec<u8>) {
        out.resize(out.len() + spaces, b' ');
        *self = Self::default();
    }

    /// Whether the last frame is complete.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(&self.0, Position::Head(head) if head.is_empty())
    }
}

/// Writes the head of a frame with a payload of `left` bytes.
fn begin(head: &[u8], left: u64, out: &mut Vec<u8>) -> Position {
    let padded = match usize::try_from(left) {
        Ok(len) if head[0] == WHOLE_TEXT => Lengths::Classes.padded(len),
        _ => 0,
    };
    let spaces = usize::try_from(left).map_or(0, |left| padded.saturating_sub(left));
    if spaces == 0 {
        out.extend_from_slice(head);
    } else {
        out.push(head[0]);
        match u16::try_from(padded) {
            Ok(padded) => {
                // A class is never as short as what a head says in seven bits.
                out.push(126);
                out.extend_from_slice(&padded.to_be_bytes());
            }
            Err(_) => {
                out.push(127);
                out.extend_from_slice(&(padded as u64).to_be_bytes());
            }
        }
    }
    if left == 0 {
        out.resize(out.len() + spaces, b' ');
        return Position::Head(Vec::new());
    }
    Position::Payload { left, spaces }
}

/// Says that a connection is a WebSocket now, behind the answer that is written next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upgraded(Arc<AtomicBool>);

impl Upgraded {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a connection's writer is at.
#[derive(Debug)]
enum Phase {
    Http,
    /// In the head of the answer that makes a WebSocket of it, with so many bytes of its end seen.
    Upgrading(usize),
    Frames(FramePadder),
}

/// A connection whose WebSocket frames are padded.
#[derive(Debug)]
pub(crate) struct PaddedStream<S> {
    inner: S,
    upgraded: Upgraded,
    backlog: Backlog,
    phase: Phase,
    /// Frames on their way out.
    out: Vec<u8>,
    /// Bytes of them that are written.
    written: usize,
}

impl<S> PaddedStream<S> {
    pub(crate) const fn new(inner: S, upgraded: Upgraded, backlog: Backlog) -> Self {
        Self { inner, upgraded, backlog, phase: Phase::Http, out: Vec::new(), written: 0 }
    }

    /// Takes in bytes of frames.
    fn take(&mut self, bytes: &[u8]) {
        if let Phase::Frames(padder) = &mut self.phase {
            let before = self.out.len();
            padder.push(bytes, &mut self.out);
            self.backlog.add((self.out.len() - before).saturating_sub(bytes.len()));
        }
    }

    /// What may be written now: a whole number of frames, or of long pieces of one.
    fn writable(&self) -> &[u8] {
        let rest = &self.out[self.written..];
        let is_complete = matches!(&self.phase, Phase::Frames(padder) if padder.is_between_frames());
        if is_complete || rest.len() >= WRITE_BYTES { &rest[..rest.len().min(WRITE_BYTES)] } else { &[] }
    }
}

impl<S: AsyncWrite + Unpin> PaddedStream<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let start = self.written;
            let end = start + self.writable().len();
            if start == end {
                break;
            }
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out[start..end]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.out.drain(..self.written);
        self.written = 0;
        self.out.shrink_to(2 * WRITE_BYTES);
        Poll::Ready(Ok(()))
    }

    fn poll_write_head(&mut self, cx: &mut Context<'_>, seen: usize, buf: &[u8]) -> Poll<io::Result<usize>> {
        // What comes behind the head belongs to frames already.
        let (_, end) = scan(seen, buf);
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &buf[..end]))?;
        self.phase = match scan(seen, &buf[..count]) {
            (matched, _) if matched == END_OF_HEAD.len() => Phase::Frames(FramePadder::default()),
            (matched, _) => Phase::Upgrading(matched),
        };
        Poll::Ready(Ok(count))
    }
}

/// How much of [`END_OF_HEAD`] is seen with these bytes, up to all of it; and how many of them that took.
fn scan(seen: usize, bytes: &[u8]) -> (usize, usize) {
    let mut matched = seen;
    for (index, byte) in bytes.iter().enumerate() {
        matched = match *byte {
            byte if END_OF_HEAD.get(matched) == Some(&byte) => matched + 1,
            b'\r' => 1,
            _ => 0,
        };
        if matched == END_OF_HEAD.len() {
            return (matched, index + 1);
        }
    }
    (matched, bytes.len())
}

impl<S: AsyncRead + Unpin> AsyncRead for PaddedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PaddedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.phase {
            Phase::Http if !self.upgraded.is_set() => Pin::new(&mut self.inner).poll_write(cx, buf),
            Phase::Http => self.poll_write_head(cx, 0, buf),
            Phase::Upgrading(seen) => self.poll_write_head(cx, seen, buf),
            Phase::Frames(_) => {
                if self.out.len() >= WRITE_BYTES {
                    ready!(self.poll_drain(cx))?;
                }
                let count = buf.len().min(WRITE_BYTES);
                self.take(&buf[..count]);
                Poll::Ready(Ok(count))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if matches!(self.phase, Phase::Http) && !self.upgraded.is_set() {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(cx, first.map_or(&[], |buf| &**buf))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "padding_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
