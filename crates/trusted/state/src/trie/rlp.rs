//! RLP of trie nodes, written into a buffer on the stack: a root update encodes millions of nodes.

use alloy_primitives::{B256, keccak256};

/// Room for a list header before the payload.
const HEADER: usize = 3;
/// The largest payload is a branch of 16 hashes and an empty value.
const MAX_PAYLOAD: usize = 16 * 33 + 1;

/// One RLP list under construction.
pub(crate) struct Rlp {
    bytes: [u8; HEADER + MAX_PAYLOAD],
    end: usize,
}

impl Rlp {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; HEADER + MAX_PAYLOAD], end: HEADER }
    }

    /// Starts over.
    pub(crate) const fn clear(&mut self) {
        self.end = HEADER;
    }

    /// Appends bytes that are RLP already.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        self.bytes[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Appends a string of at most 255 bytes.
    pub(crate) fn string(&mut self, string: &[u8]) {
        match string {
            [byte] if *byte < 0x80 => {}
            _ if string.len() < 56 => self.raw(&[0x80 + string.len() as u8]),
            _ => self.raw(&[0xb8, string.len() as u8]),
        }
        self.raw(string);
    }

    /// Appends a number given as big-endian bytes.
    pub(crate) fn number(&mut self, big_endian: &[u8]) {
        let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
        self.string(&big_endian[zeros..]);
    }

    /// Appends a reference to another node.
    pub(crate) fn reference(&mut self, reference: &Reference) {
        if reference.is_hash() {
            self.raw(&[0xa0]);
            // Of a length that is known here: the bulk of all that is encoded.
            self.raw(&reference.bytes);
        } else {
            self.raw(&reference.bytes[..usize::from(reference.len)]);
        }
    }

    /// Closes the list by putting its header before the payload.
    pub(crate) fn list(&mut self) -> &[u8] {
        let length = self.end - HEADER;
        let start = match length {
            0..56 => {
                self.bytes[2] = 0xc0 + length as u8;
                2
            }
            56..256 => {
                self.bytes[1..3].copy_from_slice(&[0xf8, length as u8]);
                1
            }
            _ => {
                self.bytes[..3].copy_from_slice(&[0xf9, (length >> 8) as u8, length as u8]);
                0
            }
        };
        &self.bytes[start..self.end]
    }
}

/// How a parent refers to a node: by its RLP if that is shorter than 32 bytes, else by its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Length of the RLP, [`Self::HASHED`], or zero while unknown.
    len: u8,
    bytes: [u8; 32],
}

impl Reference {
    const HASHED: u8 = 32;

    /// The node has changed since its reference was last computed.
    pub(crate) const UNKNOWN: Self = Self { len: 0, bytes: [0; 32] };

    /// The reference to a node with this RLP.
    pub(crate) fn to(rlp: &[u8]) -> Self {
        Self::within(rlp).unwrap_or_else(|| Self::hashed(keccak256(rlp)))
    }

    /// The reference to a node with this RLP, if it is short enough to need no hash.
    pub(crate) fn within(rlp: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if rlp.len() >= bytes.len() {
            return None;
        }
        bytes[..rlp.len()].copy_from_slice(rlp);
        Some(Self { len: rlp.len() as u8, bytes })
    }

    /// The reference to a node whose RLP, of 32 bytes or more, has this hash.
    pub(crate) const fn hashed(hash: B256) -> Self {
        Self { len: Self::HASHED, bytes: hash.0 }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.len != 0
    }

    /// Whether the node stands on its own: it is referred to by hash and appears in proofs.
    pub(crate) fn is_hash(&self) -> bool {
        self.len == Self::HASHED
    }

    /// The hash of a root node: a root is hashed even if its RLP is short.
    pub(crate) fn root_hash(&self) -> B256 {
        if self.is_hash() { B256::new(self.bytes) } else { keccak256(&self.bytes[..usize::from(self.len)]) }
    }
}
