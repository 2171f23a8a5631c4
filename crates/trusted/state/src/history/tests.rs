//! The queue of versions against a plain list, and the ring around it.

use alloy_primitives::{B256, U256};
use cloister_primitives::Height;
use proptest::prelude::*;

use super::versions::Versions;
use super::{History, HistoryLimits, OldAccount};
use crate::Account;

#[derive(Clone, Debug)]
enum Op {
    /// Push records of these keys.
    Push(Vec<u8>),
    PopBack(usize),
    /// Forget this many of the oldest.
    Forget(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec(0u8..40, 1..400).prop_map(Op::Push),
        1 => (0usize..300).prop_map(Op::PopBack),
        2 => (0usize..300).prop_map(Op::Forget),
    ]
}

/// Few hashes for many keys, so that chains are long.
fn hash(key: u8) -> u32 {
    u32::from(key % 7) << 3
}

fn full(key: u8) -> B256 {
    B256::with_last_byte(key)
}

fn newest(versions: &Versions<u64>, key: u8) -> Option<u64> {
    versions.newest(hash(key), |record| record.key == full(key))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn versions_are_found_at_every_point(ops in prop::collection::vec(op(), 1..40)) {
        let mut versions = Versions::<u64>::new();
        // The record with id `i` is at `i`; `first` is the oldest still held.
        let mut model: Vec<u8> = Vec::new();
        let mut first = 0;
        for op in ops {
            match op {
                Op::Push(keys) => for key in keys {
                    let old = versions.next_id();
                    let newest = newest(&versions, key);
                    versions.push(hash(key), full(key), old, newest);
                    model.push(key);
                },
                Op::PopBack(count) => for _ in 0..count.min(model.len() - first) {
                    let popped = versions.pop_back().map(|record| (record.key, record.old));
                    let key = model.pop().expect("as many as there are");
                    prop_assert_eq!(popped, Some((full(key), model.len() as u64)));
                },
                Op::Forget(count) => {
                    let end = (first + count).min(model.len());
                    let mut forgotten = Vec::new();
                    versions.forget_before(end as u64, |old| forgotten.push(*old));
                    let expected: Vec<u64> = (first as u64..end as u64).collect();
                    prop_assert_eq!(forgotten, expected);
                    first = end;
                }
            }
            prop_assert_eq!(versions.next_id(), model.len() as u64);
        }
        for key in 0..40 {
            let ids: Vec<usize> = (first..model.len()).filter(|id| model[*id] == key).collect();
            let newest = newest(&versions, key);
            prop_assert_eq!(newest, ids.last().map(|id| *id as u64));
            for since in first..=model.len() {
                let expected = ids.iter().find(|id| **id >= since).map(|id| *id as u64);
                let found = newest.and_then(|newest| versions.oldest_since(newest, since as u64));
                prop_assert_eq!(found.map(|record| record.old), expected);
            }
        }
    }
}

fn account(nonce: u64) -> Option<OldAccount> {
    let account = Account { nonce, ..Account::default() };
    let storage_root = B256::ZERO;
    Some(OldAccount { account, storage_root })
}

#[test]
fn slots_of_different_accounts_are_told_apart_where_hashes_collide() {
    let mut history = History::new(HistoryLimits::default());
    history.begin(Height(0));
    history.begin(Height(1));
    let (version, _) = history.version(Height(0)).expect("begun");
    // Both hash alike: only the first four bytes of a key count.
    let accounts = [1, 2].map(B256::with_last_byte);
    for (n, key) in accounts.iter().enumerate() {
        let n = n as u64 + 1;
        assert!(history.record_account(*key, account(n)));
        assert!(!history.record_account(*key, account(9)));
        history.record_slot(key, B256::ZERO, U256::from(n));
        history.record_slot(key, B256::ZERO, U256::from(9));
    }
    let since = history.since(version).expect("held");
    for (n, key) in accounts.iter().enumerate() {
        let n = n as u64 + 1;
        let old = history.account_since(since, key).flatten();
        assert_eq!(old.map(|old| old.account.nonce), Some(n));
        assert_eq!(history.slot_since(since, key, &B256::ZERO), Some(U256::from(n)));
    }
    let other = B256::with_last_byte(3);
    assert_eq!(history.slot_since(since, &other, &B256::ZERO), None);
}

#[test]
fn blocks_on_their_way_out_cannot_be_read() {
    let mut history = History::new(HistoryLimits::default());
    let versions = [0, 1, 2].map(|height| {
        history.begin(Height(height));
        history.version(Height(height)).expect("begun").0
    });
    history.withdraw(Height(1));
    let readable = versions.map(|version| history.since(version).is_ok());
    assert_eq!(readable, [true, true, false]);
    // Built anew, it is another block.
    history.take_block();
    history.begin(Height(2));
    assert!(history.since(versions[2]).is_err());
}
