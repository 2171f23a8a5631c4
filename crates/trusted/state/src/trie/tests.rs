//! One storage trie with keys of our own choice, so that paths are long and nodes short, against
//! alloy's hash builder.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256, b256};
use alloy_trie::proof::verify_proof;
use alloy_trie::root::storage_root;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use proptest::prelude::*;

use super::node::{Branch, ChangedChildren, Kind, NodeId};
use super::store::NodeStore;
use super::{AccountId, Tries, hash};
use crate::Account;

const OWNER: B256 = B256::repeat_byte(0x77);

struct Storage {
    tries: Tries,
    id: AccountId,
}

impl Storage {
    fn new() -> Self {
        let mut tries = Tries::new();
        let id = tries.put_account(OWNER, Account::default());
        Self { tries, id }
    }

    fn put(&mut self, key: B256, value: u64) {
        self.tries.put_account(OWNER, Account::default());
        self.tries.put_slot(self.id, key, U256::from(value));
    }

    fn root(&mut self) -> B256 {
        self.tries.settle(vec![OWNER]);
        assert!(self.branches().all(|branch| branch.changed == ChangedChildren::NONE));
        self.tries.account(self.id).storage_root
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> {
        let mut pending = vec![self.tries.account(self.id).storage];
        std::iter::from_fn(move || {
            let node = pending.pop()?;
            if let Kind::Branch(index) = node.kind() {
                let children = self.tries.branches.get(index).children;
                pending.extend(children.into_iter().filter(|child| *child != NodeId::NOTHING));
            }
            Some(node)
        })
    }

    fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.nodes().filter_map(|node| match node.kind() {
            Kind::Branch(index) => Some(self.tries.branches.get(index)),
            _ => None,
        })
    }

    fn prove(&self, key: &B256) -> Vec<Bytes> {
        let storage = self.tries.account(self.id).storage;
        hash::prove(&self.tries.branches, &self.tries.slots, storage, key)
    }

    /// Whether some node below the root is part of its parent's RLP.
    fn has_inline_nodes(&self) -> bool {
        let is_hash = |node| hash::reference(&self.tries.branches, &self.tries.slots, node).is_hash();
        self.nodes().any(|node| !is_hash(node))
    }
}

fn expected(model: &BTreeMap<B256, u64>) -> B256 {
    storage_root(model.iter().map(|(key, value)| (*key, U256::from(*value))))
}

fn check_proof(storage: &Storage, root: B256, key: B256, value: u64) {
    let proof = storage.prove(&key);
    let value = (value != 0).then(|| alloy_rlp::encode(U256::from(value)));
    verify_proof(root, Nibbles::unpack(key), value, &proof).expect("the proof verifies");
}

/// Keys that share long prefixes: a few nibbles vary, at a few positions.
fn key() -> impl Strategy<Value = B256> {
    let variation = (prop::sample::select(vec![0usize, 1, 2, 5, 30, 31]), 0u8..4, 0u8..4);
    prop::collection::vec(variation, 0..4).prop_map(|variations| {
        let mut key = B256::repeat_byte(0x5a);
        for (at, high, low) in variations {
            key.0[at] = high << 4 | low;
        }
        key
    })
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0u64), 3 => 1u64..0x82, 2 => any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn roots_and_proofs_agree_with_alloy(
        batches in prop::collection::vec(prop::collection::vec((key(), value()), 1..12), 1..8),
    ) {
        let mut storage = Storage::new();
        let mut model = BTreeMap::new();
        for batch in batches {
            for (key, value) in batch {
                storage.put(key, value);
                if value == 0 {
                    model.remove(&key);
                } else {
                    model.insert(key, value);
                }
                let absent = key ^ B256::with_last_byte(0x0f);
                prop_assert_eq!(storage.tries.slot(storage.id, &key), U256::from(value));
                let there = model.get(&absent).copied().unwrap_or_default();
                prop_assert_eq!(storage.tries.slot(storage.id, &absent), U256::from(there));
            }
            let root = storage.root();
            prop_assert_eq!(root, expected(&model));
            prop_assert_eq!(storage.tries.live_slots(), model.len() as u64);
            for (key, value) in &model {
                check_proof(&storage, root, *key, *value);
                for flip in [0x01u8, 0x10] {
                    for at in [0usize, 3, 31] {
                        let mut other = *key;
                        other.0[at] ^= flip;
                        let value = model.get(&other).copied().unwrap_or_default();
                        check_proof(&storage, root, other, value);
                    }
                }
            }
        }
        for key in model.keys() {
            storage.put(*key, 0);
        }
        prop_assert_eq!(storage.root(), EMPTY_ROOT_HASH);
        prop_assert_eq!(storage.tries.branches.live(), 0);
    }

    #[test]
    fn leaves_come_in_order_from_any_start(
        keys in prop::collection::btree_set(key(), 0..40),
        start in key(),
    ) {
        let mut storage = Storage::new();
        for key in &keys {
            storage.put(*key, 1);
        }
        let mut walk = storage.tries.slots_from(storage.id, &start);
        let walked: Vec<B256> = std::iter::from_fn(|| walk.next_leaf().map(|leaf| leaf.key)).collect();
        let expected: Vec<B256> = keys.range(start..).copied().collect();
        prop_assert_eq!(walked, expected);
    }

    #[test]
    fn an_overlay_changes_without_its_base(
        before in prop::collection::btree_map(key(), 1u64..1000, 0..30),
        after in prop::collection::vec((key(), value()), 0..30),
    ) {
        let mut storage = Storage::new();
        for (key, value) in &before {
            storage.put(*key, *value);
        }
        let root = storage.root();
        let mut overlay = storage.tries.overlay();
        let mut model = before.clone();
        for (key, value) in after {
            overlay.put_account(OWNER, Account::default());
            overlay.put_slot(storage.id, key, U256::from(value));
            if value == 0 {
                model.remove(&key);
            } else {
                model.insert(key, value);
            }
        }
        overlay.settle(vec![OWNER]);
        prop_assert_eq!(overlay.account(storage.id).storage_root, expected(&model));
        prop_assert_eq!(storage.root(), root);
    }
}

