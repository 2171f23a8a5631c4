//! Bytes that nobody vouches for.

use alloy_primitives::{B256, U256, keccak256};
use cloister_primitives::Height;
use proptest::prelude::*;

use super::model::{address, code, delta};
use crate::{
    Account, AccountDelta, DeltaError, HistoryLimits, SnapshotError, SnapshotLoader, State, StateDelta, StateError,
    StorageCleared,
};

fn sample() -> State {
    let state = State::new(HistoryLimits::default());
    let contract = Account { nonce: 1, balance: U256::from(1u64 << 40), code_hash: keccak256(code(3)) };
    let storage = (0..20u64).map(|slot| (U256::from(slot), U256::from(slot * 300 + 1)));
    let account = |n, account, storage| AccountDelta {
        address: address(n),
        account: Some(account),
        storage_cleared: StorageCleared::No,
        storage,
    };
    let delta = StateDelta {
        accounts: vec![
            account(0, Account::default(), Vec::new()),
            account(1, contract, storage.collect()),
            account(2, contract, Vec::new()),
        ],
        codes: vec![code(3)],
    };
    state.apply(Height(5), &delta).unwrap();
    state
}

fn chunks(state: &State, max_bytes: usize) -> Vec<Vec<u8>> {
    let mut cut = state.snapshot(Height(5)).unwrap();
    std::iter::from_fn(|| cut.next_chunk(max_bytes).unwrap()).collect()
}

fn load<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, root: B256) -> Result<State, StateError> {
    let mut loader = SnapshotLoader::new(HistoryLimits::default());
    for chunk in chunks {
        loader.push(chunk)?;
    }
    loader.finish(Height(5), root)
}

