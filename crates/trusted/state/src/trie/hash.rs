//! References of changed nodes, and proofs.
//!
//! Computing is apart from storing, so that the long part can run beside readers: [`settle`]
//! reads a trie and lists what is to be stored.

use alloy_primitives::{B256, Bytes};

use super::node::{Branch, Kind, Leaf, NodeId};
use super::path::{NIBBLES, PathEnd, first_difference, write_compact};
use super::rlp::{Reference, Rlp};
use super::store::NodeStore;

/// References computed but not yet stored; children come before their parents.
pub(crate) type Settled = Vec<(NodeId, Reference)>;

/// Computes the reference of `node`, whose parent covers the first `depth` nibbles, and those of
/// all changed nodes below. `None` as soon as `limit` references are in `out`.
pub(crate) fn settle<L: Leaf>(
    branches: &impl NodeStore<Branch>,
    leaves: &impl NodeStore<L>,
    node: NodeId,
    depth: usize,
    limit: usize,
    out: &mut Settled,
) -> Option<Reference> {
    let known = reference(branches, leaves, node);
    if known.is_known() {
        return Some(known);
    }
    if out.len() >= limit {
        return None;
    }
    let reference = match node.kind() {
        // Only an empty trie's root; the caller knows better than to ask.
        Kind::Nothing => return Some(Reference::to(&[0x80])),
        Kind::Leaf(index) => Reference::to(encode_leaf(leaves.get(index), depth).list()),
        Kind::Branch(index) => {
            let branch = branches.get(index);
            let mut rlp =
                encode_branch(branch, |child| settle(branches, leaves, child, branch.depth() + 1, limit, out))?;
            let below = Reference::to(rlp.list());
            if branch.depth() > depth { Reference::to(encode_extension(branch, depth, &below).list()) } else { below }
        }
    };
    out.push((node, reference));
    Some(reference)
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
            Kind::Branch(index) => branches.get_mut(index).reference = *reference,
        }
    }
}

/// The reference stored with a node.
pub(crate) fn reference<L: Leaf>(
    branches: &impl NodeStore<Branch>,
    leaves: &impl NodeStore<L>,
    node: NodeId,
) -> Reference {
    match node.kind() {
        Kind::Nothing => Reference::UNKNOWN,
        Kind::Leaf(index) => *leaves.get(index).reference(),
        Kind::Branch(index) => branches.get(index).reference,
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
    loop {
        match node.kind() {
            Kind::Nothing => return proof,
            Kind::Leaf(index) => {
                add(encode_leaf(leaves.get(index), depth).list());
                return proof;
            }
            Kind::Branch(index) => {
                let branch = branches.get(index);
                let encoded = encode_branch(branch, |child| Some(reference(branches, leaves, child)));
                let Some(mut rlp) = encoded else {
                    return proof;
                };
                if branch.depth() > depth {
                    let below = Reference::to(rlp.list());
                    add(encode_extension(branch, depth, &below).list());
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

fn encode_leaf(leaf: &impl Leaf, depth: usize) -> Rlp {
    let mut rlp = Rlp::new();
    write_compact(&mut rlp, leaf.key(), depth, NIBBLES, PathEnd::Value);
    leaf.write_value(&mut rlp);
    rlp
}

fn encode_branch(branch: &Branch, mut reference_to: impl FnMut(NodeId) -> Option<Reference>) -> Option<Rlp> {
    const EMPTY_STRING: &[u8] = &[0x80];
    let mut rlp = Rlp::new();
    for child in branch.children {
        if child.is_nothing() {
            rlp.raw(EMPTY_STRING);
        } else {
            rlp.reference(&reference_to(child)?);
        }
    }
    // Keys all have the same length, so no branch has a value.
    rlp.raw(EMPTY_STRING);
    Some(rlp)
}

fn encode_extension(branch: &Branch, depth: usize, below: &Reference) -> Rlp {
    let mut rlp = Rlp::new();
    write_compact(&mut rlp, &branch.path, depth, branch.depth(), PathEnd::Node);
    rlp.reference(below);
    rlp
}
