//! One sender's transactions, by nonce.

use std::collections::BTreeMap;
use std::ops::Bound;

use alloy_primitives::{Address, TxHash, U256};
use cloister_execution::ValidTx;

use crate::{AccountContent, Order, SenderState, SlotId, heads::Head, tails::Tail};

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Waiting.
    Pooled,
    /// Handed out for a block.
    Taken(SlotId),
    /// In a block that is not committed yet.
    Included(SlotId),
    /// Refused by the builder in the place it had; the state after this slot's commit decides whether it stays.
    Refused(SlotId),
}

/// What a transaction offers per gas, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Price {
    /// `maxFeePerGas`, or the gas price.
    pub(crate) cap: u128,
    /// `maxPriorityFeePerGas`, or the gas price; never above the cap.
    pub(crate) tip: u128,
}

/// A transaction and what the pool knows about it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) tx: ValidTx,
    pub(crate) price: Price,
    pub(crate) arrival: u64,
    /// Gas limit, kept here because the transaction lies elsewhere in memory.
    pub(crate) gas: u64,
    pub(crate) place: Place,
}

/// One sender's transactions: a run that could be executed one after the other, then gaps.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) address: Address,
    pub(crate) state: SenderState,
    /// Boxed, since most lanes are short and a tree's nodes have room for eleven.
    entries: BTreeMap<u64, Box<Entry>>,
    /// Sum of the costs of all entries.
    cost: U256,
    /// No entry costs more.
    max_cost: U256,
    /// First nonce from `state.nonce` on without an entry.
    end: u64,
    /// First nonce from `state.nonce` on that is not in flight; there is an entry to take if one waits there.
    next: u64,
    /// What the indexes hold about this lane; kept by the pool.
    pub(crate) indexed_head: Option<Head>,
    pub(crate) indexed_tail: Option<Tail>,
    pub(crate) counted_executable: usize,
}

impl Price {
    pub(crate) fn of(tx: &ValidTx) -> Self {
        let cap = tx.max_fee_per_gas();
        Self { cap, tip: tx.max_priority_fee_per_gas().min(cap) }
    }

    /// Whether this is enough to take the place of something offered at `old`: more in both, and by `percent`.
    pub(crate) fn replaces(&self, old: &Self, percent: u8) -> bool {
        let raised = |new: u128, old: u128| {
            let bump = U256::from(old) * U256::from(100 + u16::from(percent));
            new > old && U256::from(new) * U256::from(100) >= bump
        };
        raised(self.cap, old.cap) && raised(self.tip, old.tip)
    }
}

impl Entry {
    pub(crate) const fn is_pooled(&self) -> bool {
        matches!(self.place, Place::Pooled)
    }

    /// Handed out or in a block: what follows on it may be handed out as well.
    pub(crate) const fn is_in_flight(&self) -> bool {
        matches!(self.place, Place::Taken(_) | Place::Included(_))
    }
}

impl Lane {
    pub(crate) const fn new(address: Address, state: SenderState) -> Self {
        Self {
            address,
            state,
            entries: BTreeMap::new(),
            cost: U256::ZERO,
            max_cost: U256::ZERO,
            end: state.nonce,
            next: state.nonce,
            indexed_head: None,
            indexed_tail: None,
            counted_executable: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn cost(&self) -> U256 {
        self.cost
    }

    /// First nonce without an entry.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// How many entries could be executed one after the other, in flight included.
    pub(crate) fn executable(&self) -> usize {
        usize::try_from(self.end - self.state.nonce).unwrap_or(usize::MAX)
    }

    pub(crate) fn get(&self, nonce: u64) -> Option<&Entry> {
        self.entries.get(&nonce).map(AsRef::as_ref)
    }

    pub(crate) fn get_mut(&mut self, nonce: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&nonce).map(AsMut::as_mut)
    }

    /// The first nonce from `nonce` on without an entry.
    pub(crate) fn run_from(&self, nonce: u64) -> u64 {
        if (self.state.nonce..=self.end).contains(&nonce) {
            return self.end;
        }
        run(&self.entries, nonce, |_| true)
    }

    /// Puts an entry in; gives back the one it replaces.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let nonce = entry.tx.nonce();
        let cost = entry.tx.cost();
        self.cost = self.cost.saturating_add(cost);
        self.max_cost = self.max_cost.max(cost);
        let old = self.entries.insert(nonce, Box::new(entry)).map(|old| *old);
        if let Some(old) = &old {
            self.cost = self.cost.saturating_sub(old.tx.cost());
        }
        self.advance();
        old
    }

    /// Takes an entry out, leaving a gap.
    pub(crate) fn remove(&mut self, nonce: u64) -> Option<Entry> {
        let entry = self.entries.remove(&nonce)?;
        self.cost = self.cost.saturating_sub(entry.tx.cost());
        self.end = self.end.min(nonce).max(self.state.nonce);
        self.next = self.next.min(nonce).max(self.state.nonce);
        Some(*entry)
    }

    /// Marks the next entry as taken for `slot`, if there is one whose gas limit fits.
    pub(crate) fn take(&mut self, slot: SlotId, gas: u64) -> Option<&Entry> {
        let nonce = self.next;
        if nonce >= self.end {
            return None;
        }
        let fits = self.entries.get_mut(&nonce).filter(|entry| entry.is_pooled() && entry.gas <= gas)?;
        fits.place = Place::Taken(slot);
        self.next = nonce.saturating_add(1);
        if self.next < self.end {
            self.next = run(&self.entries, self.next, Entry::is_in_flight);
        }
        self.get(nonce)
    }

