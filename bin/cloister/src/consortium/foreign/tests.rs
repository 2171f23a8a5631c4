#![allow(clippy::unwrap_used)]

use alloy_primitives::address;
use cloister_primitives::{ChainSpec, Confidentiality, HardforkName};

use super::*;
use crate::consortium::Decisions;

const GETH_CLIQUE: &str = include_str!("../../../../../tests/cases/genesis/geth-clique.json");
const BESU_QBFT: &str = include_str!("../../../../../tests/cases/genesis/besu-qbft.json");
const BESU_IBFT2: &str = include_str!("../../../../../tests/cases/genesis/besu-ibft2.json");
const QUORUM_ISTANBUL: &str = include_str!("../../../../../tests/cases/genesis/goquorum-istanbul.json");
const QUORUM_QBFT: &str = include_str!("../../../../../tests/cases/genesis/goquorum-qbft.json");

/// The chain that becomes of a file, and the report.
fn imported(json: &str, confidentiality: Confidentiality) -> (ChainSpec, String) {
    let (draft, mut report) = read(json).unwrap();
    let decisions = Decisions {
        chain_id: draft.chain_id.unwrap(),
        hardfork: None,
        confidentiality,
        gas_limit: draft.genesis.gas_limit,
        timestamp: draft.genesis.timestamp,
        sign_in: None,
        members: Vec::new(),
        nodes: Vec::new(),
    };
    let file = draft.decide(decisions, &mut report).unwrap();
    let (genesis, warnings) = Genesis::parse(&file).unwrap();
    assert_eq!(warnings, []);
    (ChainSpec::new(genesis).unwrap(), report.to_string())
}

fn newest(spec: &ChainSpec) -> String {
    HardforkName(spec.hardfork_at(0, spec.genesis().timestamp)).to_string()
}

fn assert_says(report: &str, lines: &[&str]) {
    for line in lines {
        assert!(report.contains(line), "{line}\n---\n{report}");
    }
}

#[test]
fn geths_clique() {
    let (spec, report) = imported(GETH_CLIQUE, Confidentiality::Off);
    assert_eq!((spec.chain_id(), spec.gas_limit(), newest(&spec).as_str()), (15_150, 30_000_000, "london"));
    assert!(spec.genesis().extra_data.is_empty());
    let rich = address!("7e5f4552091a69125d5dfcb7b8c2659029395bdf");
    assert_eq!(spec.genesis().alloc[&rich].balance, U256::from(10).pow(U256::from(21)));
    assert_says(
        &report,
        &[
            "chain id 15150, of geth's genesis",
            "config.clique: this client's own consensus orders blocks",
            "`cloister node --block-time 5` makes one every 5 s",
            "its validators order nothing here: 0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF,",
            "difficulty: zero here",
            "chain id: 15150 as before",
        ],
    );
}

#[test]
fn besus_qbft_with_its_contract_of_validators() {
    let (spec, report) = imported(BESU_QBFT, Confidentiality::Off);
    assert_eq!((spec.chain_id(), newest(&spec).as_str()), (1_337, "shanghai"));
    assert_eq!(spec.limits().max_code_size_bytes, 16 << 20);
    assert_eq!(spec.genesis().config.cloister.fixed_base_fee, Some(0));
    let registry = address!("0000000000000000000000000000000000008888");
    assert_eq!(spec.genesis().alloc[&registry].storage.len(), 2);
    assert_says(
        &report,
        &[
            "chain id 1337, of Besu's genesis",
            "forks up to shanghai, at their heights",
            "forks that are not named, each with the next later one",
            "contracts: up to 16777216 bytes, which is the most there is",
            "config.qbft.validatorcontractaddress: the contract",
            "config.discovery: nodes find each other",
            "alloc: comments on accounts (2)",
            "accounts: the file has private keys of some",
            "mixHash",
        ],
    );
}

#[test]
fn besus_ibft_2_becomes_confidential_with_the_newest_forks() {
    let (spec, report) = imported(BESU_IBFT2, Confidentiality::On);
    assert_eq!((spec.chain_id(), newest(&spec).as_str()), (2_018, HardforkName::default().to_string().as_str()));
    assert_eq!(spec.genesis().base_fee_per_gas, None);
    assert_says(
        &report,
        &[
            "forks: every one up to osaka from the start instead of berlin, because",
            "base fee: 0 for good",
            "its validators order nothing here: 0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF, 0x6813Eb9362372EEF6200f3b1dbC3f819671cBA69",
            "nobody can sign in",
        ],
    );
}

#[test]
fn goquorums_istanbul() {
    let (spec, report) = imported(QUORUM_ISTANBUL, Confidentiality::Off);
    assert_eq!((spec.chain_id(), newest(&spec).as_str()), (10, "istanbul"));
    assert_eq!(spec.limits().max_code_size_bytes, 64 * 1024);
    assert_says(
        &report,
        &[
            "chain id 10, of GoQuorum's genesis",
            "config.maxCodeSizeConfig: the largest of its sizes",
            "config.istanbul: this client's own consensus",
            "config.privacyEnhancementsBlock: a chain is confidential or open as a whole",
            "config.txnSizeLimit: ",
            "its validators order nothing here: 0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF,",
        ],
    );
}

#[test]
fn goquorums_qbft() {
    let (spec, report) = imported(QUORUM_QBFT, Confidentiality::On);
    assert_eq!((spec.chain_id(), spec.limits().max_code_size_bytes), (1_338, 32 * 1024));
    assert_says(
        &report,
        &[
            "config.qbft: this client's own consensus",
            "config.transitions: they change the old consensus",
            "its validators order nothing here: 0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF,",
            "`cloister policy apply`",
        ],
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    let message = |json: &str| read(json).unwrap_err().message().to_owned();
    let base = r#""gasLimit":"0x1388","alloc":{}"#;
    for (json, start) in [
        ("{".to_owned(), "the genesis cannot be used: genesis: not valid JSON"),
        ("[]".to_owned(), "the genesis cannot be used: the file: expected an object"),
        (format!("{{{base}}}"), "the genesis cannot be used: config.chainId: missing"),
        (format!(r#"{{"config":{{"chainId":1,"cloister":{{}}}},{base}}}"#), "the genesis file has config.cloister"),
        (
            format!(r#"{{"config":{{"chainId":1,"chainId":2}},{base}}}"#),
            "the genesis cannot be used: config.chainId: given",
        ),
        (
            format!(r#"{{"config":{{"chainId":1,"contractSizeLimit":"big"}},{base}}}"#),
            "the genesis cannot be used: config.contractSizeLimit: expected a number of bytes",
        ),
        (r#"{"genesis":{},"blockchain":{}}"#.to_owned(), "this is the input of `besu operator"),
    ] {
        assert!(message(&json).starts_with(start), "{json}: {}", message(&json));
    }
}

#[test]
fn unknown_keys_and_a_difficulty_to_reach_are_reported() {
    let json = r#"{"config":{"chainId":5,"homesteadBlock":0,"parlia":{"period":3},"terminalTotalDifficulty":
        58750000000000000000000},"gasLimit":"0x1388","difficulty":"0x1","extraData":"0xabcd","alloc":{}}"#;
    let (spec, report) = imported(json, Confidentiality::Off);
    assert_eq!(spec.genesis().extra_data.as_ref(), [0xab, 0xcd]);
    assert_says(
        &report,
        &["config.parlia: unknown key", "terminalTotalDifficulty: nobody mines; the chain keeps the rules from before"],
    );
}
