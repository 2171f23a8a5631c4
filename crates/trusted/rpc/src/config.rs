//! `eth_config` (EIP-7910): which rules are in force, and which come next.

use std::collections::{BTreeMap, BTreeSet};

use alloy_eips::{eip2124::ForkHash, eip2935, eip4788, eip7002, eip7251, eip7840::BlobParams};

use alloy_primitives::{Address, B256, Bytes};
use cloister_primitives::{ChainSpec, EthereumHardfork, ForkCondition, Height};
use cloister_state::HistoryLimits;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::Quantity,
    errors::{self, RpcResult},
};

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Config {
    current: ForkConfig,
    next: Option<ForkConfig>,
    last: Option<ForkConfig>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ForkConfig {
    activation_time: u64,
    blob_schedule: Option<BlobSchedule>,
    chain_id: Quantity,
    fork_id: Bytes,
    precompiles: BTreeMap<&'static str, Address>,
    system_contracts: BTreeMap<&'static str, Address>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlobSchedule {
    base_fee_update_fraction: u64,
    max: u64,
    target: u64,
}

impl From<BlobParams> for BlobSchedule {
    fn from(params: BlobParams) -> Self {
        Self {
            base_fee_update_fraction: u64::try_from(params.update_fraction).unwrap_or(u64::MAX),
            max: params.max_blob_count,
            target: params.target_blob_count,
        }
    }
}

/// Names from EIP-7910, the fork that brought each, and the last two bytes of its address.
const PRECOMPILES: &[(&str, EthereumHardfork, u16)] = &[
    ("ECREC", EthereumHardfork::Frontier, 0x01),
    ("SHA256", EthereumHardfork::Frontier, 0x02),
    ("RIPEMD160", EthereumHardfork::Frontier, 0x03),
    ("ID", EthereumHardfork::Frontier, 0x04),
    ("MODEXP", EthereumHardfork::Byzantium, 0x05),
    ("BN254_ADD", EthereumHardfork::Byzantium, 0x06),
    ("BN254_MUL", EthereumHardfork::Byzantium, 0x07),
    ("BN254_PAIRING", EthereumHardfork::Byzantium, 0x08),
    ("BLAKE2F", EthereumHardfork::Istanbul, 0x09),
    ("KZG_POINT_EVALUATION", EthereumHardfork::Cancun, 0x0a),
    ("BLS12_G1ADD", EthereumHardfork::Prague, 0x0b),
    ("BLS12_G1MSM", EthereumHardfork::Prague, 0x0c),
    ("BLS12_G2ADD", EthereumHardfork::Prague, 0x0d),
    ("BLS12_G2MSM", EthereumHardfork::Prague, 0x0e),
    ("BLS12_PAIRING_CHECK", EthereumHardfork::Prague, 0x0f),
    ("BLS12_MAP_FP_TO_G1", EthereumHardfork::Prague, 0x10),
    ("BLS12_MAP_FP2_TO_G2", EthereumHardfork::Prague, 0x11),
    ("P256VERIFY", EthereumHardfork::Osaka, 0x100),
];

fn precompile_address(last: u16) -> Address {
    let mut address = Address::ZERO;
    address[18..].copy_from_slice(&last.to_be_bytes());
    address
}

fn system_contracts(fork: EthereumHardfork, spec: &ChainSpec) -> BTreeMap<&'static str, Address> {
    let mut contracts = BTreeMap::new();
    if fork >= EthereumHardfork::Cancun {
        contracts.insert("BEACON_ROOTS_ADDRESS", eip4788::BEACON_ROOTS_ADDRESS);
    }
    if fork >= EthereumHardfork::Prague {
        contracts.insert("HISTORY_STORAGE_ADDRESS", eip2935::HISTORY_STORAGE_ADDRESS);
        contracts.insert("WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS", eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS);
        contracts.insert("CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS", eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS);
        if let Some(contract) = spec.deposit_contract() {
            contracts.insert("DEPOSIT_CONTRACT_ADDRESS", contract);
        }
    }
    contracts
}

/// When forks activate by height and by time, genesis excluded.
struct Activations {
    heights: BTreeSet<u64>,
    times: BTreeSet<u64>,
}

impl Activations {
    fn of(spec: &ChainSpec) -> Self {
        let mut found = Self { heights: BTreeSet::new(), times: BTreeSet::new() };
        for fork in EthereumHardfork::VARIANTS {
            match spec.forks().condition(*fork) {
                ForkCondition::Block(height) => {
                    found.heights.insert(height);
                }
                ForkCondition::TTD { fork_block: Some(height), .. } => {
                    found.heights.insert(height);
                }
                ForkCondition::Timestamp(time) => {
                    found.times.insert(time);
                }
                ForkCondition::TTD { .. } | ForkCondition::Never => {}
            }
        }
        found.heights.remove(&0);
        found.times.retain(|time| *time > spec.genesis().timestamp);
        found
    }

