//! The lanes that have something to take, best first, at any base fee.
//!
//! What a transaction pays the block is `min(tip, cap − base fee)` (EIP-1559). While the base fee is at most `cap − tip` the tip
//! decides, which does not depend on the base fee; beyond it the cap decides, and two caps compare the same at every base
//! fee. So there are two orders that never need sorting again, and a change of the base fee moves only the lanes
//! whose `cap − tip` it passes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::lane::Price;
use crate::pool::LaneId;

/// A lane's next transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) price: Price,
    pub(crate) arrival: u64,
}

/// Highest price first, then earliest arrival; arrivals are unique, so keys are.
type Order = BTreeMap<(Reverse<u128>, u64), (LaneId, Price)>;

/// How many thresholds without a head may pile up before they are looked for.
const MAX_STALE: usize = 4_096;

/// All lanes with something to take.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    base_fee: u128,
    /// Those whose tip decides, by tip.
    by_tip: Order,
    /// Those whose cap decides, by cap: payable ones first.
    by_cap: Order,
    /// Those whose cap is above their tip, in either order, by the highest base fee at which the tip decides, and arrival.
    ///
    /// Removing a head leaves its threshold behind, since looking that up would cost as much as all the rest; a threshold
    /// whose head is in neither order counts for nothing, and is dropped when it is come across.
    thresholds: BTreeMap<(u128, u64), Price>,
}

impl Price {
    /// The highest base fee at which the tip decides. Where cap and tip are one, as with a gas price, the cap always may.
    const fn threshold(&self) -> Option<u128> {
        match self.cap - self.tip {
            0 => None,
            threshold => Some(threshold),
        }
    }

    fn is_decided_by_tip(&self, base_fee: u128) -> bool {
        self.threshold().is_some_and(|threshold| threshold >= base_fee)
    }
}

impl Heads {
    pub(crate) fn insert(&mut self, head: Head, lane: LaneId) {
        let Head { price, arrival } = head;
        let by_tip = price.is_decided_by_tip(self.base_fee);
        self.order(by_tip).insert(key(head, by_tip), (lane, price));
        if let Some(threshold) = price.threshold() {
            self.thresholds.insert((threshold, arrival), price);
        }
    }

    pub(crate) fn remove(&mut self, head: Head) {
        let by_tip = head.price.is_decided_by_tip(self.base_fee);
        self.order(by_tip).remove(&key(head, by_tip));
        if self.thresholds.len() > 2 * (self.by_tip.len() + self.by_cap.len()) + MAX_STALE {
            self.drop_stale();
        }
    }

    const fn order(&mut self, by_tip: bool) -> &mut Order {
        if by_tip { &mut self.by_tip } else { &mut self.by_cap }
    }

    fn drop_stale(&mut self) {
        let Self { by_tip, by_cap, thresholds, .. } = self;
        thresholds.retain(|(_, arrival), price| {
            let head = Head { price: *price, arrival: *arrival };
            by_tip.contains_key(&key(head, true)) || by_cap.contains_key(&key(head, false))
        });
    }

    /// Orders by what is paid at this base fee from now on.
    pub(crate) fn set_base_fee(&mut self, base_fee: u128) {
        let old = std::mem::replace(&mut self.base_fee, base_fee);
        let (low, high) = (old.min(base_fee), old.max(base_fee));
        let rises = base_fee > old;
        let Self { by_tip, by_cap, thresholds, .. } = self;
        let (from, to) = if rises { (by_tip, by_cap) } else { (by_cap, by_tip) };
        let mut stale = Vec::new();
        for (threshold, price) in thresholds.range((low, 0)..(high, 0)) {
            let head = Head { price: *price, arrival: threshold.1 };
            match from.remove(&key(head, rises)) {
                Some(value) => {
                    to.insert(key(head, !rises), value);
                }
                None => stale.push(*threshold),
            }
        }
        for threshold in stale {
            self.thresholds.remove(&threshold);
        }
    }

    /// The lane whose next transaction pays most at the base fee that was set; earlier arrival breaks a tie.
    pub(crate) fn best(&self) -> Option<LaneId> {
        let tip = self.by_tip.first_key_value();
        let tip = tip.map(|((Reverse(tip), arrival), (lane, _))| (*tip, Reverse(*arrival), *lane));
        let cap = self.by_cap.first_key_value();
        let cap = cap.and_then(|((Reverse(cap), arrival), (lane, _))| {
            let paid = cap.checked_sub(self.base_fee)?;
            Some((paid, Reverse(*arrival), *lane))
        });
        tip.max(cap).map(|(_, _, lane)| lane)
    }

    /// Whether anything can be paid for at `base_fee`, whatever base fee was set.
    pub(crate) fn any_payable(&self, base_fee: u128) -> bool {
        let by_cap = self.by_cap.first_key_value();
        if by_cap.is_some_and(|((Reverse(cap), _), _)| *cap >= base_fee) {
            return true;
        }
        // Below the base fee that was set, the first will do; above it, one of the first almost always.
        self.by_tip.values().any(|(_, price)| price.cap >= base_fee)
    }
}

const fn key(head: Head, by_tip: bool) -> (Reverse<u128>, u64) {
    let price = if by_tip { head.price.tip } else { head.price.cap };
    (Reverse(price), head.arrival)
}

#[cfg(test)]
impl Heads {
    pub(crate) fn len(&self) -> usize {
        self.by_tip.len() + self.by_cap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(cap: u128, tip: u128, arrival: u64) -> Head {
        Head { price: Price { cap, tip }, arrival }
    }

    #[test]
    fn the_tip_decides_below_the_threshold_and_the_cap_beyond() {
        let mut heads = Heads::default();
        heads.insert(head(100, 5, 0), LaneId(0));
        heads.insert(head(50, 10, 1), LaneId(1));
        assert_eq!(heads.best(), Some(LaneId(1)));
        heads.set_base_fee(45);
        assert_eq!(heads.best(), Some(LaneId(0)), "both pay 5, the first came earlier");
        heads.set_base_fee(101);
        assert_eq!(heads.best(), None);
        assert!(heads.any_payable(100));
        heads.set_base_fee(40);
        assert_eq!(heads.best(), Some(LaneId(1)));
    }

    proptest! {
        /// Against the definition, at base fees that jump around.
        #[test]
        fn best_is_the_best(
            prices in proptest::collection::vec((0u128..40, 0u128..40), 1..20),
            base_fees in proptest::collection::vec(0u128..50, 1..10),
            removed in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut heads = Heads::default();
            let mut model: Vec<(u64, Price)> = Vec::new();
            for (arrival, (cap, tip)) in (0u64..).zip(prices) {
                let price = Price { cap, tip: tip.min(cap) };
                heads.insert(Head { price, arrival }, LaneId(arrival as u32));
                model.push((arrival, price));
            }
            for index in removed {
                if model.is_empty() { break; }
                let (arrival, price) = model.remove(index.index(model.len()));
                heads.remove(Head { price, arrival });
            }
            for base_fee in base_fees {
                let payable = |(_, price): &&(u64, Price)| price.cap >= base_fee;
                prop_assert_eq!(heads.any_payable(base_fee), model.iter().any(|entry| payable(&entry)));
                heads.set_base_fee(base_fee);
                let best = model.iter().filter(payable).max_by_key(|(arrival, price)| {
                    (price.tip.min(price.cap - base_fee), Reverse(*arrival))
                });
                prop_assert_eq!(heads.best(), best.map(|(arrival, _)| LaneId(*arrival as u32)));
            }
        }
    }
}
