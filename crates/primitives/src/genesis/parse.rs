//! From JSON to [`Genesis`].

use std::collections::BTreeMap;

use alloy_eips::eip7840::BlobParams;
use alloy_hardforks::{EthereumHardfork, ForkCondition, mainnet::MAINNET_PARIS_BLOCK, sepolia::SEPOLIA_PARIS_BLOCK};
use alloy_primitives::{Address, U256};

use super::json::{self, Field, Object, Warnings};
use super::{
    ChainConfig, CloisterConfig, Confidentiality, GasSchedule, Genesis, GenesisAccount, GenesisError,
    MAX_GENESIS_ACCOUNTS, MAX_GENESIS_CODE_BYTES, MAX_GENESIS_EXTRA_DATA_BYTES,
};
use super::{attestation, members, raft, sign_in};
use crate::forks::ForkSchedule;

/// Keys of `config` that activate a fork at a block. Two keys may belong to one fork.
const BLOCK_FORKS: &[(&str, EthereumHardfork)] = &[
    ("homesteadBlock", EthereumHardfork::Homestead),
    ("eip150Block", EthereumHardfork::Tangerine),
    ("eip155Block", EthereumHardfork::SpuriousDragon),
    ("eip158Block", EthereumHardfork::SpuriousDragon),
    ("byzantiumBlock", EthereumHardfork::Byzantium),
    ("constantinopleBlock", EthereumHardfork::Constantinople),
    ("petersburgBlock", EthereumHardfork::Petersburg),
    ("istanbulBlock", EthereumHardfork::Istanbul),
    ("muirGlacierBlock", EthereumHardfork::MuirGlacier),
    ("berlinBlock", EthereumHardfork::Berlin),
    ("londonBlock", EthereumHardfork::London),
    ("arrowGlacierBlock", EthereumHardfork::ArrowGlacier),
    ("grayGlacierBlock", EthereumHardfork::GrayGlacier),
];

/// Keys of `config` that activate a fork at a time, and the fork's key in `blobSchedule`.
const TIME_FORKS: &[(&str, &str, EthereumHardfork)] = &[
    ("shanghaiTime", "", EthereumHardfork::Shanghai),
    ("cancunTime", "cancun", EthereumHardfork::Cancun),
    ("pragueTime", "prague", EthereumHardfork::Prague),
    ("osakaTime", "osaka", EthereumHardfork::Osaka),
    ("bpo1Time", "bpo1", EthereumHardfork::Bpo1),
    ("bpo2Time", "bpo2", EthereumHardfork::Bpo2),
    ("bpo3Time", "bpo3", EthereumHardfork::Bpo3),
    ("bpo4Time", "bpo4", EthereumHardfork::Bpo4),
    ("bpo5Time", "bpo5", EthereumHardfork::Bpo5),
];

/// Keys of a genesis file's `config` that activate forks, in the forks' order. Two keys may belong to one fork.
pub fn fork_keys() -> impl Iterator<Item = (&'static str, EthereumHardfork)> {
    BLOCK_FORKS.iter().copied().chain(TIME_FORKS.iter().map(|(key, _, fork)| (*key, *fork)))
}

/// Forks that geth knows and this build does not: to ignore them would be to fork off.
const UNSUPPORTED_FORKS: &[&str] = &["amsterdamTime", "bogotaTime", "verkleTime", "ubtTime"];

/// Keys that are known and rightly have no effect on a chain without proof of work.
const WITHOUT_EFFECT: &[&str] = &["ethash", "eip150Hash", "terminalTotalDifficultyPassed"];

