//! What is in the pool, for those who may see it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use alloy_primitives::Address;
use cloister_execution::ValidTx;

use crate::lane::{Entry, Lane};
use crate::{Order, Pool, TakeLimits};

/// The transactions of one account, by nonce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountContent<'a> {
    /// The sender.
    pub address: Address,
    /// Those that could be executed one after the other, in flight included.
    pub pending: Vec<&'a ValidTx>,
    /// Those behind a gap.
    pub queued: Vec<&'a ValidTx>,
}

impl<'a> AccountContent<'a> {
    /// All of them, by nonce.
    pub fn transactions(&self) -> impl Iterator<Item = &'a ValidTx> {
        self.pending.iter().chain(&self.queued).copied()
    }
}

impl Pool {
    /// The transactions of a block on the newest committed one, those in flight included, in the order of
    /// [`take`](Self::take). Changes nothing.
    #[must_use]
    pub fn preview(&self, limits: TakeLimits) -> Vec<&ValidTx> {
        let mut lanes: Vec<_> = self.lanes().map(Lane::executable_entries).collect();
        // An order that is total without the lane's number: arrivals are unique.
        let rank = |entry: &Entry, lane: usize| {
            let tip = entry.tx.effective_tip(limits.base_fee)?;
            let tip = if self.order == Order::Arrival { 0 } else { tip };
            Some((tip, Reverse(entry.arrival), lane))
        };
        let mut heads: BinaryHeap<_> = BinaryHeap::with_capacity(lanes.len());
        let mut next: Vec<Option<&Entry>> = lanes.iter_mut().map(Iterator::next).collect();
        heads.extend(next.iter().enumerate().filter_map(|(lane, entry)| rank((*entry)?, lane)));
        let (mut chosen, mut gas) = (Vec::new(), limits.gas_limit);
        while chosen.len() < limits.max_transactions {
            let Some((_, _, lane)) = heads.pop() else { break };
            let Some(entry) = next[lane].filter(|entry| entry.gas <= gas) else { continue };
            gas -= entry.gas;
            chosen.push(&entry.tx);
            next[lane] = lanes[lane].next();
            heads.extend(next[lane].and_then(|entry| rank(entry, lane)));
        }
        chosen
    }

    /// Everything here, by address.
    #[must_use]
    pub fn content(&self) -> Vec<AccountContent<'_>> {
        let mut accounts: Vec<_> = self.lanes().map(Lane::content).collect();
        accounts.sort_unstable_by_key(|account| account.address);
        accounts
    }

    /// What one account has here.
    #[must_use]
    pub fn content_from(&self, address: Address) -> AccountContent<'_> {
        let lane = self.lane_of(address).and_then(|lane| self.lane(lane));
        let nothing = || AccountContent { address, ..AccountContent::default() };
        lane.map_or_else(nothing, Lane::content)
    }
}
