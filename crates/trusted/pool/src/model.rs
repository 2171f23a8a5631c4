//! Random histories against a model that is too slow to be wrong.

#![allow(clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::TxHash;
use proptest::prelude::*;

use crate::lane::Place;
use crate::testing::{Draft, address, draft, rich};
use crate::{Pool, PoolError, PoolLimits, Refusal, SlotId, TakeLimits};

const LIMITS: PoolLimits =
    PoolLimits { per_account: 10, total: 20, total_bytes: 1 << 20, max_nonce_gap: 8, price_bump_percent: 10 };

#[derive(Clone, Debug)]
enum Step {
    Add { from: u8, ahead: u64, cap: u128, tip: u128 },
    Take { most: usize, base_fee: u64 },
    Built { included: usize, evicted: usize },
    Commit,
    Rewind { slots: usize },
    Drop { which: prop::sample::Index },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u8..5, 0u64..6, 5u128..60, 0u128..60)
            .prop_map(|(from, ahead, cap, tip)| Step::Add { from, ahead, cap, tip: tip.min(cap) }),
        3 => (0usize..6, 0u64..50).prop_map(|(most, base_fee)| Step::Take { most, base_fee }),
        3 => (0usize..6, 0usize..2).prop_map(|(included, evicted)| Step::Built { included, evicted }),
        2 => Just(Step::Commit),
        1 => (1usize..3).prop_map(|slots| Step::Rewind { slots }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Drop { which }),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Known {
    draft: Draft,
    arrival: u64,
    place: Place,
}

#[derive(Debug, Default)]
struct Model {
    nonces: BTreeMap<u8, u64>,
    known: BTreeMap<TxHash, Known>,
    /// Slots in flight, oldest first; only the last may not be built yet.
    slots: Vec<(u64, Vec<TxHash>)>,
    unbuilt: bool,
    refused: BTreeMap<u64, Vec<(TxHash, Refusal)>>,
    last_slot: u64,
    arrivals: u64,
}

impl Model {
    fn nonce(&self, from: u8) -> u64 {
        self.nonces.get(&from).copied().unwrap_or_default()
    }

    fn at(&self, from: u8, nonce: u64) -> Option<(TxHash, Known)> {
        let found = self.known.iter().find(|(_, known)| (known.draft.from, known.draft.nonce) == (from, nonce));
        found.map(|(hash, known)| (*hash, *known))
    }

    /// The sender's first transaction that is not in flight, if all before it are here.
    fn next(&self, from: u8) -> Option<(TxHash, Known)> {
        let mut nonce = self.nonce(from);
        loop {
            let (hash, known) = self.at(from, nonce)?;
            match known.place {
                Place::Pooled => return Some((hash, known)),
                Place::Refused(_) => return None,
                Place::Taken(_) | Place::Included(_) => nonce += 1,
            }
        }
    }

    /// What a block must get, by definition.
    fn take(&mut self, slot: u64, most: usize, base_fee: u64) -> Vec<TxHash> {
        let base_fee = u128::from(base_fee);
        let mut taken = Vec::new();
        while taken.len() < most {
            let heads = (1..5).filter_map(|from| self.next(from));
            let payable = heads.filter(|(_, known)| known.draft.cap >= base_fee);
            let best = payable
                .max_by_key(|(_, known)| (known.draft.tip.min(known.draft.cap - base_fee), Reverse(known.arrival)));
            let Some((hash, _)) = best else { break };
            self.known.get_mut(&hash).unwrap().place = Place::Taken(SlotId(slot));
            taken.push(hash);
        }
        taken
    }

    /// Takes out what this slot's end decides about.
    fn refused_until(&mut self, slot: u64) -> Vec<(TxHash, Refusal)> {
        self.refused.remove(&slot).unwrap_or_default()
    }

    fn rewind_last(&mut self) -> Option<u64> {
        let (slot, hashes) = self.slots.pop()?;
        self.unbuilt = false;
        for hash in hashes {
            self.known.get_mut(&hash).unwrap().place = Place::Pooled;
        }
        for (hash, _) in self.refused_until(slot) {
            self.known.get_mut(&hash).unwrap().place = Place::Pooled;
        }
        Some(slot)
    }
}

fn add(pool: &mut Pool, model: &mut Model, draft: Draft) {
    let arrival = model.arrivals;
    let before = pool.len();
    match pool.add(draft.tx(), rich(model.nonce(draft.from))) {
        Ok(admitted) => {
            for gone in admitted.evicted.iter().chain(&admitted.replaced) {
                let known = model.known.remove(gone).expect("what left was here");
                assert_eq!(known.place, Place::Pooled, "what is in flight never leaves by admission");
            }
            model.arrivals += 1;
            model.known.insert(admitted.hash, Known { draft, arrival, place: Place::Pooled });
        }
        Err(PoolError::AlreadyKnown) => assert!(model.known.contains_key(&draft.hash())),
        Err(PoolError::ReplacementUnderpriced) => assert!(model.at(draft.from, draft.nonce).is_some()),
        Err(PoolError::PoolFull) => assert_eq!(before, LIMITS.total),
        Err(PoolError::AccountLimitExceeded { pooled }) => assert_eq!(pooled, LIMITS.per_account),
        Err(other) => panic!("{other}"),
    }
}

