#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, TxKind, U256, hex};
use alloy_rpc_types_trace::geth::{
    CallConfig, CallFrame, DefaultFrame, FlatCallConfig, GethDefaultTracingOptions, GethTrace, PreStateConfig,
    PreStateFrame,
};
use cloister_primitives::{Code, RecoveredTransaction};

use super::*;
use crate::overrides::{AccountOverride, StateOverrides};
use crate::testing::{TOKEN, World, address, balance_slot, dynamic, initcode, recovered, transfer_input};
use crate::{Executed, NoBlockHashes};

const OUTER: Address = Address::repeat_byte(0x51);
const INNER: Address = Address::repeat_byte(0x52);
const PLENTY: usize = 64 << 20;

fn transfer(number: u8, nonce: u64, amount: u64) -> RecoveredTransaction {
    to(TOKEN, number, nonce, transfer_input(address(5), amount))
}

fn to(contract: Address, number: u8, nonce: u64, input: Bytes) -> RecoveredTransaction {
    let mut tx = dynamic(nonce);
    (tx.to, tx.value, tx.input, tx.gas_limit) = (TxKind::Call(contract), U256::ZERO, input, 2_000_000);
    recovered(number, tx)
}

/// Mines a block and keeps the state before it.
fn mined(world: &mut World, transactions: Vec<RecoveredTransaction>) -> (StateView, Executed) {
    let before = world.view();
    (before, world.mine(transactions))
}

fn traces(
    world: &World,
    (view, block): &(StateView, Executed),
    traced: &[usize],
    tracer: &Tracer,
    limit_bytes: usize,
) -> Result<Vec<GethTrace>, ExecutionError> {
    let replay = Replay { header: &block.header, transactions: &block.transactions, view, hashes: &NoBlockHashes };
    let mut told = Vec::new();
    world.executor.trace_block(replay, traced, TraceRequest { tracer, limit_bytes }, |found| {
        told.push(found.trace);
        Ok(())
    })?;
    Ok(told)
}

fn only(world: &World, block: &(StateView, Executed), tracer: &Tracer) -> GethTrace {
    traces(world, block, &[0], tracer, PLENTY).unwrap().remove(0)
}

fn calls(world: &World, block: &(StateView, Executed), config: CallConfig) -> CallFrame {
    only(world, block, &Tracer::Calls(config)).try_into_call_frame().unwrap()
}

fn instructions(world: &World, block: &(StateView, Executed), options: GethDefaultTracingOptions) -> DefaultFrame {
    only(world, block, &Tracer::Instructions(options)).try_into_default_frame().unwrap()
}

/// A call without input; whether it succeeds is left on the stack.
fn calling(opcode: u8, contract: Address) -> Vec<u8> {
    let mut code = hex!("5f5f5f5f").to_vec();
    if matches!(opcode, 0xf1 | 0xf2) {
        code.push(0x5f);
    }
    code.push(0x73);
    code.extend(contract);
    code.extend([0x5a, opcode]);
    code
}

#[test]
fn the_call_tree_shows_kinds_failures_logs_and_what_self_destruction_paid() {
    let mut world = World::new();
    // Logs, then reverts with one byte.
    world.deploy(INNER, &hex!("5f5fa060aa5f5360015ffd"));
    let identity = Address::with_last_byte(4);
    let mut code = [calling(0xf1, INNER), calling(0xf4, INNER), calling(0xfa, identity)].concat();
    // LOG0, then CREATE from initcode that destroys itself in favour of the origin.
    code.extend(hex!("5f5fa0" "6132ff5f52" "6002601e5ff0" "00"));
    world.deploy(OUTER, &code);
    let block = mined(&mut world, vec![to(OUTER, 1, 0, Bytes::new())]);
    let frame = calls(&world, &block, CallConfig::default().with_log());
    assert_eq!((frame.typ.as_str(), frame.to, frame.from), ("CALL", Some(OUTER), address(1)));
    assert_eq!(frame.gas, U256::from(2_000_000));
    assert_eq!(frame.gas_used, U256::from(block.1.receipts[0].cumulative_gas_used()));
    let shapes: Vec<_> = frame.calls.iter().map(|call| (call.typ.as_str(), call.to, call.error.as_deref())).collect();
    let created = OUTER.create(1);
    assert_eq!(
        shapes,
        [
            ("CALL", Some(INNER), Some("execution reverted")),
            ("DELEGATECALL", Some(INNER), Some("execution reverted")),
            ("STATICCALL", Some(identity), None),
            ("CREATE", Some(created), None),
        ]
    );
    assert_eq!(frame.calls[0].output, Some(Bytes::from_static(&[0xaa])));
    // What a failed call logged is gone; the outer log came after three calls.
    assert!(frame.calls[0].logs.is_empty());
    assert_eq!((frame.logs.len(), frame.logs[0].position), (1, Some(3)));
    let destroyed = &frame.calls[3].calls[0];
    assert_eq!((destroyed.typ.as_str(), destroyed.from, destroyed.to), ("SELFDESTRUCT", created, Some(address(1))));

    let top = calls(&world, &block, CallConfig::default().only_top_call());
    assert_eq!((top.calls.len(), top.logs.len(), top.gas_used), (0, 0, frame.gas_used));
}

