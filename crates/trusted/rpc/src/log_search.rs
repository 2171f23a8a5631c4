//! Log queries over ranges: which blocks are looked into, and how those are read that are not at hand.
//!
//! The log index names the blocks that may match. It and the blocks are read in whole sections cut by
//! height, a few ahead; where the index does not serve, every block of the section is looked into.

use std::collections::{BTreeMap, BTreeSet};

use cloister_core::{LogPlaces, Lookup, RequestBody, Response, STORED_SECTION_BLOCKS, SeenBlock, log_section_end};
use cloister_primitives::{Code, Height};
use futures_util::future::try_join_all;

use crate::{
    MethodCall,
    errors::{self, RpcResult},
    logs::{FoundLog, LogFilter, within_bounds},
};

/// Sections of the index looked at together, before other requests get their turn.
const INDEX_SECTIONS_PER_TURN: usize = 8;

/// Sections of stored blocks that are read together.
const STORED_SECTIONS_PER_TURN: usize = 4;

/// Whether a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    GoesOn,
    /// The chain went back while we looked: there are no more blocks.
    Ends,
}

/// All logs that match in the blocks from `first` to `last`, both of which there were a moment ago.
pub(crate) async fn search(
    call: &MethodCall,
    filter: &LogFilter,
    first: Height,
    last: Height,
) -> RpcResult<Vec<FoundLog>> {
    let places = call.reader().log_places(filter.addresses(), filter.topics());
    let mut found = Vec::new();
    let mut next = first;
    while next <= last {
        let mut turn = Vec::new();
        while next <= last && turn.len() < INDEX_SECTIONS_PER_TURN {
            let end = log_section_end(next).min(last);
            turn.push(candidates(call, &places, next, end));
            next = end.next();
        }
        let heights = try_join_all(turn).await?.concat();
        if look_into(call, filter, &heights, &mut found).await? == Progress::Ends {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(found)
}

/// The blocks to look into between two heights of one section of the index.
async fn candidates(call: &MethodCall, places: &LogPlaces, first: Height, last: Height) -> RpcResult<Vec<Height>> {
    let section = match call.reader().log_section(first) {
        Lookup::Found(section) => Some(section),
        // Blocks at hand are looked through faster than a section is read.
        Lookup::Stored(_) if matches!(call.reader().block(first), Lookup::Found(_)) => None,
        Lookup::Stored(end) => match call.request(RequestBody::LoadLogSection { last: end }).await? {
            Response::LogSection(section) => Some(section),
            _ => return Err(errors::code(Code::Internal)),
        },
        Lookup::Absent => None,
    };
    let named = section.and_then(|section| call.reader().candidates(&section, places, first, last));
    Ok(named.unwrap_or_else(|| (first.0..=last.0).map(Height).collect()))
}

/// Adds what matches in blocks of ascending heights.
async fn look_into(
    call: &MethodCall,
    filter: &LogFilter,
    heights: &[Height],
    found: &mut Vec<FoundLog>,
) -> RpcResult<Progress> {
    let same_section = |one: &Height, other: &Height| stored_section(*one) == stored_section(*other);
    let sections: Vec<&[Height]> = heights.chunk_by(same_section).collect();
    for turn in sections.chunks(STORED_SECTIONS_PER_TURN) {
        let turn = turn.concat();
        let mut stored = read_back(call, &turn).await?;
        for height in turn {
            let block = match stored.remove(&height) {
                Some(block) => Some(block),
                None => call.block_at(height).await?,
            };
            match block {
                Some(block) => filter.collect_from(&block, found),
                None if height > call.context.ledger.head() => return Ok(Progress::Ends),
                None => return Err(errors::code(Code::HeaderNotFound)),
            }
            within_bounds(call, found)?;
        }
        tokio::task::yield_now().await;
    }
    Ok(Progress::GoesOn)
}

const fn stored_section(height: Height) -> u64 {
    height.0 / STORED_SECTION_BLOCKS
}

/// Those of the blocks that are not resident, read together.
async fn read_back(call: &MethodCall, heights: &[Height]) -> RpcResult<BTreeMap<Height, SeenBlock>> {
    let reader = call.reader();
    let is_stored = |height: &&Height| matches!(reader.block(**height), Lookup::Stored(_));
    let wanted: BTreeSet<Height> = heights.iter().filter(is_stored).copied().collect();
    let sections: BTreeMap<u64, Height> = wanted.iter().map(|height| (stored_section(*height), *height)).collect();
    let blocks = try_join_all(sections.into_values().map(|height| call.section(height))).await?.into_iter().flatten();
    Ok(blocks.map(|block| (block.height(), block)).filter(|(height, _)| wanted.contains(height)).collect())
}
