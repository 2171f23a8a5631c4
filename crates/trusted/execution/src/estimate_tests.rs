#![allow(clippy::unwrap_used)]

use super::*;
use crate::overrides::{BlockOverrides, StateOverrides};
use crate::testing::{ETHER, GWEI, TOKEN, World, address, transfer_input};
use crate::{CallOutcome, CallRequest};
use alloy_primitives::{Address, U256, hex};

const AT: Address = Address::repeat_byte(0xcc);

fn estimate(world: &World, request: &CallRequest) -> Result<u64, ExecutionError> {
    let (state, block) = (StateOverrides::new(), BlockOverrides::default());
    world.executor.estimate_gas(&world.view(), &world.env(&state, &block), request)
}

fn succeeds(world: &World, request: &CallRequest, gas: u64) -> bool {
    let mut request = request.clone();
    request.gas = Some(gas);
    matches!(world.call(&request), Ok(CallOutcome::Success { .. }))
}

/// Checks that an estimate succeeds and is at most 1.5 % above the least gas limit that does.
fn check(world: &World, request: &CallRequest) -> u64 {
    let gas = estimate(world, request).unwrap();
    assert!(succeeds(world, request, gas));
    let (mut fails, mut works) = (20_999, gas);
    while fails + 1 < works {
        let middle = (fails + works) / 2;
        if succeeds(world, request, middle) {
            works = middle;
        } else {
            fails = middle;
        }
    }
    assert!(gas * 1000 <= works * 1016, "{gas} for {works}");
    gas
}

fn transfer() -> CallRequest {
    CallRequest { from: Some(address(1)), to: Some(address(2)), value: Some(U256::from(1)), ..CallRequest::default() }
}

#[test]
fn a_plain_transfer_is_exactly_21000() {
    let world = World::new();
    assert_eq!(estimate(&world, &transfer()).unwrap(), 21_000);
    let mut empty = transfer();
    empty.value = None;
    assert_eq!(estimate(&world, &empty).unwrap(), 21_000);
}

#[test]
fn estimates_succeed_and_are_close() {
    let mut world = World::new();
    let mut token = transfer();
    token.to = Some(TOKEN);
    token.value = None;
    token.input = transfer_input(Address::repeat_byte(9), 5);
    check(&world, &token);
    // A refund at the end: slot 1 set, then cleared again.
    world.deploy(AT, &hex!("60016001555f600155"));
    let mut refunds = transfer();
    refunds.to = Some(AT);
    check(&world, &refunds);
    // A callee that fails unless it still has 500,000 gas, behind a caller that passes 63/64 on and
    // fails with it (EIP-150).
    let picky = Address::repeat_byte(0xcd);
    world.deploy(picky, &hex!("6207a1205a11600a57fe5b00"));
    let mut code = hex!("5f5f5f5f5f73").to_vec();
    code.extend(picky);
    code.extend(hex!("5af1602057fe5b00"));
    world.deploy(AT, &code);
    let gas = check(&world, &refunds);
    assert!(gas > 500_000, "{gas}");
}

#[test]
fn failures_are_told_apart() {
    let mut world = World::new();
    let mut request = transfer();
    request.to = Some(AT);
    // REVERT with one byte.
    world.deploy(AT, &hex!("60ab5f5360015ffd"));
    let error = estimate(&world, &request).unwrap_err();
    assert_eq!(error.data().unwrap().as_ref(), [0xab]);
    assert_eq!(error.to_string(), "execution reverted");
    world.deploy(AT, &hex!("5f56"));
    assert_eq!(estimate(&world, &request).unwrap_err().to_string(), "invalid jump destination");
    // An endless loop exceeds any allowance: EIP-7825's on Osaka, else the block's.
    world.deploy(AT, &hex!("5b5f56"));
    assert_eq!(estimate(&world, &request).unwrap_err().to_string(), "gas required exceeds allowance (16777216)");
    let mut prague = World::on("prague");
    prague.deploy(AT, &hex!("5b5f56"));
    assert_eq!(estimate(&prague, &request).unwrap_err().to_string(), "gas required exceeds allowance (30000000)");
    request.gas = Some(50_000);
    assert_eq!(estimate(&world, &request).unwrap_err().to_string(), "gas required exceeds allowance (50000)");
}

#[test]
fn the_balance_bounds_the_allowance() {
    let world = World::new();
    let mut token = transfer();
    token.to = Some(TOKEN);
    token.input = transfer_input(address(2), 5);
    token.max_fee_per_gas = Some(ETHER / 1_000);
    // 100 ether at a thousandth each buy 100,000 gas, less one for the value of 1 wei.
    check(&world, &token);
    token.max_fee_per_gas = Some(ETHER / 100);
    assert_eq!(estimate(&world, &token).unwrap_err().to_string(), "gas required exceeds allowance (9999)");
    token.max_fee_per_gas = Some(2 * GWEI);
    token.value = Some(U256::from(100 * ETHER));
    assert_eq!(estimate(&world, &token).unwrap_err().code(), Code::InsufficientFundsForTransfer);
}