#[test]
fn changes_are_those_of_the_transaction_alone() {
    let mut world = World::new();
    let block = mined(&mut world, vec![transfer(1, 0, 10), transfer(2, 0, 30)]);
    let tracer = Tracer::Prestate(PreStateConfig { diff_mode: Some(true), ..PreStateConfig::default() });
    let trace = traces(&world, &block, &[1], &tracer, PLENTY).unwrap().remove(0);
    let PreStateFrame::Diff(diff) = trace.try_into_pre_state_frame().unwrap() else { panic!("not a difference") };
    let slots = |changed: &[(u8, u64)]| -> BTreeMap<_, _> {
        changed.iter().map(|(who, amount)| (balance_slot(address(*who)).into(), U256::from(*amount).into())).collect()
    };
    assert_eq!(diff.pre[&TOKEN].storage, slots(&[(2, 1_000_000), (5, 1_000_010)]));
    assert_eq!(diff.post[&TOKEN].storage, slots(&[(2, 999_970), (5, 1_000_040)]));
    assert_eq!((diff.pre[&address(2)].nonce, diff.post[&address(2)].nonce), (None, Some(1)));
    assert!(!diff.post.contains_key(&address(1)) && !diff.post.contains_key(&address(5)));

    let state = only(&world, &block, &Tracer::Prestate(PreStateConfig::default())).try_into_pre_state_frame().unwrap();
    let token = &state.pre_state()[&TOKEN];
    assert_eq!(token.storage, slots(&[(1, 1_000_000), (5, 1_000_000)]));
    assert!(token.code.is_some() && token.nonce == Some(1));
    let bare = PreStateConfig { disable_code: Some(true), disable_storage: Some(true), ..PreStateConfig::default() };
    let state = only(&world, &block, &Tracer::Prestate(bare)).try_into_pre_state_frame().unwrap();
    let token = &state.pre_state()[&TOKEN];
    assert!(token.storage.is_empty() && token.code.is_none());
}

#[test]
fn each_transaction_of_a_block_is_told_once_and_in_order() {
    let mut world = World::new();
    let block = mined(&mut world, vec![transfer(1, 0, 10), transfer(1, 1, 20), transfer(2, 0, 30)]);
    let told = traces(&world, &block, &[0, 2], &Tracer::Calls(CallConfig::default()), PLENTY).unwrap();
    let senders: Vec<_> = told.into_iter().map(|trace| trace.try_into_call_frame().unwrap().from).collect();
    assert_eq!(senders, [address(1), address(2)]);
    let told = traces(&world, &block, &[0, 1, 2], &Tracer::FourByte, PLENTY).unwrap();
    for trace in told {
        let counts = trace.try_into_four_byte_frame().unwrap().0;
        assert_eq!(counts, BTreeMap::from([("0xa9059cbb-64".to_owned(), 1)]));
    }
}

#[test]
fn instructions_carry_stack_storage_and_gas() {
    let mut world = World::new();
    // SSTORE 7 at 1, SLOAD 1, STOP
    world.deploy(OUTER, &hex!("60076001556001545000"));
    let block = mined(&mut world, vec![to(OUTER, 1, 0, Bytes::new())]);
    let frame = instructions(&world, &block, GethDefaultTracingOptions::default());
    assert_eq!((frame.failed, frame.gas), (false, block.1.receipts[0].cumulative_gas_used()));
    let steps: Vec<_> = frame.struct_logs.iter().map(|log| (log.pc, log.opcode(), log.gas_cost, log.depth)).collect();
    assert_eq!(
        steps,
        [
            (0, "PUSH1", 3, 1),
            (2, "PUSH1", 3, 1),
            (4, "SSTORE", 22_100, 1),
            (5, "PUSH1", 3, 1),
            (7, "SLOAD", 100, 1),
            (8, "POP", 2, 1),
            (9, "STOP", 0, 1),
        ]
    );
    let store = &frame.struct_logs[2];
    assert_eq!(store.gas, 2_000_000 - 21_000 - 6);
    assert_eq!(store.stack, Some(vec![U256::from(7), U256::from(1)]));
    let storage = store.storage.clone().unwrap();
    assert_eq!(storage.into_iter().collect::<Vec<_>>(), [(U256::from(1).into(), U256::from(7).into())]);
    assert_eq!(store.memory, None);

    let options = GethDefaultTracingOptions::default().disable_stack().disable_storage().enable_memory().with_limit(3);
    let frame = instructions(&world, &block, options);
    assert_eq!(frame.struct_logs.len(), 3);
    let store = &frame.struct_logs[2];
    // As in geth, what is empty is left out.
    assert_eq!((&store.stack, &store.storage, &store.memory), (&None, &None, &None));
    assert_eq!((&store.refund_counter, &store.return_data), (&None, &None));
    assert_eq!(frame.gas, block.1.receipts[0].cumulative_gas_used());
}