pub(super) fn genesis(text: &str, warnings: &mut Warnings) -> Result<Genesis, GenesisError> {
    let mut top = Object::top(text)?;
    let config = match top.take("config") {
        Some(field) => chain_config(field.object()?, warnings)?,
        None => {
            return Err(GenesisError::Missing {
                path: "config".to_owned(),
                expected: "an object with chainId and the forks",
            });
        }
    };
    let number = top.take("number");
    if let Some(number) = number
        && number.u64()? != 0
    {
        return Err(number.error("0: the chain starts at height 0"));
    }
    // geth writes these when it exports a header; they follow from the rest.
    for key in ["gasUsed", "slotNumber"] {
        if let Some(field) = top.take(key)
            && field.u64()? != 0
        {
            warnings.add(field.path, "without effect");
        }
    }
    let u64_or_zero = |field: Option<Field<'_>>| field.map_or(Ok(0), |field| field.u64());
    let genesis = Genesis {
        config,
        nonce: u64_or_zero(top.take("nonce"))?,
        timestamp: u64_or_zero(top.take("timestamp"))?,
        extra_data: top
            .take("extraData")
            .map(|field| field.bytes(MAX_GENESIS_EXTRA_DATA_BYTES))
            .transpose()?
            .unwrap_or_default(),
        gas_limit: top.require("gasLimit", "a quantity of gas")?.u64()?,
        difficulty: optional(top.take("difficulty"), Field::u256)?.unwrap_or_default(),
        mix_hash: optional(top.take("mixHash").or_else(|| top.take("mixhash")), Field::b256)?.unwrap_or_default(),
        coinbase: optional(top.take("coinbase"), Field::address)?.unwrap_or_default(),
        parent_hash: optional(top.take("parentHash"), Field::b256)?.unwrap_or_default(),
        base_fee_per_gas: optional(top.take("baseFeePerGas"), Field::u64)?,
        excess_blob_gas: optional(top.take("excessBlobGas"), Field::u64)?,
        blob_gas_used: optional(top.take("blobGasUsed"), Field::u64)?,
        alloc: alloc(top.require("alloc", "an object of accounts by address")?.object()?, warnings)?,
    };
    top.finish(warnings);
    Ok(genesis)
}

fn optional<'a, T>(
    field: Option<Field<'a>>,
    read: impl FnOnce(&Field<'a>) -> Result<T, GenesisError>,
) -> Result<Option<T>, GenesisError> {
    field.as_ref().map(read).transpose()
}

fn chain_config(mut config: Object<'_>, warnings: &mut Warnings) -> Result<ChainConfig, GenesisError> {
    let chain_id = config.require("chainId", "a number above zero")?.within(1, u64::MAX / 2 - 36)?;
    for key in UNSUPPORTED_FORKS {
        if let Some(field) = config.take(key) {
            return Err(GenesisError::Unsupported { path: field.path, what: "this fork".to_owned() });
        }
    }
    let forks = fork_schedule(&mut config, chain_id, warnings)?;
    let blob_schedule = match config.take("blobSchedule") {
        Some(field) => blob_schedule(field.object()?, warnings)?,
        None => BTreeMap::new(),
    };
    let deposit_contract = optional(config.take("depositContractAddress"), Field::address)?;
    let (cloister, sign_in, members, attestation, raft) = match config.take("cloister") {
        Some(field) => {
            let mut object = field.object()?;
            let sign_in = sign_in::take(&mut object, warnings)?;
            let members = members::take(&mut object)?;
            let attestation = attestation::take(&mut object, warnings)?;
            let raft = raft::take(&mut object, warnings)?;
            (cloister(object, warnings)?, sign_in, members, attestation, raft)
        }
        None => (CloisterConfig::default(), None, Vec::new(), None, None),
    };
    for key in WITHOUT_EFFECT {
        config.take(key);
    }
    if let Some(field) = config.take("clique") {
        warnings.add(field.path, "proof of authority has no effect: blocks are ordered by this client's own consensus");
    }
    if let Some(field) = config.take("enableVerkleAtGenesis")
        && field.boolean()?
    {
        return Err(GenesisError::Unsupported { path: field.path, what: "a verkle state".to_owned() });
    }
    config.finish(warnings);
    Ok(ChainConfig { chain_id, forks, blob_schedule, deposit_contract, cloister, sign_in, members, attestation, raft })
}

fn fork_schedule(
    config: &mut Object<'_>,
    chain_id: u64,
    warnings: &mut Warnings,
) -> Result<ForkSchedule, GenesisError> {
    let mut forks = ForkSchedule::frontier();
    for (key, fork) in BLOCK_FORKS {
        let Some(field) = config.take(key) else {
            continue;
        };
        let block = field.u64()?;
        // EIP-155 and EIP-158 together are Spurious Dragon: no chain has ever had one without the other.
        if let ForkCondition::Block(other) = forks.condition(*fork)
            && other != block
        {
            return Err(GenesisError::Contradiction {
                path: field.path,
                reason: format!("must equal config.eip155Block, which is {other}"),
            });
        }
        forks.set(*fork, ForkCondition::Block(block));
    }
    // Petersburg undoes the one part of Constantinople that was unsafe; geth lets it come along unsaid.
    if forks.condition(EthereumHardfork::Petersburg) == ForkCondition::Never {
        forks.set(EthereumHardfork::Petersburg, forks.condition(EthereumHardfork::Constantinople));
    }
    dao_fork(config, &mut forks, warnings)?;
    let mut any_time_fork = false;
    for (key, _, fork) in TIME_FORKS {
        if let Some(field) = config.take(key) {
            forks.set(*fork, ForkCondition::Timestamp(field.u64()?));
            any_time_fork = true;
        }
    }
    let paris = paris(config, chain_id, any_time_fork, warnings)?;
    forks.set(EthereumHardfork::Paris, paris);
    Ok(forks)
}