    /// Marks a waiting entry as one that somebody else's block for `slot` includes.
    pub(crate) fn include(&mut self, nonce: u64, slot: SlotId) -> Option<&Entry> {
        let entry = self.entries.get_mut(&nonce).filter(|entry| entry.is_pooled())?;
        entry.place = Place::Included(slot);
        if self.next == nonce {
            self.next = run(&self.entries, nonce, Entry::is_in_flight);
        }
        self.get(nonce)
    }

    /// Makes an entry that is not waiting wait again.
    pub(crate) fn give_back(&mut self, nonce: u64) {
        self.hold(nonce, Place::Pooled);
    }

    /// Takes an entry out of flight. Unless it waits, it is not handed out, and neither is what follows on it.
    pub(crate) fn hold(&mut self, nonce: u64, place: Place) {
        if let Some(entry) = self.entries.get_mut(&nonce) {
            entry.place = place;
            self.next = self.next.min(nonce).max(self.state.nonce);
        }
    }

    /// Moves to a newly committed state. Gives back what is used up or can no longer be paid for; what is in flight is left
    /// to its block.
    pub(crate) fn move_to(&mut self, state: SenderState) -> Vec<Entry> {
        let went_back = state.nonce < self.state.nonce;
        self.state = state;
        let mut gone: Vec<Entry> = Vec::new();
        while let Some(first) = self.entries.first_entry() {
            if *first.key() >= state.nonce {
                break;
            }
            gone.push(*first.remove());
        }
        for entry in &gone {
            self.cost = self.cost.saturating_sub(entry.tx.cost());
        }
        if went_back {
            (self.end, self.next) = (state.nonce, state.nonce);
        }
        self.end = self.end.max(state.nonce);
        self.next = self.next.max(state.nonce);
        self.advance();
        if self.max_cost > state.balance {
            self.drop_unaffordable(&mut gone);
        }
        gone
    }

    fn drop_unaffordable(&mut self, gone: &mut Vec<Entry>) {
        let balance = self.state.balance;
        let unaffordable: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_pooled() && entry.tx.cost() > balance)
            .map(|(nonce, _)| *nonce)
            .collect();
        gone.extend(unaffordable.into_iter().filter_map(|nonce| self.remove(nonce)));
        let costs = self.entries.values().map(|entry| entry.tx.cost());
        self.max_cost = costs.max().unwrap_or_default();
    }

    /// Walks `end` and `next` over what has come to stand behind them.
    fn advance(&mut self) {
        self.end = run(&self.entries, self.end, |_| true);
        self.next = run(&self.entries, self.next, Entry::is_in_flight);
    }

    /// The entry to take next, as the index of heads sees it.
    pub(crate) fn head(&self, order: Order) -> Option<Head> {
        if self.next >= self.end {
            return None;
        }
        let entry = self.entries.get(&self.next).filter(|entry| entry.is_pooled())?;
        let price = match order {
            Order::Price => entry.price,
            // Where nobody offers anything on top, arrival breaks the tie.
            Order::Arrival => Price { tip: 0, ..entry.price },
        };
        Some(Head { price, arrival: entry.arrival })
    }

    /// The last entry, as the index of tails sees it.
    pub(crate) fn tail(&self) -> Option<Tail> {
        let (nonce, entry) = self.entries.last_key_value()?;
        Some(Tail { executable: *nonce < self.end, price: entry.price, arrival: entry.arrival })
    }

    /// The last entry, if it is not in flight.
    pub(crate) fn evictable(&self) -> Option<(u64, &Entry)> {
        let (nonce, entry) = self.entries.last_key_value()?;
        entry.is_pooled().then_some((*nonce, entry))
    }

    /// Hashes of the executable entries behind `nonce`.
    pub(crate) fn executable_behind(&self, nonce: u64) -> Vec<TxHash> {
        if nonce >= self.end {
            return Vec::new();
        }
        let behind = (Bound::Excluded(nonce), Bound::Excluded(self.end));
        self.entries.range(behind).map(|(_, entry)| entry.tx.hash()).collect()
    }

    /// What is here, by nonce.
    pub(crate) fn content(&self) -> AccountContent<'_> {
        let of = |range: (Bound<u64>, Bound<u64>)| self.entries.range(range).map(|(_, entry)| &entry.tx).collect();
        AccountContent {
            address: self.address,
            pending: of((Bound::Unbounded, Bound::Excluded(self.end))),
            queued: of((Bound::Included(self.end), Bound::Unbounded)),
        }
    }

    /// Those that could be executed one after the other, in flight included.
    pub(crate) fn executable_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.range(..self.end).map(|(_, entry)| entry.as_ref())
    }

    #[cfg(test)]
    pub(crate) const fn entries(&self) -> &BTreeMap<u64, Box<Entry>> {
        &self.entries
    }
}

/// The first nonce from `start` on without an entry that satisfies `holds`.
fn run(entries: &BTreeMap<u64, Box<Entry>>, start: u64, holds: impl Fn(&Entry) -> bool) -> u64 {
    let mut nonce = start;
    for (found, entry) in entries.range(start..) {
        if *found != nonce || !holds(entry) {
            break;
        }
        nonce = nonce.saturating_add(1);
    }
    nonce
}
