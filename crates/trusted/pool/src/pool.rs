//! The pool itself: lanes, and the indexes over them.

use std::collections::BTreeMap;

use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, TxHash};
use cloister_execution::ValidTx;

use crate::heads::Heads;
use crate::lane::{Entry, Lane};
use crate::tails::Tails;
use crate::{Order, PoolLimits, Refusal, SenderState, SlotId};

/// Number of a lane; used again once the lane is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneId(pub(crate) u32);

/// Where a transaction in flight is found: its lane may meanwhile be another sender's, so the arrival is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) lane: LaneId,
    pub(crate) nonce: u64,
    pub(crate) arrival: u64,
}

/// Pending transactions, and those in blocks that are not committed yet.
///
/// A block goes through [`take`](Self::take), [`built`](Self::built), then [`committed`](Self::committed) or
/// [`rewound`](Self::rewound). All operations take logarithmic time in what they touch.
#[derive(Debug)]
pub struct Pool {
    pub(crate) limits: PoolLimits,
    pub(crate) order: Order,
    lanes: Vec<Option<Lane>>,
    free: Vec<LaneId>,
    by_address: AddressMap<LaneId>,
    by_hash: B256Map<(LaneId, u64)>,
    pub(crate) heads: Heads,
    pub(crate) tails: Tails,
    /// Transactions in flight, in the order they were taken.
    pub(crate) slots: BTreeMap<SlotId, Vec<Ticket>>,
    /// Transactions that builders refused, by the slot whose commit decides about them.
    pub(crate) refusals: BTreeMap<SlotId, Vec<(Ticket, Refusal)>>,
    arrivals: u64,
    bytes: usize,
    executable: usize,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            order: Order::Price,
            lanes: Vec::new(),
            free: Vec::new(),
            by_address: AddressMap::default(),
            by_hash: B256Map::default(),
            heads: Heads::default(),
            tails: Tails::default(),
            slots: BTreeMap::new(),
            refusals: BTreeMap::new(),
            arrivals: 0,
            bytes: 0,
            executable: 0,
        }
    }

    /// The same pool, which has to be empty, handing out transactions in this order.
    #[must_use]
    pub const fn ordered(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Transactions here, in flight included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether there is nothing here, not even in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Encoded bytes of all transactions here.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A transaction, waiting or in flight.
    #[must_use]
    pub fn get(&self, hash: &TxHash) -> Option<&ValidTx> {
        let (lane, nonce) = self.locate(hash)?;
        self.lane(lane)?.get(nonce).map(|entry| &entry.tx)
    }

    /// Whether a transaction is here, waiting or in flight.
    #[must_use]
    pub fn contains(&self, hash: &TxHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// Whether a block with this base fee would find anything to take.
    #[must_use]
    pub fn has_executable(&self, base_fee: u64) -> bool {
        self.heads.any_payable(u128::from(base_fee))
    }

    /// The nonce after `state_nonce` and the transactions that follow on it without a gap, in flight or waiting.
    #[must_use]
    pub fn pending_nonce(&self, address: Address, state_nonce: u64) -> u64 {
        let lane = self.by_address.get(&address).and_then(|lane| self.lane(*lane));
        lane.map_or(state_nonce, |lane| lane.run_from(state_nonce))
    }

    /// Counts of executable transactions (geth: pending), in flight included, and of those behind a gap (geth: queued).
    #[must_use]
    pub fn status(&self) -> (usize, usize) {
        (self.executable, self.len() - self.executable)
    }

    /// Takes a waiting transaction out, and gives it back. One in flight is left to its block: `None`.
    pub fn drop_transaction(&mut self, hash: &TxHash) -> Option<ValidTx> {
        let (lane, nonce) = self.locate(hash)?;
        if !self.lane(lane)?.get(nonce)?.is_pooled() {
            return None;
        }
        self.remove(lane, nonce).map(|entry| entry.tx)
    }

    /// Forgets everything, in flight included.
    pub fn clear(&mut self) {
        *self = Self { arrivals: self.arrivals, ..Self::new(self.limits).ordered(self.order) };
    }

    pub(crate) fn locate(&self, hash: &TxHash) -> Option<(LaneId, u64)> {
        self.by_hash.get(hash).copied()
    }

    pub(crate) fn lane_of(&self, address: Address) -> Option<LaneId> {
        self.by_address.get(&address).copied()
    }

    pub(crate) fn lane(&self, lane: LaneId) -> Option<&Lane> {
        self.lanes.get(lane.0 as usize)?.as_ref()
    }

    pub(crate) fn lane_mut(&mut self, lane: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(lane.0 as usize)?.as_mut()
    }

    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().flatten()
    }

    /// The sender's lane, made if there is none.
    pub(crate) fn open_lane(&mut self, address: Address, state: SenderState) -> LaneId {
        if let Some(lane) = self.lane_of(address) {
            return lane;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(None);
            LaneId(u32::try_from(self.lanes.len() - 1).expect("invariant: fewer lanes than transactions"))
        });
        self.lanes[id.0 as usize] = Some(Lane::new(address, state));
        self.by_address.insert(address, id);
        id
    }

    pub(crate) const fn next_arrival(&mut self) -> u64 {
        let arrival = self.arrivals;
        self.arrivals += 1;
        arrival
    }

    /// Puts an entry into a lane, in place of what was at its nonce, and gives that back.
    pub(crate) fn insert(&mut self, id: LaneId, entry: Entry) -> Option<Entry> {
        let (hash, nonce, bytes) = (entry.tx.hash(), entry.tx.nonce(), entry.tx.encoded_len());
        let old = self.lane_mut(id)?.insert(entry);
        if let Some(old) = &old {
            self.forget(old);
        }
        self.by_hash.insert(hash, (id, nonce));
        self.bytes += bytes;
        self.refresh(id);
        old
    }

    /// Takes an entry out of its lane, wherever it is.
    pub(crate) fn remove(&mut self, id: LaneId, nonce: u64) -> Option<Entry> {
        let entry = self.lane_mut(id)?.remove(nonce)?;
        self.forget(&entry);
        self.refresh(id);
        Some(entry)
    }

    /// Takes an entry that has left its lane out of the indexes by hash and bytes.
    pub(crate) fn forget(&mut self, entry: &Entry) {
        self.by_hash.remove(&entry.tx.hash());
        self.bytes = self.bytes.saturating_sub(entry.tx.encoded_len());
    }

    /// Brings the indexes in line with a lane that has changed; lets go of it if it is empty.
    pub(crate) fn refresh(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let head = lane.head(self.order);
        if head != lane.indexed_head {
            if let Some(old) = lane.indexed_head {
                self.heads.remove(old);
            }
            if let Some(new) = head {
                self.heads.insert(new, id);
            }
            lane.indexed_head = head;
        }
        let tail = lane.tail();
        if tail != lane.indexed_tail {
            if let Some(old) = lane.indexed_tail {
                self.tails.remove(old, id);
            }
            if let Some(new) = tail {
                self.tails.insert(new, id);
            }
            lane.indexed_tail = tail;
        }
        let executable = lane.executable();
        self.executable = self.executable - lane.counted_executable + executable;
        lane.counted_executable = executable;
        if lane.is_empty() {
            self.by_address.remove(&lane.address);
            self.lanes[id.0 as usize] = None;
            self.free.push(id);
        }
    }
}
