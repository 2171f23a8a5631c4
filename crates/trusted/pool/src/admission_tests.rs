#![allow(clippy::unwrap_used)]

use super::*;
use crate::PoolLimits;
use crate::testing::{ALL, add, address, draft, legacy, pool, rich, take, with_balance};
use crate::{SlotId, TakeLimits};
use alloy_primitives::U256;

/// Gas limit × fee cap of a draft as it comes.
const COST: u64 = 30_000 * 100;

#[test]
fn the_next_nonce_is_executable_and_one_behind_a_gap_is_not() {
    let mut pool = pool();
    assert!(add(&mut pool, draft(1, 0)).unwrap().executable);
    assert!(!add(&mut pool, draft(1, 2)).unwrap().executable);
    assert!(!add(&mut pool, draft(1, 3)).unwrap().executable);
    assert_eq!(pool.status(), (1, 2));
    assert_eq!(pool.pending_nonce(address(1), 0), 1);

    let filled = add(&mut pool, draft(1, 1)).unwrap();
    assert!(filled.executable);
    assert_eq!(filled.promoted, [draft(1, 2).hash(), draft(1, 3).hash()]);
    assert_eq!(pool.status(), (4, 0));
    assert_eq!(pool.pending_nonce(address(1), 0), 4);
    pool.check();
}

#[test]
fn the_same_transaction_is_known_waiting_or_in_flight() {
    let mut pool = pool();
    add(&mut pool, draft(1, 0)).unwrap();
    assert_eq!(add(&mut pool, draft(1, 0)), Err(PoolError::AlreadyKnown));
    take(&mut pool, 1, ALL);
    assert_eq!(add(&mut pool, draft(1, 0)), Err(PoolError::AlreadyKnown));
}

#[test]
fn a_used_nonce_is_refused() {
    let mut pool = pool();
    let refused = pool.add(draft(1, 4).tx(), rich(5));
    assert_eq!(refused, Err(PoolError::NonceTooLow { next: 5, nonce: 4 }));
    assert!(pool.is_empty());
}

#[test]
fn a_state_read_before_a_known_commit_does_not_take_the_lane_back() {
    let mut pool = pool();
    for nonce in 0..3 {
        add(&mut pool, draft(1, nonce)).unwrap();
    }
    pool.committed(SlotId(1), [(address(1), rich(2))]);
    let late = pool.add(draft(1, 1).priced(200, 20).tx(), rich(0));
    assert_eq!(late, Err(PoolError::NonceTooLow { next: 2, nonce: 1 }));
    assert!(pool.add(draft(1, 3).tx(), rich(1)).unwrap().executable);
    assert_eq!(pool.status(), (2, 0));
    pool.check();
}

#[test]
fn a_nonce_far_beyond_the_gap_is_refused() {
    let mut pool = Pool::new(PoolLimits { max_nonce_gap: 5, ..PoolLimits::default() });
    add(&mut pool, draft(1, 0)).unwrap();
    assert!(add(&mut pool, draft(1, 6)).is_ok());
    assert_eq!(add(&mut pool, draft(1, 7)), Err(PoolError::NonceTooHigh { nonce: 7, gapped: 1 }));
    assert_eq!(add(&mut pool, draft(2, u64::MAX - 1)), Err(PoolError::NonceTooHigh { nonce: u64::MAX - 1, gapped: 0 }));
}

#[test]
fn a_replacement_raises_both_prices_by_a_tenth() {
    let mut pool = pool();
    let first = add(&mut pool, draft(1, 0)).unwrap();
    let refused = Err(PoolError::ReplacementUnderpriced);
    for (cap, tip) in [(100, 10), (110, 10), (109, 11), (100, 11), (200, 10)] {
        let other = crate::testing::Draft { salt: 1, ..draft(1, 0).priced(cap, tip) };
        assert_eq!(add(&mut pool, other), refused, "{cap} {tip}");
    }
    let second = add(&mut pool, draft(1, 0).priced(110, 11)).unwrap();
    assert_eq!(second.replaced, Some(first.hash));
    assert!(second.executable);
    assert!(!pool.contains(&first.hash));
    assert_eq!(pool.len(), 1);
    // 10 % of 11 is 1.1: 12 is too little, as the bump is not rounded in the newcomer's favour.
    assert_eq!(add(&mut pool, draft(1, 0).priced(121, 12)), refused);
    assert!(add(&mut pool, draft(1, 0).priced(121, 13)).is_ok());
    pool.check();
}

