#![allow(clippy::unwrap_used)]

use super::*;
use alloy_hardforks::ForkCondition;
use alloy_primitives::{address, b256};
use proptest::prelude::*;

/// A minimal genesis with `config` and top-level keys spliced in.
fn genesis_json(config: &str, top: &str) -> String {
    format!(r#"{{"config":{{"chainId":7{config}}},"gasLimit":"0x1c9c380","difficulty":"0","alloc":{{}}{top}}}"#)
}

const MERGED: &str = r#","homesteadBlock":0,"eip150Block":0,"eip155Block":0,"eip158Block":0,
    "byzantiumBlock":0,"constantinopleBlock":0,"petersburgBlock":0,"istanbulBlock":0,"berlinBlock":0,
    "londonBlock":0,"terminalTotalDifficulty":0"#;

fn parsed(config: &str, top: &str) -> (Genesis, Vec<GenesisWarning>) {
    Genesis::parse(&genesis_json(config, top)).unwrap()
}

fn error(config: &str, top: &str) -> String {
    Genesis::parse(&genesis_json(config, top)).unwrap_err().to_string()
}

#[test]
fn quantities_are_numbers_decimal_or_hexadecimal() {
    let (genesis, warnings) = parsed(
        "",
        r#","timestamp":"0x10","nonce":16,"number":"0","baseFeePerGas":"1000","extraData":"0xabcd",
        "mixHash":"0x00000000000000000000000000000000000000000000000000000000000000ff",
        "coinbase":"0x00000000000000000000000000000000000000aa","excessBlobGas":null"#,
    );
    assert_eq!(warnings, vec![]);
    assert_eq!((genesis.timestamp, genesis.nonce), (16, 16));
    assert_eq!(genesis.gas_limit, 30_000_000);
    assert_eq!(genesis.base_fee_per_gas, Some(1000));
    assert_eq!(genesis.extra_data.as_ref(), [0xab, 0xcd]);
    assert_eq!(genesis.mix_hash, B256::with_last_byte(0xff));
    assert_eq!(genesis.coinbase, address!("00000000000000000000000000000000000000aa"));
    assert_eq!(genesis.excess_blob_gas, None);
    assert_eq!(genesis.config.chain_id, 7);
}

#[test]
fn alloc_takes_addresses_with_and_without_prefix() {
    let json = r#"{"config":{"chainId":1},"gasLimit":5000,"alloc":{
        "0x0000000000000000000000000000000000000001":{"balance":"1000000000000000000000"},
        "0000000000000000000000000000000000000002":{"balance":"0x0","nonce":"0x5","code":"0x6001",
            "storage":{"0x01":"0x02","0x0000000000000000000000000000000000000000000000000000000000000003":"00"}}
    }}"#;
    let (genesis, warnings) = Genesis::parse(json).unwrap();
    assert_eq!(warnings, vec![]);
    let first = &genesis.alloc[&Address::with_last_byte(1)];
    assert_eq!(first.balance, U256::from(10).pow(U256::from(21)));
    let second = &genesis.alloc[&Address::with_last_byte(2)];
    assert_eq!(second.nonce, 5);
    assert_eq!(second.code.as_ref(), [0x60, 0x01]);
    // A zero value is no slot.
    assert_eq!(second.storage, BTreeMap::from([(U256::from(1), U256::from(2))]));
}

#[test]
fn unknown_keys_are_named_wherever_they_are() {
    let json = r#"{"config":{"chainId":1,"parlia":{"period":3},"cloister":{"x":1}},"gasLimit":5000,"gaslimit":1,
        "alloc":{"0x0000000000000000000000000000000000000001":{"balance":"1","colour":"red"}}}"#;
    let (_, warnings) = Genesis::parse(json).unwrap();
    let paths: Vec<_> = warnings.iter().map(|w| w.path.as_str()).collect();
    assert_eq!(
        paths,
        ["config.cloister.x", "config.parlia", "alloc.0x0000000000000000000000000000000000000001.colour", "gaslimit",]
    );
    assert_eq!(warnings[3].to_string(), "gaslimit: unknown key, without effect");
}

