//! Messages that wait for the bytes of blocks they name.

use std::collections::{BTreeSet, VecDeque};

use alloy_primitives::B256;
use raft::eraftpb::{Entry, Message, MessageType};

use super::codec::{MAX_ENTRIES, base_of, block_of};
use super::types::{BlockRef, Effect, NodeId};

/// Most messages that wait. A leader repeats what was not answered.
const MAX_WAITING: usize = 64;
/// After so many ticks a message is forgotten: the leader has moved on, or the bytes do not come.
const WAIT_TICKS: u32 = 40;
/// The same for a state, which takes longer.
const WAIT_TICKS_FOR_STATE: u32 = 1_200;
/// Ticks between two requests for the same bytes.
const RETRY_TICKS: u32 = 6;
/// Most blocks whose bytes are known to be here and are in no entry yet.
const MAX_HELD: usize = 2 * MAX_ENTRIES;

#[derive(Debug)]
struct Waiting {
    message: Message,
    ticks: u32,
}

/// Messages in the order they came.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    ready: VecDeque<Message>,
    waiting: VecDeque<Waiting>,
    ticks: u32,
    /// Blocks whose bytes came and are not in the log yet, oldest first.
    held: VecDeque<B256>,
    /// Blocks whose state was fetched.
    states: BTreeSet<B256>,
}

impl Inbox {
    /// Takes a message; asks its sender for the blocks it names and nobody has sent yet. `known` tells whether an
    /// entry is in the log already.
    pub(super) fn push(&mut self, message: Message, known: impl Fn(&Entry) -> bool, out: &mut Vec<Effect>) {
        if self.is_complete(&message, &known) {
            self.ready.push_back(message);
            return;
        }
        let Some(from) = NodeId::new(message.from) else {
            return;
        };
        // What an earlier leader's messages wait for may never come, and is of no use when it does.
        self.waiting.retain(|waiting| waiting.message.term >= message.term);
        let missing = blocks_of(&message, &known).filter(|block| !self.is_held(block) && !self.is_asked(block));
        let asks: Vec<_> = missing.map(|block| Effect::Fetch { from, block }).collect();
        if let Some(said) = self.waiting.iter_mut().find(|waiting| repeats(&waiting.message, &message)) {
            // In its place: were each repetition queued, the first would always be about to expire.
            *said = Waiting { message, ticks: 0 };
            out.extend(asks);
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            return;
        }
        if let Some(block) = state_of(&message) {
            // One state at a time: by the time a newer one were here, there would be a newer one still.
            if self.waiting.iter().any(|waiting| state_of(&waiting.message).is_some()) {
                return;
            }
            out.push(Effect::CatchUp { from, block });
        }
        out.extend(asks);
        self.waiting.push_back(Waiting { message, ticks: 0 });
    }

    /// Asks again for what the first message waits for, and for a state.
    fn ask_again(&self, known: &impl Fn(&Entry) -> bool, out: &mut Vec<Effect>) {
        for (position, waiting) in self.waiting.iter().enumerate() {
            let Some(from) = NodeId::new(waiting.message.from) else {
                continue;
            };
            if position == 0 && self.ticks.is_multiple_of(RETRY_TICKS) {
                let missing = blocks_of(&waiting.message, known).filter(|block| !self.is_held(block));
                out.extend(missing.map(|block| Effect::Fetch { from, block }));
            }
            if let Some(block) = state_of(&waiting.message)
                && waiting.ticks.is_multiple_of(WAIT_TICKS)
                && !is_reached(&waiting.message, known)
            {
                out.push(Effect::CatchUp { from, block });
            }
        }
    }

    pub(super) fn received(&mut self, block: BlockRef, known: impl Fn(&Entry) -> bool) {
        if !self.held.contains(&block.digest) {
            self.held.push_back(block.digest);
            if self.held.len() > MAX_HELD {
                self.held.pop_front();
            }
        }
        self.wake(&known);
    }

    pub(super) fn caught_up(&mut self, block: BlockRef, known: impl Fn(&Entry) -> bool) {
        self.states.insert(block.digest);
        self.wake(&known);
    }

    /// The block is in the log.
    pub(super) fn used(&mut self, block: BlockRef) {
        self.held.retain(|held| *held != block.digest);
    }

    /// A snapshot took the place of everything.
    pub(super) fn forget(&mut self) {
        self.states.clear();
    }

    /// Another took this node's place: what it said does not count any more.
    pub(super) fn forget_from(&mut self, node: u64) {
        self.ready.retain(|message| message.from != node);
        self.waiting.retain(|waiting| waiting.message.from != node);
    }

