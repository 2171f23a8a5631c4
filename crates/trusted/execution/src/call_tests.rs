#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::testing::{ETHER, GWEI, TOKEN, World, address, balance_slot, initcode, transfer_input};
use crate::{AccountOverride, ExecutionError};
use alloy_primitives::hex;

/// Where test code lives.
const AT: Address = Address::repeat_byte(0xcc);

fn to(address: Address) -> CallRequest {
    CallRequest { to: Some(address), ..CallRequest::default() }
}

/// Runs code that leaves one word, under overrides.
fn word(world: &World, code: &[u8], request: &CallRequest, block: &BlockOverrides) -> U256 {
    let state = StateOverrides::from([(
        AT,
        AccountOverride { code: Some(Bytes::copy_from_slice(code)), ..AccountOverride::default() },
    )]);
    let outcome = world.executor.call(&world.view(), &world.env(&state, block), request);
    U256::from_be_slice(&outcome.unwrap().into_output().unwrap())
}

/// Code that returns what one opcode pushes.
fn returns(opcode: u8) -> Vec<u8> {
    [&[opcode], hex!("5f5260205ff3").as_slice()].concat()
}

#[test]
fn a_call_returns_logs_and_gas() {
    let world = World::new();
    let mut request = to(TOKEN);
    request.from = Some(address(1));
    request.input = transfer_input(address(2), 5);
    let CallOutcome::Success { output, gas_used, logs, created } = world.call(&request).unwrap() else {
        panic!("the transfer succeeds")
    };
    assert_eq!(U256::from_be_slice(&output), U256::ONE);
    assert_eq!(logs.len(), 1);
    assert_eq!(created, None);
    assert!((30_000..60_000).contains(&gas_used), "{gas_used}");
    // Nothing is left of it.
    assert_eq!(world.storage(TOKEN, balance_slot(address(2))), U256::from(1_000_000));
}

#[test]
fn reverts_and_halts_are_outcomes() {
    let mut world = World::new();
    // Error(string) "no".
    let mut data = hex!("08c379a0").to_vec();
    data.extend(U256::from(32).to_be_bytes::<32>());
    data.extend(U256::from(2).to_be_bytes::<32>());
    data.extend([b"no".as_slice(), &[0; 30]].concat());
    let mut code = hex!("6064600a5f3960645ffd").to_vec();
    code.extend(&data);
    world.deploy(AT, &code);
    let outcome = world.call(&to(AT)).unwrap();
    let error = outcome.into_output().unwrap_err();
    assert_eq!(error.to_string(), "execution reverted: no");
    assert_eq!(error.code(), Code::ExecutionReverted);
    assert_eq!(error.data().unwrap().as_ref(), data);

    world.deploy(AT, &hex!("fe"));
    let CallOutcome::Halt { reason, gas_used } = world.call(&to(AT)).unwrap() else {
        panic!("an invalid opcode halts")
    };
    assert_eq!(halt_message(&reason), "invalid opcode");
    // A halt takes all the gas there is: the cap.
    assert_eq!(gas_used, DEFAULT_CALL_GAS_CAP);
}

#[test]
fn creation_returns_the_code() {
    let world = World::new();
    let request = CallRequest { from: Some(address(1)), input: initcode(&hex!("6001")), ..CallRequest::default() };
    let CallOutcome::Success { output, created, .. } = world.call(&request).unwrap() else {
        panic!("the creation succeeds")
    };
    assert_eq!(output.as_ref(), hex!("6001"));
    assert_eq!(created, Some(address(1).create(0)));
}

#[test]
fn who_pays_nothing_sees_no_base_fee() {
    let world = World::new();
    let basefee = returns(0x48);
    let none = BlockOverrides::default();
    assert_eq!(word(&world, &basefee, &to(AT), &none), U256::ZERO);
    let mut paying = to(AT);
    paying.from = Some(address(1));
    paying.gas = Some(100_000);
    paying.max_fee_per_gas = Some(2 * GWEI);
    assert_eq!(word(&world, &basefee, &paying, &none), U256::from(1_000_000_000));
    // GASPRICE is the base fee plus the tip.
    paying.max_priority_fee_per_gas = Some(7);
    assert_eq!(word(&world, &returns(0x3a), &paying, &none), U256::from(1_000_000_007));
}

#[test]
fn fees_are_checked_where_there_are_any() {
    let world = World::new();
    let refused = |request: &CallRequest| world.call(request).unwrap_err();
    let mut request = to(AT);
    request.from = Some(address(1));
    request.gas = Some(100_000);
    request.gas_price = Some(1);
    assert_eq!(refused(&request).code(), Code::FeeCapTooLow);
    request.max_fee_per_gas = Some(1);
    assert_eq!(
        refused(&request).to_string(),
        "invalid params: both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"
    );
    request.gas_price = None;
    request.max_priority_fee_per_gas = Some(2);
    assert_eq!(refused(&request).code(), Code::TipAboveFeeCap);

    let mut poor = to(AT);
    poor.from = Some(AT);
    poor.value = Some(U256::from(5));
    assert_eq!(
        refused(&poor).to_string(),
        format!("insufficient funds for gas * price + value: address {AT} have 0 want 5")
    );
    let mut foreign = to(AT);
    foreign.chain_id = Some(1);
    assert_eq!(refused(&foreign).code(), Code::InvalidChainId);
    let mut starved = to(AT);
    starved.gas = Some(20_000);
    assert_eq!(refused(&starved).to_string(), "intrinsic gas too low: gas 20000, minimum needed 21000");
}