fn dao_fork(config: &mut Object<'_>, forks: &mut ForkSchedule, warnings: &mut Warnings) -> Result<(), GenesisError> {
    let supported = optional(config.take("daoForkSupport"), Field::boolean)?.unwrap_or(false);
    if let Some(field) = config.take("daoForkBlock") {
        let block = field.u64()?;
        if supported && block != 0 {
            forks.set(EthereumHardfork::Dao, ForkCondition::Block(block));
        } else if supported {
            // At block 0 there is nothing to move yet.
            warnings.add(field.path, "the DAO fork at genesis has no effect");
        }
    }
    Ok(())
}

/// When the chain is past the merge (EIP-3675).
fn paris(
    config: &mut Object<'_>,
    chain_id: u64,
    any_time_fork: bool,
    warnings: &mut Warnings,
) -> Result<ForkCondition, GenesisError> {
    let netsplit = optional(config.take("mergeNetsplitBlock"), Field::u64)?;
    let path = config.path_of("terminalTotalDifficulty");
    let difficulty = optional(config.take("terminalTotalDifficulty"), Field::u256)?;
    match difficulty {
        Some(U256::ZERO) => Ok(ForkCondition::Block(0)),
        Some(_) => Ok(match (chain_id, netsplit) {
            (1, _) => ForkCondition::Block(MAINNET_PARIS_BLOCK),
            (11_155_111, _) => ForkCondition::Block(SEPOLIA_PARIS_BLOCK),
            (_, Some(block)) => ForkCondition::Block(block),
            (_, None) => {
                warnings.add(path, "without proof of work the chain never reaches it, and so never merges");
                ForkCondition::Never
            }
        }),
        None if any_time_fork => {
            warnings.add(path, "missing; 0 is assumed, because a fork has a time");
            Ok(ForkCondition::Block(0))
        }
        None => Ok(ForkCondition::Never),
    }
}

fn blob_schedule(
    schedule: Object<'_>,
    warnings: &mut Warnings,
) -> Result<BTreeMap<EthereumHardfork, BlobParams>, GenesisError> {
    let mut entries = BTreeMap::new();
    for (key, field) in schedule.into_fields() {
        let known = TIME_FORKS.iter().find(|(_, name, _)| !name.is_empty() && *name == key);
        let Some((_, _, fork)) = known else {
            warnings.add(field.path, "unknown fork, without effect");
            continue;
        };
        let mut entry = field.object()?;
        let most = 4096;
        let max = entry.require("max", "blobs in a block at most")?.within(0, most)?;
        let target = entry.require("target", "blobs in a block on average")?.within(0, max)?;
        let update_fraction = entry.require("baseFeeUpdateFraction", "a number above zero")?.within(1, u64::MAX)?;
        entry.finish(warnings);
        let base = if *fork >= EthereumHardfork::Osaka { BlobParams::osaka() } else { BlobParams::cancun() };
        let params = BlobParams {
            target_blob_count: target,
            max_blob_count: max,
            update_fraction: u128::from(update_fraction),
            max_blobs_per_tx: if *fork >= EthereumHardfork::Osaka { base.max_blobs_per_tx } else { max },
            ..base
        };
        entries.insert(*fork, params);
    }
    Ok(entries)
}

