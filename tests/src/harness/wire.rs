//! What parties send and are answered, as the network sees it.
//!
//! Parties share one client, as accounts of one session at a gateway do: that a client sends, and when, is declassified.
//! With an ideal cipher around the connection nothing is left of what crosses it but direction, order and length; of an
//! envelope, which anybody on the way may look at, its clear header is left, too.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use cloister_client::{Sealer, SealingKeys};
use cloister_keys::SizeClass;
use cloister_primitives::Declassified;
use cloister_primitives::envelope::{Header, Keying, SealingSuite, padded_bytes};
use cloister_shell::{FramePadder, Lengths};

use super::cast::Observer;
use super::pair::Difference;

/// First byte of a text message in one frame.
const WHOLE_TEXT: u8 = 0x81;

/// Something that crossed the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    /// Which way, and what it looks like.
    about: String,
    /// Whose size class it has.
    fact: Declassified,
    /// The length of that class.
    class: usize,
    /// How long it was on the wire.
    length: usize,
}

/// The client of the parties.
#[derive(Debug, Default)]
pub(super) struct Wire {
    sealer: Option<Sealer>,
    /// Whether the node knows the context of the last first envelope.
    is_known: bool,
    /// Whether that one has no transaction in it: then the node does not keep its context.
    is_spoiled: bool,
    /// Names of contexts, in the order in which they came.
    contexts: BTreeMap<[u8; 16], usize>,
    crossings: Vec<Crossing>,
}

impl Wire {
    /// Forgets keys, as a client does that is refused with them.
    pub(super) fn forget_keys(&mut self) {
        (self.sealer, self.is_known) = (None, false);
    }

    pub(super) const fn has_keys(&self) -> bool {
        self.sealer.is_some()
    }

    /// Takes the node's keys.
    pub(super) fn take_keys(&mut self, answer: &str) -> Result<(), String> {
        let keys: SealingKeys = serde_json::from_str(answer).map_err(|error| format!("{error}: {answer}"))?;
        self.sealer = Some(keys.sealer(SealingSuite::X25519).map_err(|error| error.to_string())?);
        self.is_known = false;
        Ok(())
    }

    /// As [`seal`](Self::seal), for what is no transaction.
    pub(super) fn seal_unreadable(&mut self, bytes: &[u8]) -> Result<Bytes, String> {
        let envelope = self.seal(bytes)?;
        self.is_spoiled = !self.is_known;
        Ok(envelope)
    }

    /// Puts a transaction into an envelope and sends it off: in a context of its own until the node has taken one.
    pub(super) fn seal(&mut self, transaction: &[u8]) -> Result<Bytes, String> {
        let sealer = self.sealer.as_mut().ok_or("no sealing keys")?;
        let sealed = if self.is_known { sealer.go_on(transaction) } else { sealer.seal(transaction) };
        let envelope = sealed.map_err(|error| error.to_string())?;
        self.is_spoiled = false;
        let (header, _) = Header::parse(&envelope).map_err(|error| error.to_string())?;
        let count = self.contexts.len();
        let about = match &header.keying {
            Keying::First { encapsulated } => format!("first envelope, {} bytes of a key", encapsulated.len()),
            Keying::Continued { context, sequence } => {
                let context = *self.contexts.entry(context.0).or_insert(count);
                format!("envelope {sequence} of context {context}")
            }
        };
        let class = padded_bytes(transaction.len());
        self.crossings.push(Crossing { about, fact: Declassified::PayloadSize, class, length: envelope.len() });
        Ok(envelope)
    }

    /// All that was sent is answered: the last context can go on.
    pub(super) const fn settled(&mut self) {
        self.is_known = self.sealer.is_some() && (self.is_known || !self.is_spoiled);
    }

    /// An answer over HTTP.
    pub(super) fn answered(&mut self, method: &str, answer: &str) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{answer}}}"#).into_bytes();
        let class = class_of(body.len());
        let length = Lengths::Classes.pad(body).len();
        let about = format!("answer of {method}");
        self.crossings.push(Crossing { about, fact: Declassified::AnswerSize, class, length });
    }

    /// A notification on a WebSocket.
    pub(super) fn notified(&mut self, text: &str) {
        let mut frame = vec![WHOLE_TEXT, 127];
        frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        let head = frame.len();
        frame.extend_from_slice(text.as_bytes());
        let mut out = Vec::new();
        FramePadder::default().push(&frame, &mut out);
        let class = class_of(text.len());
        let length = out.len().saturating_sub(head);
        self.crossings.push(Crossing {
            about: "notification".to_owned(),
            fact: Declassified::AnswerSize,
            class,
            length,
        });
    }

    /// All that crossed.
    pub(super) fn into_crossings(self) -> Vec<Crossing> {
        self.crossings
    }
}

fn class_of(len: usize) -> usize {
    SizeClass::for_record(len).map_or(len, SizeClass::bytes)
}

/// Facts that moved, or how the network can tell two worlds apart: lengths may differ only where their classes do.
pub(super) fn compare(first: &[Crossing], second: &[Crossing]) -> Result<Vec<Declassified>, Difference> {
    let mut moved = Vec::new();
    for index in 0..first.len().max(second.len()) {
        let [one, other] = [first, second].map(|crossings| crossings.get(index));
        match (one, other) {
            (Some(one), Some(other)) if one.about == other.about && one.class != other.class => moved.push(one.fact),
            (Some(one), Some(other)) if one == other => {}
            _ => {
                let said = |crossing: Option<&Crossing>| {
                    crossing.map_or("nothing".to_owned(), |one| format!("{}, {} bytes", one.about, one.length))
                };
                return Err(Difference {
                    observer: Observer::Network,
                    about: format!("crossing {index}"),
                    first: said(one),
                    second: said(other),
                });
            }
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(lens: &[usize]) -> Vec<Crossing> {
        let mut wire = Wire::default();
        for len in lens {
            wire.answered("eth_call", &"7".repeat(*len));
        }
        wire.into_crossings()
    }

    #[test]
    fn lengths_say_their_class_and_more_is_a_difference() {
        assert_eq!(compare(&answered(&[10, 700]), &answered(&[900, 20])), Ok(vec![]));
        assert_eq!(compare(&answered(&[10]), &answered(&[1_500])), Ok(vec![Declassified::AnswerSize]));
        let mut exact = answered(&[10]);
        exact[0].length -= 1;
        assert_eq!(compare(&answered(&[10]), &exact).map_err(|difference| difference.observer), Err(Observer::Network));
        assert!(compare(&answered(&[10]), &answered(&[10, 10])).is_err(), "one more");
    }

    #[test]
    fn notifications_are_as_long_as_their_class() {
        let mut wire = Wire::default();
        wire.notified(r#"{"jsonrpc":"2.0"}"#);
        wire.notified(&"7".repeat(1_000));
        let [short, long] = <[_; 2]>::try_from(wire.into_crossings()).expect("two of them");
        assert_eq!((short.class, &short), (1_024, &long));
    }
}
