#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{ALL, Draft, add, address, draft, pool, rich, take, with_balance};
use crate::{Order, PoolError};

fn hashes(pairs: &[(u8, u64)]) -> Vec<TxHash> {
    pairs.iter().map(|(from, nonce)| draft(*from, *nonce).hash()).collect()
}

/// Lanes 1 and 2 with three transactions each, alternating in arrival.
fn two_lanes() -> Pool {
    let mut pool = pool();
    for nonce in 0..3 {
        add(&mut pool, draft(1, nonce)).unwrap();
        add(&mut pool, draft(2, nonce)).unwrap();
    }
    pool
}

#[test]
fn the_best_tip_comes_first_then_the_earliest() {
    let mut pool = pool();
    add(&mut pool, draft(1, 0).priced(100, 10)).unwrap();
    add(&mut pool, draft(2, 0).priced(100, 20)).unwrap();
    add(&mut pool, draft(3, 0).priced(100, 10)).unwrap();
    // Dear, but behind something cheap of the same sender.
    add(&mut pool, draft(1, 1).priced(100, 50)).unwrap();
    assert_eq!(take(&mut pool, 1, ALL), [(2, 0), (1, 0), (1, 1), (3, 0)]);
    assert_eq!(take(&mut pool, 1, ALL), []);
    pool.check();
}

#[test]
fn by_arrival_nobody_comes_before_who_came_first() {
    let mut pool = pool().ordered(Order::Arrival);
    for (from, tip) in [(1, 10), (2, 20), (3, 0), (4, 30)] {
        add(&mut pool, draft(from, 0).priced(100 * u128::from(from), tip)).unwrap();
    }
    add(&mut pool, draft(1, 1).priced(100, 50)).unwrap();
    assert_eq!(take(&mut pool, 1, ALL), [(1, 0), (2, 0), (3, 0), (4, 0), (1, 1)]);
    pool.check();
    // What offers nothing has its place, too.
    add(&mut pool, draft(5, 0).priced(0, 0)).unwrap();
    add(&mut pool, draft(6, 0).priced(100, 90)).unwrap();
    assert_eq!(take(&mut pool, 2, ALL), [(5, 0), (6, 0)]);
    pool.check();
}

#[test]
fn the_base_fee_decides_who_pays_and_how_much() {
    let mut pool = pool();
    add(&mut pool, draft(1, 0).priced(60, 50)).unwrap();
    add(&mut pool, draft(2, 0).priced(100, 20)).unwrap();
    let at = |base_fee| TakeLimits { base_fee, ..ALL };
    assert_eq!(take(&mut pool, 1, at(0)), [(1, 0), (2, 0)]);
    pool.rewound(SlotId(1));
    assert_eq!(take(&mut pool, 2, at(50)), [(2, 0), (1, 0)]);
    pool.rewound(SlotId(2));
    assert_eq!(take(&mut pool, 3, at(61)), [(2, 0)]);
    assert!(pool.has_executable(60) && !pool.has_executable(61));
    pool.check();
}

#[test]
fn count_and_declared_gas_close_a_block() {
    let mut pool = two_lanes();
    let few = TakeLimits { max_transactions: 2, ..ALL };
    assert_eq!(take(&mut pool, 1, few), [(1, 0), (2, 0)]);
    // Each declares 30,000.
    let gas = TakeLimits { gas_limit: 89_999, ..ALL };
    assert_eq!(take(&mut pool, 2, gas), [(1, 1), (2, 1)]);
    pool.check();
}

#[test]
fn what_does_not_fit_is_passed_over_and_stays() {
    let mut pool = pool();
    add(&mut pool, Draft { gas: 500_000, ..draft(1, 0).priced(100, 90) }).unwrap();
    add(&mut pool, draft(1, 1).priced(100, 90)).unwrap();
    add(&mut pool, draft(2, 0)).unwrap();
    assert_eq!(take(&mut pool, 1, TakeLimits { gas_limit: 100_000, ..ALL }), [(2, 0)]);
    pool.check();
    assert_eq!(take(&mut pool, 2, ALL), [(1, 0), (1, 1)]);
}

