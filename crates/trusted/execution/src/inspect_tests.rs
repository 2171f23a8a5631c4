#![allow(clippy::unwrap_used)]

use alloy_primitives::{Address, TxKind, U256};
use revm::Inspector;
use revm::database::Database as _;
use revm::interpreter::{CallInputs, CallOutcome};

use super::*;
use crate::NoBlockHashes;
use crate::testing::{TOKEN, World, address, balance_slot, dynamic, recovered, transfer_input};

/// Notes the target of every call.
#[derive(Default)]
struct Calls(Vec<Address>);

impl<CTX> Inspector<CTX> for Calls {
    fn call(&mut self, _context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.0.push(inputs.target_address);
        None
    }
}

fn transfer(number: u8, nonce: u64, amount: u64) -> RecoveredTransaction {
    let mut tx = dynamic(nonce);
    tx.to = TxKind::Call(TOKEN);
    tx.value = U256::ZERO;
    tx.input = transfer_input(address(5), amount);
    recovered(number, tx)
}

#[test]
fn a_replay_sees_the_state_before_each_transaction() {
    let mut world = World::new();
    let before = world.view();
    let executed = world.mine(vec![transfer(1, 0, 10), transfer(1, 1, 20), transfer(2, 0, 30)]);
    let replay = Replay {
        header: &executed.header,
        transactions: &executed.transactions,
        view: &before,
        hashes: &NoBlockHashes,
    };
    let mut seen = Vec::new();
    let mut inspector = Calls::default();
    world
        .executor
        .inspect_block(replay, 1..3, &mut inspector, |observed| {
            let slot = balance_slot(address(5));
            let balance = observed.database.storage(TOKEN, slot).unwrap();
            let calls = core::mem::take(&mut observed.inspector.0);
            let gas = observed.result.result.gas().tx_gas_used();
            seen.push((observed.index, balance.to::<u64>(), calls, gas));
        })
        .unwrap();
    let gas = |index: usize| {
        let total = |index: usize| executed.receipts[index].cumulative_gas_used();
        total(index) - total(index - 1)
    };
    assert_eq!(seen, [(1, 1_000_010, vec![TOKEN], gas(1)), (2, 1_000_030, vec![TOKEN], gas(2)),]);
    assert_eq!(inspector.0, Vec::<Address>::new());
}

#[test]
fn a_block_that_does_not_execute_is_an_error() {
    let world = World::new();
    let mut header = world.head().header.clone();
    header.number = 1;
    let transactions = [transfer(1, 7, 1)];
    let replay = Replay { header: &header, transactions: &transactions, view: &world.view(), hashes: &NoBlockHashes };
    let result = world.executor.inspect_block(replay, 0..1, &mut Calls::default(), |_| ());
    assert!(matches!(result, Err(ExecutionError::Fatal(_))));
}