#[test]
fn short_nodes_are_part_of_their_parents() {
    let base = b256!("1111111111111111111111111111111111111111111111111111111111111100");
    let mut storage = Storage::new();
    let mut model = BTreeMap::new();
    // Neighbours in the last nibble: leaves of three bytes in a branch that is short itself.
    for last in [0x01u8, 0x02] {
        let key = base | B256::with_last_byte(last);
        storage.put(key, u64::from(last));
        model.insert(key, u64::from(last));
    }
    // A cousin far away makes an extension between two branches.
    let cousin = base ^ B256::with_last_byte(0xf0);
    let stranger = B256::repeat_byte(0xee);
    for (key, value) in [(cousin, 0x7f), (stranger, 0x80)] {
        storage.put(key, value);
        model.insert(key, value);
    }
    let root = storage.root();
    assert!(storage.has_inline_nodes());
    assert_eq!(root, expected(&model));
    for (key, value) in &model {
        check_proof(&storage, root, *key, *value);
    }
    check_proof(&storage, root, base | B256::with_last_byte(0x03), 0);
    check_proof(&storage, root, base ^ B256::with_last_byte(0xe1), 0);
}

#[test]
fn a_root_is_hashed_even_if_short() {
    let mut storage = Storage::new();
    let mut model = BTreeMap::new();
    assert_eq!(storage.root(), EMPTY_ROOT_HASH);
    storage.put(B256::ZERO, 1);
    model.insert(B256::ZERO, 1);
    assert_eq!(storage.root(), expected(&model));
    check_proof(&storage, expected(&model), B256::ZERO, 1);
    check_proof(&storage, expected(&model), B256::with_last_byte(1), 0);
}

#[test]
fn steps_are_bounded_and_places_are_used_again() {
    let mut storage = Storage::new();
    let mut model = BTreeMap::new();
    for i in 0..20_000u64 {
        let key = alloy_primitives::keccak256(i.to_be_bytes());
        storage.put(key, i + 1);
        model.insert(key, i + 1);
    }
    assert_eq!(storage.root(), expected(&model));
    // Changes here and there, more than one step takes, with some that go.
    for (at, (key, value)) in model.iter_mut().enumerate().filter(|(at, _)| at % 7 == 0) {
        *value = if at % 3 == 0 { 0 } else { *value + 1 };
        storage.put(*key, *value);
    }
    model.retain(|_, value| *value != 0);
    assert_eq!(storage.root(), expected(&model));
    let bytes = storage.tries.bytes();
    for key in model.keys() {
        storage.put(*key, 0);
    }
    assert_eq!(storage.root(), EMPTY_ROOT_HASH);
    for (key, value) in &model {
        storage.put(*key, *value);
    }
    assert_eq!(storage.root(), expected(&model));
    assert_eq!(storage.tries.bytes(), bytes);
}
