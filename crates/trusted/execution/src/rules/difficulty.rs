//! The difficulty that follows from a parent's, before the merge.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::U256;
use cloister_primitives::{ChainSpec, EthereumHardfork};

/// No block is easier.
const LEAST: U256 = U256::from_limbs([131_072, 0, 0, 0]);
/// A parent's difficulty moves by multiples of this part of it.
const BOUND_DIVISOR: U256 = U256::from_limbs([2_048, 0, 0, 0]);
/// Blocks after which the bomb doubles.
const BOMB_PERIOD: u64 = 100_000;
/// Most steps down.
const MOST_DOWN: i64 = -99;
/// By how many blocks each fork put off the bomb: EIP-5133, 4345, 3554, 2384, 1234 and 649.
const DELAYS: [(EthereumHardfork, u64); 6] = [
    (EthereumHardfork::GrayGlacier, 11_400_000),
    (EthereumHardfork::ArrowGlacier, 10_700_000),
    (EthereumHardfork::London, 9_700_000),
    (EthereumHardfork::MuirGlacier, 9_000_000),
    (EthereumHardfork::Constantinople, 5_000_000),
    (EthereumHardfork::Byzantium, 3_000_000),
];

/// The difficulty of the mined block after `parent` at this height and time.
pub(super) fn next(spec: &ChainSpec, parent: &Header, number: u64, timestamp: u64) -> U256 {
    let active = |fork| spec.is_active(fork, number, timestamp);
    let passed_s = timestamp.saturating_sub(parent.timestamp);
    let steps = if active(EthereumHardfork::Byzantium) {
        // EIP-100.
        let with_ommers = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
        down_from(with_ommers, passed_s / 9)
    } else if active(EthereumHardfork::Homestead) {
        // EIP-2.
        down_from(1, passed_s / 10)
    } else if passed_s < 13 {
        1
    } else {
        -1
    };
    let step = (parent.difficulty / BOUND_DIVISOR).saturating_mul(U256::from(steps.unsigned_abs()));
    let moved = if steps < 0 { parent.difficulty.saturating_sub(step) } else { parent.difficulty.saturating_add(step) };
    let delay = DELAYS.into_iter().find(|(fork, _)| active(*fork)).map_or(0, |(_, delay)| delay);
    moved.max(LEAST).saturating_add(bomb(number.saturating_sub(delay)))
}

fn down_from(top: i64, steps: u64) -> i64 {
    top.saturating_sub(i64::try_from(steps).unwrap_or(i64::MAX)).max(MOST_DOWN)
}

/// What the difficulty bomb adds at a height.
fn bomb(number: u64) -> U256 {
    match (number / BOMB_PERIOD).checked_sub(2) {
        None => U256::ZERO,
        Some(exponent @ 0..256) => U256::from(1) << exponent,
        Some(_) => U256::MAX,
    }
}
