//! Roots of supposed changes against those of the same changes made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alloy_primitives::U256;
use cloister_primitives::Height;
use proptest::prelude::*;

use super::model::{Model, address, delta};
use crate::{Account, AccountDelta, HistoryLimits, State, StateDelta, StateError, StorageCleared};

/// What happens to the live state between two projected deltas.
#[derive(Clone, Debug)]
enum Live {
    Nothing,
    Apply(StateDelta),
}

fn live() -> impl Strategy<Value = Live> {
    prop_oneof![2 => Just(Live::Nothing), 1 => delta().prop_map(Live::Apply)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_projection_has_the_roots_of_the_blocks_it_supposes(
        before in prop::collection::vec(delta(), 1..6),
        depth in 0usize..4,
        supposed in prop::collection::vec((delta(), live()), 1..6),
    ) {
        let state = State::new(HistoryLimits::default());
        let mut models = vec![Model::default()];
        for (height, delta) in (0..).zip(&before) {
            state.apply(Height(height), delta).unwrap();
            let mut model = models.last().unwrap().clone();
            model.apply(delta);
            models.push(model);
        }
        let depth = depth.min(before.len() - 1);
        let height = Height((before.len() - 1 - depth) as u64);
        let mut model = models[models.len() - 1 - depth].clone();
        let mut projection = state.view(height).unwrap().project();
        prop_assert_eq!(projection.apply(&StateDelta::default()).unwrap(), model.root());
        for (delta, live) in &supposed {
            model.apply(delta);
            prop_assert_eq!(projection.apply(delta).unwrap(), model.root());
            if let Live::Apply(delta) = live {
                let root = state.apply(state.tip().unwrap().next(), delta).unwrap();
                prop_assert_eq!(state.root(), root);
            }
        }
        // The live state never noticed.
        let mut expected = models.pop().unwrap();
        for (_, live) in &supposed {
            if let Live::Apply(delta) = live {
                expected.apply(delta);
            }
        }
        prop_assert_eq!(state.root(), expected.root());
    }
}

fn wide(value: u64, slots: u64) -> StateDelta {
    let account = AccountDelta {
        address: address(0),
        account: Some(Account { nonce: value, ..Account::default() }),
        storage_cleared: StorageCleared::No,
        storage: (0..slots).map(|slot| (U256::from(slot), U256::from(value))).collect(),
    };
    StateDelta { accounts: vec![account], codes: Vec::new() }
}

#[test]
fn a_projection_of_many_slices_holds_beside_a_writer() {
    const SLOTS: u64 = 3_000;
    let state = State::new(HistoryLimits::default());
    state.apply(Height(0), &wide(1, 10)).unwrap();
    let view = state.view(Height(0)).unwrap();
    let mut model = Model::default();
    model.apply(&wide(1, 10));
    model.apply(&wide(7, SLOTS));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for height in 1..=40 {
                state.apply(Height(height), &wide(height, 50)).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        // Blocks may overtake it, but never lead it to another root.
        let root = loop {
            match view.project().apply(&wide(7, SLOTS)) {
                Err(StateError::Overtaken) => {}
                root => break root.unwrap(),
            }
        };
        done.store(true, Ordering::Relaxed);
        assert_eq!(root, model.root());
    });
}

#[test]
fn a_projection_ends_with_its_height_and_at_its_limit() {
    let state = State::new(HistoryLimits::default());
    state.apply(Height(0), &wide(1, 1)).unwrap();
    state.apply(Height(1), &wide(2, 1)).unwrap();
    let mut projection = state.view(Height(1)).unwrap().project();
    projection.apply(&wide(3, 1)).unwrap();
    state.rewind(Height(0)).unwrap();
    let gone = projection.apply(&wide(4, 1));
    assert_eq!(gone, Err(StateError::HistoryUnavailable { height: Height(1) }));
    let mut projection = state.view(Height(0)).unwrap().project();
    let large = projection.apply(&wide(5, 200_001)).unwrap_err();
    assert!(matches!(large, StateError::ProjectionTooLarge { .. }), "{large}");
    let mut unsorted = wide(1, 1);
    unsorted.accounts.push(unsorted.accounts[0].clone());
    let mut projection = state.view(Height(0)).unwrap().project();
    assert!(matches!(projection.apply(&unsorted), Err(StateError::Delta(_))));
}