#[test]
fn the_gas_cap_holds() {
    let world = World::new();
    let none = BlockOverrides::default();
    let gas = returns(0x5a);
    let mut request = to(AT);
    request.gas = Some(u64::MAX);
    let seen = word(&world, &gas, &request, &none);
    assert_eq!(seen, U256::from(DEFAULT_CALL_GAS_CAP - 21_000 - 2));
    request.gas = Some(50_000);
    assert_eq!(word(&world, &gas, &request, &none), U256::from(50_000 - 21_000 - 2));
}

#[test]
fn the_block_can_be_overridden() {
    let world = World::new();
    let block = BlockOverrides {
        number: Some(1000),
        timestamp: Some(2000),
        gas_limit: Some(3000),
        beneficiary: Some(Address::with_last_byte(4)),
        prev_randao: Some(B256::with_last_byte(5)),
        blob_base_fee: Some(6),
        block_hashes: BTreeMap::from([(999, B256::with_last_byte(7))]),
        ..BlockOverrides::default()
    };
    let cases = [(0x43, 1000), (0x42, 2000), (0x45, 3000), (0x41, 4), (0x44, 5), (0x4a, 6)];
    for (opcode, expected) in cases {
        let seen = word(&world, &returns(opcode), &to(AT), &block);
        assert_eq!(seen, U256::from(expected), "{opcode:#x}");
    }
    let hash_of_999 = hex!("6103e7405f5260205ff3");
    assert_eq!(word(&world, &hash_of_999, &to(AT), &block), U256::from(7));
}

#[test]
fn the_state_can_be_overridden() {
    let world = World::new();
    let none = BlockOverrides::default();
    let run = |state: StateOverrides, request: &CallRequest| {
        world.executor.call(&world.view(), &world.env(&state, &none), request)
    };
    let balance_of_key_9 = |account: AccountOverride| {
        let mut request = to(TOKEN);
        request.from = Some(address(9));
        request.input = transfer_input(address(2), 1_000_000);
        let overrides = StateOverrides::from([(TOKEN, account)]);
        matches!(run(overrides, &request), Ok(CallOutcome::Success { .. }))
    };
    let slot = |owner, value: u64| BTreeMap::from([(balance_slot(owner), U256::from(value))]);
    let state = |state| AccountOverride { state: Some(state), ..AccountOverride::default() };
    let diff = |diff| AccountOverride { state_diff: Some(diff), ..AccountOverride::default() };
    assert!(balance_of_key_9(AccountOverride::default()));
    assert!(!balance_of_key_9(diff(slot(address(9), 999_999))));
    assert!(balance_of_key_9(diff(slot(address(8), 0))));
    // The whole storage replaced: key 9 has nothing unless it is named.
    assert!(!balance_of_key_9(state(slot(address(8), 0))));
    assert!(balance_of_key_9(state(slot(address(9), 1_000_000))));

    let both = AccountOverride {
        state: Some(BTreeMap::new()),
        state_diff: Some(BTreeMap::new()),
        ..AccountOverride::default()
    };
    let error = run(StateOverrides::from([(AT, both)]), &to(AT)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidOverride);

    let rich = AccountOverride { balance: Some(U256::from(ETHER)), nonce: Some(7), ..AccountOverride::default() };
    let creation =
        CallRequest { from: Some(AT), value: Some(U256::from(ETHER)), input: initcode(&[]), ..CallRequest::default() };
    let outcome = run(StateOverrides::from([(AT, rich)]), &creation).unwrap();
    assert!(matches!(
        outcome,
        CallOutcome::Success { created: Some(address), .. } if address == AT.create(7)
    ));
}

#[test]
fn contracts_may_call() {
    let world = World::new();
    let mut request = to(address(1));
    request.from = Some(TOKEN);
    assert!(world.call(&request).is_ok());
}

#[test]
fn a_view_that_is_gone_is_named() {
    let error = ExecutionError::from(cloister_state::StateError::Empty);
    assert_eq!(error.code(), Code::StateUnavailable);
}

#[test]
fn access_lists_name_what_is_touched() {
    let world = World::new();
    let (state, block) = Default::default();
    let mut request = to(TOKEN);
    request.from = Some(address(1));
    request.input = transfer_input(address(2), 5);
    let found = world.executor.create_access_list(&world.view(), &world.env(&state, &block), &request).unwrap();
    assert_eq!(found.access_list.0.len(), 1);
    assert_eq!(found.access_list.0[0].address, TOKEN);
    let mut slots = [balance_slot(address(1)), balance_slot(address(2))].map(B256::from);
    slots.sort();
    assert_eq!(found.access_list.0[0].storage_keys, slots);
    // With the list, the slots are warm: 2 × (2,100 - 100) less, 2,400 + 2 × 1,900 more.
    let plain = world.call(&request).unwrap().gas_used();
    assert_eq!(found.outcome.gas_used(), plain - 4_000 + 2_400 + 3_800);
    // A transfer between accounts touches nothing that is not free anyway.
    let mut transfer = to(address(2));
    transfer.from = Some(address(1));
    let found = world.executor.create_access_list(&world.view(), &world.env(&state, &block), &transfer).unwrap();
    assert_eq!(found.access_list.0, vec![]);
    assert_eq!(found.outcome.gas_used(), 21_000);
}