    /// EIP-6122: a checksum over genesis and all activations up to `time`.
    fn fork_hash(&self, genesis: B256, time: u64) -> ForkHash {
        let mut hash = ForkHash::from(genesis);
        let passed = self.times.range(..=time);
        for activation in self.heights.iter().chain(passed) {
            hash += *activation;
        }
        hash
    }
}

fn fork_config(
    spec: &ChainSpec,
    activations: &Activations,
    genesis: B256,
    height: Height,
    activation_time: u64,
) -> ForkConfig {
    // A fork by height is as old as the chain where only times are reported.
    let time = activation_time.max(spec.genesis().timestamp);
    let fork = spec.hardfork_at(height.0, time);
    ForkConfig {
        activation_time,
        blob_schedule: spec.blob_params_at(time).map(Into::into),
        chain_id: spec.chain_id().into(),
        fork_id: Bytes::copy_from_slice(&activations.fork_hash(genesis, time).0),
        precompiles: PRECOMPILES
            .iter()
            .filter(|(_, since, _)| *since <= fork)
            .map(|(name, _, last)| (*name, precompile_address(*last)))
            .collect(),
        system_contracts: system_contracts(fork, spec),
    }
}

fn config_at(spec: &ChainSpec, genesis: B256, height: Height, now: u64) -> Config {
    let activations = Activations::of(spec);
    let of = |time| fork_config(spec, &activations, genesis, height, time);
    let current = activations.times.range(..=now).next_back().copied();
    let later = activations.times.range(now.saturating_add(1)..);
    Config {
        current: of(current.unwrap_or(0)),
        next: later.clone().next().copied().map(of),
        last: later.last().copied().map(of),
    }
}

async fn config(call: MethodCall) -> RpcResult<Config> {
    call.no_params()?;
    let head = call.head()?;
    let genesis =
        call.block_at(Height::GENESIS).await?.ok_or_else(|| errors::server_error("genesis block not found"))?;
    let spec = call.context.ledger.spec();
    Ok(config_at(spec, genesis.hash(), head.height(), head.header().timestamp))
}

/// What the node can answer about, for routers of requests (execution-apis, `eth_capabilities`).
#[derive(Clone, Debug, Serialize)]
struct Capabilities {
    head: HeadJson,
    state: Kept,
    tx: Kept,
    logs: Kept,
    receipts: Kept,
    blocks: Kept,
    stateproofs: Kept,
}

#[derive(Clone, Debug, Serialize)]
struct HeadJson {
    number: Quantity,
    hash: B256,
}

/// From which block on something is kept.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    disabled: bool,
    oldest_block: Quantity,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_strategy: Option<Window>,
}

/// What is older than so many blocks may be gone.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    #[serde(rename = "type")]
    kind: &'static str,
    retention_blocks: Quantity,
}

impl Kept {
    const ALWAYS: Self = Self { disabled: false, oldest_block: Quantity(0), delete_strategy: None };
}

async fn capabilities(call: MethodCall) -> RpcResult<Capabilities> {
    call.no_params()?;
    let head = call.head()?;
    let state = Kept {
        disabled: false,
        oldest_block: call.reader().oldest_state().0.into(),
        delete_strategy: Some(Window { kind: "window", retention_blocks: Quantity::count(HistoryLimits::MIN_BLOCKS) }),
    };
    Ok(Capabilities {
        head: HeadJson { number: head.height().0.into(), hash: head.hash() },
        state,
        tx: Kept::ALWAYS,
        logs: Kept::ALWAYS,
        receipts: Kept::ALWAYS,
        blocks: Kept::ALWAYS,
        stateproofs: state,
    })
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("eth_config", "-> rules", "Rules in force and to come (EIP-7910)."), config)?
        .method(info("eth_capabilities", "-> capabilities", "How far back the node can answer."), capabilities)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cloister_primitives::{DevChain, HardforkName};

    use super::*;

    #[test]
    fn a_development_chain_has_no_next_rules() {
        let spec = ChainSpec::development(DevChain::default()).unwrap();
        let config = config_at(&spec, B256::repeat_byte(1), Height(5), 1_000);
        assert_eq!(config.next, None);
        assert_eq!(config.last, None);
        let current = config.current;
        assert_eq!(current.activation_time, 0);
        assert_eq!(current.precompiles.len(), 18);
        assert_eq!(current.precompiles["P256VERIFY"].to_string(), "0x0000000000000000000000000000000000000100");
        assert_eq!(current.system_contracts.len(), 4);
        // CRC-32 of the genesis hash alone.
        assert_eq!(current.fork_id.as_ref(), ForkHash::from(B256::repeat_byte(1)).0);
    }

    #[test]
    fn before_cancun_there_are_no_blobs() {
        let hardfork: HardforkName = "london".parse().unwrap();
        let spec = ChainSpec::development(DevChain { hardfork, ..DevChain::default() }).unwrap();
        let config = config_at(&spec, B256::ZERO, Height(5), 1_000);
        assert_eq!(config.current.blob_schedule, None);
        assert_eq!(config.current.precompiles.len(), 9);
        assert!(config.current.system_contracts.is_empty());
    }
}
