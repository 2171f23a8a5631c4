//! A WebSocket's bytes before its parser sees them (RFC 6455, section 5.2).
//!
//! The parser reserves and clears as much memory as a frame's head announces, whatever follows, and it loses its place
//! in the stream when a message is too long. So the head of a long frame is held back here until its payload is
//! complete, and a message that is too long is refused by its head.

use thiserror::Error;

/// Frames of up to so many bytes are passed on as they come: what their heads make the parser reserve is no loss.
const PASSED_AT_ONCE: u64 = 64 << 10;

/// Room that is kept when everything was read.
const KEPT_BYTES: usize = 64 << 10;

/// A message exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a WebSocket message of more than {limit} bytes")]
pub(crate) struct MessageTooLong {
    limit: u64,
}

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug)]
enum Position {
    /// In a head, of which so many bytes are there.
    Head { len: usize },
    /// In a payload that the parser may have as it comes.
    Passed { left: u64 },
    /// In a payload that it may have once all of it is there.
    Held { left: u64 },
    /// Nowhere: a message was too long.
    Refused(MessageTooLong),
}

/// What a client sent, and how much of it the parser may have.
#[derive(Debug)]
pub(crate) struct Frames {
    limit: u64,
    /// Payload of the message so far, earlier fragments included.
    message: u64,
    position: Position,
    bytes: Vec<u8>,
    /// Bytes that the parser has.
    read: usize,
    /// Bytes that it may have, counted from the first.
    visible: usize,
}

impl Frames {
    /// Frames from their first byte on; messages of more than `limit` bytes are refused.
    pub(crate) const fn new(limit: u64) -> Self {
        let position = Position::Head { len: 0 };
        Self { limit, message: 0, position, bytes: Vec::new(), read: 0, visible: 0 }
    }

