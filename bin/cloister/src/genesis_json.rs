//! A development chain's genesis as a file in geth's format.

use cloister_primitives::{
    ChainSpec, Confidentiality, DevChain, EthereumHardfork, ForkCondition, GasSchedule, Genesis, GenesisError,
};
use serde_json::{Map, Value, json};

/// Keys of `config` that activate forks; Petersburg and Constantinople are two of them.
const FORK_KEYS: &[(EthereumHardfork, &[&str])] = &[
    (EthereumHardfork::Homestead, &["homesteadBlock"]),
    (EthereumHardfork::Tangerine, &["eip150Block"]),
    (EthereumHardfork::SpuriousDragon, &["eip155Block", "eip158Block"]),
    (EthereumHardfork::Byzantium, &["byzantiumBlock"]),
    (EthereumHardfork::Constantinople, &["constantinopleBlock"]),
    (EthereumHardfork::Petersburg, &["petersburgBlock"]),
    (EthereumHardfork::Istanbul, &["istanbulBlock"]),
    (EthereumHardfork::MuirGlacier, &["muirGlacierBlock"]),
    (EthereumHardfork::Berlin, &["berlinBlock"]),
    (EthereumHardfork::London, &["londonBlock"]),
    (EthereumHardfork::ArrowGlacier, &["arrowGlacierBlock"]),
    (EthereumHardfork::GrayGlacier, &["grayGlacierBlock"]),
    (EthereumHardfork::Shanghai, &["shanghaiTime"]),
    (EthereumHardfork::Cancun, &["cancunTime"]),
    (EthereumHardfork::Prague, &["pragueTime"]),
    (EthereumHardfork::Osaka, &["osakaTime"]),
];

/// The genesis file of a development chain.
///
/// # Errors
/// If a value given is out of range.
pub(crate) fn development(chain: DevChain) -> Result<String, GenesisError> {
    let spec = ChainSpec::development(chain)?;
    Ok(format!("{:#}\n", write(spec.genesis())))
}

fn write(genesis: &Genesis) -> Value {
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
    file
}

fn config(genesis: &Genesis) -> Value {
    let config = &genesis.config;
    let mut keys = Map::new();
    keys.insert("chainId".to_owned(), config.chain_id.into());
    for (fork, names) in FORK_KEYS {
        let at = match config.forks.condition(*fork) {
            ForkCondition::Block(at) | ForkCondition::Timestamp(at) => at,
            ForkCondition::TTD { .. } | ForkCondition::Never => continue,
        };
        for name in *names {
            keys.insert((*name).to_owned(), at.into());
        }
    }
    if config.forks.condition(EthereumHardfork::Paris) != ForkCondition::Never {
        keys.insert("terminalTotalDifficulty".to_owned(), 0.into());
    }
    let mut ours = json!({
        "confidentiality": match config.cloister.confidentiality {
            Confidentiality::Off => "off",
            Confidentiality::On => "on",
        },
        "development": config.cloister.development,
        "imported": config.cloister.imported,
        "allowEqualTimestamps": config.cloister.allow_equal_timestamps,
    });
    if config.cloister.gas_schedule == GasSchedule::Flat {
        ours["gasSchedule"] = "flat".into();
    }
    if let Some(fee) = config.cloister.fixed_base_fee {
        ours["baseFee"] = json!({ "fixed": quantity(fee) });
    }
    if let Some(count) = config.cloister.max_transactions_per_block {
        ours["maxTransactionsPerBlock"] = count.into();
    }
    if let Some(bytes) = config.cloister.max_code_size {
        ours["maxCodeSize"] = bytes.into();
    }
    keys.insert("cloister".to_owned(), ours);
    Value::Object(keys)
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
    use cloister_primitives::{DevBaseFee, GenesisAccount, HardforkName};
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
}
