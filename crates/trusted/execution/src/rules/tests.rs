#![allow(clippy::unwrap_used)]

use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bytes};
use cloister_primitives::{DevBaseFee, DevChain};

use super::*;

fn spec(fork: &str) -> ChainSpec {
    let base_fee = DevBaseFee::Initial(1_000_000_000);
    ChainSpec::development(DevChain { hardfork: fork.parse().unwrap(), base_fee, ..DevChain::default() }).unwrap()
}

/// A parent, and a child in which nothing is wrong.
fn family(spec: &ChainSpec) -> (Header, Header) {
    let mut parent = spec.genesis_header(B256::ZERO);
    parent.difficulty =
        if spec.is_active(EthereumHardfork::Paris, 0, 0) { U256::ZERO } else { U256::from(131_072_u64 * 16) };
    let active = |fork| spec.is_active(fork, 1, 12);
    let child = Header {
        parent_hash: parent.hash_slow(),
        number: 1,
        timestamp: 12,
        gas_limit: parent.gas_limit,
        difficulty: if active(EthereumHardfork::Paris) { U256::ZERO } else { difficulty::next(spec, &parent, 1, 12) },
        base_fee_per_gas: spec.next_base_fee(&parent, 12),
        withdrawals_root: active(EthereumHardfork::Shanghai).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: active(EthereumHardfork::Cancun).then_some(0),
        excess_blob_gas: spec.next_excess_blob_gas(&parent, 12),
        parent_beacon_block_root: active(EthereumHardfork::Cancun).then_some(B256::ZERO),
        requests_hash: active(EthereumHardfork::Prague).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    };
    (parent, child)
}

fn check(spec: &ChainSpec, parent: &Header, child: &Header) -> Result<(), Mismatch> {
    check_header(spec, Parent { header: parent, hash: parent.hash_slow() }, child)
}

#[test]
fn a_child_in_which_nothing_is_wrong_is_right_in_every_fork() {
    for fork in cloister_primitives::HardforkName::names() {
        let spec = spec(fork);
        let (parent, child) = family(&spec);
        assert_eq!(check(&spec, &parent, &child), Ok(()), "{fork}");
    }
}

#[test]
fn each_field_that_is_wrong_is_named() {
    type Change = fn(&mut Header);
    let changes: [(&str, Change); 17] = [
        ("number", |header| header.number = 2),
        ("parentHash", |header| header.parent_hash = B256::ZERO),
        ("timestamp", |header| header.timestamp = 0),
        ("extraData", |header| header.extra_data = Bytes::from(vec![1; 33])),
        ("difficulty", |header| header.difficulty = U256::from(1)),
        ("nonce", |header| header.nonce = B64::repeat_byte(1)),
        ("sha3Uncles", |header| header.ommers_hash = B256::ZERO),
        ("gasLimit", |header| header.gas_limit += header.gas_limit / 1_024),
        ("gasLimit", |header| header.gas_limit -= header.gas_limit / 1_024),
        ("gasUsed", |header| header.gas_used = header.gas_limit + 1),
        ("baseFeePerGas", |header| header.base_fee_per_gas = Some(1)),
        ("withdrawalsRoot", |header| header.withdrawals_root = None),
        ("blobGasUsed", |header| header.blob_gas_used = Some(1)),
        ("excessBlobGas", |header| header.excess_blob_gas = Some(1)),
        ("parentBeaconBlockRoot", |header| header.parent_beacon_block_root = None),
        ("requestsHash", |header| header.requests_hash = None),
        ("slotNumber", |header| header.slot_number = Some(1)),
    ];
    let spec = spec("osaka");
    let (parent, child) = family(&spec);
    for (field, change) in changes {
        let mut changed = child.clone();
        change(&mut changed);
        assert_eq!(check(&spec, &parent, &changed).unwrap_err().field, field);
    }
}

#[test]
fn fields_of_later_forks_are_refused_before_them() {
    for (fork, field) in [
        ("berlin", "baseFeePerGas"),
        ("paris", "withdrawalsRoot"),
        ("shanghai", "blobGasUsed"),
        ("cancun", "requestsHash"),
    ] {
        let spec = spec(fork);
        let (parent, mut child) = family(&spec);
        match field {
            "baseFeePerGas" => child.base_fee_per_gas = Some(7),
            "withdrawalsRoot" => child.withdrawals_root = Some(EMPTY_WITHDRAWALS),
            "blobGasUsed" => child.blob_gas_used = Some(0),
            _ => child.requests_hash = Some(EMPTY_REQUESTS_HASH),
        }
        let mismatch = check(&spec, &parent, &child).unwrap_err();
        assert_eq!((mismatch.field.as_ref(), mismatch.expected.starts_with("none before")), (field, true));
    }
}

#[test]
fn a_mined_block_has_the_difficulty_that_follows() {
    let mined = |fork: &str, difficulty: u64, number: u64, passed_s: u64| {
        let parent = Header { difficulty: U256::from(difficulty), number: number - 1, ..Header::default() };
        difficulty::next(&spec(fork), &parent, number, passed_s)
    };
    // Ethereum's own first block, long after its genesis.
    assert_eq!(mined("frontier", 17_179_869_184, 1, 1_438_269_988), U256::from(17_171_480_576_u64));
    assert_eq!(mined("homestead", 2_048_000_000, 1, 2_000), U256::from(1_949_000_000));
    assert_eq!(mined("byzantium", 2_048_000_000, 1, 8), U256::from(2_049_000_000));
    assert_eq!(mined("byzantium", 131_072, 1, 1_000), U256::from(131_072));
    // The bomb, and how far it is put off.
    assert_eq!(mined("homestead", 2_048_000_000, 400_000, 10), U256::from(2_048_000_004_u64));
    assert_eq!(mined("byzantium", 2_048_000_000, 3_400_000, 9), U256::from(2_048_000_004_u64));
    assert_eq!(mined("grayglacier", 2_048_000_000, 11_600_000, 9), U256::from(2_048_000_001_u64));
    assert_eq!(mined("frontier", 2_048_000_000, u64::MAX, 9), U256::MAX);
}

#[test]
fn blocks_are_bounded_from_osaka_on() {
    let (prague, osaka) = (spec("prague"), spec("osaka"));
    let (_, child) = family(&osaka);
    assert_eq!(check_block_size(&osaka, &child, 8_388_608), Ok(()));
    assert_eq!(check_block_size(&osaka, &child, 8_388_609).unwrap_err().field, "size");
    assert_eq!(check_block_size(&prague, &child, 8_388_609), Ok(()));
}