fn snapshot_error(chunks: &[&[u8]]) -> SnapshotError {
    match load(chunks.iter().copied(), B256::ZERO) {
        Err(StateError::Snapshot(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn account_record(kind: u8, key: u8) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend_from_slice(&[key; 32]);
    record.extend_from_slice(&[1, 9, 0]);
    record
}

fn slot_record(key: u8, value: &[u8]) -> Vec<u8> {
    let mut record = vec![5];
    record.extend_from_slice(&[key; 32]);
    record.push(value.len() as u8);
    record.extend_from_slice(value);
    record
}

fn chunk(records: &[Vec<u8>]) -> Vec<u8> {
    [vec![1], records.concat()].concat()
}

#[test]
fn errors_name_what_is_wrong_with_a_snapshot() {
    let cases = [
        (vec![], SnapshotError::Version(None)),
        (vec![9], SnapshotError::Version(Some(9))),
        (vec![1, 77], SnapshotError::UnknownRecord(77)),
        (vec![1, 1, 2, 3], SnapshotError::Truncated),
        (chunk(&[account_record(1, 2), account_record(1, 2)]), SnapshotError::AccountOrder(B256::repeat_byte(2))),
        (chunk(&[slot_record(1, &[1])]), SnapshotError::SlotWithoutAccount(B256::repeat_byte(1))),
        (
            chunk(&[account_record(1, 2), slot_record(3, &[1]), slot_record(2, &[1])]),
            SnapshotError::SlotOrder(B256::repeat_byte(2)),
        ),
        (chunk(&[account_record(1, 2), slot_record(3, &[])]), SnapshotError::ZeroSlot(B256::repeat_byte(3))),
        (chunk(&[account_record(1, 2), slot_record(3, &[0, 1])]), SnapshotError::NumberForm),
        (chunk(&[account_record(1, 2), slot_record(3, &[1; 33])]), SnapshotError::NumberForm),
        (chunk(&[account_record(1, 2), vec![4, 0, 0, 0, 1, 7]]), SnapshotError::UnexpectedCode),
        (chunk(&[account_record(2, 2), vec![8; 32]]), SnapshotError::MissingCode(B256::repeat_byte(8))),
        (
            chunk(&[account_record(2, 2), vec![8; 32], slot_record(3, &[1])]),
            SnapshotError::MissingCode(B256::repeat_byte(8)),
        ),
        (
            chunk(&[account_record(2, 2), vec![8; 32], vec![4, 0, 0, 0, 1, 7]]),
            SnapshotError::CodeMismatch { expected: B256::repeat_byte(8), computed: keccak256([7]) },
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(snapshot_error(&[&bytes]), expected);
    }
}

#[test]
fn a_snapshot_of_another_state_is_refused() {
    let state = sample();
    let chunks = chunks(&state, 300);
    assert!(chunks.len() > 2);
    let all = || chunks.iter().map(Vec::as_slice);
    assert!(load(all(), state.root()).is_ok());
    let expected = B256::repeat_byte(1);
    let computed = state.root();
    let error = StateError::RootMismatch { expected, computed };
    assert_eq!(load(all(), expected).unwrap_err(), error);
    assert!(load(all().skip(1), state.root()).is_err());
    assert!(load(all().take(chunks.len() - 1), state.root()).is_err());
    assert!(load(all().rev(), state.root()).is_err());
}

proptest! {
    #[test]
    fn arbitrary_chunks_never_panic(chunks in prop::collection::vec(any::<Vec<u8>>(), 0..4)) {
        let versioned = chunks.iter().map(|chunk| [vec![1], chunk.clone()].concat());
        let versioned: Vec<Vec<u8>> = versioned.collect();
        let _ = load(chunks.iter().map(Vec::as_slice), B256::ZERO);
        prop_assert!(load(versioned.iter().map(Vec::as_slice), B256::ZERO).is_err());
    }

    #[test]
    fn mutated_snapshots_never_load(
        max_bytes in 128usize..2000,
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let state = sample();
        let mut chunks = chunks(&state, max_bytes);
        let at = at.index(chunks.len());
        let chunk = &mut chunks[at];
        match cut {
            Some(cut) => chunk.truncate(cut.index(chunk.len())),
            None => {
                let byte = usize::from(flip) * 31 % chunk.len();
                chunk[byte] ^= flip;
            }
        }
        prop_assert!(load(chunks.iter().map(Vec::as_slice), state.root()).is_err());
    }

    #[test]
    fn deltas_survive_the_wire(delta in delta()) {
        let bytes = alloy_rlp::encode(&delta);
        prop_assert_eq!(bytes.len(), alloy_rlp::Encodable::length(&delta));
        prop_assert_eq!(alloy_rlp::decode_exact::<StateDelta>(&bytes), Ok(delta));
        let trailing = [&bytes[..], &[0]].concat();
        prop_assert!(alloy_rlp::decode_exact::<StateDelta>(&trailing).is_err());
    }

    #[test]
    fn arbitrary_deltas_never_panic(bytes in any::<Vec<u8>>()) {
        if let Ok(delta) = alloy_rlp::decode_exact::<StateDelta>(&bytes) {
            prop_assert_eq!(alloy_rlp::encode(&delta), bytes);
        }
    }

    #[test]
    fn mutated_deltas_are_canonical_or_refused(
        delta in delta(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = alloy_rlp::encode(&delta);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(delta) = alloy_rlp::decode_exact::<StateDelta>(&bytes) {
            prop_assert_eq!(alloy_rlp::encode(&delta), bytes);
            let state = State::new(HistoryLimits::default());
            let _ = state.apply(Height(0), &delta);
        }
    }
}

#[test]
fn contradicting_deltas_are_refused() {
    let change = |n: u8, slots: &[u64]| AccountDelta {
        address: address(n),
        account: Some(Account::default()),
        storage_cleared: StorageCleared::No,
        storage: slots.iter().map(|slot| (U256::from(*slot), U256::ZERO)).collect(),
    };
    let delta = |accounts: Vec<AccountDelta>, codes| StateDelta { accounts, codes };
    let gone = AccountDelta { account: None, ..change(0, &[1]) };
    let slot_order = |slot: u64| DeltaError::SlotOrder { address: address(0), slot: U256::from(slot) };
    let cases = [
        (delta(vec![change(1, &[]), change(0, &[])], vec![]), DeltaError::AccountOrder(address(0))),
        (delta(vec![change(1, &[]), change(1, &[])], vec![]), DeltaError::AccountOrder(address(1))),
        (delta(vec![change(0, &[2, 1])], vec![]), slot_order(1)),
        (delta(vec![change(0, &[2, 2])], vec![]), slot_order(2)),
        (delta(vec![gone], vec![]), DeltaError::StorageOfGoneAccount(address(0))),
        (delta(vec![], vec![code(1), code(0)]), DeltaError::CodeOrder),
        (delta(vec![], vec![code(1), code(1)]), DeltaError::CodeOrder),
        (delta(vec![], vec![vec![].into()]), DeltaError::EmptyCode),
    ];
    let state = sample();
    for (delta, error) in cases {
        assert_eq!(delta.check(), Err(error.clone()));
        assert_eq!(state.apply(Height(6), &delta), Err(StateError::Delta(error)));
        let bytes = alloy_rlp::encode(&delta);
        assert!(alloy_rlp::decode_exact::<StateDelta>(&bytes).is_err());
    }
}