fn built(pool: &mut Pool, model: &mut Model, included: usize, evicted: usize) {
    if !model.unbuilt {
        return;
    }
    model.unbuilt = false;
    let (slot, taken) = model.slots.pop().unwrap();
    let (included, rest) = taken.split_at(included.min(taken.len()));
    let (evicted, rest) = rest.split_at(evicted.min(rest.len()));
    let kind = |hash: &TxHash| if hash[0].is_multiple_of(2) { Refusal::Unpaid } else { Refusal::Invalid };
    let refused: Vec<_> = evicted.iter().map(|hash| (*hash, kind(hash))).collect();
    // As a core reports: the block itself decides, without one the newest before it.
    let judge = if included.is_empty() { model.slots.last().map(|(slot, _)| *slot) } else { Some(slot) };
    pool.refused(SlotId(slot), &refused, judge.map(SlotId));
    pool.built(SlotId(slot), included);
    for hash in included {
        model.known.get_mut(hash).unwrap().place = Place::Included(SlotId(slot));
    }
    for (hash, refusal) in refused {
        let Some(judge) = judge else {
            model.known.remove(&hash);
            continue;
        };
        model.known.get_mut(&hash).unwrap().place = Place::Refused(SlotId(judge));
        model.refused.entry(judge).or_default().push((hash, refusal));
    }
    for hash in rest {
        model.known.get_mut(hash).unwrap().place = Place::Pooled;
    }
    model.slots.push((slot, included.to_vec()));
}

fn commit(pool: &mut Pool, model: &mut Model) {
    if model.slots.is_empty() || (model.unbuilt && model.slots.len() == 1) {
        return;
    }
    let (slot, included) = model.slots.remove(0);
    for hash in included {
        let known = model.known.remove(&hash).unwrap();
        *model.nonces.entry(known.draft.from).or_default() += 1;
    }
    for (hash, refusal) in model.refused_until(slot) {
        match refusal {
            Refusal::Unpaid => model.known.get_mut(&hash).unwrap().place = Place::Pooled,
            Refusal::Invalid => drop(model.known.remove(&hash)),
        }
    }
    let accounts = (1..5).map(|from| (address(from), rich(model.nonce(from))));
    pool.committed(SlotId(slot), accounts);
}

fn apply(pool: &mut Pool, model: &mut Model, step: Step) {
    match step {
        Step::Add { from, ahead, cap, tip } => {
            let nonce = model.nonce(from) + ahead;
            add(pool, model, draft(from, nonce).priced(cap, tip));
        }
        Step::Take { most, base_fee } => {
            if model.unbuilt {
                return;
            }
            model.last_slot += 1;
            let slot = model.last_slot;
            let expected = model.take(slot, most, base_fee);
            let limits = TakeLimits { max_transactions: most, gas_limit: u64::MAX, base_fee };
            let taken: Vec<_> = pool.take(SlotId(slot), limits).iter().map(cloister_execution::ValidTx::hash).collect();
            assert_eq!(taken, expected);
            model.slots.push((slot, taken));
            model.unbuilt = true;
        }
        Step::Built { included, evicted } => built(pool, model, included, evicted),
        Step::Commit => commit(pool, model),
        Step::Rewind { slots } => {
            for _ in 0..slots {
                if let Some(slot) = model.rewind_last() {
                    pool.rewound(SlotId(slot));
                }
            }
        }
        Step::Drop { which } => {
            if model.known.is_empty() {
                return;
            }
            let hash = *model.known.keys().nth(which.index(model.known.len())).unwrap();
            let waits = model.known[&hash].place == Place::Pooled;
            assert_eq!(pool.drop_transaction(&hash).is_some(), waits);
            if waits {
                model.known.remove(&hash);
            }
        }
    }
}

fn compare(pool: &Pool, model: &Model) {
    pool.check();
    let here: BTreeSet<TxHash> = pool
        .content()
        .iter()
        .flat_map(|account| account.pending.iter().chain(&account.queued))
        .map(|tx| tx.hash())
        .collect();
    assert_eq!(here, model.known.keys().copied().collect());
    assert_eq!(pool.len(), here.len());
    for (slot, hashes) in &model.slots {
        assert_eq!(&pool.in_slot(SlotId(*slot)), hashes);
    }
    for from in 1..5 {
        let mut end = model.nonce(from);
        while model.at(from, end).is_some() {
            end += 1;
        }
        assert_eq!(pool.pending_nonce(address(from), model.nonce(from)), end);
    }
    let payable = (1..5).filter_map(|from| model.next(from)).any(|(_, known)| known.draft.cap >= 20);
    assert_eq!(pool.has_executable(20), payable);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(steps in proptest::collection::vec(step(), 1..120)) {
        let mut pool = Pool::new(LIMITS);
        let mut model = Model::default();
        for step in steps {
            apply(&mut pool, &mut model, step);
            compare(&pool, &model);
        }
        // Whatever happened, draining the pool finds every transaction that can run, once.
        while let Some(slot) = model.rewind_last() {
            pool.rewound(SlotId(slot));
        }
        let expected = model.take(u64::MAX, usize::MAX, 0);
        let limits = TakeLimits { max_transactions: usize::MAX, gas_limit: u64::MAX, base_fee: 0 };
        let previewed: Vec<_> = pool.preview(limits).into_iter().map(cloister_execution::ValidTx::hash).collect();
        prop_assert_eq!(&previewed, &expected);
        let drained: Vec<_> = pool.take(SlotId(u64::MAX), limits).iter().map(cloister_execution::ValidTx::hash).collect();
        prop_assert_eq!(drained, expected);
    }
}
