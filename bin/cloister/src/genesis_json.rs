//! A genesis as a file in geth's format.

use cloister_primitives::{
    Attestation, ChainConfig, ChainSpec, Confidentiality, DevChain, EthereumHardfork, ForkCondition, GasSchedule,
    Genesis, GenesisError, RaftNode, SignIn, Site, fork_keys,
};
use serde_json::{Map, Value, json};

/// The genesis file of a development chain.
///
/// # Errors
/// If a value given is out of range.
pub(crate) fn development(chain: DevChain) -> Result<String, GenesisError> {
    let spec = ChainSpec::development(chain)?;
    Ok(file(spec.genesis()))
}

/// A genesis as a file. It reads back as it was, but for a site that clients of a development network sign in to, and for
/// the DAO fork: neither has a place there.
pub(crate) fn file(genesis: &Genesis) -> String {
    let mut file = json!({
        "config": config(genesis),
        "nonce": quantity(genesis.nonce),
        "timestamp": quantity(genesis.timestamp),
        "extraData": genesis.extra_data,
        "gasLimit": quantity(genesis.gas_limit),
        "difficulty": genesis.difficulty,
        "mixHash": genesis.mix_hash,
        "coinbase": genesis.coinbase,
        "parentHash": genesis.parent_hash,
        "alloc": alloc(genesis),
    });
    if let Some(fee) = genesis.base_fee_per_gas {
        file["baseFeePerGas"] = quantity(fee);
    }
    format!("{file:#}\n")
}

fn config(genesis: &Genesis) -> Value {
    let config = &genesis.config;
    let mut keys = Map::new();
    keys.insert("chainId".to_owned(), config.chain_id.into());
    for (key, fork) in fork_keys() {
        let at = match config.forks.condition(fork) {
            ForkCondition::Block(at) | ForkCondition::Timestamp(at) => at,
            ForkCondition::TTD { .. } | ForkCondition::Never => continue,
        };
        keys.insert(key.to_owned(), at.into());
    }
    if config.forks.condition(EthereumHardfork::Paris) != ForkCondition::Never {
        keys.insert("terminalTotalDifficulty".to_owned(), 0.into());
    }
    if let Some(address) = config.deposit_contract {
        keys.insert("depositContractAddress".to_owned(), json!(address));
    }
    if !config.blob_schedule.is_empty() {
        keys.insert("blobSchedule".to_owned(), blob_schedule(config));
    }
    keys.insert("cloister".to_owned(), extension(config));
    Value::Object(keys)
}

/// Our own extension.
fn extension(config: &ChainConfig) -> Value {
    let rules = &config.cloister;
    let mut ours = json!({
        "confidentiality": match rules.confidentiality {
            Confidentiality::Off => "off",
            Confidentiality::On => "on",
        },
        "gasSchedule": match rules.gas_schedule {
            GasSchedule::Ethereum => "ethereum",
            GasSchedule::Flat => "flat",
        },
        "allowEqualTimestamps": rules.allow_equal_timestamps,
    });
    for (key, set) in
        [("development", rules.development), ("production", rules.production), ("imported", rules.imported)]
    {
        if set {
            ours[key] = true.into();
        }
    }
    if let Some(fee) = rules.fixed_base_fee {
        ours["baseFee"] = json!({ "fixed": quantity(fee) });
    }
    if let Some(count) = rules.max_transactions_per_block {
        ours["maxTransactionsPerBlock"] = count.into();
    }
    if let Some(bytes) = rules.max_code_size {
        ours["maxCodeSize"] = bytes.into();
    }
    if let Some(site) = config.sign_in.as_ref().and_then(sign_in) {
        ours["signIn"] = site;
    }
    if !config.members.is_empty() {
        ours["members"] = config.members.iter().map(|member| member.to_checksum(None)).collect();
    }
    if let Some(Attestation { platforms, measurements }) = &config.attestation {
        ours["attestation"] = json!({ "platforms": platforms, "measurements": measurements });
    }
    if let Some(raft) = &config.raft {
        let node = |node: &RaftNode| json!({ "id": node.id, "name": node.name, "identity": node.identity });
        ours["raft"] = json!({ "nodes": raft.nodes.iter().map(node).collect::<Vec<_>>() });
    }
    ours
}

fn sign_in(sign_in: &SignIn) -> Option<Value> {
    let Site::Named { domain, uri } = &sign_in.site else {
        return None;
    };
    let mut object = json!({ "domain": domain, "tokenSeconds": sign_in.token_seconds });
    if *uri != format!("https://{domain}") {
        object["uri"] = uri.as_str().into();
    }
    if sign_in.tokens_in_path {
        object["tokensInPath"] = true.into();
    }
    Some(object)
}

