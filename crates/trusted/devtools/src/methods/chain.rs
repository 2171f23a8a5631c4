//! Time and mining.

use std::sync::Arc;

use alloy_primitives::Address;
use cloister_core::{DevelopmentRequest, Pace, Response};
use cloister_primitives::{Code, Height};
use cloister_rpc::{
    MethodCall, MethodInfo,
    convert::{BlockJson, Bodies},
    errors::{self, RpcResult},
};
use jsonrpsee::core::RegisterMethodError;

use super::{
    Dev, Done, Table, ask, change,
    flexible::{MineOptions, Uint, Word},
};

/// From here on `evm_setTime` means milliseconds: in seconds it would be the year 5138.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;
/// From here on `evm_setIntervalMining` means milliseconds, as in Hardhat; below, seconds, as in anvil.
const FIRST_INTERVAL_MS: u64 = 100;

/// Blocks that one `evm_mine_detailed` may make: all of them are in its answer.
const MAX_DETAILED: u64 = 1_000;

/// Answers once the blocks are committed.
pub(super) async fn mine_blocks(
    call: &MethodCall,
    blocks: u64,
    interval_s: Option<u64>,
    timestamp: Option<u64>,
) -> RpcResult<()> {
    let request = DevelopmentRequest::Mine { blocks, interval_s, timestamp };
    change(call, request).await
}

async fn evm_mine(_: Arc<Dev>, call: MethodCall) -> RpcResult<&'static str> {
    let (options,) = call.params::<(Option<MineOptions>,)>()?;
    let options = options.unwrap_or_default();
    let blocks = options.blocks.unwrap_or(1);
    mine_blocks(&call, blocks, None, options.timestamp).await?;
    Ok("0x0")
}

/// As `evm_mine`, and answers the blocks with their transactions.
async fn mine_detailed(_: Arc<Dev>, call: MethodCall) -> RpcResult<Vec<BlockJson>> {
    let (options,) = call.params::<(Option<MineOptions>,)>()?;
    let options = options.unwrap_or_default();
    let blocks = options.blocks.unwrap_or(1);
    if blocks > MAX_DETAILED {
        return Err(errors::invalid_params(format!("at most {MAX_DETAILED} blocks at once")));
    }
    let before = call.head()?.height();
    mine_blocks(&call, blocks, None, options.timestamp).await?;
    let mut blocks = Vec::new();
    for height in before.0 + 1..=call.head()?.height().0 {
        let block = call.block_at(Height(height)).await?;
        blocks.extend(block.map(|block| BlockJson::new(block, Bodies::Full)));
    }
    Ok(blocks)
}

async fn hardhat_mine(_: Arc<Dev>, call: MethodCall) -> RpcResult<bool> {
    let (blocks, interval) = call.params::<(Option<Uint>, Option<Uint>)>()?;
    let blocks = blocks.map_or(1, |blocks| blocks.0);
    let interval_s = interval.map_or(1, |interval| interval.0);
    mine_blocks(&call, blocks, Some(interval_s), None).await?;
    Ok(true)
}

async fn interval_mine(_: Arc<Dev>, call: MethodCall) -> RpcResult<bool> {
    call.no_params()?;
    if matches!(pace(&call).await?, Pace::Interval { .. }) {
        mine_blocks(&call, 1, None, None).await?;
    }
    Ok(true)
}

async fn anvil_mine(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (blocks, interval) = call.params::<(Option<Uint>, Option<Uint>)>()?;
    let blocks = blocks.map_or(1, |blocks| blocks.0);
    mine_blocks(&call, blocks, interval.map(|interval| interval.0), None).await?;
    Ok(())
}

async fn increase_time(_: Arc<Dev>, call: MethodCall) -> RpcResult<u64> {
    let (seconds,) = call.params::<(Uint,)>()?;
    let request = DevelopmentRequest::IncreaseTime { seconds: seconds.0 };
    match ask(&call, request).await? {
        Response::Number(total) => Ok(total),
        _ => Ok(seconds.0),
    }
}

