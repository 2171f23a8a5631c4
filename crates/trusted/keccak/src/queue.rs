//! Messages on their way through the lanes: whenever one ends, the next begins in its place.

use alloy_primitives::{B256, keccak256};

use crate::lanes::{Block, LANES, RATE, States};

/// A message in a lane.
#[derive(Clone, Copy)]
struct Entry<'a> {
    index: usize,
    /// What is still to be taken in.
    rest: &'a [u8],
    begins: bool,
}

/// Hashes with AVX2.
#[target_feature(enable = "avx2")]
pub(crate) fn keccak256_each<'a>(messages: impl IntoIterator<Item = &'a [u8]>, mut each: impl FnMut(usize, B256)) {
    let mut messages = messages.into_iter().enumerate();
    let mut next = || messages.next().map(|(index, rest)| Entry { index, rest, begins: true });
    let mut entries: [Option<Entry<'a>>; LANES] = core::array::from_fn(|_| next());
    let mut states = States::new();
    let mut last = [[0; RATE]; LANES];
    loop {
        let mut busy = entries.iter().flatten();
        match (busy.next(), busy.next()) {
            (None, _) => return,
            // Four lanes for one message cost more than it does alone.
            (Some(only), None) if only.begins => return each(only.index, keccak256(only.rest)),
            _ => {}
        }
        let mut blocks = [const { Block { bytes: &[0; RATE], begins: true } }; LANES];
        let mut ends = [false; LANES];
        for (((entry, block), last), ends) in entries.iter_mut().zip(&mut blocks).zip(&mut last).zip(&mut ends) {
            let Some(entry) = entry else {
                continue;
            };
            let begins = core::mem::replace(&mut entry.begins, false);
            let bytes = match entry.rest.split_first_chunk() {
                Some((bytes, rest)) => {
                    entry.rest = rest;
                    bytes
                }
                None => {
                    *ends = true;
                    pad(last, entry.rest)
                }
            };
            *block = Block { bytes, begins };
        }
        states.absorb(&blocks);
        if !ends.contains(&true) {
            continue;
        }
        for ((entry, ends), digest) in entries.iter_mut().zip(ends).zip(states.digests()) {
            if let (Some(ended), true) = (&entry, ends) {
                each(ended.index, B256::new(digest));
                *entry = next();
            }
        }
    }
}

/// The last block of a message, in Keccak's own padding: that of SHA-3 has another first byte.
fn pad<'a>(block: &'a mut [u8; RATE], rest: &[u8]) -> &'a [u8; RATE] {
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()..].fill(0);
    block[rest.len()] = 0x01;
    block[RATE - 1] |= 0x80;
    block
}
