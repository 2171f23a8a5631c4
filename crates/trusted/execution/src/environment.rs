//! The chain's rules and a header, as revm takes them.

use std::sync::Arc;

use alloy_consensus::{BlockHeader, Header};
use alloy_evm::{EvmEnv, eth::spec::EthExecutorSpec, spec_by_timestamp_and_block_number};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{Address, U256};
use cloister_primitives::{ChainSpec, EthereumHardfork, ForkCondition};
use revm::context::{BlockEnv, CfgEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;

use crate::overrides::BlockOverrides;

/// The chain as the block executor sees it.
#[derive(Clone, Debug)]
pub(crate) struct ExecutorSpec {
    spec: Arc<ChainSpec>,
    was_mined: bool,
}

impl ExecutorSpec {
    /// The chain, for the block with this header.
    pub(crate) fn new(spec: Arc<ChainSpec>, header: &Header) -> Self {
        Self {
            spec,
            // Blocks of proof of work have a difficulty, all others have none (EIP-3675).
            was_mined: !header.difficulty.is_zero(),
        }
    }
}

impl EthereumHardforks for ExecutorSpec {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        match fork {
            // The executor asks for the merge only to learn whether to pay a miner. Nobody mines on a chain
            // of ours, whatever its fork; blocks of other chains show whether somebody did.
            EthereumHardfork::Paris if self.was_mined => ForkCondition::Never,
            EthereumHardfork::Paris => ForkCondition::Block(0),
            // The DAO fork moves balances of Ethereum's own chain.
            EthereumHardfork::Dao if !self.spec.is_imported() => ForkCondition::Never,
            _ => self.spec.ethereum_fork_activation(fork),
        }
    }
}

impl EthExecutorSpec for ExecutorSpec {
    fn deposit_contract_address(&self) -> Option<Address> {
        self.spec.deposit_contract()
    }
}

/// Rules and surroundings of the block with this header.
pub(crate) fn block_environment(spec: &ChainSpec, header: &Header) -> EvmEnv {
    let rules = spec_by_timestamp_and_block_number(spec, header.timestamp, header.number);
    let mut cfg = CfgEnv::new_with_spec(rules).with_chain_id(spec.chain_id());
    cfg.limit_contract_code_size = spec.max_code_size_override();
    cfg.limit_contract_initcode_size = spec.max_code_size_override().map(|_| spec.limits().max_initcode_size_bytes);
    cfg.tx_gas_limit_cap = spec.transaction_gas_cap_at(header.number, header.timestamp);
    // A development network has impersonated senders, contracts among them.
    cfg.disable_eip3607 = spec.is_development();
    let blobs = spec.blob_params_at(header.timestamp);
    if let Some(blobs) = blobs {
        cfg.set_max_blobs_per_tx(blobs.max_blobs_per_tx);
        cfg.blob_base_fee_update_fraction = u64::try_from(blobs.update_fraction).ok();
    }
    let merged = spec.is_active(EthereumHardfork::Paris, header.number, header.timestamp);
    let block = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: if merged { U256::ZERO } else { header.difficulty },
        prevrandao: merged.then_some(header.mix_hash),
        blob_excess_gas_and_price: header.excess_blob_gas().zip(blobs).map(|(excess, blobs)| BlobExcessGasAndPrice {
            excess_blob_gas: excess,
            blob_gasprice: blobs.calc_blob_fee(excess),
        }),
        ..BlockEnv::default()
    };
    EvmEnv::new(cfg, block)
}

/// Rules and surroundings of a call in the block with this header, seen through overrides.
///
/// A call may come from a contract, use any nonce, and ask for more gas than a block or a transaction may.
pub(crate) fn call_environment(spec: &ChainSpec, header: &Header, overrides: &BlockOverrides) -> EvmEnv {
    // Number and time decide about forks, so they are replaced first.
    let mut header = header.clone();
    header.number = overrides.number.unwrap_or(header.number);
    header.timestamp = overrides.timestamp.unwrap_or(header.timestamp);
    header.gas_limit = overrides.gas_limit.unwrap_or(header.gas_limit);
    header.beneficiary = overrides.beneficiary.unwrap_or(header.beneficiary);
    header.mix_hash = overrides.prev_randao.unwrap_or(header.mix_hash);
    header.difficulty = overrides.difficulty.unwrap_or(header.difficulty);
    if overrides.base_fee.is_some() {
        header.base_fee_per_gas = overrides.base_fee;
    }
    let mut env = block_environment(spec, &header);
    if let Some(price) = overrides.blob_base_fee {
        let excess_blob_gas = header.excess_blob_gas.unwrap_or_default();
        env.block_env.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice: price });
    }
    env.cfg_env.disable_eip3607 = true;
    env.cfg_env.disable_nonce_check = true;
    env.cfg_env.disable_block_gas_limit = true;
    env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
    env
}