#[test]
fn a_failing_instruction_says_why_in_geths_words() {
    let mut world = World::new();
    for (code, error) in [
        (&hex!("fe")[..], "invalid opcode"),
        (&hex!("50"), "stack underflow"),
        (&hex!("600056"), "invalid jump destination"),
        (&hex!("5b600056"), "out of gas"),
    ] {
        world.deploy(OUTER, code);
        let nonce = world.head().header.number;
        let block = mined(&mut world, vec![to(OUTER, 1, nonce, Bytes::new())]);
        let options = GethDefaultTracingOptions::default().disable_stack();
        let tracer = Tracer::Instructions(options);
        let frame = traces(&world, &block, &[0], &tracer, 1 << 30).unwrap().remove(0).try_into_default_frame().unwrap();
        assert!(frame.failed);
        assert_eq!(frame.struct_logs.last().unwrap().error.as_deref(), Some(error));
    }
}

#[test]
fn several_tracers_at_once_say_what_each_says_alone() {
    let mut world = World::new();
    let block = mined(&mut world, vec![transfer(1, 0, 10)]);
    let tracers = vec![
        Tracer::FourByte,
        Tracer::Calls(CallConfig::default().with_log()),
        Tracer::Prestate(PreStateConfig::default()),
        Tracer::FlatCalls(FlatCallConfig::default()),
        Tracer::Noop,
    ];
    let together = only(&world, &block, &Tracer::Mux(tracers.clone())).try_into_mux_frame().unwrap().0;
    assert_eq!(together.len(), tracers.len());
    for tracer in tracers {
        let alone = only(&world, &block, &tracer);
        assert!(together.values().any(|trace| *trace == alone), "{tracer:?}");
    }
}

/// Repeats `body` until the gas is gone.
fn forever(body: &[u8]) -> Vec<u8> {
    [&[0x5b], body, &[0x5f, 0x56]].concat()
}

#[test]
fn a_trace_that_outgrows_its_bound_is_refused() {
    let instructions = |options| Tracer::Instructions(options);
    let plain = GethDefaultTracingOptions::default();
    let calls = Tracer::Calls(CallConfig::default().with_log());
    let empty_call = [calling(0xf1, INNER), vec![0x50]].concat();
    // 64 KiB of memory, then nothing but jumps.
    let memory = [&hex!("5f61ffff53")[..], &hex!("5b600556")].concat();
    let returning = [calling(0xf1, OUTER), vec![0x50]].concat();
    for (code, tracer) in [
        (forever(&[]), instructions(plain)),
        (memory, instructions(plain.enable_memory().disable_stack())),
        (forever(&empty_call), instructions(plain.disable_stack().disable_storage())),
        (forever(&empty_call), calls.clone()),
        (forever(&hex!("6120005fa0")), calls.clone()),
        (forever(&empty_call), Tracer::FlatCalls(FlatCallConfig::default())),
        (forever(&empty_call), Tracer::Mux(vec![Tracer::Noop, calls.clone()])),
        (forever(&empty_call), Tracer::Prestate(PreStateConfig::default())),
        (returning, Tracer::FourByte),
        (forever(&hex!("5f5f5ff050")), calls),
    ] {
        let mut world = World::new();
        world.deploy(INNER, &[0x00]);
        world.deploy(OUTER, &code);
        // A selector, so that 4byteTracer counts.
        let block = mined(&mut world, vec![to(OUTER, 1, 0, hex!("deadbeef").into())]);
        let bounded = match &tracer {
            Tracer::FourByte => 100,
            _ => 20_000,
        };
        let refused = traces(&world, &block, &[0], &tracer, bounded).unwrap_err();
        assert_eq!(refused.code(), Code::ResponseTooLarge, "{tracer:?}: {refused}");
        // The next request is not the poorer for it.
        assert!(traces(&world, &block, &[0], &Tracer::Noop, bounded).is_ok());
    }
}