    /// Why nothing more is taken in, if so.
    pub(crate) const fn refusal(&self) -> Option<MessageTooLong> {
        match self.position {
            Position::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// What the parser may have and has not.
    pub(crate) fn readable(&self) -> &[u8] {
        &self.bytes[self.read..self.visible]
    }

    /// The parser took the first `count` bytes of what it may have.
    pub(crate) fn consume(&mut self, count: usize) {
        self.read = self.visible.min(self.read + count);
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            (self.read, self.visible) = (0, 0);
        }
    }

    /// Takes in what came, up to a message that is too long.
    pub(crate) fn receive(&mut self, mut chunk: &[u8]) {
        self.bytes.drain(..self.read);
        self.visible -= self.read;
        self.read = 0;
        while let Some(first) = chunk.first() {
            match self.position {
                Position::Head { len } => {
                    self.bytes.push(*first);
                    chunk = &chunk[1..];
                    self.position = self.after_head_byte(len + 1);
                }
                Position::Passed { left } => {
                    let left = self.append(&mut chunk, left);
                    self.visible = self.bytes.len();
                    self.position = if left == 0 { Position::Head { len: 0 } } else { Position::Passed { left } };
                }
                Position::Held { left } => {
                    let left = self.append(&mut chunk, left);
                    self.position = Position::Held { left };
                    if left == 0 {
                        self.visible = self.bytes.len();
                        self.position = Position::Head { len: 0 };
                    }
                }
                Position::Refused(_) => return,
            }
        }
    }

    /// Moves up to `left` bytes of a payload here; returns how many are then missing.
    fn append(&mut self, chunk: &mut &[u8], left: u64) -> u64 {
        let count = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let (payload, rest) = chunk.split_at(count);
        self.bytes.extend_from_slice(payload);
        *chunk = rest;
        left - count as u64
    }

    /// What follows the first `len` bytes of a head, which are the last that came.
    fn after_head_byte(&mut self, len: usize) -> Position {
        let Some(head) = Head::parse(&self.bytes[self.bytes.len() - len..]) else {
            return Position::Head { len };
        };
        if !head.is_control {
            self.message = self.message.saturating_add(head.payload);
            if self.message > self.limit {
                return Position::Refused(MessageTooLong { limit: self.limit });
            }
            if head.is_last {
                self.message = 0;
            }
        }
        if head.payload > PASSED_AT_ONCE {
            return Position::Held { left: head.payload };
        }
        self.visible = self.bytes.len();
        if head.payload == 0 { Position::Head { len: 0 } } else { Position::Passed { left: head.payload } }
    }
}

/// What a complete head says.
pub(crate) struct Head {
    /// No fragment of the message follows.
    is_last: bool,
    /// A ping, a pong or a close, which may come between fragments.
    is_control: bool,
    pub(crate) payload: u64,
}

impl Head {
    /// The head, if it is complete.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else {
            return None;
        };
        let (payload, mask) = match second & 0x7f {
            126 => rest.split_first_chunk().map(|(length, mask)| (u64::from(u16::from_be_bytes(*length)), mask))?,
            127 => rest.split_first_chunk().map(|(length, mask)| (u64::from_be_bytes(*length), mask))?,
            length => (u64::from(length), rest),
        };
        let is_masked = second & 0x80 != 0;
        let mask_bytes = if is_masked { 4 } else { 0 };
        (mask.len() == mask_bytes).then_some(Self {
            is_last: first & 0x80 != 0,
            is_control: first & 0x08 != 0,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u8 = 0x81;
    const FIRST_FRAGMENT: u8 = 0x01;
    const NEXT_FRAGMENT: u8 = 0x00;
    const PING: u8 = 0x89;

    fn head(first: u8, payload: u64) -> Vec<u8> {
        let mut head = vec![first];
        match payload {
            0..=125 => head.push(0x80 | payload as u8),
            126..=0xffff => {
                head.push(0x80 | 126);
                head.extend((payload as u16).to_be_bytes());
            }
            _ => {
                head.push(0x80 | 127);
                head.extend(payload.to_be_bytes());
            }
        }
        head.extend([1, 2, 3, 4]);
        head
    }

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        [head(first, payload as u64), vec![7; payload]].concat()
    }

    /// Takes what may be had, `step` bytes at a time.
    fn take(frames: &mut Frames, step: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some(part) = frames.readable().get(..step.min(frames.readable().len())).filter(|p| !p.is_empty()) {
            taken.extend_from_slice(part);
            let count = part.len();
            frames.consume(count);
        }
        taken
    }

    #[test]
    fn every_byte_is_passed_on_in_order_however_it_is_cut() {
        let sent = [
            frame(TEXT, 0),
            frame(TEXT, 125),
            frame(FIRST_FRAGMENT, 126),
            frame(PING, 5),
            frame(NEXT_FRAGMENT, 70_000),
            frame(0x80, 3),
            frame(TEXT, 65_536),
        ]
        .concat();
        for (cut, step) in [(1, 3), (7, 8_192), (4_096, 1), (sent.len(), 100_000)] {
            let mut frames = Frames::new(100_000);
            let mut taken = Vec::new();
            for chunk in sent.chunks(cut) {
                frames.receive(chunk);
                taken.extend(take(&mut frames, step));
            }
            assert!(taken == sent, "cut into {cut}");
            assert!(frames.bytes.is_empty());
        }
    }

    #[test]
    fn a_long_frame_is_shown_when_it_is_complete_and_not_before() {
        let mut frames = Frames::new(15 << 20);
        frames.receive(&frame(PING, 2));
        frames.receive(&head(TEXT, 1 << 20));
        frames.receive(&vec![7; (1 << 20) - 1]);
        assert_eq!(take(&mut frames, 100), frame(PING, 2));
        // The last byte, and the beginning of the next head.
        frames.receive(&[7, TEXT]);
        assert!(take(&mut frames, 8_192) == frame(TEXT, 1 << 20));
        frames.receive(&[0x80, 0, 0, 0, 0]);
        assert_eq!(take(&mut frames, 100), [TEXT, 0x80, 0, 0, 0, 0]);
        assert!(frames.bytes.capacity() <= KEPT_BYTES);
    }

    #[test]
    fn messages_are_limited_and_not_the_connection() {
        let mut frames = Frames::new(1_000);
        for _ in 0..10 {
            frames.receive(&frame(TEXT, 1_000));
            frames.receive(&frame(FIRST_FRAGMENT, 600));
            frames.receive(&frame(PING, 125));
            frames.receive(&frame(0x80, 400));
        }
        take(&mut frames, 8_192);
        assert_eq!(frames.refusal(), None);
        // What came before is still to be had; what comes after is not kept.
        frames.receive(&[frame(PING, 1), head(TEXT, 1_001)].concat());
        frames.receive(&frame(TEXT, 1));
        assert_eq!(frames.refusal(), Some(MessageTooLong { limit: 1_000 }));
        assert_eq!(take(&mut frames, 100), frame(PING, 1));

        let mut fragmented = Frames::new(1_000);
        fragmented.receive(&frame(FIRST_FRAGMENT, 600));
        fragmented.receive(&head(NEXT_FRAGMENT, 401));
        assert!(fragmented.refusal().is_some());
        // Lengths that overflow when they are added up.
        let mut huge = Frames::new(u64::MAX - 1);
        huge.receive(&frame(FIRST_FRAGMENT, 1));
        huge.receive(&head(NEXT_FRAGMENT, u64::MAX));
        assert!(huge.refusal().is_some());
    }

    #[test]
    fn frames_without_a_mask_are_measured_too() {
        let mut frames = Frames::new(10);
        frames.receive(&[TEXT, 3, 1, 2, 3, TEXT]);
        assert_eq!(take(&mut frames, 100), [TEXT, 3, 1, 2, 3]);
        frames.receive(&[11]);
        assert!(frames.refusal().is_some());
    }
}