#[test]
fn something_free_is_replaced_by_anything_that_pays() {
    let mut pool = pool();
    add(&mut pool, draft(1, 0).priced(0, 0)).unwrap();
    let free = crate::testing::Draft { salt: 1, ..draft(1, 0).priced(0, 0) };
    assert_eq!(add(&mut pool, free), Err(PoolError::ReplacementUnderpriced));
    assert!(add(&mut pool, draft(1, 0).priced(1, 1)).is_ok());
}

#[test]
fn what_is_in_flight_is_not_replaced_at_any_price() {
    let mut pool = pool();
    add(&mut pool, draft(1, 0)).unwrap();
    take(&mut pool, 1, ALL);
    let bid = draft(1, 0).priced(100_000, 100_000);
    assert_eq!(add(&mut pool, bid), Err(PoolError::ReplacementUnderpriced));
    pool.rewound(SlotId(1));
    assert!(add(&mut pool, bid).is_ok());
}

#[test]
fn one_transaction_must_be_paid_for() {
    let mut pool = pool();
    let refused = pool.add(draft(1, 0).tx(), with_balance(0, COST - 1));
    let error = PoolError::InsufficientFunds { balance: U256::from(COST - 1), cost: U256::from(COST) };
    assert_eq!(refused, Err(error));
    assert!(pool.add(draft(1, 0).tx(), with_balance(0, COST)).is_ok());
}

#[test]
fn all_transactions_of_a_sender_must_be_paid_for() {
    let mut pool = pool();
    let state = with_balance(0, 2 * COST + 5);
    pool.add(draft(1, 0).tx(), state).unwrap();
    pool.add(draft(1, 5).tx(), state).unwrap();
    let error = PoolError::LaneOverdrawn {
        balance: U256::from(2 * COST + 5),
        queued: U256::from(2 * COST),
        cost: U256::from(COST),
    };
    assert_eq!(pool.add(draft(1, 1).tx(), state), Err(error));
    // A replacement stands for what it replaces.
    assert!(matches!(
        pool.add(draft(1, 0).priced(110, 11).tx(), state),
        Err(PoolError::LaneOverdrawn { queued, .. }) if queued == U256::from(COST)
    ));
    assert_eq!(pool.len(), 2);
    pool.check();
}

#[test]
fn one_account_has_its_share() {
    let mut pool = Pool::new(PoolLimits { per_account: 2, ..PoolLimits::default() });
    add(&mut pool, draft(1, 0)).unwrap();
    add(&mut pool, draft(1, 1)).unwrap();
    assert_eq!(add(&mut pool, draft(1, 2)), Err(PoolError::AccountLimitExceeded { pooled: 2 }));
    assert!(add(&mut pool, draft(1, 1).priced(110, 11)).is_ok(), "a replacement takes no more room");
    assert!(add(&mut pool, draft(2, 0)).is_ok());
}

fn full_pool() -> Pool {
    let mut pool = Pool::new(PoolLimits { total: 3, ..PoolLimits::default() });
    add(&mut pool, draft(1, 0).priced(100, 10)).unwrap();
    add(&mut pool, draft(2, 0).priced(50, 10)).unwrap();
    add(&mut pool, draft(3, 7).priced(900, 10)).unwrap();
    pool
}

#[test]
fn a_full_pool_gives_up_what_is_behind_a_gap_first() {
    let mut pool = full_pool();
    let cheap = add(&mut pool, draft(4, 0).priced(1, 1)).unwrap();
    assert_eq!(cheap.evicted, [draft(3, 7).priced(900, 10).hash()]);
    assert_eq!(pool.len(), 3);
    pool.check();
}

#[test]
fn a_full_pool_gives_up_the_cheapest_for_something_dearer() {
    let mut pool = full_pool();
    pool.drop_transaction(&draft(3, 7).priced(900, 10).hash()).unwrap();
    add(&mut pool, draft(3, 0).priced(70, 10)).unwrap();
    assert_eq!(add(&mut pool, draft(4, 0).priced(50, 10)), Err(PoolError::PoolFull), "as cheap as the cheapest");
    let dearer = add(&mut pool, draft(4, 0).priced(51, 10)).unwrap();
    assert_eq!(dearer.evicted, [draft(2, 0).priced(50, 10).hash()]);
    // Something behind a gap never displaces something that can run.
    assert_eq!(add(&mut pool, draft(5, 1).priced(900, 900)), Err(PoolError::PoolFull));
    pool.check();
}

