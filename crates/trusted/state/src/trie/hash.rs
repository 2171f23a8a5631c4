//! References of changed nodes, and proofs.
//!
//! Computing is apart from storing, so that the long part can run beside readers: a [`Batch`] reads tries and lists
//! what is to be stored. It hashes level by level, since the nodes of one level do not wait for each other and are
//! hashed several at a time.

use alloy_primitives::{B256, Bytes};
use cloister_keccak::keccak256_each;

use super::node::{Branch, Kind, Leaf, NodeId};
use super::path::{NIBBLES, PathEnd, first_difference, write_compact};
use super::rlp::{Reference, Rlp};
use super::store::NodeStore;

/// References computed but not yet stored; children come before their parents.
pub(crate) type Settled = Vec<(NodeId, Reference)>;

/// Nodes encoded at one time: enough to keep the hashing busy, few enough to stay in the first cache.
const ENCODED_AT_ONCE: usize = 32;

/// Changed nodes of tries of one kind, each with all changed ones below it.
#[derive(Default)]
pub(crate) struct Batch {
    nodes: Vec<Changed>,
    /// The nodes by how far below them the farthest changed one is.
    levels: Vec<Vec<u32>>,
}

/// A changed node of a batch.
struct Changed {
    node: NodeId,
    /// Nibbles that the parent covers.
    depth: u8,
    /// Which level it is on.
    level: u8,
    /// The first changed child, which names the next one.
    first_child: Option<u32>,
    next_sibling: Option<u32>,
}

/// A node as a batch knows it.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    /// Nothing has changed.
    Settled(Reference),
    /// It is in the batch, in this place.
    Changed(u32),
}

impl Batch {
    /// Nodes in it.
    pub(crate) const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds `node`, whose parent covers the first `depth` nibbles, with all changed nodes below, if it has changed.
    /// `None` as soon as `limit` nodes are here; those that are whole stay.
    pub(crate) fn add<L: Leaf>(
        &mut self,
        branches: &impl NodeStore<Branch>,
        leaves: &impl NodeStore<L>,
        node: NodeId,
        depth: usize,
        limit: usize,
    ) -> Option<Found> {
        let known = reference(branches, leaves, node);
        if known.is_known() || node.is_nothing() {
            return Some(Found::Settled(*known));
        }
        self.add_changed(branches, leaves, node, depth, limit).map(Found::Changed)
    }

    fn add_changed<L: Leaf>(
        &mut self,
        branches: &impl NodeStore<Branch>,
        leaves: &impl NodeStore<L>,
        node: NodeId,
        depth: usize,
        limit: usize,
    ) -> Option<u32> {
        let mut changed = Changed { node, depth: depth as u8, level: 0, first_child: None, next_sibling: None };
        if let Kind::Branch(index) = node.kind() {
            let branch = branches.get(index);
            let mut last = None;
            for child in branch.changed.positions().map(|position| branch.children[position]) {
                // An earlier step may have come to this child and not to the branch.
                if child.is_nothing() || reference(branches, leaves, child).is_known() {
                    continue;
                }
                let child = self.add_changed(branches, leaves, child, branch.depth() + 1, limit)?;
                match last.replace(child) {
                    None => changed.first_child = Some(child),
                    Some(before) => self.nodes[before as usize].next_sibling = Some(child),
                }
                changed.level = changed.level.max(self.nodes[child as usize].level + 1);
            }
        }
        if self.nodes.len() >= limit {
            return None;
        }
        let place = self.nodes.len() as u32;
        let level = usize::from(changed.level);
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        self.levels[level].push(place);
        self.nodes.push(changed);
        Some(place)
    }

    /// Computes all references.
    pub(crate) fn settle<L: Leaf>(self, branches: &impl NodeStore<Branch>, leaves: &impl NodeStore<L>) -> Settled {
        let mut references = vec![Reference::UNKNOWN; self.nodes.len()];
        let mut encoded: Vec<Rlp> = Vec::new();
        encoded.resize_with(self.nodes.len().min(ENCODED_AT_ONCE), Rlp::new);
        for places in self.levels.iter().flat_map(|level| level.chunks(ENCODED_AT_ONCE)) {
            for (place, rlp) in places.iter().zip(&mut encoded) {
                self.encode(*place, branches, leaves, &references, rlp);
            }
            let texts = encoded[..places.len()].iter_mut().map(|rlp| rlp.list());
            keccak256_each(texts, |at, hash| references[places[at] as usize] = Reference::hashed(hash));
            for (place, rlp) in places.iter().zip(&mut encoded) {
                let reference = &mut references[*place as usize];
                if let Some(within) = Reference::within(rlp.list()) {
                    *reference = within;
                }
                if let Some(extended) = self.extend(*place, branches, reference, rlp) {
                    *reference = extended;
                }
            }
        }
        self.nodes.into_iter().zip(references).map(|(changed, reference)| (changed.node, reference)).collect()
    }

