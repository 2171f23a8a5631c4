//! Fee suggestions and fee history.
//!
//! The suggested tip is a constant of the chain, not an observation: on a confidential chain a
//! suggestion derived from use would tell of it, and elsewhere nothing is gained by outbidding.

use alloy_consensus::Transaction as _;
use alloy_eips::BlockNumberOrTag;
use cloister_core::SeenBlock;
use cloister_primitives::{BaseFeePolicy, ChainSpec, Code, Confidentiality, Height, Protection};
use jsonrpsee::core::RegisterMethodError;
use serde::{Serialize, Serializer};

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::Quantity,
    errors::{self, RpcResult},
    params::{Json, Param, json_string},
};

/// What a transaction should offer where base fees follow demand: 1 gwei.
const SUGGESTED_TIP: u128 = 1_000_000_000;
/// Percentiles one `eth_feeHistory` may ask for, as in geth.
const MAX_PERCENTILES: usize = 100;
/// Transactions one `eth_feeHistory` looks at for its percentiles; with more, fewer blocks answer.
const MAX_REWARD_TRANSACTIONS: usize = 200_000;

/// The tip to suggest, wei per gas: nothing where genesis fixes the base fee.
#[must_use]
pub(crate) fn suggested_tip(spec: &ChainSpec) -> u128 {
    match spec.base_fee_policy() {
        BaseFeePolicy::Fixed(_) => 0,
        BaseFeePolicy::Eip1559(_) => SUGGESTED_TIP,
    }
}

/// The base fee of the block after `head`, were it made at the same time; `None` before London.
fn next_base_fee(spec: &ChainSpec, head: &SeenBlock) -> Option<u64> {
    spec.next_base_fee(head.header(), head.header().timestamp)
}

/// The price to suggest, wei per gas: the next base fee and the tip.
pub(crate) fn suggested_price(call: &MethodCall) -> RpcResult<u128> {
    let spec = call.context.ledger.spec();
    let base_fee = next_base_fee(spec, &call.head()?).unwrap_or(0);
    Ok(suggested_tip(spec) + u128::from(base_fee))
}

async fn gas_price(call: MethodCall) -> RpcResult<Quantity> {
    call.no_params()?;
    suggested_price(&call).map(Quantity::from)
}

async fn max_priority_fee(call: MethodCall) -> RpcResult<Quantity> {
    call.no_params()?;
    Ok(suggested_tip(call.context.ledger.spec()).into())
}

async fn base_fee(call: MethodCall) -> RpcResult<Option<Quantity>> {
    call.no_params()?;
    let head = call.head()?;
    Ok(next_base_fee(call.context.ledger.spec(), &head).map(Quantity::from))
}

async fn blob_base_fee(call: MethodCall) -> RpcResult<Option<Quantity>> {
    call.no_params()?;
    let head = call.head()?;
    let fee = blob_fee(call.context.ledger.spec(), &head);
    Ok(fee.map(Quantity::from))
}

fn blob_fee(spec: &ChainSpec, block: &SeenBlock) -> Option<u128> {
    let header = block.header();
    let params = spec.blob_params_at(header.timestamp)?;
    Some(params.calc_blob_fee(header.excess_blob_gas?))
}

/// A number of blocks: a hex quantity, or decimal as number or string.
struct BlockCount(u64);

impl Param for BlockCount {
    fn decode(json: &str) -> Result<Self, String> {
        let text = json_string(json).unwrap_or(json.into());
        let count = if text.starts_with("0x") { u64::from_text(&text).ok() } else { text.parse().ok() };
        count.map(Self).ok_or_else(|| "invalid hex or decimal integer".to_owned())
    }
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    oldest_block: Quantity,
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<Vec<Vec<Quantity>>>,
    base_fee_per_gas: Vec<Quantity>,
    gas_used_ratio: Vec<Ratio>,
    base_fee_per_blob_gas: Vec<Quantity>,
    blob_gas_used_ratio: Vec<Ratio>,
}