fn cloister(mut object: Object<'_>, warnings: &mut Warnings) -> Result<CloisterConfig, GenesisError> {
    const ON_OR_OFF: [(&str, Confidentiality); 2] = [("off", Confidentiality::Off), ("on", Confidentiality::On)];
    const SCHEDULES: [(&str, GasSchedule); 2] = [("ethereum", GasSchedule::Ethereum), ("flat", GasSchedule::Flat)];
    let confidentiality = one_of(object.take("confidentiality"), ON_OR_OFF, "\"off\" or \"on\"")?.unwrap_or_default();
    let is_confidential = confidentiality == Confidentiality::On;
    let usual_schedule = if is_confidential { GasSchedule::Flat } else { GasSchedule::Ethereum };
    let gas_schedule =
        one_of(object.take("gasSchedule"), SCHEDULES, "\"ethereum\" or \"flat\"")?.unwrap_or(usual_schedule);
    let fixed_base_fee = match object.take("baseFee") {
        Some(field) => base_fee(&field, warnings)?,
        // A base fee that follows use tells of use.
        None => is_confidential.then_some(0),
    };
    let count = |field: Option<Field<'_>>, least: u64, most: u64| {
        field
            .map(|field| field.within(least, most))
            .transpose()
            .map(|value| value.and_then(|value| usize::try_from(value).ok()))
    };
    let config = CloisterConfig {
        confidentiality,
        gas_schedule,
        fixed_base_fee,
        allow_equal_timestamps: optional(object.take("allowEqualTimestamps"), Field::boolean)?.unwrap_or(false),
        max_transactions_per_block: count(object.take("maxTransactionsPerBlock"), 1, 1_000_000)?,
        max_code_size: count(object.take("maxCodeSize"), 1, 16 * 1024 * 1024)?,
        development: optional(object.take("development"), Field::boolean)?.unwrap_or(false),
        production: optional(object.take("production"), Field::boolean)?.unwrap_or(false),
        imported: optional(object.take("imported"), Field::boolean)?.unwrap_or(false),
    };
    object.finish(warnings);
    Ok(config)
}

/// The value that a name stands for.
fn one_of<T>(
    field: Option<Field<'_>>,
    names: [(&str, T); 2],
    expected: &'static str,
) -> Result<Option<T>, GenesisError> {
    let Some(field) = field else {
        return Ok(None);
    };
    let name = field.text(expected)?;
    match names.into_iter().find(|(known, _)| *known == name) {
        Some((_, value)) => Ok(Some(value)),
        None => Err(field.error(expected)),
    }
}

/// `"eip1559"`, or `{"fixed": <wei per gas>}`.
fn base_fee(field: &Field<'_>, warnings: &mut Warnings) -> Result<Option<u64>, GenesisError> {
    const EXPECTED: &str = "\"eip1559\" or {\"fixed\": \"0x0\"}";
    if field.raw.get().starts_with('{') {
        let mut object = field.object()?;
        let fee = object.require("fixed", "wei per gas")?.u64()?;
        object.finish(warnings);
        return Ok(Some(fee));
    }
    match field.text(EXPECTED)?.as_str() {
        "eip1559" => Ok(None),
        _ => Err(field.error(EXPECTED)),
    }
}

fn alloc(accounts: Object<'_>, warnings: &mut Warnings) -> Result<BTreeMap<Address, GenesisAccount>, GenesisError> {
    if accounts.len() > MAX_GENESIS_ACCOUNTS {
        return Err(GenesisError::Value {
            path: "alloc".to_owned(),
            expected: format!("at most {MAX_GENESIS_ACCOUNTS} accounts"),
            found: accounts.len().to_string(),
        });
    }
    let mut alloc = BTreeMap::new();
    for (key, field) in accounts.into_fields() {
        let Some(address) = json::address(&key) else {
            return Err(json::unexpected("alloc", "addresses of 20 bytes in hexadecimal", &key));
        };
        let account = account(field.object()?, warnings)?;
        if alloc.insert(address, account).is_some() {
            return Err(GenesisError::Duplicate { path: field.path });
        }
    }
    Ok(alloc)
}

fn account(mut object: Object<'_>, warnings: &mut Warnings) -> Result<GenesisAccount, GenesisError> {
    let mut storage = BTreeMap::new();
    if let Some(field) = object.take("storage") {
        for (key, value) in field.object()?.into_fields() {
            const EXPECTED: &str = "up to 32 bytes in hexadecimal";
            let slot = json::storage_word(&key).ok_or_else(|| json::unexpected(&field.path, EXPECTED, &key))?;
            let word = json::storage_word(&value.text(EXPECTED)?).ok_or_else(|| value.error(EXPECTED))?;
            if storage.insert(slot, word).is_some() {
                return Err(GenesisError::Duplicate { path: value.path });
            }
        }
        storage.retain(|_, word: &mut U256| !word.is_zero());
    }
    if let Some(field) = object.take("secretKey") {
        warnings.add(field.path, "a private key in a genesis file has no effect");
    }
    let account = GenesisAccount {
        nonce: optional(object.take("nonce"), Field::u64)?.unwrap_or(0),
        balance: optional(object.take("balance"), Field::u256)?.unwrap_or_default(),
        code: object.take("code").map(|field| field.bytes(MAX_GENESIS_CODE_BYTES)).transpose()?.unwrap_or_default(),
        storage,
    };
    object.finish(warnings);
    Ok(account)
}
