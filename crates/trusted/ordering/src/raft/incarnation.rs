//! Which start of a node is its newest: of two processes with one identity, one at most counts as that node.
//!
//! A folder may be copied, by mistake or by a host that wants two answers from one node: enclaves with the same identity that
//! prove the same things. Two votes of one node in one term elect two leaders (Raft §5.2), so an identity is not enough.
//!
//! Each start draws a nonce, and takes a number above all that it hears of its node. Every message carries what its sender knows of all
//! nodes' starts; whoever hears of a newer one drops what an older one says from then on, and tells it.
//!
//! - Before a node takes part, R = n − q + 1 others ([`super::freshness`]) know of its start. One of them is in every majority that an older
//!   start could be counted in, and drops what that says.
//! - Until then nothing that it answers counts ([`super::feed`]).
//! - What the others say counts only while they know of the same starts as this node: those who have started again since have
//!   forgotten it.
//! - A candidate that hears of a newer start may have counted the older one's vote: it gives its election up. A leader need not: it
//!   is asked by the newer start, whose floor is then above all that the older one acknowledged to it. But from there on it counts on
//!   nothing that the older one had, as if it had just been elected: the newer one's disk may be an earlier one.

use std::collections::BTreeMap;

use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use raft::{INVALID_ID, StateRole};

use super::codec::{CodecError, MAX_NODES, Words, decode_words};
use super::sound::check_numbers;
use super::types::{Effect, Fault, NodeId};
use super::{Freshness, Raft};

/// How often a start takes a higher number because others know of another one. Once, and once more for each that remembers an
/// earlier start which the rest have forgotten; not as often as this, unless the other one does the same.
const MAX_RAISES: u32 = 8;

/// One start of a node. A later one has a higher number; of two that took the same number at the same time, one is higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, RlpEncodable, RlpDecodable)]
pub(super) struct Incarnation {
    number: u64,
    nonce: u64,
}

#[derive(Clone, Copy, Debug, RlpEncodable, RlpDecodable)]
struct Named {
    node: u64,
    incarnation: Incarnation,
}

/// The newest start of each node, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Incarnations(BTreeMap<u64, Incarnation>);

impl Incarnations {
    /// Those of a node that has just started.
    pub(super) fn new(node: NodeId, nonce: u64) -> Self {
        let mut incarnations = Self::default();
        incarnations.raise(node, nonce);
        incarnations
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, node: NodeId) -> Option<Incarnation> {
        self.0.get(&node.get()).copied()
    }

    /// The start with this nonce is newer than all that were known.
    fn raise(&mut self, node: NodeId, nonce: u64) {
        let number = self.of(node).map_or(0, |known| known.number).saturating_add(1);
        self.0.insert(node.get(), Incarnation { number, nonce });
    }

    /// Takes over what is newer. Returns the nodes of which another start was known.
    pub(super) fn learn(&mut self, said: &Self) -> Vec<u64> {
        let mut replaced = Vec::new();
        for (node, incarnation) in &said.0 {
            match self.0.get(node) {
                Some(known) if known >= incarnation => continue,
                Some(_) => replaced.push(*node),
                None if self.0.len() >= MAX_NODES => continue,
                None => {}
            }
            self.0.insert(*node, *incarnation);
        }
        replaced
    }

    /// Refuses what nobody says.
    pub(super) fn check(&self) -> Result<(), CodecError> {
        check_numbers(self.0.values().map(|incarnation| incarnation.number))
    }

    fn named(&self) -> Vec<Named> {
        self.0.iter().map(|(node, incarnation)| Named { node: *node, incarnation: *incarnation }).collect()
    }
}

impl Encodable for Incarnations {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        self.named().encode(out);
    }

    fn length(&self) -> usize {
        self.named().length()
    }
}

impl Decodable for Incarnations {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let named = Vec::<Named>::decode(buf)?;
        if named.len() > MAX_NODES || !named.is_sorted_by(|before, after| before.node < after.node) {
            return Err(alloy_rlp::Error::Custom("starts of nodes are not in order"));
        }
        Ok(Self(named.into_iter().map(|named| (named.node, named.incarnation)).collect()))
    }
}

/// What every message says besides its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    /// How often the sender's network was recovered.
    pub(super) recoveries: u64,
    /// What it knows of the nodes' starts, its own among them.
    pub(super) incarnations: Incarnations,
    /// Whether it does not take part yet: nothing that it answers counts ([`super::feed`]).
    pub(super) is_waiting: bool,
}