#[test]
fn what_a_block_leaves_out_waits_again_in_its_place() {
    let mut pool = two_lanes();
    take(&mut pool, 1, ALL);
    assert!(!pool.has_executable(0));
    pool.refused(SlotId(1), &[(draft(2, 1).hash(), Refusal::Invalid)], None);
    pool.built(SlotId(1), &hashes(&[(1, 0), (2, 0)]));
    pool.check();
    assert_eq!(pool.in_slot(SlotId(1)), hashes(&[(1, 0), (2, 0)]));
    assert!(!pool.contains(&draft(2, 1).hash()), "evicted");
    assert_eq!(pool.pending_nonce(address(1), 0), 3, "in flight and pool");
    assert_eq!(pool.pending_nonce(address(2), 0), 1);
    assert_eq!(take(&mut pool, 2, ALL), [(1, 1), (1, 2)], "(2, 2) is behind a gap now");
    pool.check();
}

#[test]
fn a_commit_takes_what_was_included() {
    let mut pool = two_lanes();
    take(&mut pool, 1, TakeLimits { max_transactions: 3, ..ALL });
    pool.built(SlotId(1), &hashes(&[(1, 0), (2, 0), (1, 1)]));
    take(&mut pool, 2, TakeLimits { max_transactions: 1, ..ALL });
    pool.built(SlotId(2), &hashes(&[(2, 1)]));
    pool.committed(SlotId(1), [(address(1), rich(2)), (address(2), rich(1)), (address(9), rich(0))]);
    pool.check();
    assert_eq!(pool.len(), 3);
    assert_eq!(pool.pending_nonce(address(2), 1), 3);
    pool.committed(SlotId(2), [(address(2), rich(2))]);
    assert_eq!(take(&mut pool, 3, ALL), [(1, 2), (2, 2)]);
    pool.check();
}

#[test]
fn a_lost_tail_is_taken_again_in_the_same_order() {
    let mut pool = two_lanes();
    let two = TakeLimits { max_transactions: 2, ..ALL };
    let first = take(&mut pool, 1, two);
    let second = take(&mut pool, 2, two);
    pool.built(SlotId(1), &hashes(&first));
    pool.rewound(SlotId(2));
    pool.rewound(SlotId(1));
    pool.rewound(SlotId(1));
    pool.check();
    assert_eq!(take(&mut pool, 3, two), first);
    assert_eq!(take(&mut pool, 4, two), second);
}

#[test]
fn an_earlier_slot_lost_alone_leaves_the_later_one_in_flight() {
    let mut pool = two_lanes();
    take(&mut pool, 1, TakeLimits { max_transactions: 2, ..ALL });
    take(&mut pool, 2, TakeLimits { max_transactions: 2, ..ALL });
    pool.rewound(SlotId(1));
    pool.check();
    assert_eq!(take(&mut pool, 3, ALL), [(1, 0), (2, 0), (1, 2), (2, 2)]);
}

