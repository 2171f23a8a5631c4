#![allow(clippy::unwrap_used)]

use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY, TxKind, U256, hex, keccak256};
use cloister_state::{Account, AccountDelta, StateDelta, StorageCleared};

use crate::testing::{World, address as account, dynamic, initcode, recovered};
use crate::{AccountOverride, BlockOverrides, CallOutcome, CallRequest, StateOverrides};

const FACTORY: Address = Address::repeat_byte(0xfa);
/// Creates a contract from its input with CREATE2 and salt 0; returns the address.
const FACTORY_CODE: [u8; 15] = hex!("365f5f37" "5f365f5ff5" "5f52" "60205ff3");

/// Gives an address storage, and nothing else but a balance.
fn with_storage(world: &mut World, at: Address) {
    with_storage_and(world, at, U256::from(1));
}

fn with_storage_and(world: &mut World, at: Address, balance: U256) {
    let mut delta = StateDelta::default();
    delta.accounts.push(AccountDelta {
        address: at,
        account: Some(Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY }),
        storage_cleared: StorageCleared::No,
        storage: vec![(U256::from(1), U256::from(7))],
    });
    world.state.patch(&delta).unwrap();
}

fn creation(nonce: u64) -> alloy_consensus::TxEip1559 {
    let input = initcode(&hex!("00"));
    alloy_consensus::TxEip1559 { to: TxKind::Create, value: U256::ZERO, input, ..dynamic(nonce) }
}

#[test]
fn a_transaction_does_not_create_over_storage() {
    // Without a balance an account with storage is empty in the sense of EIP-161, and still not to be created over.
    for balance in [U256::from(1), U256::ZERO] {
        does_not_create_over_storage_with(balance);
    }
}

fn does_not_create_over_storage_with(balance: U256) {
    let mut world = World::on("osaka");
    let taken = account(1).create(0);
    with_storage_and(&mut world, taken, balance);
    let block = world.mine(vec![recovered(1, creation(0)), recovered(1, creation(1))]);
    let [refused, created] = block.receipts.as_slice() else { panic!("{:?}", block.receipts) };
    assert!(!refused.status());
    assert_eq!(refused.cumulative_gas_used(), creation(0).gas_limit, "all gas is gone");
    assert!(created.status(), "the nonce counted the one before");
    let left = world.view().account(taken).unwrap().unwrap();
    assert_eq!((left.nonce, left.code_hash), (0, KECCAK256_EMPTY));
    assert_eq!(world.storage(taken, U256::from(1)), U256::from(7));
}

fn create2(world: &World, overrides: &StateOverrides) -> U256 {
    let request =
        CallRequest { to: Some(FACTORY), gas: Some(1_000_000), input: initcode(&hex!("00")), ..CallRequest::default() };
    let outcome: CallOutcome =
        world.executor.call(&world.view(), &world.env(overrides, &BlockOverrides::default()), &request).unwrap();
    U256::from_be_slice(&outcome.into_output().unwrap()[..32])
}

#[test]
fn a_contract_does_not_create_over_storage() {
    let mut world = World::on("osaka");
    world.deploy(FACTORY, &FACTORY_CODE);
    let code: Bytes = initcode(&hex!("00"));
    let target = FACTORY.create2([0; 32], keccak256(&code));
    let created = U256::from_be_slice(target.as_slice());
    assert_eq!(create2(&world, &StateOverrides::new()), created, "nothing is there yet");
    with_storage(&mut world, target);
    assert_eq!(create2(&world, &StateOverrides::new()), U256::ZERO);
}

#[test]
fn overrides_decide_about_storage_too() {
    let mut world = World::on("osaka");
    world.deploy(FACTORY, &FACTORY_CODE);
    let target = FACTORY.create2([0; 32], keccak256(initcode(&hex!("00"))));
    let created = U256::from_be_slice(target.as_slice());
    let slots = |value: u64| Some([(U256::from(1), U256::from(value))].into());
    let of = |by: AccountOverride| StateOverrides::from([(target, by)]);
    let added = of(AccountOverride { state_diff: slots(1), ..AccountOverride::default() });
    assert_eq!(create2(&world, &added), U256::ZERO);
    let zero = of(AccountOverride { state_diff: slots(0), ..AccountOverride::default() });
    assert_eq!(create2(&world, &zero), created);
    with_storage(&mut world, target);
    let replaced = of(AccountOverride { state: slots(0), ..AccountOverride::default() });
    assert_eq!(create2(&world, &replaced), created);
}
