//! Between pool and chain: transactions in blocks that are being made.

use alloy_primitives::{Address, TxHash};
use cloister_execution::ValidTx;

use crate::lane::Place;
use crate::pool::LaneId;
use crate::{Pool, SenderState, SlotId, TakeLimits};

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
        let mut gas = limits.gas_limit;
        let mut taken = Vec::with_capacity(limits.max_transactions.min(self.len()));
        let mut passed_over: Vec<LaneId> = Vec::new();
        while taken.len() < limits.max_transactions && gas >= MIN_TRANSACTION_GAS {
            let Some(id) = self.heads.best() else { break };
            // Taken out of the order either way: a lane that is passed over comes back at the end.
            let Some(lane) = self.lane_mut(id) else { break };
            let head = lane.indexed_head.take();
            if let Some(tx) = lane.take(slot, gas) {
                gas -= tx.gas_limit();
                let tx = tx.clone();
                let next = lane.head();
                lane.indexed_head = next;
                taken.push(tx);
                if let Some(next) = next {
                    self.heads.insert(next, id);
                }
            } else {
                passed_over.push(id);
            }
            if let Some(head) = head {
                self.heads.remove(head);
            }
            if passed_over.len() == MAX_PASSED_OVER {
                break;
            }
        }
        for id in passed_over {
            self.refresh(id);
        }
        if !taken.is_empty() {
            self.slots.entry(slot).or_default().extend(taken.iter().map(ValidTx::hash));
        }
        taken
    }

    /// Reports the block that was built for a slot. What was included stays in flight, what the builder found to be invalid goes
    /// away, and the rest of what was taken waits again, in its old order.
    pub fn built(&mut self, slot: SlotId, included: &[TxHash], evicted: &[TxHash]) {
        let Some(taken) = self.slots.remove(&slot) else { return };
        for hash in included {
            self.set_place(hash, slot, Place::Included(slot));
        }
        for hash in evicted {
            if let Some((id, nonce)) = self.in_flight(hash, slot) {
                self.remove(id, nonce);
            }
        }
        let mut still = Vec::with_capacity(included.len());
        for hash in taken {
            match self.place(&hash) {
                Some(Place::Included(at)) if at == slot => still.push(hash),
                _ => self.give_back(&hash, slot),
            }
        }
        if !still.is_empty() {
            self.slots.insert(slot, still);
        }
    }

    /// Reports a committed block: `accounts` are those it changed, with their new states. Its transactions go away, and so does what
    /// has become impossible: used nonces, and waiting transactions that cost more than the sender has left.
    ///
    /// Transactions taken for the slot of which [`built`](Self::built) said nothing wait again.
    pub fn committed(&mut self, slot: SlotId, accounts: impl IntoIterator<Item = (Address, SenderState)>) {
        let taken = self.slots.remove(&slot).unwrap_or_default();
        for (address, state) in accounts {
            if let Some(id) = self.lane_of(address) {
                self.move_lane(id, state);
            }
        }
        for hash in taken {
            match self.in_flight(&hash, slot) {
                Some((id, nonce)) if self.place(&hash) == Some(Place::Included(slot)) => {
                    self.remove(id, nonce);
                }
                _ => self.give_back(&hash, slot),
            }
        }
    }

    /// Reports a slot that came to nothing: its transactions wait again, in their old order.
    pub fn rewound(&mut self, slot: SlotId) {
        for hash in self.slots.remove(&slot).unwrap_or_default() {
            self.give_back(&hash, slot);
        }
    }

    /// Transactions in flight for a slot, in the order they were taken.
    #[must_use]
    pub fn in_slot(&self, slot: SlotId) -> &[TxHash] {
        self.slots.get(&slot).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn move_lane(&mut self, id: LaneId, state: SenderState) {
        let Some(lane) = self.lane_mut(id) else { return };
        for entry in lane.move_to(state) {
            self.forget(&entry);
        }
        self.refresh(id);
    }

    fn place(&self, hash: &TxHash) -> Option<Place> {
        let (id, nonce) = self.locate(hash)?;
        self.lane(id)?.get(nonce).map(|entry| entry.place)
    }

    /// Where a transaction is found, if it is in flight for this slot.
    fn in_flight(&self, hash: &TxHash, slot: SlotId) -> Option<(LaneId, u64)> {
        match self.place(hash)? {
            Place::Taken(at) | Place::Included(at) if at == slot => self.locate(hash),
            _ => None,
        }
    }

    fn set_place(&mut self, hash: &TxHash, slot: SlotId, place: Place) {
        if let Some((id, nonce)) = self.in_flight(hash, slot)
            && let Some(entry) = self.lane_mut(id).and_then(|lane| lane.get_mut(nonce))
        {
            entry.place = place;
        }
    }

    fn give_back(&mut self, hash: &TxHash, slot: SlotId) {
        if let Some((id, nonce)) = self.in_flight(hash, slot) {
            if let Some(lane) = self.lane_mut(id) {
                lane.give_back(nonce);
            }
            self.refresh(id);
        }
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
