//! Between pool and chain: transactions in blocks that are being made.

use alloy_primitives::{Address, TxHash};
use cloister_execution::ValidTx;

use crate::lane::{Entry, Place};
use crate::pool::{LaneId, Ticket};
use crate::{Pool, Refusal, SenderState, SlotId, TakeLimits};

/// The least gas a transaction declares; less than this left over ends a block.
const MIN_TRANSACTION_GAS: u64 = 21_000;

/// How many lanes are passed over because their next transaction does not fit into what is left of a block.
const MAX_PASSED_OVER: usize = 256;

impl Pool {
    /// Hands out the best transactions for a block: the highest effective tip first, then the earliest arrival, each sender's in
    /// nonce order. They are in flight from now on, and stay known, until their slot is committed or rewound.
    ///
    /// Taking again for the same slot adds to it.
    pub fn take(&mut self, slot: SlotId, limits: TakeLimits) -> Vec<ValidTx> {
        self.heads.set_base_fee(u128::from(limits.base_fee));
        let most = limits.max_transactions.min(self.len());
        let (mut taken, mut tickets) = (Vec::with_capacity(most), Vec::with_capacity(most));
        let (mut gas, order) = (limits.gas_limit, self.order);
        let mut passed_over: Vec<LaneId> = Vec::new();
        while taken.len() < most && gas >= MIN_TRANSACTION_GAS && passed_over.len() < MAX_PASSED_OVER {
            let Some(id) = self.heads.best() else { break };
            let Some(lane) = self.lane_mut(id) else { break };
            let head = lane.indexed_head.take();
            if let Some(entry) = lane.take(slot, gas) {
                gas -= entry.gas;
                taken.push(entry.tx.clone());
                tickets.push(Ticket { lane: id, nonce: entry.tx.nonce(), arrival: entry.arrival });
                lane.indexed_head = lane.head(order);
            } else {
                // Out of the order until the block is full.
                passed_over.push(id);
            }
            let next = lane.indexed_head;
            if let Some(head) = head {
                self.heads.remove(head);
            }
            if let Some(next) = next {
                self.heads.insert(next, id);
            }
        }
        for id in passed_over {
            self.refresh(id);
        }
        if !tickets.is_empty() {
            self.slots.entry(slot).or_default().extend(tickets);
        }
        taken
    }

    /// Reports what the builder of a slot refused, before [`built`](Self::built) reports the rest. Each stays until the slot
    /// `judge` is committed: what could not be paid in its place may be affordable after that block, as its sender may be paid
    /// further on in it, and what a lost slot made impossible is possible again. Without such a slot it goes away at once.
    pub fn refused(&mut self, slot: SlotId, refused: &[(TxHash, Refusal)], judge: Option<SlotId>) {
        for (hash, refusal) in refused {
            let Some((id, nonce)) = self.locate(hash) else { continue };
            let Some(entry) = self.lane(id).and_then(|lane| lane.get(nonce)) else { continue };
            if entry.place != Place::Taken(slot) {
                continue;
            }
            let ticket = Ticket { lane: id, nonce, arrival: entry.arrival };
            let Some(judge) = judge else {
                self.remove(id, nonce);
                continue;
            };
            if let Some(lane) = self.lane_mut(id) {
                lane.hold(nonce, Place::Refused(judge));
            }
            self.refresh(id);
            self.refusals.entry(judge).or_default().push((ticket, *refusal));
        }
    }

    /// Reports the block that was built for a slot. What was included stays in flight, and the rest of what was taken waits
    /// again, in its old order.
    pub fn built(&mut self, slot: SlotId, included: &[TxHash]) {
        let Some(taken) = self.slots.remove(&slot) else {
            return;
        };
        for hash in included {
            if let Some((id, nonce)) = self.locate(hash)
                && let Some(entry) = self.lane_mut(id).and_then(|lane| lane.get_mut(nonce))
                && entry.place == Place::Taken(slot)
            {
                entry.place = Place::Included(slot);
            }
        }
        let mut still = Vec::with_capacity(included.len());
        for ticket in taken {
            match self.place(ticket) {
                Some(Place::Included(_)) => still.push(ticket),
                Some(Place::Taken(_) | Place::Pooled) => self.give_back(ticket),
                Some(Place::Refused(_)) | None => {}
            }
        }
        if !still.is_empty() {
            self.slots.insert(slot, still);
        }
    }

