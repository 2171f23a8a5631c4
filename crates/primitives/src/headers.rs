//! What a header follows from its parent: base fee, blob gas, gas limit.

use alloy_consensus::Header;
use alloy_eips::eip1559::{INITIAL_BASE_FEE, calc_next_block_base_fee, calculate_block_gas_limit};
use alloy_hardforks::EthereumHardfork;

use crate::spec::{BaseFeePolicy, ChainSpec};

impl ChainSpec {
    /// Base fee of the block after `parent` (EIP-1559, or what genesis fixed); `None` before London.
    #[must_use]
    pub fn next_base_fee(&self, parent: &Header, timestamp: u64) -> Option<u64> {
        let height = parent.number.saturating_add(1);
        if !self.is_active(EthereumHardfork::London, height, timestamp) {
            return None;
        }
        Some(match (self.base_fee_policy(), parent.base_fee_per_gas) {
            (BaseFeePolicy::Fixed(fee), _) => fee,
            (BaseFeePolicy::Eip1559(_), None) => INITIAL_BASE_FEE,
            (BaseFeePolicy::Eip1559(params), Some(base_fee)) => {
                calc_next_block_base_fee(parent.gas_used, parent.gas_limit, base_fee, params)
            }
        })
    }

    /// Excess blob gas of the block after `parent` (EIP-4844, EIP-7918); `None` before Cancun.
    #[must_use]
    pub fn next_excess_blob_gas(&self, parent: &Header, timestamp: u64) -> Option<u64> {
        let params = self.blob_params_at(timestamp)?;
        // The first Cancun block has a parent without blob fields, which counts as zero.
        Some(parent.next_block_excess_blob_gas(params).unwrap_or(0))
    }

    /// The gas limit nearest to `wanted` that may follow `parent`: at most 1/1024 away (Yellow Paper, 4.4.4).
    #[must_use]
    pub fn next_gas_limit(&self, parent: &Header, wanted: u64) -> u64 {
        calculate_block_gas_limit(parent.gas_limit, wanted)
    }

    /// Whether a block with `timestamp` may follow a parent at `parent_timestamp`.
    #[must_use]
    pub const fn timestamp_may_follow(&self, parent_timestamp: u64, timestamp: u64) -> bool {
        timestamp > parent_timestamp || (self.allows_equal_timestamps() && timestamp == parent_timestamp)
    }
}