    /// The next message that the engine can take.
    pub(super) fn pop(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    pub(super) fn tick(&mut self, known: impl Fn(&Entry) -> bool, out: &mut Vec<Effect>) {
        self.ticks = self.ticks.wrapping_add(1);
        for waiting in &mut self.waiting {
            waiting.ticks += 1;
        }
        self.waiting.retain(|waiting| {
            let state = state_of(&waiting.message).is_some();
            waiting.ticks < if state { WAIT_TICKS_FOR_STATE } else { WAIT_TICKS }
        });
        self.wake(&known);
        self.ask_again(&known, out);
    }

    fn wake(&mut self, known: &impl Fn(&Entry) -> bool) {
        // In order: an append is of use only after the one before it.
        while let Some(first) = self.waiting.front()
            && self.is_complete(&first.message, known)
        {
            if let Some(waiting) = self.waiting.pop_front() {
                self.ready.push_back(waiting.message);
            }
        }
    }

    fn is_complete(&self, message: &Message, known: &impl Fn(&Entry) -> bool) -> bool {
        blocks_of(message, known).all(|block| self.is_held(&block))
            && (state_of(message).is_none_or(|block| self.states.contains(&block.digest)) || is_reached(message, known))
    }

    fn is_held(&self, block: &BlockRef) -> bool {
        self.held.contains(&block.digest)
    }

    fn is_asked(&self, block: &BlockRef) -> bool {
        self.waiting.iter().any(|waiting| blocks_of(&waiting.message, &|_| false).any(|asked| asked == *block))
    }
}

/// Whether a leader says the same again, with as many entries or more.
fn repeats(said: &Message, again: &Message) -> bool {
    let place = |message: &Message| (message.from, message.term, message.get_msg_type(), message.index);
    said.get_msg_type() == MessageType::MsgAppend
        && place(said) == place(again)
        && said.entries.len() <= again.entries.len()
}

/// Whether the log has what a state begins with: then it only says how far the log is committed.
fn is_reached(message: &Message, known: &impl Fn(&Entry) -> bool) -> bool {
    let base = base_of(message.get_snapshot());
    known(&Entry { index: base.index, term: base.term, ..Entry::default() })
}

/// The blocks that a message names and the log does not.
fn blocks_of(message: &Message, known: &impl Fn(&Entry) -> bool) -> impl Iterator<Item = BlockRef> {
    message.entries.iter().filter(|entry| !known(entry)).filter_map(|entry| block_of(&entry.data))
}

fn state_of(message: &Message) -> Option<BlockRef> {
    (message.get_msg_type() == MessageType::MsgSnapshot).then(|| base_of(message.get_snapshot()).block).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cloister_primitives::Height;

    use super::*;

    const NOTHING: fn(&Entry) -> bool = |_| false;

    fn block(height: u64) -> BlockRef {
        BlockRef { height: Height(height), digest: B256::with_last_byte(u8::try_from(height).unwrap()) }
    }

    /// What node 2 leads with: blocks from the one after `before` up to `last`.
    fn append(before: u64, last: u64) -> Message {
        let entries = (before + 1..=last)
            .map(|height| Entry {
                index: height,
                term: 3,
                data: alloy_rlp::encode(block(height)).into(),
                ..Default::default()
            })
            .collect::<Vec<_>>();
        let mut message = Message { from: 2, term: 3, index: before, ..Default::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message.entries = entries.into();
        message
    }

    fn asked(out: &mut Vec<Effect>) -> Vec<u64> {
        out.drain(..)
            .filter_map(|effect| match effect {
                Effect::Fetch { block, .. } => Some(block.height.0),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn missing_blocks_are_asked_for_once_and_again_after_a_while() {
        let (mut inbox, mut out) = (Inbox::default(), Vec::new());
        inbox.push(append(0, 2), NOTHING, &mut out);
        inbox.push(append(2, 3), NOTHING, &mut out);
        assert_eq!(asked(&mut out), [1, 2, 3]);
        inbox.received(block(1), NOTHING);
        for _ in 0..RETRY_TICKS {
            assert_eq!(asked(&mut out), [0; 0]);
            inbox.tick(NOTHING, &mut out);
        }
        assert_eq!(asked(&mut out), [2], "only for the first message: the next is of no use before it");
        inbox.received(block(2), NOTHING);
        assert_eq!(inbox.pop().map(|message| message.index), Some(0));
        assert_eq!(inbox.pop(), None, "the block of the second one is not here");
    }

    #[test]
    fn a_leader_that_repeats_itself_does_not_keep_a_follower_from_asking_again() {
        let (mut inbox, mut out) = (Inbox::default(), Vec::new());
        let mut asks = 0;
        for tick in 0..4 * WAIT_TICKS {
            if tick % 2 == 0 {
                inbox.push(append(0, 2), NOTHING, &mut out);
            }
            inbox.tick(NOTHING, &mut out);
            asks += asked(&mut out).len();
        }
        assert_eq!(inbox.waiting.len(), 1);
        assert_eq!(asks, 2 + 2 * (4 * WAIT_TICKS / RETRY_TICKS) as usize);
        inbox.received(block(1), NOTHING);
        inbox.received(block(2), NOTHING);
        assert_eq!(inbox.pop().map(|message| message.entries.len()), Some(2));
    }

    #[test]
    fn what_nobody_repeats_is_forgotten() {
        let (mut inbox, mut out) = (Inbox::default(), Vec::new());
        inbox.push(append(0, 1), NOTHING, &mut out);
        for _ in 0..WAIT_TICKS {
            inbox.tick(NOTHING, &mut out);
        }
        assert!(inbox.waiting.is_empty());
    }
}
