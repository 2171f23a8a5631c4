//! What a node must know before it votes again after a restart.
//!
//! A disk that was rolled back has forgotten entries that this node acknowledged, and votes that it gave. The others
//! have not. Of the n − 1 other voters at least R = n − q + 1, with a majority of q, are asked for the end of their
//! logs; of whatever was committed by a majority with this node in it, at least one of them knows. So the highest end
//! they report is a floor: until this node's own log has come up to it, it takes part in nobody's election whose log
//! has not either, and in none of its own. It adopts the highest term and gives no vote in it.
//!
//! One of those R has to be the leader of the highest term they know: a leader that is not asked may still count what
//! this node acknowledged before, for an entry that reaches the others only after they have answered. Those who wait
//! themselves have forgotten as much, perhaps, so they do not count towards R. But if *all* others have answered there
//! is nobody left who could know better, and nobody who leads unasked.
//!
//! A node that is below its floor when another one starts again asks anew: that one may have been alone with what the floor
//! stands for, and may have lost it before it was durable.

use std::collections::BTreeMap;

use super::Raft;
use super::codec::{Position, encode_question, members_of};
use super::types::{Effect, Members, NodeId};

/// Ticks between two questions.
const ASK_TICKS: u32 = 4;

/// What another node said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) term: u64,
    pub(super) end: Position,
    pub(super) is_waiting: bool,
    pub(super) leads: bool,
    /// Whether who is told was part of the network before it was recovered, and is not any more.
    pub(super) leaves_behind: bool,
}

/// How far this node has come since it started.
#[derive(Debug)]
pub(super) enum Freshness {
    /// It asks the others.
    Waiting { ticks: u32, reports: BTreeMap<NodeId, Report> },
    /// It votes only for those whose logs reach the floor.
    Behind(Position),
    /// Raft's own rules are enough.
    Fresh,
}

/// What the others said, once it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The highest term that anybody knows.
    pub(super) term: u64,
    /// The highest end of a log.
    pub(super) floor: Position,
}

impl Freshness {
    pub(super) const fn new() -> Self {
        Self::Waiting { ticks: 0, reports: BTreeMap::new() }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }

    /// Whether this node may ask for votes, given the end of its log.
    pub(super) fn may_campaign(&self, end: Position) -> bool {
        match self {
            Self::Waiting { .. } => false,
            Self::Behind(floor) => end >= *floor,
            Self::Fresh => true,
        }
    }

    /// Whether this node may vote for somebody whose log ends there.
    pub(super) fn may_vote(&self, end: Position, candidate: Position) -> bool {
        match self {
            Self::Waiting { .. } => false,
            Self::Behind(floor) => end >= *floor || candidate >= *floor,
            Self::Fresh => true,
        }
    }

    /// Whether it is time to ask again.
    pub(super) fn tick(&mut self) -> bool {
        match self {
            Self::Waiting { ticks, .. } => {
                *ticks += 1;
                *ticks % ASK_TICKS == 1
            }
            Self::Behind(_) | Self::Fresh => false,
        }
    }

    /// What was said so far was said by others than are there now, or to them.
    pub(super) fn ask_anew(&mut self) {
        if self.is_waiting() {
            *self = Self::new();
        }
    }

    /// One of the others has started again. Below the floor this node asks anew as well: what nobody had committed may have been lost
    /// by the only one that had it, and nothing would ever come up to that floor.
    pub(super) fn replaced(&mut self) {
        if matches!(self, Self::Behind(_)) {
            *self = Self::new();
        }
    }

    pub(super) fn heard(&mut self, from: NodeId, report: Report) {
        if let Self::Waiting { reports, .. } = self {
            reports.insert(from, report);
        }
    }

    /// What the others said, if it is enough for a node of this network.
    pub(super) fn known(&self, node: NodeId, members: &Members) -> Option<Known> {
        let Self::Waiting { reports, .. } = self else {
            return None;
        };
        let sets = [&members.voters, &members.outgoing];
        let enough = sets.into_iter().all(|voters| is_enough(node, voters, reports));
        enough.then(|| Known {
            term: reports.values().map(|report| report.term).max().unwrap_or_default(),
            floor: reports.values().map(|report| report.end).max().unwrap_or_default(),
        })
    }

    /// Enough is known; from here on the floor decides.
    pub(super) fn learnt(&mut self, floor: Position) {
        *self = Self::Behind(floor);
    }

    /// Notes that the log ends there now.
    pub(super) fn reached(&mut self, end: Position) {
        if matches!(self, Self::Behind(floor) if end >= *floor) {
            *self = Self::Fresh;
        }
    }
}

