//! A log that begins anew because most of its network is lost for good, and how that network keeps to itself.
//!
//! Raft has no answer to the loss of a majority. Members have one: they name the node whose disk the network goes on
//! from. Its log then begins anew after its last block, in a later term, with that node as the only voter. All who took
//! part before are left behind for good: they may hold blocks, and votes, that the new log knows nothing of.
//!
//! Every message says how many recoveries its sender knows of, and on a recovered network a link begins with one. Who
//! knows of more than another does not hear it, and tells it so; who hears of more than it knows of takes no part any
//! more, unless its log is empty, as a newcomer's is: that one has nothing to give up. So a node that was left behind, be
//! it because it was away or because its disk is an old one, neither drags the network back nor goes on with a chain of
//! its own for longer than it is cut off.

use alloy_rlp::{RlpDecodable, RlpEncodable};

use super::Raft;
use super::codec::{Words, changed_nodes, encode_report};
use super::freshness::{Freshness, Report};
use super::stored::{Base, StoredLog, Vote};
use super::types::{BlockRef, Effect, Fault, Members, NodeId};

/// The last time that members recovered a network.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Recovery {
    /// Counts from one.
    pub number: u64,
    /// Numbers of the nodes that took part before any recovery and do not any more.
    pub left_behind: Vec<u64>,
}

impl Base {
    /// How often members have recovered the network.
    #[must_use]
    pub fn recoveries(&self) -> u64 {
        self.recovery.as_ref().map_or(0, |recovery| recovery.number)
    }
}

impl StoredLog {
    /// This log, begun anew after its block `head`, with `survivor` alone: as one record it takes the place of all others.
    ///
    /// The beginning is an entry that nobody has, in a term that nobody has voted in.
    #[must_use]
    pub fn recovered(&self, survivor: NodeId, head: BlockRef) -> Self {
        let Base { index, term, members, recovery, .. } = &self.base;
        let last = self.entries.last().map_or(*index, |entry| entry.index);
        let newest_term = self.entries.last().map_or(*term, |entry| entry.term).max(*term).max(self.vote.term);
        let before = recovery.iter().flat_map(|recovery| &recovery.left_behind);
        let Members { voters, learners, outgoing, learners_next, .. } = members;
        let took_part = [voters, learners, outgoing, learners_next].into_iter().flatten();
        let coming = self.entries.iter().flat_map(changed_nodes);
        let mut left_behind: Vec<u64> = before.chain(took_part).copied().chain(coming).collect();
        left_behind.retain(|node| *node != survivor.get());
        left_behind.sort_unstable();
        left_behind.dedup();
        let term = newest_term.saturating_add(1);
        let base = Base {
            index: last.saturating_add(1),
            term,
            members: Members::of_voters([survivor]),
            block: Some(head),
            recovery: Some(Recovery { number: self.base.recoveries().saturating_add(1), left_behind }),
        };
        Self { base, entries: Vec::new(), vote: Vote { term, vote: survivor.get() } }
    }
}

impl Raft {
    /// Whether this node was part of the network before it was recovered, and is not any more.
    #[must_use]
    pub fn is_left_behind(&self, node: NodeId) -> bool {
        let recovery = &self.node.store().base().recovery;
        recovery.as_ref().is_some_and(|recovery| recovery.left_behind.contains(&node.get()))
    }

    /// Tells another node how far this one is.
    pub(super) fn answer(&self, to: NodeId, out: &mut Vec<Effect>) {
        let report = Report {
            term: self.node.raft.term,
            end: self.end(),
            is_waiting: self.halted || self.freshness.is_waiting(),
            leads: self.leads(),
            leaves_behind: self.is_left_behind(to),
        };
        out.push(Effect::Send { to, message: encode_report(self.options.id, to, report, &self.envelope()) });
    }

    /// Whether a node that knows of so many recoveries speaks of the network that this one takes part in. If it does
    /// not, one of the two is told.
    pub(super) fn is_of_this_network(
        &mut self,
        from: NodeId,
        words: &Words,
        recoveries: u64,
        out: &mut Vec<Effect>,
    ) -> Result<bool, Fault> {
        let is_newer = recoveries > self.recoveries;
        let is_told = matches!(words, Words::Report(report) if report.leaves_behind) && recoveries >= self.recoveries;
        if is_told || is_newer && self.node.raft.raft_log.last_index() > 0 {
            return Err(Fault::LeftBehind { known: self.recoveries });
        }
        if recoveries < self.recoveries || self.is_left_behind(from) {
            // An answer to an answer would have one as well.
            if !matches!(words, Words::Report(_)) {
                self.answer(from, out);
            }
            return Ok(false);
        }
        if is_newer {
            self.recoveries = recoveries;
            self.freshness = Freshness::new();
        }
        Ok(true)
    }
}