    /// Reports a block that another node built: those of its transactions that wait here are in flight for `slot`, until it is
    /// committed or rewound.
    pub fn adopted(&mut self, slot: SlotId, included: impl IntoIterator<Item = TxHash>) {
        for hash in included {
            let Some((id, nonce)) = self.locate(&hash) else { continue };
            let Some(entry) = self.lane_mut(id).and_then(|lane| lane.include(nonce, slot)) else { continue };
            let ticket = Ticket { lane: id, nonce, arrival: entry.arrival };
            self.refresh(id);
            self.slots.entry(slot).or_default().push(ticket);
        }
    }

    /// Reports a committed block: `accounts` are those it changed, with their new states. Its transactions go away, and so does what
    /// has become impossible: used nonces, and waiting transactions that cost more than the sender has left.
    ///
    /// Transactions taken for the slot of which [`built`](Self::built) said nothing wait again. Those that were
    /// [`refused`](Self::refused) until now wait again if they could be paid for in the state after this block.
    pub fn committed(&mut self, slot: SlotId, accounts: impl IntoIterator<Item = (Address, SenderState)>) {
        let taken = self.slots.remove(&slot).unwrap_or_default();
        for (address, state) in accounts {
            if let Some(id) = self.lane_of(address) {
                self.move_lane(id, state);
            }
        }
        for ticket in taken {
            match self.place(ticket) {
                Some(Place::Included(_)) => {
                    self.remove(ticket.lane, ticket.nonce);
                }
                Some(_) => self.give_back(ticket),
                None => {}
            }
        }
        for (ticket, refusal) in self.refusals.remove(&slot).unwrap_or_default() {
            if refusal == Refusal::Unpaid && self.is_affordable(ticket) {
                self.give_back(ticket);
            } else if self.redeem(ticket).is_some() {
                self.remove(ticket.lane, ticket.nonce);
            }
        }
    }

    /// Reports a slot that came to nothing: its transactions wait again, in their old order.
    pub fn rewound(&mut self, slot: SlotId) {
        let refused = self.refusals.remove(&slot).unwrap_or_default().into_iter().map(|(ticket, _)| ticket);
        for ticket in self.slots.remove(&slot).unwrap_or_default().into_iter().chain(refused) {
            self.give_back(ticket);
        }
    }

    fn is_affordable(&self, ticket: Ticket) -> bool {
        let balance = self.lane(ticket.lane).map(|lane| lane.state.balance).unwrap_or_default();
        self.redeem(ticket).is_some_and(|entry| entry.tx.cost() <= balance)
    }

    /// Transactions in flight for a slot, in the order they were taken.
    #[must_use]
    pub fn in_slot(&self, slot: SlotId) -> Vec<TxHash> {
        let tickets = self.slots.get(&slot).into_iter().flatten();
        tickets.filter_map(|ticket| self.redeem(*ticket)).map(|entry| entry.tx.hash()).collect()
    }

    pub(crate) fn move_lane(&mut self, id: LaneId, state: SenderState) {
        let Some(lane) = self.lane_mut(id) else { return };
        for entry in lane.move_to(state) {
            self.forget(&entry);
        }
        self.refresh(id);
    }

    fn redeem(&self, ticket: Ticket) -> Option<&Entry> {
        let entry = self.lane(ticket.lane)?.get(ticket.nonce)?;
        (entry.arrival == ticket.arrival).then_some(entry)
    }

    fn place(&self, ticket: Ticket) -> Option<Place> {
        self.redeem(ticket).map(|entry| entry.place)
    }

    fn give_back(&mut self, ticket: Ticket) {
        if self.redeem(ticket).is_some() {
            if let Some(lane) = self.lane_mut(ticket.lane) {
                lane.give_back(ticket.nonce);
            }
            self.refresh(ticket.lane);
        }
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
