//! What clients wrote and read, and what they were promised about it.
//!
//! Each client is the only one who writes to its account: its nonce counts its transactions. Any node answers a read at once, from the
//! newest block that it shows. What is promised of that, by the operators' guide and by the ordering of blocks:
//!
//! - A read at a height shows the transactions up to there, and no other: whoever was told the height of a transaction finds it
//!   there from that height on and never below. A transaction without an answer is anywhere, or nowhere yet.
//! - Nobody reads what was not sent.
//! - Two reads at one height are equal, whoever answers them.
//! - What one node shows does not go back, not by a restart either.
//! - A node opens once a majority has confirmed how far the chain is: from its start on it shows whatever anybody had
//!   been told before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alloy_primitives::U256;
use cloister_core::NodeId;
use cloister_primitives::Height;

/// Reads that are shown of a broken promise, before it and after it.
const SHOWN: usize = 20;

/// A transaction.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at_us: u64,
    /// When its receipt was seen, and the height of its block.
    seen: Option<(u64, Height)>,
}

/// What one node answered about one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) at_us: u64,
    pub(super) node: NodeId,
    /// The newest block that it shows.
    pub(super) height: Height,
    pub(super) nonce: u64,
    pub(super) balance: U256,
}

#[derive(Debug, Default)]
struct Account {
    sent: Vec<Sent>,
    /// Each with the lowest height that its node may show.
    reads: Vec<(Read, Height)>,
}

/// All that was written and read.
#[derive(Debug, Default)]
pub(super) struct History {
    accounts: BTreeMap<usize, Account>,
    /// The highest block that anybody was told of.
    told: Height,
    /// What anybody had been told of when a node was started.
    floors: BTreeMap<NodeId, Height>,
}

impl History {
    /// A client sends its next transaction, for the first time.
    pub(super) fn sent(&mut self, client: usize, at_us: u64) {
        self.accounts.entry(client).or_default().sent.push(Sent { at_us, seen: None });
    }

    /// It sees the receipt of its newest one.
    pub(super) fn seen(&mut self, client: usize, at_us: u64, height: Height) {
        self.told = self.told.max(height);
        if let Some(sent) = self.accounts.entry(client).or_default().sent.last_mut() {
            sent.seen = Some((at_us, height));
        }
    }

    /// A node starts, for the first time or again.
    pub(super) fn started(&mut self, node: NodeId) {
        self.floors.insert(node, self.told);
    }

    /// Somebody reads a client's account.
    pub(super) fn read(&mut self, client: usize, read: Read) {
        let floor = self.floors.get(&read.node).copied().unwrap_or_default();
        self.accounts.entry(client).or_default().reads.push((read, floor));
    }

    /// How many reads there were.
    pub(super) fn reads(&self) -> u64 {
        self.accounts.values().map(|account| account.reads.len() as u64).sum()
    }

    /// The promises that were broken, each with what happened around it.
    pub(super) fn broken(&self) -> Vec<String> {
        self.accounts.iter().filter_map(|(client, account)| account.broken(*client)).collect()
    }
}

impl Account {
    /// The first promise that was broken.
    fn broken(&self, client: usize) -> Option<String> {
        let mut newest: BTreeMap<NodeId, Height> = BTreeMap::new();
        let mut at_height: BTreeMap<Height, (u64, U256)> = BTreeMap::new();
        self.reads.iter().enumerate().find_map(|(place, (read, floor))| {
            let shown = (read.nonce, read.balance);
            let other = *at_height.entry(read.height).or_insert(shown);
            let before = newest.insert(read.node, read.height).unwrap_or_default();
            let broken = if read.height < before {
                format!("it showed height {before} before")
            } else if read.height < *floor {
                format!("height {floor} had been told when it was started")
            } else if shown != other {
                format!("another read at this height showed {other:?}")
            } else {
                self.misplaced(read)?
            };
            Some(format!("a read of client {client}: {broken}\n{}", self.around(place)))
        })
    }

