//! Frames: what goes in comes out, and nothing malformed comes in.
#![allow(clippy::unwrap_used)]

mod common;

use cloister_boundary::limits::{MAX_BLOCKS_PER_READ, MAX_DATA, MAX_SEALED};
use cloister_boundary::{
    ConnId, Decoder, Detail, FrameError, FromEnclave, HEADER_LEN, HaltCode, MAX_FRAME, Message, ReadId, Record,
    ToEnclave, encode, fuzz_frame,
};
use cloister_primitives::{Height, Seq};
use common::{from_enclave, to_enclave};
use proptest::prelude::*;

fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    encode(message, &mut out).unwrap();
    out
}

fn decode<M: Message>(bytes: &[u8]) -> Result<Option<M>, FrameError> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    decoder.next_message()
}

/// The frame of a message with its length field and body replaced.
fn with_body<M: Message>(message: &M, body: &[u8]) -> Vec<u8> {
    let mut frame = bytes_of(message)[..HEADER_LEN - 4].to_vec();
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

#[test]
fn the_encoding_is_pinned() {
    assert_eq!(
        bytes_of(&ToEnclave::Persisted { seq: Seq(0x0102) }),
        [0xc1, 0x5e, 0, 5, 0x04, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2]
    );
    assert_eq!(
        bytes_of(&FromEnclave::Data { conn: ConnId(3), bytes: b"ok".to_vec() }),
        [0xc1, 0x5e, 0, 5, 0x86, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, b'o', b'k']
    );
}

#[test]
fn headers_that_are_not_ours_are_named() {
    let good = bytes_of(&ToEnclave::Shutdown);
    assert_eq!(decode(&good), Ok(Some(ToEnclave::Shutdown)));

    let mut magic = good.clone();
    magic[0] = b'G';
    assert_eq!(decode::<ToEnclave>(&magic), Err(FrameError::BadMagic { found: 0x475e }));

    let mut version = good.clone();
    version[3] = 1;
    assert_eq!(decode::<ToEnclave>(&version), Err(FrameError::BadVersion { found: 1 }));

    let mut kind = good.clone();
    kind[4] = 0x7f;
    assert_eq!(decode::<ToEnclave>(&kind), Err(FrameError::UnknownKind { kind: 0x7f }));

    assert_eq!(
        decode::<FromEnclave>(&good),
        Err(FrameError::UnknownKind { kind: 0x0d }),
        "a frame sent back to its author is refused"
    );
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_body_arrives() {
    let mut frame = bytes_of(&ToEnclave::Tick { now_ms: 1 });
    frame.truncate(HEADER_LEN);
    frame[5..9].copy_from_slice(&9u32.to_be_bytes());
    assert_eq!(decode::<ToEnclave>(&frame), Err(FrameError::TooLong { what: "frame", found: 9, limit: 8 }));

    let mut start = bytes_of(&ToEnclave::Start(Default::default()));
    start.truncate(HEADER_LEN);
    start[5..9].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(
        decode::<ToEnclave>(&start),
        Err(FrameError::TooLong { what: "frame", found: u32::MAX as usize, limit: MAX_FRAME })
    );
}

#[test]
fn bodies_that_are_too_short_or_too_long_are_named() {
    let tick = ToEnclave::Tick { now_ms: 7 };
    assert_eq!(decode::<ToEnclave>(&with_body(&tick, &[0; 7])), Err(FrameError::Truncated { what: "now_ms" }));
    assert_eq!(
        decode::<ToEnclave>(&with_body(&ToEnclave::Start(Default::default()), &[0; 64])),
        Err(FrameError::TrailingBytes { count: 32 })
    );
    // 0xffff bytes of data are promised, one is there.
    let data = ToEnclave::Data { conn: ConnId(0), bytes: vec![1] };
    let mut body = vec![0; 8];
    body.extend_from_slice(&[0, 0, 0xff, 0xff, 1]);
    assert_eq!(decode::<ToEnclave>(&with_body(&data, &body)), Err(FrameError::Truncated { what: "data" }));
    // A list of 1,000 blocks is promised, the bytes of none are there.
    let blocks = ToEnclave::Blocks { id: ReadId(0), blocks: vec![] };
    let mut body = vec![0; 8];
    body.extend_from_slice(&1_000u32.to_be_bytes());
    assert_eq!(decode::<ToEnclave>(&with_body(&blocks, &body)), Err(FrameError::Truncated { what: "blocks" }));
    body[8..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(
        decode::<ToEnclave>(&with_body(&blocks, &body)),
        Err(FrameError::TooLong { what: "blocks", found: u32::MAX as usize, limit: MAX_BLOCKS_PER_READ as usize })
    );
}

#[test]
fn values_outside_their_type_are_named() {
    let halt = FromEnclave::Halt { code: HaltCode::ShutDown, detail: Detail::constant("") };
    for (body, what) in
        [(&[200, 0, 0, 0, 0][..], "halt code"), (&[0, 0, 0, 0, 1, 0xff], "detail"), (&[0, 0, 0, 0, 1, 0x1b], "detail")]
    {
        assert_eq!(
            decode::<FromEnclave>(&with_body(&halt, body)),
            Err(FrameError::BadValue { what }),
            "an unknown code, text that is not UTF-8, and a terminal escape"
        );
    }
    let open = ToEnclave::Shutdown;
    let mut frame = with_body(&open, &[0, 0, 0, 0, 0, 0, 0, 1, 4]);
    frame[4] = 0x09;
    assert_eq!(decode::<ToEnclave>(&frame), Err(FrameError::BadValue { what: "peer" }));
}

#[test]
fn messages_over_their_limits_are_not_encoded() {
    let mut out = vec![1, 2, 3];
    for (message, what) in [
        (ToEnclave::Data { conn: ConnId(1), bytes: vec![0; MAX_DATA + 1] }, "data"),
        (ToEnclave::Chunk { id: ReadId(1), bytes: Some(vec![0; MAX_SEALED + 1]) }, "sealed chunk"),
    ] {
        let found = encode(&message, &mut out);
        assert!(matches!(found, Err(FrameError::TooLong { what: name, .. }) if name == what), "{found:?}");
        assert_eq!(out, [1, 2, 3], "the buffer is as it was");
    }
    let empty = ToEnclave::Data { conn: ConnId(1), bytes: vec![] };
    assert_eq!(encode(&empty, &mut out), Err(FrameError::BadValue { what: "data" }));
}

#[test]
fn the_largest_messages_pass() {
    let message = FromEnclave::Persist {
        seq: Seq(1),
        record: Record::SnapshotChunk { snapshot: Height(9), index: 4, sealed: vec![7; MAX_SEALED] },
    };
    let bytes = bytes_of(&message);
    assert!(decode(&bytes).unwrap() == Some(message));
}

#[test]
fn a_decoder_stays_in_its_error() {
    let mut decoder = Decoder::<ToEnclave>::new();
    decoder.push(b"GET / HTTP/1.1\r\n");
    let error = FrameError::BadMagic { found: 0x4745 };
    assert_eq!(decoder.next_message(), Err(error));
    decoder.push(&bytes_of(&ToEnclave::Shutdown));
    assert_eq!(decoder.next_message(), Err(error));
    assert_eq!(decoder.finish(), Err(error));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_truncated() {
    let bytes = bytes_of(&ToEnclave::Closed { conn: ConnId(1) });
    for end in 1..bytes.len() {
        let mut decoder = Decoder::<ToEnclave>::new();
        decoder.push(&bytes[..end]);
        assert_eq!(decoder.next_message(), Ok(None));
        assert_eq!(decoder.finish(), Err(FrameError::Truncated { what: "frame" }));
    }
}

#[test]
fn every_error_has_its_own_name() {
    let names = [
        FrameError::BadMagic { found: 0 }.name(),
        FrameError::BadVersion { found: 0 }.name(),
        FrameError::UnknownKind { kind: 0 }.name(),
        FrameError::TooLong { what: "", found: 0, limit: 0 }.name(),
        FrameError::Truncated { what: "" }.name(),
        FrameError::TrailingBytes { count: 0 }.name(),
        FrameError::BadValue { what: "" }.name(),
    ];
    let distinct: std::collections::BTreeSet<_> = names.into_iter().collect();
    assert_eq!(distinct.len(), names.len());
}

/// Encodes all, feeds the bytes in pieces of `cut`, and expects the same messages.
fn round_trip<M: Message + PartialEq + std::fmt::Debug>(messages: &[M], cut: usize) {
    let mut stream = Vec::new();
    for message in messages {
        encode(message, &mut stream).unwrap();
    }
    let mut decoder = Decoder::<M>::new();
    let mut found = Vec::new();
    for piece in stream.chunks(cut) {
        decoder.push(piece);
        while let Some(message) = decoder.next_message().unwrap() {
            found.push(message);
        }
    }
    assert_eq!(found, messages);
    assert_eq!(decoder.finish(), Ok(()));
}

proptest! {
    #[test]
    fn messages_to_the_enclave_round_trip(
        messages in prop::collection::vec(to_enclave(), 0..8),
        cut in 1..200usize,
    ) {
        round_trip(&messages, cut);
    }

    #[test]
    fn messages_from_the_enclave_round_trip(
        messages in prop::collection::vec(from_enclave(), 0..8),
        cut in 1..200usize,
    ) {
        round_trip(&messages, cut);
    }

    /// One byte changed anywhere: another message, an error or a wait for more; never a panic, and
    /// what is accepted has exactly these bytes as its encoding (checked inside `fuzz_frame`).
    #[test]
    fn mutated_frames_are_harmless(
        to in to_enclave(),
        from in from_enclave(),
        at in any::<prop::sample::Index>(),
        bits in 1..=255u8,
        cut in any::<u8>(),
    ) {
        for frame in [bytes_of(&to), bytes_of(&from)] {
            let mut stream = vec![cut];
            stream.extend_from_slice(&frame);
            stream.extend_from_slice(&frame);
            let at = 1 + at.index(stream.len() - 1);
            stream[at] ^= bits;
            fuzz_frame(&stream);
        }
    }

    /// A right header over an arbitrary body, which is where random bytes alone never get.
    #[test]
    fn arbitrary_bodies_are_harmless(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut stream = vec![17];
        stream.extend_from_slice(&bytes_of(&ToEnclave::Shutdown)[..HEADER_LEN]);
        stream[5] = kind;
        stream[6..10].copy_from_slice(&(body.len() as u32).to_be_bytes());
        stream.extend_from_slice(&body);
        fuzz_frame(&stream);
    }

    #[test]
    fn arbitrary_bytes_are_harmless(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_frame(&stream);
    }
}
