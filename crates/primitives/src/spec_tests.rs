#![allow(clippy::unwrap_used)]

use super::*;
use crate::{GenesisAccount, MULTICALL3_ADDRESS, MULTICALL3_CODE, VISIBILITY_ADDRESS, VISIBILITY_CODE};
use alloy_primitives::{address, b256};

fn development(fork: &str) -> ChainSpec {
    ChainSpec::development(DevChain { hardfork: fork.parse().unwrap(), ..DevChain::default() }).unwrap()
}

#[test]
fn the_default_development_chain_is_anvils() {
    let spec = development("latest");
    assert_eq!(spec.chain_id(), 31337);
    assert_eq!(spec.gas_limit(), 30_000_000);
    assert_eq!(spec.hardfork_at(0, 0), EthereumHardfork::Osaka);
    assert_eq!(spec.limits().max_code_size_bytes, 24_576);
    assert_eq!(spec.limits().max_initcode_size_bytes, 49_152);
    assert_eq!(spec.limits().max_transaction_size_bytes, 131_072);
    assert_eq!(spec.transaction_gas_cap_at(1, 1), Some(16_777_216));
    assert!(spec.is_development() && !spec.allows_equal_timestamps());
    let header = spec.genesis_header(B256::repeat_byte(1));
    assert_eq!(header.base_fee_per_gas, Some(1_000_000_000));
    assert_eq!(header.state_root, B256::repeat_byte(1));
    assert_eq!(header.requests_hash, Some(EMPTY_REQUESTS_HASH));
    assert_eq!(spec.blob_params_at(0).unwrap().max_blob_count, 9);
    // System contracts, the deployment proxy, Multicall3.
    assert_eq!(spec.genesis().alloc.len(), 6);
    let beacon = address!("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02");
    assert_eq!(spec.genesis().alloc[&beacon].nonce, 1);
}

#[test]
fn header_fields_come_with_their_forks() {
    let frontier = development("frontier").genesis_header(B256::ZERO);
    assert_eq!(frontier.base_fee_per_gas, None);
    assert_eq!(frontier.withdrawals_root, None);
    let london = development("london").genesis_header(B256::ZERO);
    assert_eq!(london.base_fee_per_gas, Some(1_000_000_000));
    assert_eq!(london.withdrawals_root, None);
    let shanghai = development("shanghai").genesis_header(B256::ZERO);
    assert_eq!(shanghai.withdrawals_root, Some(EMPTY_WITHDRAWALS));
    assert_eq!(shanghai.blob_gas_used, None);
    let cancun = development("cancun").genesis_header(B256::ZERO);
    assert_eq!(cancun.parent_beacon_block_root, Some(B256::ZERO));
    assert_eq!(cancun.excess_blob_gas, Some(0));
    assert_eq!(cancun.requests_hash, None);
    assert_eq!(development("prague").transaction_gas_cap_at(1, 1), None);
}

#[test]
fn mainnets_genesis_header_has_mainnets_hash() {
    // Header values of Ethereum's first block; its allocation enters through the state root.
    let json = r#"{"config":{"chainId":1,"homesteadBlock":1150000},"nonce":"0x42","timestamp":"0x0",
        "extraData":"0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
        "gasLimit":"0x1388","difficulty":"0x400000000","alloc":{}}"#;
    let (genesis, _) = Genesis::parse(json).unwrap();
    let header = ChainSpec::new(genesis)
        .unwrap()
        .genesis_header(b256!("0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"));
    assert_eq!(header.hash_slow(), b256!("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"));
}

#[test]
fn base_fee_follows_eip_1559() {
    let spec = development("osaka");
    let mut parent = spec.genesis_header(B256::ZERO);
    // Empty blocks lower it by an eighth, full ones raise it by an eighth, half-full ones keep it.
    assert_eq!(spec.next_base_fee(&parent, 1), Some(875_000_000));
    parent.gas_used = 30_000_000;
    assert_eq!(spec.next_base_fee(&parent, 1), Some(1_125_000_000));
    parent.gas_used = 15_000_000;
    assert_eq!(spec.next_base_fee(&parent, 1), Some(1_000_000_000));
    assert_eq!(development("berlin").next_base_fee(&parent, 1), None);
    // The first London block starts at 1 gwei.
    parent.base_fee_per_gas = None;
    assert_eq!(spec.next_base_fee(&parent, 1), Some(1_000_000_000));
}