#[test]
fn a_commit_that_never_heard_of_the_build_loses_nothing() {
    let mut pool = two_lanes();
    take(&mut pool, 1, ALL);
    pool.committed(SlotId(1), [(address(1), rich(1))]);
    pool.check();
    assert_eq!(pool.len(), 5);
    assert_eq!(take(&mut pool, 2, ALL), [(2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]);
}

#[test]
fn an_included_transaction_goes_even_if_its_sender_is_not_reported() {
    let mut pool = two_lanes();
    take(&mut pool, 1, TakeLimits { max_transactions: 1, ..ALL });
    pool.built(SlotId(1), &hashes(&[(1, 0)]));
    pool.committed(SlotId(1), []);
    pool.check();
    assert!(!pool.contains(&draft(1, 0).hash()));
}

#[test]
fn a_commit_drops_what_the_sender_can_no_longer_pay() {
    let mut pool = pool();
    add(&mut pool, draft(1, 0)).unwrap();
    add(&mut pool, Draft { value: 5_000_000, ..draft(1, 1) }).unwrap();
    add(&mut pool, draft(1, 2)).unwrap();
    pool.committed(SlotId(1), [(address(1), with_balance(0, 7_999_999))]);
    assert_eq!(pool.status(), (1, 1), "the middle one cost 8,000,000");
    pool.check();
}

#[test]
fn what_is_in_flight_is_left_to_its_block_even_if_unaffordable() {
    let mut pool = two_lanes();
    take(&mut pool, 1, TakeLimits { max_transactions: 1, ..ALL });
    pool.committed(SlotId(9), [(address(1), with_balance(0, 0))]);
    assert_eq!(pool.in_slot(SlotId(1)), hashes(&[(1, 0)]));
    assert_eq!(pool.status(), (4, 0));
    pool.check();
}

#[test]
fn a_chain_that_went_back_queues_what_is_now_ahead() {
    let mut pool = pool();
    pool.add(draft(1, 5).tx(), rich(5)).unwrap();
    assert_eq!(pool.status(), (1, 0));
    pool.committed(SlotId(1), [(address(1), rich(3))]);
    assert_eq!(pool.status(), (0, 1));
    assert!(!pool.has_executable(0));
    pool.add(draft(1, 3).tx(), rich(3)).unwrap();
    pool.add(draft(1, 4).tx(), rich(3)).unwrap();
    assert_eq!(take(&mut pool, 2, ALL), [(1, 3), (1, 4), (1, 5)]);
    pool.check();
}

#[test]
fn reports_about_strangers_change_nothing() {
    let mut pool = two_lanes();
    take(&mut pool, 1, TakeLimits { max_transactions: 2, ..ALL });
    let stranger = draft(7, 7).hash();
    // Not in this slot: waiting, unknown.
    pool.refused(SlotId(5), &[(draft(1, 0).hash(), Refusal::Invalid)], None);
    pool.built(SlotId(5), &hashes(&[(1, 0)]));
    let refused = [stranger, draft(2, 2).hash()].map(|hash| (hash, Refusal::Invalid));
    pool.refused(SlotId(1), &refused, Some(SlotId(1)));
    pool.built(SlotId(1), &[stranger, draft(1, 1).hash()]);
    pool.committed(SlotId(5), []);
    pool.rewound(SlotId(6));
    pool.check();
    assert_eq!(pool.len(), 6);
    assert_eq!(add(&mut pool, draft(1, 0)), Err(PoolError::AlreadyKnown));
}

/// (1, 0), (1, 1) and (2, 0) taken for slot 1, which refuses (1, 1) and includes the others.
fn with_one_refused(refusal: Refusal) -> Pool {
    let mut pool = two_lanes();
    take(&mut pool, 1, TakeLimits { max_transactions: 3, ..ALL });
    pool.refused(SlotId(1), &[(draft(1, 1).hash(), refusal)], Some(SlotId(1)));
    pool.built(SlotId(1), &hashes(&[(1, 0), (2, 0)]));
    pool.check();
    assert!(pool.contains(&draft(1, 1).hash()), "it is decided about later");
    assert_eq!(take(&mut pool, 2, ALL), [(2, 1), (2, 2)], "neither it nor what follows on it is handed out meanwhile");
    pool.check();
    pool
}

#[test]
fn what_could_not_be_paid_in_its_place_stays_if_the_block_leaves_its_sender_enough() {
    let mut pool = with_one_refused(Refusal::Unpaid);
    // A draft costs 30,000 gas at 100 wei.
    pool.committed(SlotId(1), [(address(1), with_balance(1, 3_000_000)), (address(2), rich(1))]);
    pool.check();
    assert_eq!(take(&mut pool, 3, ALL), [(1, 1), (1, 2)]);
}

#[test]
fn what_cannot_be_paid_after_its_block_either_goes() {
    let mut pool = with_one_refused(Refusal::Unpaid);
    pool.committed(SlotId(1), [(address(1), with_balance(1, 2_999_999)), (address(2), rich(1))]);
    pool.check();
    assert!(!pool.contains(&draft(1, 1).hash()));
    assert_eq!(take(&mut pool, 3, ALL), []);
}

#[test]
fn what_was_refused_for_other_reasons_goes_with_the_commit() {
    let mut pool = with_one_refused(Refusal::Invalid);
    pool.committed(SlotId(1), [(address(1), rich(1)), (address(2), rich(1))]);
    pool.check();
    assert!(!pool.contains(&draft(1, 1).hash()));
    assert!(pool.contains(&draft(1, 2).hash()), "behind a gap now");
}

#[test]
fn what_a_lost_slot_refused_waits_again() {
    let mut pool = with_one_refused(Refusal::Invalid);
    pool.rewound(SlotId(2));
    pool.rewound(SlotId(1));
    pool.check();
    assert_eq!(take(&mut pool, 3, ALL), [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]);
}