async fn set_time(_: Arc<Dev>, call: MethodCall) -> RpcResult<u64> {
    let (time,) = call.params::<(Uint,)>()?;
    let now_ms = if time.0 >= FIRST_MILLISECONDS { time.0 } else { time.0.saturating_mul(1_000) };
    match ask(&call, DevelopmentRequest::SetTime { now_ms }).await? {
        Response::Number(offset) => Ok(offset),
        _ => Ok(now_ms / 1_000),
    }
}

async fn set_next_timestamp(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (timestamp,) = call.params::<(Uint,)>()?;
    let timestamp = timestamp.0;
    change(&call, DevelopmentRequest::SetNextTimestamp { timestamp }).await
}

async fn set_timestamp_interval(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (seconds,) = call.params::<(Uint,)>()?;
    let interval_s = Some(seconds.0);
    change(&call, DevelopmentRequest::SetTimestampInterval { interval_s }).await
}

async fn remove_timestamp_interval(_: Arc<Dev>, call: MethodCall) -> RpcResult<bool> {
    call.no_params()?;
    let interval_s = None;
    change(&call, DevelopmentRequest::SetTimestampInterval { interval_s }).await?;
    Ok(true)
}

pub(super) async fn pace(call: &MethodCall) -> RpcResult<Pace> {
    match ask(call, DevelopmentRequest::Pace).await? {
        Response::Pace(pace) => Ok(pace),
        _ => Err(errors::code(Code::Internal)),
    }
}

async fn set_automine(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (automine,) = call.params::<(bool,)>()?;
    let new = match (automine, pace(&call).await?) {
        (true, _) => Pace::Instant,
        // A node that makes a block every few seconds goes on to do so.
        (false, Pace::Interval { period_ms }) => Pace::Interval { period_ms },
        (false, Pace::Instant | Pace::Manual) => Pace::Manual,
    };
    change(&call, DevelopmentRequest::SetPace(new)).await
}

async fn set_interval_mining(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (interval,) = call.params::<(Uint,)>()?;
    let new = match (interval_ms(interval.0), pace(&call).await?) {
        (0, Pace::Instant) => Pace::Instant,
        (0, _) => Pace::Manual,
        (period_ms, _) => Pace::Interval { period_ms },
    };
    change(&call, DevelopmentRequest::SetPace(new)).await
}

/// anvil's tools send seconds, Hardhat's milliseconds; both send small round numbers.
const fn interval_ms(interval: u64) -> u64 {
    if interval < FIRST_INTERVAL_MS { interval * 1_000 } else { interval }
}

async fn get_automine(_: Arc<Dev>, call: MethodCall) -> RpcResult<bool> {
    call.no_params()?;
    Ok(pace(&call).await? == Pace::Instant)
}

/// Seconds; `null` where blocks are not made at intervals.
async fn get_interval_mining(_: Arc<Dev>, call: MethodCall) -> RpcResult<Option<u64>> {
    call.no_params()?;
    Ok(match pace(&call).await? {
        Pace::Interval { period_ms } => Some(period_ms.div_ceil(1_000)),
        Pace::Instant | Pace::Manual => None,
    })
}

async fn set_block_gas_limit(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (gas_limit,) = call.params::<(Uint,)>()?;
    let gas_limit = gas_limit.0;
    change(&call, DevelopmentRequest::SetBlockGasLimit { gas_limit }).await
}

async fn set_next_base_fee(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (fee,) = call.params::<(Uint,)>()?;
    let base_fee_per_gas = fee.0;
    change(&call, DevelopmentRequest::SetNextBaseFee { base_fee_per_gas }).await
}

async fn set_coinbase(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (beneficiary,) = call.params::<(Address,)>()?;
    change(&call, DevelopmentRequest::SetCoinbase { beneficiary }).await
}

async fn set_prev_randao(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (value,) = call.params::<(Word,)>()?;
    change(&call, DevelopmentRequest::SetPrevRandao { value: value.0 }).await
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    time(table)?;
    mining(table)?;
    blocks(table)
}