fn blob_schedule(config: &ChainConfig) -> Value {
    let entries = fork_keys().filter_map(|(key, fork)| {
        let params = config.blob_schedule.get(&fork)?;
        let name = key.strip_suffix("Time")?;
        let entry = json!({
            "target": params.target_blob_count,
            "max": params.max_blob_count,
            "baseFeeUpdateFraction": u64::try_from(params.update_fraction).unwrap_or(u64::MAX),
        });
        Some((name.to_owned(), entry))
    });
    Value::Object(entries.collect())
}

fn alloc(genesis: &Genesis) -> Value {
    let accounts = genesis.alloc.iter().map(|(address, account)| {
        let mut fields = json!({ "balance": account.balance });
        if account.nonce > 0 {
            fields["nonce"] = quantity(account.nonce);
        }
        if !account.code.is_empty() {
            fields["code"] = json!(account.code);
        }
        if !account.storage.is_empty() {
            let slots = account.storage.iter().map(|(slot, word)| {
                let name = alloy_primitives::B256::from(*slot).to_string();
                (name, json!(alloy_primitives::B256::from(*word)))
            });
            fields["storage"] = Value::Object(slots.collect());
        }
        (address.to_checksum(None), fields)
    });
    Value::Object(accounts.collect())
}

fn quantity(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use cloister_primitives::{DevBaseFee, ForkSchedule, GenesisAccount, HardforkName};
    use std::collections::BTreeMap;

    fn chain(hardfork: &str, base_fee: DevBaseFee) -> DevChain {
        let account = GenesisAccount {
            nonce: 3,
            balance: U256::MAX,
            code: alloy_primitives::Bytes::from_static(&[0x60, 0x01]),
            storage: BTreeMap::from([(U256::from(1), U256::from(2))]),
        };
        DevChain {
            chain_id: 77,
            hardfork: hardfork.parse().unwrap(),
            base_fee,
            code_size_limit: Some(100_000),
            timestamp: 1_700_000_000,
            alloc: BTreeMap::from([(Address::repeat_byte(9), account)]),
            ..DevChain::default()
        }
    }

    /// All but the DAO fork, which moves mainnet's balances, and Constantinople, which geth's format
    /// cannot say without Petersburg.
    fn forks() -> impl Iterator<Item = &'static str> {
        HardforkName::names().filter(|name| !["dao", "constantinople"].contains(name))
    }

    #[test]
    fn a_written_genesis_reads_back_as_it_was_for_every_fork() {
        for name in forks() {
            for base_fee in [DevBaseFee::Initial(7), DevBaseFee::Fixed(0)] {
                let chain = chain(name, base_fee);
                let spec = ChainSpec::development(chain.clone()).unwrap();
                let (mut read, warnings) = Genesis::parse(&development(chain).unwrap()).unwrap();
                assert_eq!(warnings, [], "{name}");
                for fork in EthereumHardfork::VARIANTS {
                    let condition = read.config.forks.condition(*fork);
                    assert_eq!(condition, spec.forks().condition(*fork), "{name}: {fork}");
                }
                read.config.forks = spec.forks().clone();
                assert!(&read == spec.genesis(), "{name}");
            }
        }
    }

    #[test]
    fn every_setting_of_a_consortium_reads_back_as_it_was() {
        let json = format!(
            r#"{{"config":{{"chainId":5,"blobSchedule":{{"bpo1":{{"target":3,"max":7,"baseFeeUpdateFraction":9}}}},
                "depositContractAddress":"{0}","cloister":{{"confidentiality":"on","gasSchedule":"ethereum","production":true,"members":["{0}"],"maxTransactionsPerBlock":3,
                "signIn":{{"domain":"a:1","uri":"http://a:1/x","tokensInPath":true,"tokenSeconds":60}},
                "attestation":{{"platforms":["tdx"],"measurements":[{{"mrtd":"0x{1}"}}]}},
                "raft":{{"nodes":[{{"id":4,"name":"d","identity":"{2}"}}]}}}}}},"gasLimit":5000,"alloc":{{}}}}"#,
            Address::repeat_byte(1),
            "ab".repeat(48),
            alloy_primitives::B256::repeat_byte(4),
        );
        let (mut genesis, _) = Genesis::parse(&json).unwrap();
        genesis.config.forks = ForkSchedule::all_up_to(EthereumHardfork::Bpo1);
        let (again, warnings) = Genesis::parse(&file(&genesis)).unwrap();
        assert_eq!(warnings, []);
        assert!(again == genesis, "{}", file(&genesis));
    }
}
