//! What a header takes from its parent, by the formulas of the EIPs.

use alloy_consensus::Header;

use crate::differential::case::{BaseFee, Fork};

/// EIP-4844.
const GAS_PER_BLOB: u64 = 1 << 17;
/// EIP-7918.
const BLOB_BASE_COST: u128 = 1 << 13;

/// EIP-1559: base fee of the block after `parent`.
pub(super) fn base_fee(policy: BaseFee, parent: &Header) -> u64 {
    const ELASTICITY: u64 = 2;
    const DENOMINATOR: u128 = 8;
    if let BaseFee::Fixed(fee) = policy {
        return fee;
    }
    // The first block of London.
    let Some(base) = parent.base_fee_per_gas.map(u128::from) else {
        return 1_000_000_000;
    };
    let target = u128::from(parent.gas_limit / ELASTICITY);
    let used = u128::from(parent.gas_used);
    let next = if used > target {
        base + (base * (used - target) / target / DENOMINATOR).max(1)
    } else {
        base - base * (target - used) / target / DENOMINATOR
    };
    u64::try_from(next).unwrap_or(u64::MAX)
}

/// Target and maximum of blobs, and the fraction by which their price changes.
const fn blobs(fork: Fork) -> (u64, u64, u64) {
    match fork {
        Fork::Bpo1 => (10, 15, 8_346_193),
        Fork::Bpo2 => (14, 21, 11_684_671),
        Fork::Prague | Fork::Osaka => (6, 9, 5_007_716),
        _ => (3, 6, 3_338_477),
    }
}

pub(super) const fn update_fraction(fork: Fork) -> u64 {
    blobs(fork).2
}

/// EIP-4844 and EIP-7918, of a block after one without blobs.
pub(super) fn excess_blob_gas(fork: Fork, parent: &Header) -> u64 {
    let (target, max, _) = blobs(fork);
    let excess = parent.excess_blob_gas.unwrap_or(0);
    let used = parent.blob_gas_used.unwrap_or(0);
    let target_gas = target * GAS_PER_BLOB;
    if excess + used < target_gas {
        return 0;
    }
    let reserve = BLOB_BASE_COST * u128::from(parent.base_fee_per_gas.unwrap_or(0));
    if fork >= Fork::Osaka && reserve > u128::from(GAS_PER_BLOB) * blob_base_fee(fork, excess) {
        return excess + used * (max - target) / max;
    }
    excess + used - target_gas
}

/// EIP-4844: the price of blob gas.
pub(super) fn blob_base_fee(fork: Fork, excess_blob_gas: u64) -> u128 {
    let (numerator, denominator) = (u128::from(excess_blob_gas), u128::from(update_fraction(fork)));
    let (mut index, mut output, mut accumulated) = (1, 0, denominator);
    while accumulated > 0 {
        output += accumulated;
        accumulated = accumulated * numerator / (denominator * index);
        index += 1;
    }
    output / denominator
}