#[test]
fn base_fee_can_be_fixed() {
    let spec = ChainSpec::development(DevChain { base_fee: DevBaseFee::Fixed(0), ..DevChain::default() }).unwrap();
    let mut parent = spec.genesis_header(B256::ZERO);
    assert_eq!(parent.base_fee_per_gas, Some(0));
    parent.gas_used = 30_000_000;
    assert_eq!(spec.next_base_fee(&parent, 1), Some(0));
}

#[test]
fn excess_blob_gas_follows_the_parent() {
    let spec = development("cancun");
    let mut parent = spec.genesis_header(B256::ZERO);
    assert_eq!(spec.next_excess_blob_gas(&parent, 1), Some(0));
    // Six blobs where three are the target leave three over.
    parent.blob_gas_used = Some(6 * 131_072);
    assert_eq!(spec.next_excess_blob_gas(&parent, 1), Some(3 * 131_072));
    assert_eq!(development("shanghai").next_excess_blob_gas(&parent, 1), None);
}

#[test]
fn equal_timestamps_only_where_allowed() {
    let dev = development("osaka");
    assert!(!dev.timestamp_may_follow(5, 5) && dev.timestamp_may_follow(5, 6));
    let mut genesis = dev.genesis().clone();
    genesis.config.cloister.allow_equal_timestamps = true;
    let lenient = ChainSpec::new(genesis).unwrap();
    assert!(lenient.timestamp_may_follow(5, 5) && !lenient.timestamp_may_follow(5, 4));
}

#[test]
fn gas_limits_are_bounded() {
    let chain = |gas_limit| ChainSpec::development(DevChain { gas_limit, ..DevChain::default() });
    assert!(chain(4_999).is_err());
    assert!(chain(u64::MAX).is_err());
    let spec = chain(1_000_000_000_000).unwrap();
    let parent = spec.genesis_header(B256::ZERO);
    assert_eq!(spec.next_gas_limit(&parent, 0), 999_023_437_501);
}

#[test]
fn a_larger_code_size_lets_larger_transactions_in() {
    let spec = ChainSpec::development(DevChain { code_size_limit: Some(100_000), ..DevChain::default() }).unwrap();
    assert_eq!(spec.limits().max_initcode_size_bytes, 200_000);
    assert_eq!(spec.limits().max_transaction_size_bytes, 400_000);
    let unlimited =
        ChainSpec::development(DevChain { code_size_limit: Some(usize::MAX), ..DevChain::default() }).unwrap();
    assert_eq!(unlimited.limits().max_transaction_size_bytes, 8 * 1024 * 1024);
}

#[test]
fn a_confidential_chain_has_its_rules_whatever_its_file_says() {
    let mut genesis = development("osaka").genesis().clone();
    genesis.alloc.clear();
    assert!(
        ChainSpec::new(genesis.clone()).unwrap().genesis().alloc.is_empty(),
        "an open chain has what its file says"
    );
    genesis.config.cloister.confidentiality = Confidentiality::On;
    genesis.config.cloister.fixed_base_fee = Some(0);
    genesis.base_fee_per_gas = Some(0);
    let spec = ChainSpec::new(genesis.clone()).unwrap();
    assert_eq!(spec.genesis().alloc[&VISIBILITY_ADDRESS].code, *VISIBILITY_CODE);
    assert_eq!(spec.genesis().alloc[&MULTICALL3_ADDRESS].code, *MULTICALL3_CODE);
    // Saying so changes nothing, saying anything else is refused.
    assert_eq!(ChainSpec::new(spec.genesis().clone()).unwrap(), spec);
    genesis.alloc.insert(VISIBILITY_ADDRESS, GenesisAccount { nonce: 1, ..GenesisAccount::default() });
    let refused = ChainSpec::new(genesis).unwrap_err().to_string();
    assert!(refused.starts_with("alloc.0x00000000000000000000000000000000000c1001: "), "{refused}");
    assert!(refused.ends_with("leave the entry out"), "{refused}");
}
