//! Keys as paths of 64 nibbles.

use alloy_primitives::B256;

use super::rlp::Rlp;

/// Nibbles in a key.
pub(crate) const NIBBLES: usize = 64;

/// The nibble of `key` at `position`, counted from the root.
pub(crate) fn nibble(key: &B256, position: usize) -> usize {
    let byte = key.0[position / 2];
    usize::from(if position.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
}

/// The first position at or after `from` where the keys differ; [`NIBBLES`] where they do not.
///
/// The keys must agree before `from`, which lets whole bytes be compared.
pub(crate) fn first_difference(a: &B256, b: &B256, from: usize) -> usize {
    let first = from / 2;
    let differing = (first..a.len()).find(|&i| a.0[i] != b.0[i]);
    match differing {
        None => NIBBLES,
        Some(byte) if (a.0[byte] ^ b.0[byte]) & 0xf0 != 0 => byte * 2,
        Some(byte) => byte * 2 + 1,
    }
}

/// What a compact path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathEnd {
    Node,
    Value,
}

/// Writes nibbles `from..to` of `key` in Ethereum's hex-prefix form, as an RLP string.
pub(crate) fn write_compact(out: &mut Rlp, key: &B256, from: usize, to: usize, end: PathEnd) {
    let mut compact = [0u8; 33];
    let flag = if end == PathEnd::Value { 0x20 } else { 0 };
    let (first, start) =
        if (to - from).is_multiple_of(2) { (flag, from) } else { (flag | 0x10 | nibble(key, from) as u8, from + 1) };
    compact[0] = first;
    let pairs = (to - start) / 2;
    for (i, byte) in compact[1..=pairs].iter_mut().enumerate() {
        let position = start + 2 * i;
        *byte = (nibble(key, position) << 4 | nibble(key, position + 1)) as u8;
    }
    out.string(&compact[..=pairs]);
}
