//! The last transaction of each lane, the one to give up first at the front.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::lane::Price;
use crate::pool::LaneId;

/// A lane's last transaction. Taking it away leaves no gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) executable: bool,
    pub(crate) price: Price,
    pub(crate) arrival: u64,
}

/// All lanes: those behind a gap first, then cheapest first, then latest arrival.
#[derive(Debug, Default)]
pub(crate) struct Tails(BTreeSet<(bool, Price, Reverse<u64>, LaneId)>);

impl Tail {
    /// Whether giving this up for `other` is a gain: something that can run for something that cannot, or more money for less.
    pub(crate) fn is_worth_less_than(&self, other: &Self) -> bool {
        (self.executable, self.price) < (other.executable, other.price)
    }

    const fn key(self, lane: LaneId) -> (bool, Price, Reverse<u64>, LaneId) {
        (self.executable, self.price, Reverse(self.arrival), lane)
    }
}

impl Tails {
    pub(crate) fn insert(&mut self, tail: Tail, lane: LaneId) {
        self.0.insert(tail.key(lane));
    }

    pub(crate) fn remove(&mut self, tail: Tail, lane: LaneId) {
        self.0.remove(&tail.key(lane));
    }

    /// The lanes whose tails are worth less than `newcomer`, worst first.
    pub(crate) fn worth_less_than<'a>(&'a self, newcomer: &'a Tail) -> impl Iterator<Item = LaneId> + 'a {
        self.0
            .iter()
            .take_while(move |(executable, price, Reverse(arrival), _)| {
                let tail = Tail { executable: *executable, price: *price, arrival: *arrival };
                tail.is_worth_less_than(newcomer)
            })
            .map(|(_, _, _, lane)| *lane)
    }
}

#[cfg(test)]
impl Tails {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
