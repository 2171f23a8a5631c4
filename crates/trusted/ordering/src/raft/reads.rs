//! Questions for the newest committed height, confirmed by a majority (Raft §8).

use std::collections::BTreeMap;

use cloister_primitives::Height;
use raft::{RawNode, ReadState, Storage};

use super::types::{Effect, NodeId, ReadId};

/// Most questions that are open.
const MAX_READS: usize = 1_024;
/// Ticks between two attempts: the first may have met no leader, or one that has committed nothing yet.
const RETRY_TICKS: u32 = 10;
/// Ticks after which a question is given back.
const GIVE_UP_TICKS: u32 = 60;

#[derive(Debug)]
struct Open {
    ticks: u32,
    /// The index that was newest when a majority answered.
    confirmed: Option<u64>,
}

/// The open questions of one node.
#[derive(Debug)]
pub(super) struct Reads {
    node: NodeId,
    open: BTreeMap<ReadId, Open>,
}

impl Reads {
    pub(super) const fn new(node: NodeId) -> Self {
        Self { node, open: BTreeMap::new() }
    }

    /// The name of a question in the whole network.
    fn name(node: NodeId, read: ReadId) -> Vec<u8> {
        [node.get().to_be_bytes(), read.0.to_be_bytes()].concat()
    }

    fn named(&self, name: &[u8]) -> Option<ReadId> {
        let (node, read) = name.split_first_chunk::<8>()?;
        let read = u64::from_be_bytes(read.try_into().ok()?);
        (u64::from_be_bytes(*node) == self.node.get()).then_some(ReadId(read))
    }

    pub(super) fn ask<S: Storage>(&mut self, read: ReadId, node: &mut RawNode<S>, out: &mut Vec<Effect>) {
        if self.open.len() >= MAX_READS {
            out.push(Effect::Unconfirmed(read));
            return;
        }
        self.open.insert(read, Open { ticks: 0, confirmed: None });
        node.read_index(Self::name(self.node, read));
    }

    pub(super) fn answered(&mut self, answer: &ReadState) {
        let read = self.named(&answer.request_ctx);
        if let Some(open) = read.and_then(|read| self.open.get_mut(&read)) {
            open.confirmed.get_or_insert(answer.index);
        }
    }

    pub(super) fn tick<S: Storage>(&mut self, node: &mut RawNode<S>, out: &mut Vec<Effect>) {
        for (read, open) in &mut self.open {
            open.ticks += 1;
            if open.confirmed.is_none() && open.ticks.is_multiple_of(RETRY_TICKS) {
                node.read_index(Self::name(self.node, *read));
            }
        }
        self.open.retain(|read, open| {
            let keep = open.ticks < GIVE_UP_TICKS;
            if !keep {
                out.push(Effect::Unconfirmed(*read));
            }
            keep
        });
    }

    /// Answers what is confirmed, once this node has come as far.
    pub(super) fn release(&mut self, applied: u64, committed: Height, out: &mut Vec<Effect>) {
        self.open.retain(|read, open| {
            let reached = open.confirmed.is_some_and(|index| index <= applied);
            if reached {
                out.push(Effect::ReadAt { read: *read, height: committed });
            }
            !reached
        });
    }
}