fn time(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    for name in ["evm_increaseTime", "anvil_increaseTime"] {
        let about = "Moves the clock forward; answers the sum of all such moves, seconds.";
        table.method(info(name, "seconds", about), increase_time)?;
    }
    for name in ["evm_setTime", "anvil_setTime"] {
        let about = "Sets the clock, in seconds or milliseconds since 1970.";
        table.method(info(name, "time", about), set_time)?;
    }
    for name in ["evm_setNextBlockTimestamp", "anvil_setNextBlockTimestamp"] {
        let about = info(name, "timestamp", "Fixes the timestamp of the next block, seconds.");
        table.done(about, Done::Null, set_next_timestamp)?;
    }
    let about = "Fixes the time between two blocks, seconds.";
    table.done(info("anvil_setBlockTimestampInterval", "seconds", about), Done::Null, set_timestamp_interval)?;
    table.method(
        info("anvil_removeBlockTimestampInterval", "", "Lets timestamps follow the clock again."),
        remove_timestamp_interval,
    )?;
    Ok(())
}

fn mining(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    let about = "Makes a block, at a timestamp if one is given, or several.";
    table
        .method(info("evm_mine", "timestamp or options?", about), evm_mine)?
        .method(
            info("hardhat_mine", "blocks?, interval?", "Makes blocks, 1 s apart unless told otherwise."),
            hardhat_mine,
        )?
        .method(
            info("anvil_mine", "blocks?, interval?", "Makes blocks, with seconds between them if given."),
            anvil_mine,
        )?;
    for name in ["evm_mine_detailed", "anvil_mine_detailed"] {
        let about = info(name, "timestamp or options?", "As evm_mine; answers the blocks.");
        table.method(about, mine_detailed)?;
    }
    let about = info("hardhat_intervalMine", "", "Makes a block, if blocks are made at intervals.");
    table.method(about, interval_mine)?;
    for (name, done) in [("evm_setAutomine", Done::True), ("anvil_setAutomine", Done::Null)] {
        let about = info(name, "on", "Whether each transaction gets a block at once.");
        table.done(about, done, set_automine)?;
    }
    for (name, done) in [("evm_setIntervalMining", Done::True), ("anvil_setIntervalMining", Done::Null)] {
        let about = "A block every so many seconds (below 100) or milliseconds; 0 ends it.";
        table.done(info(name, "interval", about), done, set_interval_mining)?;
    }
    for name in ["hardhat_getAutomine", "anvil_getAutomine"] {
        let about = "Whether each transaction gets a block at once.";
        table.method(info(name, "", about), get_automine)?;
    }
    for name in ["hardhat_getIntervalMining", "anvil_getIntervalMining"] {
        let about = "Seconds between blocks, if they are made at intervals.";
        table.method(info(name, "", about), get_interval_mining)?;
    }
    Ok(())
}

fn blocks(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    for name in ["evm_setBlockGasLimit", "anvil_setBlockGasLimit"] {
        let about = info(name, "gas", "Sets the gas limit of later blocks.");
        table.done(about, Done::True, set_block_gas_limit)?;
    }
    table
        .setter(
            ["hardhat_setNextBlockBaseFeePerGas", "anvil_setNextBlockBaseFeePerGas"],
            "amount",
            "Fixes the base fee of the next block.",
            set_next_base_fee,
        )?
        .setter(
            ["hardhat_setCoinbase", "anvil_setCoinbase"],
            "address",
            "Sets who gets the tips of later blocks.",
            set_coinbase,
        )?
        .setter(
            ["hardhat_setPrevRandao", "anvil_setPrevRandao"],
            "word",
            "Fixes PREVRANDAO of the next block.",
            set_prev_randao,
        )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_both_tool_families() {
        assert_eq!(interval_ms(0), 0);
        assert_eq!(interval_ms(1), 1_000);
        assert_eq!(interval_ms(12), 12_000);
        assert_eq!(interval_ms(500), 500);
        assert_eq!(interval_ms(5_000), 5_000);
    }
}