fn check_percentiles(percentiles: &[f64]) -> RpcResult<()> {
    if percentiles.len() > MAX_PERCENTILES {
        return Err(errors::server_error(format!("invalid reward percentile: over the query limit {MAX_PERCENTILES}")));
    }
    for (index, percentile) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(percentile) {
            return Err(errors::server_error(format!("invalid reward percentile: {percentile}")));
        }
        if let Some(before) = index.checked_sub(1).and_then(|before| percentiles.get(before))
            && percentile <= before
        {
            return Err(errors::server_error(format!(
                "invalid reward percentile: #{}:{before} >= #{index}:{percentile}",
                index - 1
            )));
        }
    }
    Ok(())
}

async fn fee_history(call: MethodCall) -> RpcResult<FeeHistory> {
    let (BlockCount(count), newest, percentiles) =
        call.params::<(BlockCount, BlockNumberOrTag, Option<Json<Vec<f64>>>)>()?;
    let percentiles = percentiles.map(|Json(list)| list).unwrap_or_default();
    check_percentiles(&percentiles)?;
    let last = call.height_of(newest);
    let head = call.context.ledger.head();
    if last > head {
        return Err(errors::server_error(format!("request beyond head block: requested {last}, head {head}")));
    }
    let count = count.min(call.context.limits.fee_history_blocks).min(last.0.saturating_add(1));
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    let blocks = blocks_before(&call, last, count, !percentiles.is_empty()).await?;
    history(&call, &blocks, &percentiles).await
}

/// Up to `count` blocks that end with `last`, oldest first.
async fn blocks_before(call: &MethodCall, last: Height, count: u64, with_rewards: bool) -> RpcResult<Vec<SeenBlock>> {
    let mut blocks = Vec::new();
    let mut transactions = 0;
    for height in (0..=last.0).rev().take(usize::try_from(count).unwrap_or(usize::MAX)) {
        let block = call.required_block(Some(height.into())).await?;
        transactions += block.transaction_count();
        if with_rewards && transactions > MAX_REWARD_TRANSACTIONS && !blocks.is_empty() {
            break;
        }
        blocks.push(block);
    }
    blocks.reverse();
    Ok(blocks)
}

async fn history(call: &MethodCall, blocks: &[SeenBlock], percentiles: &[f64]) -> RpcResult<FeeHistory> {
    let spec = call.context.ledger.spec();
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Err(errors::code(Code::HeaderNotFound));
    };
    let mut answer = FeeHistory { oldest_block: first.height().0.into(), ..FeeHistory::default() };
    let mut rewards = Vec::with_capacity(blocks.len());
    let use_is_shown = spec.confidentiality() == Confidentiality::Off || !Protection::FeeConstants.holds();
    for block in blocks {
        let header = block.header();
        answer.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or(0).into());
        answer.gas_used_ratio.push(match use_is_shown {
            true => ratio(header.gas_used, header.gas_limit),
            // Nothing here follows from use.
            false => Ratio(0.0),
        });
        answer.base_fee_per_blob_gas.push(blob_fee(spec, block).unwrap_or(0).into());
        let most = spec.blob_params_at(header.timestamp).map_or(0, |params| params.max_blob_gas_per_block());
        answer.blob_gas_used_ratio.push(ratio(header.blob_gas_used.unwrap_or(0), most));
        if !percentiles.is_empty() {
            rewards.push(match use_is_shown {
                true => rewards_of(block, percentiles),
                false => vec![Quantity(0); percentiles.len()],
            });
            tokio::task::yield_now().await;
        }
    }
    answer.reward = (!percentiles.is_empty()).then_some(rewards);
    answer.base_fee_per_gas.push(next_base_fee(spec, last).unwrap_or(0).into());
    let header = last.header();
    let next_blob_fee = spec
        .next_excess_blob_gas(header, header.timestamp)
        .zip(spec.blob_params_at(header.timestamp))
        .map_or(0, |(excess, params)| params.calc_blob_fee(excess));
    answer.base_fee_per_blob_gas.push(next_blob_fee.into());
    Ok(answer)
}

