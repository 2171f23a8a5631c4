//! Pieces of cutting on their own.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use cloister_primitives::Height;
use proptest::prelude::*;

use super::format::{ChunkReader, ChunkWriter, Record};
use super::merge::Merge;
use super::{SnapshotCut, SnapshotLoader};
use crate::{Account, AccountDelta, HistoryLimits, State, StateDelta, StorageCleared};

fn hash(n: u8) -> B256 {
    B256::repeat_byte(n)
}

#[test]
fn records_survive_a_chunk() {
    let contract = Account { nonce: u64::MAX, balance: U256::MAX, code_hash: hash(7) };
    // The smallest chunk allowed holds the largest record that cannot be split.
    let mut chunk = ChunkWriter::new(128).unwrap();
    assert!(chunk.account(&hash(1), &contract).is_ok());
    assert!(chunk.slot(&hash(2), &U256::MAX).is_err());
    assert_eq!(chunk.code(&[5; 100]).ok(), Some(15));
    let chunk = chunk.finish().unwrap();
    assert_eq!(chunk.len(), 128);
    let mut records = ChunkReader::new(&chunk).unwrap();
    assert_eq!(records.next(), Ok(Some(Record::Account(hash(1), contract))));
    assert_eq!(records.next(), Ok(Some(Record::CodePart(&[5; 15]))));
    assert_eq!(records.next(), Ok(None));
}

#[test]
fn older_values_hold_over_live_ones() {
    let live = [1, 2, 4, 6].map(|n| (hash(n), "live"));
    let older = [
        (hash(0), Some("older")),
        (hash(2), Some("older")),
        (hash(3), None),
        (hash(4), None),
        (hash(7), Some("older")),
    ];
    let merged: Vec<_> = Merge::new(live.into_iter(), older.into_iter()).collect();
    let expected = [(hash(0), "older"), (hash(1), "live"), (hash(2), "older"), (hash(6), "live"), (hash(7), "older")];
    assert_eq!(merged, expected);
}

fn state_with_code(code: &Bytes) -> State {
    let account = Account { code_hash: keccak256(code), ..Account::default() };
    let changes = [1, 2].map(|n| AccountDelta {
        address: [n; 20].into(),
        account: Some(account),
        storage_cleared: StorageCleared::No,
        storage: vec![(U256::ONE, U256::ONE)],
    });
    let delta = StateDelta { accounts: changes.to_vec(), codes: vec![code.clone()] };
    let state = State::new(HistoryLimits::default());
    state.apply(Height(3), &delta).unwrap();
    state
}

fn load(cut: &mut SnapshotCut, max_bytes: usize) -> State {
    let mut loader = SnapshotLoader::new(HistoryLimits::default());
    while let Some(chunk) = cut.next_chunk(max_bytes).unwrap() {
        assert!(chunk.len() <= max_bytes);
        loader.push(&chunk).unwrap();
    }
    loader.finish(cut.height(), cut.root()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn long_code_is_split_over_chunks(length in 1usize..100_000, max_bytes in 128usize..50_000) {
        let code: Bytes = (0..length).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
        let state = state_with_code(&code);
        let mut cut = state.snapshot(Height(3)).unwrap();
        let loaded = load(&mut cut, max_bytes);
        let view = loaded.view(Height(3)).unwrap();
        prop_assert_eq!(view.code(keccak256(&code)), Ok(Some(code)));
        prop_assert_eq!(loaded.stats().codes, 1);
        prop_assert_eq!(loaded.stats().slots, 2);
    }
}

#[test]
fn a_loaded_state_goes_on() {
    let state = state_with_code(&vec![1; 10].into());
    let loaded = load(&mut state.snapshot(Height(3)).unwrap(), 1000);
    let gone = |n: u8| AccountDelta {
        address: [n; 20].into(),
        account: None,
        storage_cleared: StorageCleared::No,
        storage: Vec::new(),
    };
    let delta = StateDelta { accounts: vec![gone(1), gone(2)], codes: Vec::new() };
    for state in [&state, &loaded] {
        state.apply(Height(4), &delta).unwrap();
        let stats = state.stats();
        assert_eq!((stats.accounts, stats.slots, stats.codes), (0, 0, 1));
        assert!(state.view(Height(2)).is_err());
    }
    assert_eq!(loaded.root(), state.root());
    assert_eq!(loaded.rewind(Height(3)), state.rewind(Height(3)));
    assert_eq!(loaded.stats().slots, 2);
}
