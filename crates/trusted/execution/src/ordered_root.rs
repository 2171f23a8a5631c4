//! The roots of a block's lists, `transactionsRoot` and `receiptsRoot`: tries of items by their position (Yellow Paper,
//! 4.4.2). Nothing is in such a trie before the block is made, so that it is laid out whole and hashed level by level,
//! several nodes at a time.

use alloy_consensus::EMPTY_ROOT_HASH;
use alloy_primitives::{B256, keccak256};
use alloy_rlp::{Encodable, Header};
use cloister_keccak::keccak256_each;

/// Bytes of the RLP of the largest position.
const MAX_KEY: usize = 9;

/// Nodes encoded at one time: their hashes are computed together, and receipts are large.
const ENCODED_AT_ONCE: usize = 32;

/// The root of the trie in which each of `items`, as `encode` writes it, is found by the RLP of its position.
pub(crate) fn ordered_root<T>(items: &[T], encode: impl Fn(&T, &mut Vec<u8>)) -> B256 {
    if items.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    // In the order of keys, the RLP of zero (0x80) is behind those of one byte.
    let one_byte = items.len().min(0x80);
    let positions = (1..one_byte).chain([0]).chain(one_byte..items.len());
    let keys: Vec<_> = positions.map(Key::of).collect();
    let mut layout = Layout::default();
    layout.add(&keys, 0);
    layout.root(|position, out| encode(&items[position], out))
}

/// The RLP of a position, as a path of nibbles. None is the beginning of another.
#[derive(Clone, Copy)]
struct Key {
    position: usize,
    bytes: [u8; MAX_KEY],
    nibbles: usize,
}

impl Key {
    fn of(position: usize) -> Self {
        let rlp = alloy_rlp::encode_fixed_size(&position);
        let mut bytes = [0; MAX_KEY];
        bytes[..rlp.len()].copy_from_slice(&rlp);
        Self { position, bytes, nibbles: 2 * rlp.len() }
    }

    fn nibble(&self, at: usize) -> u8 {
        let byte = self.bytes[at / 2];
        if at.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f }
    }

    /// Nibbles `from..to` in hex-prefix form (Yellow Paper, appendix C) under `flag`, as an RLP string.
    fn write_compact(&self, from: usize, to: usize, flag: u8, out: &mut Vec<u8>) {
        let mut compact = [0; MAX_KEY + 1];
        let is_odd = !(to - from).is_multiple_of(2);
        compact[0] = if is_odd { flag | 0x10 | self.nibble(from) } else { flag };
        let start = from + usize::from(is_odd);
        let pairs = (to - start) / 2;
        for (pair, byte) in compact[1..=pairs].iter_mut().enumerate() {
            *byte = self.nibble(start + 2 * pair) << 4 | self.nibble(start + 2 * pair + 1);
        }
        compact[..=pairs].encode(out);
    }
}

/// A node, below what its parent covers of the path.
struct Node {
    /// Some key below it.
    key: Key,
    /// Nibbles that the parent covers.
    depth: usize,
    kind: Kind,
}

enum Kind {
    Leaf,
    /// Keys part at this nibble; children are named by their places.
    Branch {
        at: usize,
        children: Box<[Option<u32>; 16]>,
    },
}

/// How a parent refers to a node: its hash as an RLP string, or its RLP if that is shorter than a hash.
#[derive(Clone, Copy)]
struct Reference {
    length: usize,
    bytes: [u8; 33],
}

impl Reference {
    const UNKNOWN: Self = Self { length: 0, bytes: [0; 33] };

    fn hashed(hash: B256) -> Self {
        let mut bytes = [0xa0; 33];
        bytes[1..].copy_from_slice(hash.as_slice());
        Self { length: bytes.len(), bytes }
    }

    /// The reference to a node that is short enough to need no hash.
    fn within(rlp: &[u8]) -> Option<Self> {
        let mut bytes = [0; 33];
        if rlp.len() >= 32 {
            return None;
        }
        bytes[..rlp.len()].copy_from_slice(rlp);
        Some(Self { length: rlp.len(), bytes })
    }

    fn to(rlp: &[u8]) -> Self {
        Self::within(rlp).unwrap_or_else(|| Self::hashed(keccak256(rlp)))
    }

    fn as_rlp(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// A root is hashed even if its RLP is short.
    fn root_hash(&self) -> B256 {
        match self.as_rlp() {
            [0xa0, hash @ ..] if hash.len() == 32 => B256::from_slice(hash),
            rlp => keccak256(rlp),
        }
    }
}

/// All nodes, children before their parents.
#[derive(Default)]
struct Layout {
    nodes: Vec<Node>,
    /// The nodes by how far below them the farthest leaf is.
    levels: Vec<Vec<u32>>,
}

impl Layout {
    /// Lays out the trie of keys, in their order, that share their first `depth` nibbles. Returns its place and level.
    fn add(&mut self, keys: &[Key], depth: usize) -> (u32, usize) {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return (0, 0);
        };
        let mut level = 0;
        let kind = if keys.len() == 1 {
            Kind::Leaf
        } else {
            // What the outermost share, all share.
            let shortest = first.nibbles.min(last.nibbles);
            let at = (depth..shortest).find(|at| first.nibble(*at) != last.nibble(*at)).unwrap_or(shortest);
            let mut children = Box::new([None; 16]);
            for below in keys.chunk_by(|a, b| a.nibble(at) == b.nibble(at)) {
                let (child, child_level) = self.add(below, at + 1);
                children[usize::from(below[0].nibble(at))] = Some(child);
                level = level.max(child_level + 1);
            }
            Kind::Branch { at, children }
        };
        let place = self.nodes.len() as u32;
        self.nodes.push(Node { key: *first, depth, kind });
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        self.levels[level].push(place);
        (place, level)
    }