/// A share, written as geth writes it: none and all of it without a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio(f64);

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0.0 => serializer.serialize_u8(0),
            1.0 => serializer.serialize_u8(1),
            share => serializer.serialize_f64(share),
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn ratio(used: u64, limit: u64) -> Ratio {
    Ratio(if limit == 0 { 0.0 } else { used as f64 / limit as f64 })
}

/// Tips at the percentiles of gas used, of the transactions that the caller may see.
fn rewards_of(block: &SeenBlock, percentiles: &[f64]) -> Vec<Quantity> {
    let base_fee = block.header().base_fee_per_gas.unwrap_or(0);
    let mut tips: Vec<(u128, u64)> = block
        .transactions()
        .map(|seen| {
            let tip = seen.transaction().effective_tip_per_gas(base_fee);
            (tip.unwrap_or(0), seen.gas_used())
        })
        .collect();
    tips.sort_unstable();
    at_percentiles(&tips, percentiles)
}

/// For each percentile the tip of the transaction in which that share of all gas is reached.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn at_percentiles(tips: &[(u128, u64)], percentiles: &[f64]) -> Vec<Quantity> {
    let total: u64 = tips.iter().map(|(_, gas)| gas).sum();
    let mut transactions = tips.iter();
    let mut current = transactions.next();
    let mut reached = current.map_or(0, |(_, gas)| *gas);
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (total as f64 * percentile / 100.0) as u64;
            while reached < threshold {
                let Some(next) = transactions.next() else { break };
                reached += next.1;
                current = Some(next);
            }
            current.map_or(0, |(tip, _)| *tip).into()
        })
        .collect()
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("eth_gasPrice", "-> quantity", "A price per gas that will do, in wei."), gas_price)?
        .method(
            info("eth_maxPriorityFeePerGas", "-> quantity", "A tip per gas that will do, in wei."),
            max_priority_fee,
        )?
        .method(info("eth_baseFee", "-> quantity or null", "Base fee of the next block."), base_fee)?
        .method(
            info("eth_blobBaseFee", "-> quantity or null", "Base fee of blob gas in the newest block."),
            blob_base_fee,
        )?
        .method(
            info("eth_feeHistory", "blocks, newest, percentiles? -> fee history", "Fees of past blocks."),
            fee_history,
        )?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_weighted_by_gas() {
        let tips = [(1, 10), (5, 80), (9, 10)];
        let at = at_percentiles(&tips, &[0.0, 5.0, 50.0, 90.0, 99.0]);
        assert_eq!(at, [1, 1, 5, 5, 9].map(Quantity));
        assert_eq!(at_percentiles(&[], &[50.0]), [Quantity(0)]);
    }

    #[test]
    fn percentiles_ascend_within_bounds() {
        assert!(check_percentiles(&[1.0, 2.0, 100.0]).is_ok());
        for bad in [vec![101.0], vec![-1.0], vec![2.0, 1.0], vec![0.5; 101]] {
            let error = check_percentiles(&bad).unwrap_err();
            assert_eq!(error.code(), -32000);
            assert!(error.message().starts_with("invalid reward percentile"));
        }
    }

    #[test]
    fn block_counts_are_hex_or_decimal() {
        for json in ["\"0xa\"", "\"10\"", "10"] {
            assert_eq!(BlockCount::decode(json).unwrap().0, 10);
        }
        assert!(BlockCount::decode("\"ten\"").is_err());
    }

    #[test]
    fn whole_ratios_have_no_fraction() {
        let json = |used, limit| serde_json::to_string(&ratio(used, limit)).unwrap();
        assert_eq!([json(0, 0), json(0, 5), json(5, 5), json(1, 4)], ["0", "0", "1", "0.25"]);
    }

    #[test]
    fn the_shape_is_geths() {
        let json = serde_json::to_value(FeeHistory::default()).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["baseFeePerBlobGas", "baseFeePerGas", "blobGasUsedRatio", "gasUsedRatio", "oldestBlock"]);
    }
}