impl Raft {
    /// Takes over what another node knows of all nodes' starts. Returns whether it is that node's newest start which speaks; if
    /// not, it is told.
    pub(super) fn is_newest(
        &mut self,
        from: NodeId,
        words: &Words,
        said: &Incarnations,
        out: &mut Vec<Effect>,
    ) -> Result<bool, Fault> {
        let known = self.incarnations.0.len();
        let replaced = self.incarnations.learn(said);
        if !replaced.is_empty() || self.incarnations.0.len() > known {
            self.freshness.ask_anew();
        }
        for node in replaced {
            self.replaced(node)?;
        }
        let is_newest = said.of(from) >= self.incarnations.of(from);
        // An answer to an answer would have one as well.
        if !is_newest && !matches!(words, Words::Report(_)) {
            self.answer(from, out);
        }
        Ok(is_newest)
    }

    /// Whether another node knows of the same starts as this one.
    pub(super) fn agrees_with(&self, said: &Incarnations) -> bool {
        self.incarnations == *said
    }

    /// That it is there and knows nothing is all that others can still learn from a node that has halted.
    pub(super) fn hear_halted(&mut self, from: NodeId, bytes: &[u8], out: &mut Vec<Effect>) {
        let Ok((words, said)) = decode_words(bytes, from, self.options.id) else { return };
        let id = self.options.id;
        if self.incarnations.learn(&said.incarnations).contains(&id.get()) {
            // It has nothing to contest the other one with, and would only be in its way.
            out.push(Effect::Halt(Fault::Twice));
            return;
        }
        // What is taken for this node may be another start of it, which has to hear of this one to be heard of here.
        let is_older = said.incarnations.of(id) < self.incarnations.of(id) && !matches!(words, Words::Report(_));
        if is_older || words == Words::Question {
            self.answer(from, out);
        }
    }

    /// There is a newer start of a node than this one knew.
    fn replaced(&mut self, node: u64) -> Result<(), Fault> {
        let id = self.options.id;
        let is_this = node == id.get();
        if is_this {
            self.raises += 1;
            if self.raises > MAX_RAISES {
                return Err(Fault::Twice);
            }
            self.incarnations.raise(id, self.options.nonce);
            self.freshness = Freshness::new();
        } else {
            self.inbox.forget_from(node);
            self.freshness.replaced();
        }
        let raft = &mut self.node.raft;
        match raft.state {
            StateRole::Leader if !is_this => {
                let next = raft.raft_log.last_index() + 1;
                if let Some(progress) = raft.mut_prs().get_mut(node) {
                    progress.matched = 0;
                    progress.become_probe();
                    progress.next_idx = next;
                }
            }
            StateRole::Candidate | StateRole::PreCandidate | StateRole::Leader => {
                let term = raft.term;
                raft.become_follower(term, INVALID_ID);
            }
            StateRole::Follower => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    fn known(starts: &[(u64, u64, u64)]) -> Incarnations {
        Incarnations(
            starts
                .iter()
                .map(|(node, number, nonce)| (*node, Incarnation { number: *number, nonce: *nonce }))
                .collect(),
        )
    }

    #[test]
    fn the_newer_start_of_each_node_is_kept_whoever_tells_whom() {
        let (one, other) = (known(&[(1, 2, 50), (2, 1, 9), (3, 1, 4)]), known(&[(1, 3, 7), (2, 1, 8), (4, 1, 1)]));
        let (mut here, mut there) = (one.clone(), other.clone());
        assert_eq!(here.learn(&other), [1], "of node 4 nothing was known");
        assert_eq!(there.learn(&one), [2], "of two starts with one number one is taken by both sides");
        assert_eq!(here, there);
        assert_eq!(here, known(&[(1, 3, 7), (2, 1, 9), (3, 1, 4), (4, 1, 1)]));
        assert_eq!(here.learn(&one), [0; 0], "older news change nothing");
    }

    #[test]
    fn a_start_takes_a_number_above_all_that_it_heard_of_its_node() {
        let mut start = Incarnations::new(id(1), 77);
        assert_eq!(start, known(&[(1, 1, 77)]));
        start.learn(&known(&[(1, 5, 3)]));
        start.raise(id(1), 77);
        assert_eq!(start, known(&[(1, 6, 77)]));
    }

    #[test]
    fn starts_come_back_as_they_were_and_in_no_other_order() {
        let starts = known(&[(1, 2, 50), (2, 1, u64::MAX)]);
        let bytes = alloy_rlp::encode(&starts);
        assert_eq!(Incarnations::decode(&mut &bytes[..]), Ok(starts.clone()));
        let mut turned = starts.named();
        turned.reverse();
        assert!(Incarnations::decode(&mut &alloy_rlp::encode(&turned)[..]).is_err());
        turned[0] = turned[1];
        assert!(Incarnations::decode(&mut &alloy_rlp::encode(&turned)[..]).is_err(), "one node twice");
        let many: Vec<_> = (1..=MAX_NODES as u64 + 1).map(|node| (node, 1, 1)).collect();
        assert!(Incarnations::decode(&mut &alloy_rlp::encode(known(&many))[..]).is_err());
    }
}
