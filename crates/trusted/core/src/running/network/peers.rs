//! What other nodes say, and blocks they ask for.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::Bytes;
use cloister_boundary::FromEnclave;
use cloister_ordering::raft::{BlockRef, NodeId};
use cloister_primitives::Height;

use super::{HostRead, Input, Running, catch_up::BLOCKS_PER_REQUEST, digest, say};
use crate::{Fatal, PeerEvent, machine::Step, peer_word::PeerWord};

/// Reads for other nodes that may be under way at one time.
const MAX_READS: usize = 8;

/// Reads that may wait for their turn. Who gets no answer asks again.
const MAX_WAITING: usize = 512;

/// Blocks of others' wishes, read from the host.
#[derive(Debug, Default)]
pub(super) struct Serving {
    reads: BTreeMap<HostRead, Wish>,
    waiting: VecDeque<Wish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    of: NodeId,
    from: Height,
    upto: Height,
    form: Form,
}

/// What was asked for, and so how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Block(BlockRef),
    Stored,
}

impl Running {
    pub(in crate::running) fn on_peer(
        &mut self,
        node: NodeId,
        event: PeerEvent,
        step: &mut Step<'_>,
    ) -> Result<(), Fatal> {
        let Some(network) = self.engine.network() else { return Ok(()) };
        match event {
            PeerEvent::Connected => {
                network.connected.insert(node);
                network.push(Input::Connected(node));
                if network.leader == Some(node) {
                    self.on_leader(Some(node), step);
                }
            }
            PeerEvent::Gone => {
                network.connected.remove(&node);
            }
            PeerEvent::Said(message) => match PeerWord::decode(&message) {
                Ok(word) => self.on_word(node, word, step)?,
                Err(_) => step.warn("another node said something that this version does not understand"),
            },
        }
        Ok(())
    }

    fn on_word(&mut self, node: NodeId, word: PeerWord, step: &mut Step<'_>) -> Result<(), Fatal> {
        let head = self.ledger.head();
        let Some(network) = self.engine.network() else { return Ok(()) };
        match word {
            PeerWord::Consensus(message) => network.push(Input::Peer(node, message.into())),
            PeerWord::Block { height, sealed } => {
                let block = BlockRef { height, digest: digest(&sealed) };
                if network.bodies.insert(block, sealed, head) {
                    network.push(Input::Received(block));
                }
            }
            PeerWord::WantBlock(block) => match network.bodies.get(block).cloned() {
                Some(sealed) => say(node, &PeerWord::Block { height: block.height, sealed }, step),
                None => {
                    let (from, upto) = (block.height, block.height);
                    self.serve(Wish { of: node, from, upto, form: Form::Block(block) }, step);
                }
            },
            PeerWord::WantStored { from, upto } => {
                let upto = upto.min(Height(from.0.saturating_add(BLOCKS_PER_REQUEST - 1))).min(head);
                if from <= upto {
                    self.serve(Wish { of: node, from, upto, form: Form::Stored }, step);
                }
            }
            PeerWord::Stored { height, sealed } => self.on_stored(node, height, sealed, step)?,
            PeerWord::Transactions(transactions) => self.on_forwarded(transactions, step),
        }
        Ok(())
    }

    /// Reads blocks for another node, if the host has them, now or when others have had their turn.
    fn serve(&mut self, wish: Wish, step: &mut Step<'_>) {
        let Some(network) = self.engine.network() else { return };
        let Serving { reads, waiting } = &mut network.serving;
        let is_known = reads.values().chain(&*waiting).any(|known| *known == wish);
        if !is_known && waiting.len() < MAX_WAITING && network.host_last >= Some(wish.upto) {
            waiting.push_back(wish);
        }
        self.read_for_others(step);
    }

    fn read_for_others(&mut self, step: &mut Step<'_>) {
        while let Some(network) = self.engine.network()
            && network.serving.reads.len() < MAX_READS
            && let Some(wish) = network.serving.waiting.pop_front()
        {
            let id = self.loads.draw_read();
            let count = u32::try_from(wish.upto.0 - wish.from.0 + 1).unwrap_or(u32::MAX);
            step.host(FromEnclave::ReadBlocks { id, from: wish.from, count });
            network.serving.reads.insert(id, wish);
        }
    }

    pub(in crate::running) fn is_peer_read(&mut self, id: HostRead) -> bool {
        self.engine.network().is_some_and(|network| network.serving.reads.contains_key(&id))
    }

    pub(in crate::running) fn on_peer_read_failed(&mut self, id: HostRead, step: &mut Step<'_>) {
        if let Some(network) = self.engine.network() {
            network.serving.reads.remove(&id);
        }
        self.read_for_others(step);
    }

    pub(in crate::running) fn on_peer_read(&mut self, id: HostRead, blobs: Vec<Option<Vec<u8>>>, step: &mut Step<'_>) {
        let Some(network) = self.engine.network() else { return };
        let Some(wish) = network.serving.reads.remove(&id) else { return };
        let next = tell(&wish, blobs, step);
        // The host answers long reads in parts.
        if next > wish.from && next <= wish.upto {
            network.serving.waiting.push_front(Wish { from: next, ..wish });
        }
        self.read_for_others(step);
    }
}

/// Sends what was read, up to the first block that is not there. Returns the height after the last one.
fn tell(wish: &Wish, blobs: Vec<Option<Vec<u8>>>, step: &mut Step<'_>) -> Height {
    let mut next = wish.from;
    for blob in blobs {
        let Some(blob) = blob.filter(|_| next <= wish.upto) else { break };
        let sealed = Bytes::from(blob);
        let word = match wish.form {
            Form::Block(block) if digest(&sealed) != block.digest => break,
            Form::Block(_) => PeerWord::Block { height: next, sealed },
            Form::Stored => PeerWord::Stored { height: next, sealed },
        };
        say(wish.of, &word, step);
        next = next.next();
    }
    next
}
