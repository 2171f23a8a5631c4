//! The order of simulated blocks, and their headers.

use std::borrow::Cow;

use alloy_consensus::Header;
use alloy_primitives::U256;
use cloister_primitives::{ChainSpec, Code, EthereumHardfork, Rejected};

use super::{Checks, SimulatedCalls};
use crate::block::Parent;
use crate::overrides::BlockOverrides;

/// Blocks that one simulation may span, as in geth.
pub const MAX_SIMULATED_BLOCKS: u64 = 256;
/// Seconds between two simulated blocks unless told otherwise: a slot of Ethereum.
const BLOCK_TIME_SECONDS: u64 = 12;

/// The blocks with heights and timestamps for all of them, gaps filled with empty blocks.
///
/// # Errors
/// In geth's words if heights or timestamps do not ascend, or if there are too many blocks.
pub(super) fn in_order<'a>(
    base: &Header,
    wanted: &'a [SimulatedCalls],
) -> Result<Vec<Cow<'a, SimulatedCalls>>, Rejected> {
    let mut blocks = Vec::with_capacity(wanted.len());
    let mut height = base.number;
    let mut time = base.timestamp;
    for block in wanted {
        let next = height.checked_add(1).ok_or_else(too_many)?;
        let number = block.block.number.unwrap_or(next);
        if number <= height {
            let message = format!("block numbers must be in order: {number} <= {height}");
            return Err(Rejected::with_detail(Code::SimulatedBlockNumber, message));
        }
        if number - base.number > MAX_SIMULATED_BLOCKS {
            return Err(too_many());
        }
        for number in next..number {
            time = later(time)?;
            blocks.push(Cow::Owned(at(SimulatedCalls::default(), number, time)));
        }
        height = number;
        time = match block.block.timestamp {
            None => later(time)?,
            Some(given) if given > time => given,
            Some(given) => return Err(unordered(given, time)),
        };
        blocks.push(Cow::Owned(at(block.clone(), number, time)));
    }
    Ok(blocks)
}

fn at(mut block: SimulatedCalls, number: u64, time: u64) -> SimulatedCalls {
    block.block.number = Some(number);
    block.block.timestamp = Some(time);
    block
}

fn later(time: u64) -> Result<u64, Rejected> {
    time.checked_add(BLOCK_TIME_SECONDS).ok_or_else(|| unordered(time.wrapping_add(BLOCK_TIME_SECONDS), time))
}

fn unordered(given: u64, before: u64) -> Rejected {
    let message = format!("block timestamps must be in order: {given} <= {before}");
    Rejected::with_detail(Code::SimulatedTimestamp, message)
}

fn too_many() -> Rejected {
    Code::SimulationTooLarge.into()
}

/// The header of a simulated block, as far as it is known before execution.
pub(super) fn draft(spec: &ChainSpec, parent: Parent<'_>, block: &BlockOverrides, checks: Checks) -> Header {
    let before = parent.header;
    let number = block.number.unwrap_or(before.number);
    let timestamp = block.timestamp.unwrap_or(before.timestamp);
    let active = |fork| spec.is_active(fork, number, timestamp);
    let base_fee = spec.next_base_fee(before, timestamp).map(|next| match (block.base_fee, checks) {
        (Some(given), _) => given,
        (None, Checks::Full) => next,
        // A call without fees would otherwise be below it.
        (None, Checks::Lenient) => 0,
    });
    let cancun = active(EthereumHardfork::Cancun);
    Header {
        parent_hash: parent.hash,
        beneficiary: block.beneficiary.unwrap_or(before.beneficiary),
        number,
        gas_limit: block.gas_limit.unwrap_or(before.gas_limit),
        timestamp,
        mix_hash: block.prev_randao.unwrap_or_default(),
        difficulty: if active(EthereumHardfork::Paris) {
            U256::ZERO
        } else {
            block.difficulty.unwrap_or(before.difficulty)
        },
        base_fee_per_gas: base_fee,
        excess_blob_gas: spec.next_excess_blob_gas(before, timestamp),
        blob_gas_used: cancun.then_some(0),
        parent_beacon_block_root: cancun.then(|| block.beacon_root.unwrap_or_default()),
        ..Header::default()
    }
}