    /// Hashes it all; `value` writes the item at a position.
    fn root(&self, value: impl Fn(usize, &mut Vec<u8>)) -> B256 {
        let mut references = vec![Reference::UNKNOWN; self.nodes.len()];
        let (mut text, mut ends, mut item) = (Vec::new(), Vec::new(), Vec::new());
        for places in self.levels.iter().flat_map(|level| level.chunks(ENCODED_AT_ONCE)) {
            text.clear();
            ends.clear();
            for place in places {
                let node = &self.nodes[*place as usize];
                match &node.kind {
                    Kind::Leaf => {
                        item.clear();
                        value(node.key.position, &mut item);
                        write_leaf(node, &item, &mut text);
                    }
                    Kind::Branch { children, .. } => write_branch(children, &references, &mut text),
                }
                ends.push(text.len());
            }
            let starts = [0].into_iter().chain(ends.iter().copied());
            let encoded = || starts.clone().zip(&ends).map(|(start, end)| &text[start..*end]);
            keccak256_each(encoded(), |at, hash| references[places[at] as usize] = Reference::hashed(hash));
            for (place, encoded) in places.iter().zip(encoded()) {
                let node = &self.nodes[*place as usize];
                let reference = &mut references[*place as usize];
                if let Some(within) = Reference::within(encoded) {
                    *reference = within;
                }
                if let Kind::Branch { at, .. } = node.kind
                    && at > node.depth
                {
                    *reference = extension(node, at, reference);
                }
            }
        }
        references.last().map_or(EMPTY_ROOT_HASH, Reference::root_hash)
    }
}

fn write_leaf(node: &Node, item: &[u8], out: &mut Vec<u8>) {
    const LEAF: u8 = 0x20;
    let mut path = Vec::with_capacity(MAX_KEY + 2);
    node.key.write_compact(node.depth, node.key.nibbles, LEAF, &mut path);
    Header { list: true, payload_length: path.len() + item.length() }.encode(out);
    out.extend_from_slice(&path);
    item.encode(out);
}

fn write_branch(children: &[Option<u32>; 16], references: &[Reference], out: &mut Vec<u8>) {
    const EMPTY_STRING: &[u8] = &[0x80];
    let below = || {
        let children = children.iter();
        children.map(|child| child.map_or(EMPTY_STRING, |place| references[place as usize].as_rlp()))
    };
    // No key ends at a branch: it has no value.
    let payload_length = below().map(<[u8]>::len).sum::<usize>() + EMPTY_STRING.len();
    Header { list: true, payload_length }.encode(out);
    below().for_each(|reference| out.extend_from_slice(reference));
    out.extend_from_slice(EMPTY_STRING);
}

/// The reference to the extension before a branch.
fn extension(node: &Node, at: usize, below: &Reference) -> Reference {
    const EXTENSION: u8 = 0;
    let mut path = Vec::with_capacity(MAX_KEY + 2);
    node.key.write_compact(node.depth, at, EXTENSION, &mut path);
    let mut out = Vec::new();
    Header { list: true, payload_length: path.len() + below.length }.encode(&mut out);
    out.extend_from_slice(&path);
    out.extend_from_slice(below.as_rlp());
    Reference::to(&out)
}

#[cfg(test)]
mod tests {
    use alloy_consensus::proofs::ordered_trie_root_encoded;
    use proptest::prelude::*;

    use super::*;

    fn root(items: &[Vec<u8>]) -> B256 {
        ordered_root(items, |item, out| out.extend_from_slice(item))
    }

    #[test]
    fn every_count_up_to_where_keys_have_three_bytes() {
        let items: Vec<Vec<u8>> = (0..300usize).map(|at| vec![at as u8; at % 70]).collect();
        for count in 0..=items.len() {
            assert_eq!(root(&items[..count]), ordered_trie_root_encoded(&items[..count]), "{count} items");
        }
        let many: Vec<Vec<u8>> = (0..70_000usize).map(|at| at.to_be_bytes().to_vec()).collect();
        for count in [0x7f, 0x80, 0x81, 0xff, 0x100, 0x101, 4_096, 0xffff, 0x1_0000, 0x1_0001, 70_000] {
            assert_eq!(root(&many[..count]), ordered_trie_root_encoded(&many[..count]), "{count} items");
        }
    }

    #[test]
    fn short_items_are_part_of_their_parents() {
        for length in 0..40 {
            let items = vec![vec![7; length]; 20];
            assert_eq!(root(&items), ordered_trie_root_encoded(&items), "items of {length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_items(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..200)) {
            prop_assert_eq!(root(&items), ordered_trie_root_encoded(&items));
        }
    }
}
