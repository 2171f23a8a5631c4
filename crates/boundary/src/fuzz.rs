//! Entry point for fuzzing the decoder.

use crate::codec::{Decoder, Message, encode};
use crate::message::{FromEnclave, ToEnclave};

/// Decodes arbitrary bytes in both directions. The first byte chooses the size of the pieces in
/// which they arrive.
///
/// # Panics
/// When a property is broken: whatever decodes must encode to the very bytes it came from, and the
/// result must not depend on how the bytes were cut.
pub fn fuzz_frame(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else {
        return;
    };
    check::<ToEnclave>(usize::from(cut), stream);
    check::<FromEnclave>(usize::from(cut), stream);
}

fn check<M: Message + PartialEq + core::fmt::Debug>(cut: usize, stream: &[u8]) {
    let mut whole = Decoder::<M>::new();
    whole.push(stream);
    let mut pieces = Decoder::<M>::new();
    let mut rest = stream.chunks(cut.max(1));
    let mut again = Vec::new();
    loop {
        let expected = whole.next_message();
        let found = loop {
            match pieces.next_message() {
                Ok(None) => match rest.next() {
                    Some(piece) => pieces.push(piece),
                    None => break Ok(None),
                },
                done => break done,
            }
        };
        assert_eq!(expected, found, "the cut must not matter");
        match expected {
            Ok(Some(message)) => {
                let from = again.len();
                assert_eq!(encode(&message, &mut again), Ok(()));
                assert_eq!(again[from..], stream[from..again.len()], "one encoding");
            }
            Ok(None) | Err(_) => return,
        }
    }
}
