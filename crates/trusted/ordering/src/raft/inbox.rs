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
        let missing = blocks_of(&message, &known).filter(|block| !self.is_held(block) && !self.is_asked(block));
        out.extend(missing.map(|block| Effect::Fetch { from, block }));
        self.waiting.push_back(Waiting { message, ticks: 0 });
    }

    /// Asks again for what the first message waits for, and for a state.
    fn ask_again(&self, known: &impl Fn(&Entry) -> bool, out: &mut Vec<Effect>) {
        for (position, waiting) in self.waiting.iter().enumerate() {
            let Some(from) = NodeId::new(waiting.message.from) else {
                continue;
            };
            if position == 0 && waiting.ticks.is_multiple_of(RETRY_TICKS) {
                let missing = blocks_of(&waiting.message, known).filter(|block| !self.is_held(block));
                out.extend(missing.map(|block| Effect::Fetch { from, block }));
            }
            if let Some(block) = state_of(&waiting.message)
                && waiting.ticks.is_multiple_of(WAIT_TICKS)
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
        self.wake(known);
    }

    pub(super) fn caught_up(&mut self, block: BlockRef, known: impl Fn(&Entry) -> bool) {
        self.states.insert(block.digest);
        self.wake(known);
    }

    /// The block is in the log.
    pub(super) fn used(&mut self, block: BlockRef) {
        self.held.retain(|held| *held != block.digest);
    }

    /// A snapshot took the place of everything.
    pub(super) fn forget(&mut self) {
        self.states.clear();
    }

    /// The next message that the engine can take.
    pub(super) fn pop(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    pub(super) fn tick(&mut self, known: impl Fn(&Entry) -> bool, out: &mut Vec<Effect>) {
        for waiting in &mut self.waiting {
            waiting.ticks += 1;
        }
        self.waiting.retain(|waiting| {
            let state = state_of(&waiting.message).is_some();
            waiting.ticks < if state { WAIT_TICKS_FOR_STATE } else { WAIT_TICKS }
        });
        self.ask_again(&known, out);
    }

    fn wake(&mut self, known: impl Fn(&Entry) -> bool) {
        // In order: an append is of use only after the one before it.
        while let Some(first) = self.waiting.front()
            && self.is_complete(&first.message, &known)
        {
            if let Some(waiting) = self.waiting.pop_front() {
                self.ready.push_back(waiting.message);
            }
        }
    }

    fn is_complete(&self, message: &Message, known: &impl Fn(&Entry) -> bool) -> bool {
        blocks_of(message, known).all(|block| self.is_held(&block))
            && state_of(message).is_none_or(|block| self.states.contains(&block.digest))
    }

    fn is_held(&self, block: &BlockRef) -> bool {
        self.held.contains(&block.digest)
    }

    fn is_asked(&self, block: &BlockRef) -> bool {
        self.waiting.iter().any(|waiting| blocks_of(&waiting.message, &|_| false).any(|asked| asked == *block))
    }
}

/// The blocks that a message names and the log does not.
fn blocks_of(message: &Message, known: &impl Fn(&Entry) -> bool) -> impl Iterator<Item = BlockRef> {
    message.entries.iter().filter(|entry| !known(entry)).filter_map(|entry| block_of(&entry.data))
}

fn state_of(message: &Message) -> Option<BlockRef> {
    (message.get_msg_type() == MessageType::MsgSnapshot).then(|| base_of(message.get_snapshot()).block).flatten()
}