    /// What is there and should not be, or the other way round.
    fn misplaced(&self, read: &Read) -> Option<String> {
        let count = usize::try_from(read.nonce).unwrap_or(usize::MAX);
        let height_of = |place: usize| self.sent.get(place)?.seen.map(|(_, height)| height);
        let sent = self.sent.iter().filter(|sent| sent.at_us <= read.at_us).count();
        if count > sent {
            return Some(format!("only {sent} transactions were sent"));
        }
        // They are in order, so that the two at the edge stand for all.
        let last = count.checked_sub(1).and_then(height_of).filter(|height| *height > read.height);
        let next = height_of(count).filter(|height| *height <= read.height);
        match (last, next) {
            (Some(height), _) => Some(format!("transaction {} is in block {height}", count - 1)),
            (None, Some(height)) => Some(format!("transaction {count} is in block {height} already")),
            (None, None) => None,
        }
    }

    fn around(&self, place: usize) -> String {
        let from = place.saturating_sub(SHOWN);
        let mut text = String::new();
        // Writing into memory cannot fail.
        for (number, (read, floor)) in self.reads.iter().enumerate().skip(from).take(2 * SHOWN) {
            let mark = if number == place { ">" } else { " " };
            let _ = writeln!(
                text,
                "{mark} {:>9} µs: node {} at height {}, from {floor} on: nonce {}, balance {}",
                read.at_us,
                read.node.get(),
                read.height,
                read.nonce,
                read.balance
            );
        }
        for (number, sent) in self.sent.iter().enumerate() {
            let _ = writeln!(text, "  transaction {number}: sent at {} µs, seen {:?}", sent.at_us, sent.seen);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: usize = 0;

    fn read(at_us: u64, node: u64, height: u64, nonce: u64) -> Read {
        let node = NodeId::new(node).expect("invariant: nodes count from one");
        Read { at_us, node, height: Height(height), nonce, balance: U256::from(100 - nonce) }
    }

    /// One transaction that is in block 3, and one without an answer.
    fn history(reads: &[Read]) -> History {
        let mut history = History::default();
        history.sent(CLIENT, 10);
        history.seen(CLIENT, 50, Height(3));
        history.sent(CLIENT, 60);
        reads.iter().for_each(|read| history.read(CLIENT, *read));
        history
    }

    #[test]
    fn nodes_may_be_behind_and_what_has_no_answer_may_be_anywhere() {
        let reads = [read(20, 1, 2, 0), read(30, 1, 3, 1), read(70, 2, 2, 0), read(80, 1, 4, 2), read(90, 3, 3, 1)];
        assert_eq!(history(&reads).broken(), Vec::<String>::new());
        assert_eq!(history(&[read(90, 1, 9, 1)]).broken(), Vec::<String>::new(), "it may be nowhere yet");
    }

    #[test]
    fn each_broken_promise_is_named_with_what_happened() {
        let back = [read(70, 1, 4, 1), read(80, 1, 3, 1)];
        let unequal = [read(70, 1, 4, 1), read(80, 2, 4, 2)];
        for (reads, named) in [
            (&back[..], "it showed height 4 before"),
            (&unequal[..], "another read at this height showed (1, 99)"),
            (&[read(20, 1, 2, 2)][..], "only 1 transactions were sent"),
            (&[read(70, 1, 2, 1)][..], "transaction 0 is in block 3"),
            (&[read(70, 1, 3, 0)][..], "transaction 0 is in block 3 already"),
        ] {
            let [broken] = <[String; 1]>::try_from(history(reads).broken()).expect("one is broken");
            assert!(broken.contains(named) && broken.contains("transaction 1: sent at 60"), "{broken}");
        }
    }

    #[test]
    fn a_node_that_starts_shows_what_had_been_told() {
        let mut history = history(&[]);
        history.started(read(0, 2, 0, 0).node);
        history.read(CLIENT, read(70, 2, 2, 0));
        assert!(history.broken()[0].contains("height 3 had been told when it was started"));
    }
}