#[test]
fn warnings_are_bounded() {
    let keys: String = (0..500).map(|i| format!(r#","k{i}":0"#)).collect();
    let (_, warnings) = parsed("", &keys);
    assert_eq!(warnings.len(), MAX_GENESIS_WARNINGS + 1);
    assert!(warnings[MAX_GENESIS_WARNINGS].message.starts_with("400 more"));
}

#[test]
fn errors_name_the_key_and_what_was_expected() {
    let cases = [
        (error("", r#","timestamp":"1x""#), "timestamp: expected a quantity of up to 64 bits"),
        (error("", r#","timestamp":-1"#), "timestamp: expected a quantity"),
        (error("", r#","nonce":"0x10000000000000000""#), "nonce: expected a quantity of up to 64"),
        (error("", r#","extraData":"0xabc""#), "extraData: expected at most 65536 bytes"),
        (error("", r#","coinbase":"0x12""#), "coinbase: expected an address"),
        (error("", r#","mixHash":"12""#), "mixHash: expected 32 bytes"),
        (error("", r#","number":5"#), "number: expected 0"),
        (error("", r#","gasLimit":5000"#), "gasLimit: given twice"),
        (error(r#","londonBlock":"soon""#, ""), "config.londonBlock: expected a quantity"),
        (error(r#","amsterdamTime":9"#, ""), "config.amsterdamTime: this fork is not supported"),
        (error(r#","eip155Block":1,"eip158Block":2"#, ""), "config.eip158Block: must equal"),
        (error(r#","cloister":[]"#, ""), "config.cloister: expected an object"),
        (Genesis::parse(r#"{"config":{"chainId":1},"alloc":{}}"#).unwrap_err().to_string(), "gasLimit: missing"),
        (
            Genesis::parse(r#"{"config":{},"alloc":{},"gasLimit":1}"#).unwrap_err().to_string(),
            "config.chainId: missing",
        ),
        (Genesis::parse("{").unwrap_err().to_string(), "genesis: not valid JSON"),
        (Genesis::parse("[]").unwrap_err().to_string(), "genesis: expected an object"),
        (
            Genesis::parse(r#"{"config":{"chainId":1},"gasLimit":5000,"alloc":{"0x1":{}}}"#).unwrap_err().to_string(),
            "alloc: expected addresses of 20 bytes",
        ),
    ];
    for (message, start) in cases {
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn the_same_account_twice_is_refused() {
    let json = r#"{"config":{"chainId":1},"gasLimit":5000,"alloc":{
        "0x00000000000000000000000000000000000000Aa":{"balance":"1"},
        "00000000000000000000000000000000000000aa":{"balance":"2"}}}"#;
    let error = Genesis::parse(json).unwrap_err().to_string();
    assert_eq!(error, "alloc.00000000000000000000000000000000000000aa: given twice");
}

#[test]
fn forks_and_blob_schedule() {
    let config = format!(
        r#"{MERGED},"shanghaiTime":0,"cancunTime":10,"pragueTime":20,"osakaTime":30,"bpo1Time":40,"bpo2Time":50,
        "blobSchedule":{{"cancun":{{"target":3,"max":6,"baseFeeUpdateFraction":3338477}},
        "prague":{{"target":4,"max":8,"baseFeeUpdateFraction":5007716}},
        "bpo1":{{"target":10,"max":15,"baseFeeUpdateFraction":8346193}}}},"ethash":{{}}"#
    );
    let (genesis, warnings) = parsed(&config, "");
    assert_eq!(warnings, vec![]);
    let forks = &genesis.config.forks;
    assert_eq!(forks.condition(EthereumHardfork::Paris), ForkCondition::Block(0));
    assert_eq!(forks.newest_active(0, 0), EthereumHardfork::Shanghai);
    assert_eq!(forks.newest_active(0, 29), EthereumHardfork::Prague);
    assert_eq!(forks.newest_active(0, 50), EthereumHardfork::Bpo2);
    let max = |time| genesis.config.blob_params_at(time).map(|p| p.max_blob_count);
    assert_eq!(max(9), None);
    assert_eq!(max(10), Some(6));
    assert_eq!(max(20), Some(8));
    // Osaka keeps what Prague has, here the genesis' own.
    assert_eq!(max(30), Some(8));
    assert_eq!(genesis.config.blob_params_at(30).unwrap().max_blobs_per_tx, 6);
    assert_eq!(max(40), Some(15));
    assert_eq!(max(50), Some(21));
}

#[test]
fn a_schedule_out_of_order_names_both_forks() {
    let late = format!(r#"{MERGED},"shanghaiTime":20,"cancunTime":10"#);
    assert_eq!(
        error(&late, ""),
        "fork schedule: Cancun activates at time 10, but Shanghai before it activates at time 20"
    );
    let gap = r#","homesteadBlock":0,"londonBlock":5"#;
    let message = error(gap, "");
    assert!(message.contains("London activates at block 5"), "{message}");
    let bpo = format!(r#"{MERGED},"shanghaiTime":0,"cancunTime":0,"pragueTime":0,"osakaTime":0,"bpo3Time":1"#);
    assert!(error(&bpo, "").starts_with("config.blobSchedule.bpo3: missing"));
}

#[test]
fn the_merge_is_at_genesis_or_never() {
    let (genesis, _) = parsed(MERGED, "");
    let paris = |genesis: &Genesis| genesis.config.forks.condition(EthereumHardfork::Paris);
    assert_eq!(paris(&genesis), ForkCondition::Block(0));
    let (genesis, warnings) = parsed(&MERGED.replace("Difficulty\":0", "Difficulty\":58750000000000000000000"), "");
    assert_eq!(paris(&genesis), ForkCondition::Never);
    assert_eq!(warnings[0].path, "config.terminalTotalDifficulty");
    let (genesis, _) = parsed(r#","homesteadBlock":0"#, "");
    assert_eq!(paris(&genesis), ForkCondition::Never);
    let implied = MERGED.replace(r#","terminalTotalDifficulty":0"#, r#","shanghaiTime":1"#);
    let (genesis, warnings) = parsed(&implied, "");
    assert_eq!(paris(&genesis), ForkCondition::Block(0));
    assert_eq!(warnings.len(), 1);
}

#[test]
fn our_extension() {
    let (genesis, warnings) = parsed(
        r#","cloister":{"confidentiality":"off","baseFee":{"fixed":"0x7"},"allowEqualTimestamps":true,
        "maxTransactionsPerBlock":100,"maxCodeSize":65536,"development":false,"imported":false}"#,
        "",
    );
    assert_eq!(warnings, vec![]);
    assert_eq!(
        genesis.config.cloister,
        CloisterConfig {
            confidentiality: Confidentiality::Off,
            gas_schedule: GasSchedule::Ethereum,
            fixed_base_fee: Some(7),
            allow_equal_timestamps: true,
            max_transactions_per_block: Some(100),
            max_code_size: Some(65536),
            development: false,
            production: false,
            imported: false,
        }
    );
    let (genesis, _) = parsed(r#","cloister":{"baseFee":"eip1559"}"#, "");
    assert_eq!(genesis.config.cloister, CloisterConfig::default());
    let message = error(r#","cloister":{"confidentiality":"maybe"}"#, "");
    assert!(message.starts_with("config.cloister.confidentiality: expected \"off\" or \"on\""), "{message}");
    let message = error(r#","cloister":{"baseFee":"free"}"#, "");
    assert!(message.starts_with("config.cloister.baseFee: expected \"eip1559\" or"), "{message}");
    let message = error(r#","cloister":{"maxTransactionsPerBlock":0}"#, "");
    assert!(message.contains("expected a number from 1 to 1000000"), "{message}");
    let message = error(r#","cloister":{"baseFee":{"fixed":7}}"#, r#","baseFeePerGas":8"#);
    assert!(message.starts_with("baseFeePerGas: is 8, but"), "{message}");
    let (genesis, _) = parsed(r#","cloister":{"imported":true}"#, "");
    assert!(genesis.config.cloister.imported);
    let message = error(r#","cloister":{"imported":true,"maxCodeSize":65536}"#, "");
    assert!(message.starts_with("config.cloister.maxCodeSize: an imported chain"), "{message}");
}

#[test]
fn a_confidential_chain_has_flat_gas_and_a_base_fee_that_does_not_move() {
    let (genesis, warnings) = parsed(r#","cloister":{"confidentiality":"on"}"#, r#","baseFeePerGas":"0x0""#);
    assert_eq!(warnings, vec![]);
    let ours = genesis.config.cloister;
    assert_eq!(ours.confidentiality, Confidentiality::On);
    assert_eq!((ours.gas_schedule, ours.fixed_base_fee), (GasSchedule::Flat, Some(0)));
    let (genesis, _) = parsed(
        r#","cloister":{"confidentiality":"on","gasSchedule":"ethereum","baseFee":{"fixed":"0x3"}}"#,
        r#","baseFeePerGas":"0x3""#,
    );
    let ours = genesis.config.cloister;
    assert_eq!((ours.gas_schedule, ours.fixed_base_fee), (GasSchedule::Ethereum, Some(3)));
    let message = error(r#","cloister":{"confidentiality":"on","baseFee":"eip1559"}"#, "");
    assert!(message.starts_with("config.cloister.baseFee: follows the blocks' use"), "{message}");
}

#[test]
fn mainnets_own_difficulty_is_not_rounded() {
    // Larger than 64 bits, written as a bare number, as geth writes it.
    let (genesis, _) = parsed("", "");
    let json = genesis_json("", "").replace(r#""difficulty":"0""#, r#""difficulty":58750000000000000000001"#);
    let (exact, _) = Genesis::parse(&json).unwrap();
    assert_ne!(exact.difficulty, genesis.difficulty);
    assert_eq!(exact.difficulty.to_string(), "58750000000000000000001");
    assert_ne!(exact.mix_hash, b256!("0x00000000000000000000000000000000000000000000000000000000000000ff"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Genesis::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_json_makes_it_panic(
        key in "(config|alloc|nonce|gasLimit|number|extraData|mixHash|coinbase|difficulty)",
        value in r#"(null|\{\}|\[\]|-?[0-9]{1,40}|1e999|"0x[0-9a-f]{0,70}"|"[^"\\]{0,20}"|\{"chainId":[0-9]{1,25}\}|\{"é":1\})"#,
    ) {
        let _ = Genesis::parse(&format!(r#"{{"{key}":{value}}}"#));
        let _ = Genesis::parse(&genesis_json("", &format!(r#","{key}":{value}"#)));
        let _ = Genesis::parse(&genesis_json(&format!(r#","{key}":{value},"cloister":{value}"#), ""));
    }
}