impl Raft {
    /// After a start: asks the other voters how far they are, until enough of them have said so.
    pub(super) fn ask_how_far(&mut self, out: &mut Vec<Effect>) {
        if !self.freshness.is_waiting() {
            return;
        }
        let id = self.options.id;
        let members = members_of(&self.node.raft.prs().conf().to_conf_state());
        if self.freshness.tick() {
            let others = members.voters.iter().chain(&members.outgoing).filter_map(|voter| NodeId::new(*voter));
            let others = others.filter(|other| *other != id);
            let envelope = self.envelope();
            out.extend(others.map(|to| Effect::Send { to, message: encode_question(id, to, &envelope) }));
        }
        if let Some(known) = self.freshness.known(id, &members) {
            let raft = &mut self.node.raft;
            if known.term > raft.term || (known.term == raft.term && raft.vote == raft::INVALID_ID && known.term > 0) {
                // A vote in that term may have been given and forgotten: it counts as this node's own, so nobody gets it.
                raft.become_follower(known.term, raft::INVALID_ID);
                raft.vote = id.get();
            }
            self.freshness.learnt(known.floor);
            self.freshness.reached(self.end());
        }
    }
}

fn is_enough(node: NodeId, voters: &[u64], reports: &BTreeMap<NodeId, Report>) -> bool {
    let others: Vec<NodeId> =
        voters.iter().filter_map(|voter| NodeId::new(*voter)).filter(|voter| *voter != node).collect();
    let reported =
        |wanted: fn(&Report) -> bool| others.iter().filter(|other| reports.get(other).is_some_and(wanted)).count();
    if reported(|_| true) == others.len() {
        return true;
    }
    let quorum = voters.len() / 2 + 1;
    let newest = reports.values().map(|report| report.term).max();
    let asked_leader = reports.values().any(|report| report.leads && Some(report.term) == newest);
    asked_leader && reported(|report| !report.is_waiting) > voters.len() - quorum
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    fn end(term: u64, index: u64) -> Position {
        Position { term, index }
    }

    /// Node 2 leads, unless it waits; the others follow it in its term.
    fn known(size: u64, reports: &[(u64, bool)]) -> Option<Known> {
        let mut freshness = Freshness::new();
        for (number, is_waiting) in reports {
            let leads = *number == 2 && !is_waiting;
            let report =
                Report { term: 4, end: end(1, 10 * number), is_waiting: *is_waiting, leads, leaves_behind: false };
            freshness.heard(id(*number), report);
        }
        freshness.known(id(1), &Members::of_voters((1..=size).map(id)))
    }

    #[test]
    fn three_of_five_with_their_leader_are_enough() {
        assert_eq!(known(5, &[(2, false), (3, false)]), None);
        assert_eq!(known(5, &[(2, false), (3, false), (4, false)]), Some(Known { term: 4, floor: end(1, 40) }));
        assert_eq!(known(5, &[(2, false), (3, false), (4, true)]), None, "who waits does not know either");
        assert_eq!(known(5, &[(3, false), (4, false), (5, false)]), None, "nobody of them leads");
    }

    #[test]
    fn all_others_are_always_enough_and_a_single_node_has_none() {
        assert_eq!(known(3, &[(2, false)]), None);
        assert_eq!(known(3, &[(2, true), (3, false)]), Some(Known { term: 4, floor: end(1, 30) }));
        assert!(known(5, &[(2, true), (3, true), (4, true), (5, true)]).is_some());
        assert_eq!(known(5, &[(2, true), (3, true), (4, true)]), None);
        assert_eq!(known(1, &[]), Some(Known { term: 0, floor: end(0, 0) }));
    }

    #[test]
    fn below_the_floor_it_asks_anew_when_another_one_starts_again() {
        let mut freshness = Freshness::new();
        freshness.learnt(end(2, 7));
        freshness.replaced();
        assert!(freshness.is_waiting(), "what only that one had may be gone");
        freshness.learnt(end(2, 7));
        freshness.reached(end(2, 7));
        freshness.replaced();
        assert!(!freshness.is_waiting());
    }

    #[test]
    fn below_the_floor_only_those_above_it_get_votes() {
        let mut freshness = Freshness::new();
        assert!(
            !freshness.may_vote(end(9, 9), end(9, 9)) && !freshness.may_campaign(end(9, 9)),
            "nothing is known yet"
        );
        freshness.learnt(end(2, 7));
        assert!(!freshness.may_campaign(end(2, 6)) && freshness.may_campaign(end(2, 7)));
        assert!(!freshness.may_vote(end(2, 6), end(2, 6)) && freshness.may_vote(end(2, 6), end(2, 7)));
        assert!(freshness.may_vote(end(1, 9), end(3, 1)), "a later term is further, whatever its index");
        freshness.reached(end(2, 6));
        assert!(!freshness.may_campaign(end(2, 6)));
        freshness.reached(end(2, 8));
        assert!(freshness.may_vote(end(2, 8), end(0, 0)), "Raft decides itself");
    }
}