#[test]
fn a_limit_of_instructions_bounds_what_they_take() {
    let mut world = World::new();
    world.deploy(OUTER, &forever(&[]));
    let block = mined(&mut world, vec![to(OUTER, 1, 0, Bytes::new())]);
    let tracer = Tracer::Instructions(GethDefaultTracingOptions::default().with_limit(10));
    let frame = traces(&world, &block, &[0], &tracer, 20_000).unwrap().remove(0).try_into_default_frame().unwrap();
    assert_eq!((frame.struct_logs.len(), frame.failed), (10, true));
}

#[test]
fn repeated_storage_counts_each_time_it_is_answered() {
    let mut world = World::new();
    // SLOAD of ever new slots: 1,000 answers of up to 1,000 slots each.
    world.deploy(OUTER, &hex!("5f5b60010180545060" "0156"));
    let mut transaction = dynamic(0);
    (transaction.to, transaction.value, transaction.gas_limit) = (TxKind::Call(OUTER), U256::ZERO, 2_200_000);
    let block = mined(&mut world, vec![recovered(1, transaction)]);
    let all = GethDefaultTracingOptions::default().disable_stack();
    let refused = traces(&world, &block, &[0], &Tracer::Instructions(all), 30_000_000).unwrap_err();
    assert_eq!(refused.code(), Code::ResponseTooLarge);
    assert!(traces(&world, &block, &[0], &Tracer::Instructions(all.disable_storage()), 30_000_000).is_ok());
}

fn traced_call(world: &World, overrides: &StateOverrides, after: Option<Replay<'_>>, input: Bytes) -> CallFrame {
    let block = Default::default();
    let env = world.env(overrides, &block);
    let call = CallRequest { from: Some(address(1)), to: Some(TOKEN), input, ..CallRequest::default() };
    let tracer = Tracer::Calls(CallConfig::default());
    let request = TraceRequest { tracer: &tracer, limit_bytes: PLENTY };
    let view = world.view();
    let trace = world.executor.trace_call(after.map_or(&view, |replay| replay.view), &env, &call, after, request);
    trace.unwrap().try_into_call_frame().unwrap()
}

#[test]
fn a_call_is_traced_where_it_would_run() {
    let mut world = World::new();
    let (before, block) = mined(&mut world, vec![transfer(1, 0, 999_990), transfer(1, 1, 10)]);
    let none = StateOverrides::new();
    let input = || transfer_input(address(5), 5);
    // After the block the sender has no tokens left; between the two transfers it had ten.
    assert_eq!(traced_call(&world, &none, None, input()).error.as_deref(), Some("execution reverted"));
    let replay = |count| Replay {
        header: &block.header,
        transactions: &block.transactions[..count],
        view: &before,
        hashes: &NoBlockHashes,
    };
    assert_eq!(traced_call(&world, &none, Some(replay(1)), input()).error, None);
    assert!(traced_call(&world, &none, Some(replay(2)), input()).error.is_some());
    // Overrides lie above what ran before.
    let slots = BTreeMap::from([(balance_slot(address(1)), U256::from(5))]);
    let overrides = BTreeMap::from([(TOKEN, AccountOverride { state_diff: Some(slots), ..Default::default() })]);
    assert_eq!(traced_call(&world, &overrides, Some(replay(2)), input()).error, None);
    assert_eq!(traced_call(&world, &overrides, None, input()).error, None);
}

#[test]
fn a_creation_is_traced_with_its_code() {
    let mut world = World::new();
    let mut transaction = dynamic(0);
    (transaction.to, transaction.value, transaction.input) = (TxKind::Create, U256::ZERO, initcode(&hex!("6001")));
    let block = mined(&mut world, vec![recovered(1, transaction)]);
    let frame = calls(&world, &block, CallConfig::default());
    assert_eq!((frame.typ.as_str(), frame.to), ("CREATE", Some(address(1).create(0))));
    assert_eq!(frame.output, Some(Bytes::from_static(&hex!("6001"))));
}

#[test]
fn a_transfer_without_code_has_a_trace_of_every_kind() {
    let mut world = World::new();
    let block = mined(&mut world, vec![recovered(1, dynamic(0))]);
    let frame = instructions(&world, &block, GethDefaultTracingOptions::default());
    assert_eq!((frame.failed, frame.gas, frame.struct_logs.len()), (false, 21_000, 0));
    assert_eq!(calls(&world, &block, CallConfig::default()).value, Some(U256::from(7)));
    assert!(only(&world, &block, &Tracer::FourByte).try_into_four_byte_frame().unwrap().0.is_empty());
    assert_eq!(
        only(&world, &block, &Tracer::FlatCalls(FlatCallConfig::default())).try_into_flat_call_frame().unwrap().len(),
        1
    );
}
