//! The three kinds of nodes. Extension nodes are folded into the branch below them.

use alloy_primitives::{B256, U256};

use super::path::nibble;
use super::rlp::{Reference, Rlp};
use super::store::Vacant;
use crate::Account;

/// Names a node: nothing, a branch, or a leaf of the trie at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct NodeId(u32);

/// What a [`NodeId`] names.
pub(crate) enum Kind {
    Nothing,
    Branch(u32),
    Leaf(u32),
}

impl NodeId {
    pub(crate) const NOTHING: Self = Self(0);

    pub(crate) const fn branch(index: u32) -> Self {
        Self((index + 1) << 1 | 1)
    }

    pub(crate) const fn leaf(index: u32) -> Self {
        Self((index + 1) << 1)
    }

    pub(crate) const fn kind(self) -> Kind {
        match (self.0, self.0 & 1) {
            (0, _) => Kind::Nothing,
            (id, 0) => Kind::Leaf((id >> 1) - 1),
            (id, _) => Kind::Branch((id >> 1) - 1),
        }
    }

    pub(crate) const fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

/// A place where at least two keys part.
#[derive(Clone)]
pub(crate) struct Branch {
    /// Some key below; its first `depth` nibbles lead here. What the parent does not cover of
    /// them is Ethereum's extension node.
    pub(crate) path: B256,
    /// Position of the nibble that selects the child.
    pub(crate) depth: u8,
    pub(crate) changed: ChangedChildren,
    pub(crate) children: [NodeId; 16],
    /// How the parent refers to this branch, or to the extension before it.
    pub(crate) reference: Reference,
}

/// Which children of a branch have changed since its reference was last known, as bits. A child that is not named here has its
/// reference; one that is may have it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangedChildren(u16);

impl ChangedChildren {
    pub(crate) const NONE: Self = Self(0);

    /// These, and the child at `position`.
    pub(crate) const fn and(self, position: usize) -> Self {
        Self(self.0 | 1 << position)
    }

    /// Their positions, ascending.
    pub(crate) fn positions(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let position = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some(position)
        })
    }
}

impl Branch {
    pub(crate) const fn depth(&self) -> usize {
        self.depth as usize
    }

    pub(crate) fn child(&self, key: &B256) -> NodeId {
        self.children[nibble(key, self.depth())]
    }

    pub(crate) fn child_mut(&mut self, key: &B256) -> &mut NodeId {
        &mut self.children[nibble(key, self.depth())]
    }

    /// The child that the key leads to is about to change.
    pub(crate) fn forget_reference(&mut self, key: &B256) {
        self.reference = Reference::UNKNOWN;
        self.changed = self.changed.and(nibble(key, self.depth()));
    }

    /// All children have their references, and this is the branch's own.
    pub(crate) const fn settle(&mut self, reference: Reference) {
        self.reference = reference;
        self.changed = ChangedChildren::NONE;
    }

    /// The only child, if there are not at least two.
    pub(crate) fn only_child(&self) -> Option<NodeId> {
        let mut children = self.children.iter().filter(|child| !child.is_nothing());
        match (children.next(), children.next()) {
            (Some(only), None) => Some(*only),
            _ => None,
        }
    }
}

impl Vacant for Branch {
    fn vacate(&mut self, next: u32) {
        self.children[0] = NodeId(next);
    }

    fn next_vacant(&self) -> u32 {
        self.children[0].0
    }
}

/// A node that ends a path.
pub(crate) trait Leaf: Vacant {
    fn key(&self) -> &B256;
    fn reference(&self) -> &Reference;
    fn reference_mut(&mut self) -> &mut Reference;
    /// Appends the value, itself RLP, as an RLP string.
    fn write_value(&self, out: &mut Rlp);
}

/// A storage slot.
#[derive(Clone)]
pub(crate) struct SlotLeaf {
    pub(crate) key: B256,
    /// Big-endian. Bytes rather than a number, to do without alignment.
    pub(crate) value: B256,
    pub(crate) reference: Reference,
}

impl SlotLeaf {
    pub(crate) const fn new(key: B256, value: U256) -> Self {
        Self { key, value: B256::new(value.to_be_bytes()), reference: Reference::UNKNOWN }
    }

    pub(crate) fn value(&self) -> U256 {
        self.value.into()
    }
}

impl Leaf for SlotLeaf {
    fn key(&self) -> &B256 {
        &self.key
    }

    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn reference_mut(&mut self) -> &mut Reference {
        &mut self.reference
    }

    fn write_value(&self, out: &mut Rlp) {
        let zeros = self.value.iter().take_while(|byte| **byte == 0).count();
        let digits = &self.value[zeros..];
        // A single byte below 0x80 is its own RLP, and the RLP of that is the same again.
        if digits.len() > 1 || digits[0] >= 0x80 {
            out.raw(&[0x80 + digits.len() as u8 + 1]);
        }
        out.string(digits);
    }
}

impl Vacant for SlotLeaf {
    fn vacate(&mut self, next: u32) {
        self.key[..4].copy_from_slice(&next.to_ne_bytes());
    }

    fn next_vacant(&self) -> u32 {
        u32::from_ne_bytes([self.key[0], self.key[1], self.key[2], self.key[3]])
    }
}

/// An account with its storage trie.
#[derive(Clone)]
pub(crate) struct AccountLeaf {
    pub(crate) key: B256,
    pub(crate) account: Account,
    pub(crate) storage: NodeId,
    /// Root of the storage trie as of the last time hashes were brought up to date.
    pub(crate) storage_root: B256,
    pub(crate) reference: Reference,
}

impl Leaf for AccountLeaf {
    fn key(&self) -> &B256 {
        &self.key
    }

    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn reference_mut(&mut self) -> &mut Reference {
        &mut self.reference
    }

    fn write_value(&self, out: &mut Rlp) {
        let mut value = Rlp::new();
        value.number(&self.account.nonce.to_be_bytes());
        value.number(&self.account.balance.to_be_bytes::<32>());
        value.string(self.storage_root.as_slice());
        value.string(self.account.code_hash.as_slice());
        out.string(value.list());
    }
}

impl Vacant for AccountLeaf {
    fn vacate(&mut self, next: u32) {
        self.storage = NodeId(next);
    }

    fn next_vacant(&self) -> u32 {
        self.storage.0
    }
}
