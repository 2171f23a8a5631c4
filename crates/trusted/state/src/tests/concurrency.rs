//! Readers beside a writer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use alloy_primitives::{U256, keccak256};
use alloy_trie::Nibbles;
use alloy_trie::proof::verify_proof;
use cloister_primitives::Height;

use super::model::address;
use crate::{Account, AccountDelta, HistoryLimits, SnapshotLoader, State, StateDelta, StateError, StorageCleared};

const SLOTS: u64 = 3000;
const BLOCKS: u64 = 40;

/// Every slot holds the height, shifted so that it is never zero.
fn block(height: u64) -> StateDelta {
    let value = U256::from(height + 1);
    let account = |n: u8| AccountDelta {
        address: address(n),
        account: Some(Account { nonce: height, ..Account::default() }),
        storage_cleared: if height.is_multiple_of(7) { StorageCleared::Yes } else { StorageCleared::No },
        storage: (0..SLOTS).map(|slot| (U256::from(slot), value)).collect(),
    };
    StateDelta { accounts: vec![account(0), account(1)], codes: Vec::new() }
}

#[test]
fn readers_see_one_height_while_blocks_are_applied_and_rewound() {
    let state = State::new(HistoryLimits::default());
    state.apply(Height(0), &block(0)).unwrap();
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    let read = |seed: u64| {
        let mut n = seed;
        while !done.load(Ordering::Relaxed) {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let tip = state.tip().unwrap();
            let Ok(view) = state.view(Height(tip.0.saturating_sub(n % 3))) else {
                continue;
            };
            match check(&view, U256::from((n >> 33) % SLOTS)) {
                // Rewound in the meantime.
                Err(StateError::HistoryUnavailable { .. }) => {}
                result => result.unwrap(),
            }
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || read(seed));
        }
        for height in 1..=BLOCKS {
            state.apply(Height(height), &block(height)).unwrap();
            if height.is_multiple_of(10) {
                let root = state.root();
                state.rewind(Height(height - 4)).unwrap();
                for again in height - 3..=height {
                    state.apply(Height(again), &block(again)).unwrap();
                }
                assert_eq!(state.root(), root);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 0);
}

fn check(view: &crate::StateView, slot: U256) -> Result<(), StateError> {
    let expected = view.height().0 + 1;
    for n in 0..2 {
        let account = view.account(address(n))?.unwrap();
        assert_eq!(account.nonce, view.height().0);
        assert_eq!(view.storage(address(n), slot)?, U256::from(expected));
        let proof = view.proof(address(n), &[slot])?;
        assert_eq!(proof.account, Some(account));
        let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
        let value = Some(alloy_rlp::encode(U256::from(expected)));
        verify_proof(proof.storage_root, key, value, &proof.storage[0].proof).unwrap();
    }
    Ok(())
}

#[test]
fn a_snapshot_is_cut_while_blocks_are_applied() {
    let state = State::new(HistoryLimits::default());
    for height in 0..3 {
        state.apply(Height(height), &block(height)).unwrap();
    }
    let mut cut = state.snapshot(Height(1)).unwrap();
    let root = cut.root();
    let loaded = thread::scope(|scope| {
        scope.spawn(|| {
            for height in 3..20 {
                state.apply(Height(height), &block(height)).unwrap();
            }
        });
        let mut loader = SnapshotLoader::new(HistoryLimits::default());
        while let Some(chunk) = cut.next_chunk(4096).unwrap() {
            loader.push(&chunk).unwrap();
        }
        loader.finish(Height(1), root).unwrap()
    });
    assert_eq!(loaded.root(), state.view(Height(1)).unwrap().root());
    assert_eq!(loaded.stats().slots, 2 * SLOTS);
    let view = loaded.view(Height(1)).unwrap();
    assert_eq!(view.storage(address(1), U256::from(5)), Ok(U256::from(2)));
}
