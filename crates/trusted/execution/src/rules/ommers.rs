//! What a mined block may say about blocks that came too late (Yellow Paper, 11.1).

use std::borrow::Cow;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_consensus::proofs::calculate_ommers_root;
use alloy_primitives::B256;
use cloister_primitives::{Block, ChainSpec};

use super::check_header;
use crate::block::{Mismatch, Parent};

/// Most ommers of a block.
const MOST: usize = 2;
/// How many blocks back an ommer's parent may be.
const GENERATIONS: usize = 7;

/// Checks a block's ommers. `ancestors` are the blocks before it, newest first; at least seven, or all there are.
///
/// # Errors
/// [`Mismatch`], naming the ommer and what is wrong about it.
pub(crate) fn check_ommers(
    spec: &ChainSpec,
    ancestors: &[Arc<Block>],
    header: &Header,
    ommers: &[Header],
) -> Result<(), Mismatch> {
    let root = calculate_ommers_root(ommers);
    if root != header.ommers_hash {
        return Err(Mismatch::new(header.number, "sha3Uncles", root, header.ommers_hash));
    }
    if ommers.len() > MOST {
        return Err(Mismatch::new(header.number, "uncles", format!("at most {MOST}"), ommers.len()));
    }
    let ancestors = &ancestors[..ancestors.len().min(GENERATIONS)];
    let mut known: Vec<B256> = ancestors.iter().map(|block| block.hash).collect();
    known.extend(ancestors.iter().flat_map(|block| block.ommers.iter().map(Header::hash_slow)));
    for (index, ommer) in ommers.iter().enumerate() {
        let wrong = |expected: &str, found: B256| {
            Mismatch::new(header.number, Cow::Owned(format!("uncles[{index}]")), expected, found)
        };
        let hash = ommer.hash_slow();
        if known.contains(&hash) {
            return Err(wrong("a block that is neither an ancestor nor an uncle already", hash));
        }
        known.push(hash);
        // A brother of the parent's at the latest: the parent's own children are this block's brothers.
        let parent = ancestors.iter().skip(1).find(|block| block.hash == ommer.parent_hash);
        let parent = parent.ok_or_else(|| wrong("a child of one of the last ancestors", hash))?;
        check_header(spec, Parent { header: &parent.header, hash: parent.hash }, ommer).map_err(|mismatch| {
            Mismatch { height: header.number, field: format!("uncles[{index}].{}", mismatch.field).into(), ..mismatch }
        })?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "ommers_tests.rs"]
mod tests;
