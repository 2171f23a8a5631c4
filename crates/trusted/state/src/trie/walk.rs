//! Leaves of one trie in ascending order of key.

use alloy_primitives::B256;

use super::node::{Branch, Kind, Leaf, NodeId};
use super::path::{NIBBLES, first_difference, nibble};
use super::store::NodeStore;

/// Iterates over the leaves whose key is at least a given one.
pub(crate) struct Leaves<'a, B, L> {
    branches: &'a B,
    leaves: &'a L,
    /// Nodes still to visit, the next one last.
    pending: Vec<NodeId>,
}

impl<'a, B: NodeStore<Branch>, L> Leaves<'a, B, L> {
    pub(crate) fn from<T: Leaf>(branches: &'a B, leaves: &'a L, root: NodeId, start: &B256) -> Self
    where
        L: NodeStore<T>,
    {
        let mut walk = Self { branches, leaves, pending: Vec::with_capacity(NIBBLES) };
        let mut node = root;
        let mut depth = 0;
        loop {
            match node.kind() {
                Kind::Nothing => return walk,
                Kind::Leaf(index) => {
                    if leaves.get(index).key() >= start {
                        walk.pending.push(node);
                    }
                    return walk;
                }
                Kind::Branch(index) => {
                    let branch = branches.get(index);
                    let parted = first_difference(&branch.path, start, depth);
                    if parted < branch.depth() {
                        if nibble(&branch.path, parted) > nibble(start, parted) {
                            walk.pending.push(node);
                        }
                        return walk;
                    }
                    let selected = nibble(start, branch.depth());
                    walk.expect(&branch.children[selected + 1..]);
                    depth = branch.depth() + 1;
                    node = branch.children[selected];
                }
            }
        }
    }

    /// Puts children in line so that the first of them is visited first.
    fn expect(&mut self, children: &[NodeId]) {
        let present = children.iter().rev().filter(|child| !child.is_nothing());
        self.pending.extend(present);
    }

    /// Index of the next leaf.
    pub(crate) fn next_index(&mut self) -> Option<u32> {
        loop {
            match self.pending.pop()?.kind() {
                Kind::Nothing => {}
                Kind::Leaf(index) => return Some(index),
                Kind::Branch(index) => {
                    let branches = self.branches;
                    self.expect(&branches.get(index).children);
                }
            }
        }
    }

    /// The next leaf.
    pub(crate) fn next_leaf<T: Leaf + 'a>(&mut self) -> Option<&'a T>
    where
        L: NodeStore<T>,
    {
        let index = self.next_index()?;
        Some(self.leaves.get(index))
    }
}