    /// Encodes a leaf, or a branch without the extension before it. All changed nodes below must have their references.
    fn encode<L: Leaf>(
        &self,
        place: u32,
        branches: &impl NodeStore<Branch>,
        leaves: &impl NodeStore<L>,
        references: &[Reference],
        rlp: &mut Rlp,
    ) {
        let changed = &self.nodes[place as usize];
        rlp.clear();
        match changed.node.kind() {
            Kind::Nothing => {}
            Kind::Leaf(index) => encode_leaf(rlp, leaves.get(index), usize::from(changed.depth)),
            Kind::Branch(index) => {
                let branch = branches.get(index);
                // All are looked at before any is copied: these reads miss the cache, and do so together.
                let stored = branch.children.map(|child| reference(branches, leaves, child));
                let is_known = stored.map(Reference::is_known);
                let mut next = changed.first_child;
                encode_branch(rlp, branch, |position| match next {
                    Some(place) if !is_known[position] => {
                        next = self.nodes[place as usize].next_sibling;
                        &references[place as usize]
                    }
                    _ => stored[position],
                });
            }
        }
    }

    /// The reference to the extension before a branch with this reference, if there is one.
    fn extend(
        &self,
        place: u32,
        branches: &impl NodeStore<Branch>,
        below: &Reference,
        rlp: &mut Rlp,
    ) -> Option<Reference> {
        let Changed { node, depth, .. } = &self.nodes[place as usize];
        let Kind::Branch(index) = node.kind() else {
            return None;
        };
        let branch = branches.get(index);
        if branch.depth <= *depth {
            return None;
        }
        rlp.clear();
        encode_extension(rlp, branch, usize::from(*depth), below);
        Some(Reference::to(rlp.list()))
    }
}

/// Stores references that [`settle`] computed.
pub(crate) fn store<L: Leaf>(
    branches: &mut impl NodeStore<Branch>,
    leaves: &mut impl NodeStore<L>,
    settled: &[(NodeId, Reference)],
) {
    for (node, reference) in settled {
        match node.kind() {
            Kind::Nothing => {}
            Kind::Leaf(index) => *leaves.get_mut(index).reference_mut() = *reference,
            Kind::Branch(index) => branches.get_mut(index).settle(*reference),
        }
    }
}

/// The reference stored with a node.
pub(crate) fn reference<'a, L: Leaf + 'a>(
    branches: &'a impl NodeStore<Branch>,
    leaves: &'a impl NodeStore<L>,
    node: NodeId,
) -> &'a Reference {
    match node.kind() {
        Kind::Nothing => &Reference::UNKNOWN,
        Kind::Leaf(index) => leaves.get(index).reference(),
        Kind::Branch(index) => &branches.get(index).reference,
    }
}

/// Nodes on the way from the root towards `key`, as RLP, those within another's RLP left out.
/// All references must be known.
pub(crate) fn prove<L: Leaf>(
    branches: &impl NodeStore<Branch>,
    leaves: &impl NodeStore<L>,
    root: NodeId,
    key: &B256,
) -> Vec<Bytes> {
    let mut proof = Vec::new();
    let mut add = |rlp: &[u8]| {
        if proof.is_empty() || rlp.len() >= 32 {
            proof.push(Bytes::copy_from_slice(rlp));
        }
    };
    let mut node = root;
    let mut depth = 0;
    let mut rlp = Rlp::new();
    loop {
        rlp.clear();
        match node.kind() {
            Kind::Nothing => return proof,
            Kind::Leaf(index) => {
                encode_leaf(&mut rlp, leaves.get(index), depth);
                add(rlp.list());
                return proof;
            }
            Kind::Branch(index) => {
                let branch = branches.get(index);
                encode_branch(&mut rlp, branch, |position| reference(branches, leaves, branch.children[position]));
                if branch.depth() > depth {
                    let below = Reference::to(rlp.list());
                    let mut extension = Rlp::new();
                    encode_extension(&mut extension, branch, depth, &below);
                    add(extension.list());
                    if first_difference(&branch.path, key, depth) < branch.depth() {
                        return proof;
                    }
                }
                add(rlp.list());
                depth = branch.depth() + 1;
                node = branch.child(key);
            }
        }
    }
}

fn encode_leaf(rlp: &mut Rlp, leaf: &impl Leaf, depth: usize) {
    write_compact(rlp, leaf.key(), depth, NIBBLES, PathEnd::Value);
    leaf.write_value(rlp);
}

fn encode_branch<'a>(rlp: &mut Rlp, branch: &Branch, mut reference_at: impl FnMut(usize) -> &'a Reference) {
    const EMPTY_STRING: &[u8] = &[0x80];
    for (position, child) in branch.children.iter().enumerate() {
        if child.is_nothing() {
            rlp.raw(EMPTY_STRING);
        } else {
            rlp.reference(reference_at(position));
        }
    }
    // Keys all have the same length, so no branch has a value.
    rlp.raw(EMPTY_STRING);
}

fn encode_extension(rlp: &mut Rlp, branch: &Branch, depth: usize, below: &Reference) {
    write_compact(rlp, &branch.path, depth, branch.depth(), PathEnd::Node);
    rlp.reference(below);
}