#[test]
fn an_account_does_not_make_room_for_itself_nor_take_what_is_in_flight() {
    let mut pool = Pool::new(PoolLimits { total: 2, ..PoolLimits::default() });
    add(&mut pool, draft(1, 0).priced(1, 1)).unwrap();
    add(&mut pool, draft(1, 1).priced(1, 1)).unwrap();
    assert_eq!(add(&mut pool, draft(1, 2).priced(100, 1)), Err(PoolError::PoolFull));
    take(&mut pool, 1, ALL);
    assert_eq!(add(&mut pool, draft(2, 0).priced(100, 1)), Err(PoolError::PoolFull));
    pool.rewound(SlotId(1));
    let admitted = add(&mut pool, draft(2, 0).priced(100, 1)).unwrap();
    assert_eq!(admitted.evicted, [draft(1, 1).priced(1, 1).hash()], "the last, so that no gap arises");
    pool.check();
}

#[test]
fn bytes_are_bounded_too() {
    let one = draft(1, 0).tx().encoded_len();
    let mut pool = Pool::new(PoolLimits { total_bytes: 2 * one + one / 2, ..PoolLimits::default() });
    add(&mut pool, draft(1, 0)).unwrap();
    add(&mut pool, draft(2, 0)).unwrap();
    assert_eq!(add(&mut pool, draft(3, 0)), Err(PoolError::PoolFull));
    assert!(add(&mut pool, draft(3, 0).priced(101, 10)).is_ok());
    assert!(pool.bytes() <= 2 * one + one / 2);
    pool.check();
}

#[test]
fn content_is_sorted_and_split_at_the_gap() {
    let mut pool = pool();
    for (from, nonce) in [(2, 3), (2, 1), (2, 0), (1, 4)] {
        add(&mut pool, draft(from, nonce)).unwrap();
    }
    let nonces = |txs: &[&ValidTx]| txs.iter().map(|tx| tx.nonce()).collect::<Vec<_>>();
    let content = pool.content();
    let shown: Vec<_> = content.iter().map(|of| (of.address[0], nonces(&of.pending), nonces(&of.queued))).collect();
    assert_eq!(shown, [(1, vec![], vec![4]), (2, vec![0, 1], vec![3])]);
    assert_eq!(pool.content_from(address(2)), content[1]);
    assert_eq!(pool.content_from(address(9)).address, address(9));
    assert!(pool.content_from(address(9)).pending.is_empty());
}

#[test]
fn dropping_leaves_a_gap_and_clearing_leaves_nothing() {
    let mut pool = pool();
    for nonce in 0..3 {
        add(&mut pool, draft(1, nonce)).unwrap();
    }
    assert_eq!(pool.drop_transaction(&draft(1, 1).hash()), Some(draft(1, 1).tx()));
    assert_eq!(pool.drop_transaction(&draft(1, 1).hash()), None);
    assert_eq!(pool.status(), (1, 1));
    assert_eq!(take(&mut pool, 1, ALL), [(1, 0)]);
    assert_eq!(pool.drop_transaction(&draft(1, 0).hash()), None, "in flight");
    pool.check();
    pool.clear();
    assert!(pool.is_empty() && !pool.has_executable(0));
    assert!(pool.in_slot(SlotId(1)).is_empty());
    assert!(add(&mut pool, draft(1, 0)).is_ok());
    pool.check();
}

#[test]
fn a_gas_price_counts_as_cap_and_tip() {
    let mut pool = pool();
    pool.add(legacy(1, 0, 20), rich(0)).unwrap();
    add(&mut pool, draft(2, 0).priced(100, 15)).unwrap();
    assert!(pool.has_executable(20) && pool.has_executable(100) && !pool.has_executable(101));
    let at = |base_fee| TakeLimits { base_fee, max_transactions: 1, ..ALL };
    assert_eq!(take(&mut pool, 1, at(5)), [(1, 0)], "both pay 15, the first came earlier");
    pool.rewound(SlotId(1));
    assert_eq!(take(&mut pool, 2, at(6)), [(2, 0)]);
}
