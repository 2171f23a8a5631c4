//! Lookup, insertion and removal in one trie.
//!
//! Invariant: if a node's reference is unknown, so are those of all branches above it, and each of them names the child
//! on the way as changed.

use alloy_primitives::B256;

use super::node::{Branch, ChangedChildren, Kind, Leaf, NodeId};
use super::path::{NIBBLES, first_difference, nibble};
use super::rlp::Reference;
use super::store::NodeStore;

/// The leaf with this key.
pub(crate) fn find<L: Leaf>(
    branches: &impl NodeStore<Branch>,
    leaves: &impl NodeStore<L>,
    root: NodeId,
    key: &B256,
) -> Option<u32> {
    let mut node = root;
    loop {
        match node.kind() {
            Kind::Nothing => return None,
            // The path is compared once, at the leaf: it holds the whole key.
            Kind::Leaf(index) => return (leaves.get(index).key() == key).then_some(index),
            Kind::Branch(index) => node = branches.get(index).child(key),
        }
    }
}

/// The leaves with these keys. The ways down are taken side by side: each step of one waits for memory, and those of
/// several wait together.
pub(crate) fn find_each<L: Leaf, const N: usize>(
    branches: &impl NodeStore<Branch>,
    leaves: &impl NodeStore<L>,
    root: NodeId,
    keys: [&B256; N],
) -> [Option<u32>; N] {
    let mut nodes = [root; N];
    let mut is_below = true;
    while is_below {
        is_below = false;
        for (node, key) in nodes.iter_mut().zip(keys) {
            if let Kind::Branch(index) = node.kind() {
                *node = branches.get(index).child(key);
                is_below = true;
            }
        }
    }
    let mut found = [None; N];
    for ((found, node), key) in found.iter_mut().zip(nodes).zip(keys) {
        if let Kind::Leaf(index) = node.kind() {
            *found = (leaves.get(index).key() == key).then_some(index);
        }
    }
    found
}

/// The way from a root towards a key.
struct Descent {
    /// The branches on the way.
    branches: [u32; NIBBLES],
    length: usize,
    end: End,
}

/// Where a descent ends.
enum End {
    /// At a place where nothing is.
    Nothing,
    /// At the leaf with the key.
    Found(u32),
    /// Above a node whose path differs from the key, first at this position.
    Parted(NodeId, usize),
}

impl Descent {
    fn towards<L: Leaf>(
        branches: &impl NodeStore<Branch>,
        leaves: &impl NodeStore<L>,
        root: NodeId,
        key: &B256,
    ) -> Self {
        let mut descent = Self { branches: [0; NIBBLES], length: 0, end: End::Nothing };
        let mut node = root;
        let mut depth = 0;
        loop {
            match node.kind() {
                Kind::Nothing => return descent,
                Kind::Leaf(index) => {
                    let parted = first_difference(leaves.get(index).key(), key, depth);
                    descent.end = if parted == NIBBLES { End::Found(index) } else { End::Parted(node, parted) };
                    return descent;
                }
                Kind::Branch(index) => {
                    let branch = branches.get(index);
                    if branch.depth() > depth {
                        let parted = first_difference(&branch.path, key, depth);
                        if parted < branch.depth() {
                            descent.end = End::Parted(node, parted);
                            return descent;
                        }
                    }
                    descent.branches[descent.length] = index;
                    descent.length += 1;
                    depth = branch.depth() + 1;
                    node = branch.child(key);
                }
            }
        }
    }

    fn path(&self) -> &[u32] {
        &self.branches[..self.length]
    }

    /// Makes `node` the child that the key leads to below the last branch on `path`.
    fn link(branches: &mut impl NodeStore<Branch>, path: &[u32], root: &mut NodeId, key: &B256, node: NodeId) {
        match path.last() {
            None => *root = node,
            Some(parent) => *branches.get_mut(*parent).child_mut(key) = node,
        }
    }

    fn forget_references(&self, branches: &mut impl NodeStore<Branch>, key: &B256) {
        for index in self.path() {
            branches.get_mut(*index).forget_reference(key);
        }
    }
}

/// The leaf with this key, about to be changed: references on the way to it are forgotten.
pub(crate) fn touch<L: Leaf>(
    branches: &mut impl NodeStore<Branch>,
    leaves: &mut impl NodeStore<L>,
    root: NodeId,
    key: &B256,
) -> Option<u32> {
    let descent = Descent::towards(branches, leaves, root, key);
    let End::Found(index) = descent.end else {
        return None;
    };
    descent.forget_references(branches, key);
    *leaves.get_mut(index).reference_mut() = Reference::UNKNOWN;
    Some(index)
}

/// Adds a leaf, or replaces the one with the same key. Returns its index.
pub(crate) fn insert<L: Leaf>(
    branches: &mut impl NodeStore<Branch>,
    leaves: &mut impl NodeStore<L>,
    root: &mut NodeId,
    leaf: L,
) -> u32 {
    let key = *leaf.key();
    let descent = Descent::towards(branches, leaves, *root, &key);
    descent.forget_references(branches, &key);
    let index = match descent.end {
        End::Found(index) => {
            *leaves.get_mut(index) = leaf;
            return index;
        }
        End::Nothing | End::Parted(..) => leaves.add(leaf),
    };
    let mut node = NodeId::leaf(index);
    if let End::Parted(sibling, position) = descent.end {
        // The sibling's path becomes shorter by what the new branch covers.
        let sibling_key = forget_reference(branches, leaves, sibling);
        let mut children = [NodeId::NOTHING; 16];
        let positions = [nibble(&sibling_key, position), nibble(&key, position)];
        children[positions[0]] = sibling;
        children[positions[1]] = node;
        node = NodeId::branch(branches.add(Branch {
            path: key,
            depth: position as u8,
            changed: ChangedChildren::NONE.and(positions[0]).and(positions[1]),
            children,
            reference: Reference::UNKNOWN,
        }));
    }
    Descent::link(branches, descent.path(), root, &key, node);
    index
}

/// Removes the leaf with this key, if there is one.
pub(crate) fn remove<L: Leaf>(
    branches: &mut impl NodeStore<Branch>,
    leaves: &mut impl NodeStore<L>,
    root: &mut NodeId,
    key: &B256,
) {
    let descent = Descent::towards(branches, leaves, *root, key);
    let End::Found(index) = descent.end else {
        return;
    };
    descent.forget_references(branches, key);
    Descent::link(branches, descent.path(), root, key, NodeId::NOTHING);
    leaves.remove(index);
    let Some((parent, above)) = descent.path().split_last() else {
        return;
    };
    if let Some(only) = branches.get(*parent).only_child() {
        // One child does not make a branch: it takes the branch's place, with a longer path.
        forget_reference(branches, leaves, only);
        Descent::link(branches, above, root, key, only);
        branches.remove(*parent);
    }
}

/// Forgets the reference to a node whose parent changes; returns some key below it.
fn forget_reference<L: Leaf>(
    branches: &mut impl NodeStore<Branch>,
    leaves: &mut impl NodeStore<L>,
    node: NodeId,
) -> B256 {
    match node.kind() {
        Kind::Nothing => B256::ZERO,
        Kind::Leaf(index) => {
            let leaf = leaves.get_mut(index);
            *leaf.reference_mut() = Reference::UNKNOWN;
            *leaf.key()
        }
        Kind::Branch(index) => {
            let branch = branches.get_mut(index);
            branch.reference = Reference::UNKNOWN;
            branch.path
        }
    }
}
