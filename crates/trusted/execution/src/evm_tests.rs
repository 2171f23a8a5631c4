#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, Bytes, TxKind, U256, address, hex};
use cloister_primitives::DevChain;

use crate::testing::{ETHER, World, address as account, dynamic, initcode, recovered};
use crate::{Admission, CallOutcome, CallRequest, FrameFacts, FrameGuard, FrameKind, Open};

const CALLER: Address = Address::repeat_byte(0xc1);
const CALLEE: Address = Address::repeat_byte(0xc2);
/// SHA-256.
const PRECOMPILE: Address = address!("0x0000000000000000000000000000000000000002");

const CALL: u8 = 0xf1;
const CALLCODE: u8 = 0xf2;
const DELEGATECALL: u8 = 0xf4;
const STATICCALL: u8 = 0xfa;

type Asked = (FrameKind, usize, Option<Address>, Option<Address>);

/// Refuses frames whose input starts with a selector, and creations if told so; remembers what it was asked.
#[derive(Debug, Default)]
struct Denies {
    selector: Option<[u8; 4]>,
    creations: bool,
    asked: Mutex<Vec<Asked>>,
}

impl FrameGuard for Denies {
    fn admit(&self, frame: &FrameFacts<'_>) -> Admission {
        let facts = (frame.kind, frame.depth, frame.storage_address, frame.code_address);
        self.asked.lock().unwrap().push(facts);
        let creation = matches!(frame.kind, FrameKind::Create | FrameKind::Create2);
        let denied = self.selector.is_some_and(|selector| frame.input.starts_with(&selector));
        if denied || (self.creations && creation) { Admission::Refused } else { Admission::Admitted }
    }
}

/// Code that calls `to` with input deadbeef and all but 100,000 gas, and returns three words:
/// whether it succeeded, the size of what came back, and the gas it took.
fn calls(opcode: u8, to: Address) -> Bytes {
    // Memory: the input at 0. The stack keeps the gas before the call.
    let mut code = hex!("63deadbeef60e01b5f525a").to_vec();
    code.extend(hex!("5f5f60045f")); // no return area; four bytes of input at 0
    if matches!(opcode, CALL | CALLCODE) {
        code.push(0x5f); // no value
    }
    code.push(0x73);
    code.extend(to);
    code.extend(hex!("620186a05a03")); // gas - 100,000
    code.push(opcode);
    code.extend(hex!("5a905f52")); // success at 0
    code.extend(hex!("90036040523d602052")); // gas taken at 64, size at 32
    code.extend(hex!("60605ff3"));
    code.into()
}

fn world(guard: Arc<Denies>) -> World {
    let mut world = World::with(DevChain::default(), guard);
    // The callee burns about 40,000 gas by writing two slots, where it may.
    world.deploy(CALLEE, &hex!("6001600155600260025500"));
    world
}

fn words(outcome: CallOutcome) -> [u64; 3] {
    let output = outcome.into_output().unwrap();
    core::array::from_fn(|i| U256::from_be_slice(&output[i * 32..][..32]).to())
}

fn run(world: &mut World, opcode: u8, to: Address) -> [u64; 3] {
    world.deploy(CALLER, &calls(opcode, to));
    let request = CallRequest { to: Some(CALLER), gas: Some(5_000_000), ..CallRequest::default() };
    words(world.call(&request).unwrap())
}

fn denying() -> Arc<Denies> {
    Arc::new(Denies { selector: Some(hex!("deadbeef")), ..Denies::default() })
}

#[test]
fn a_refused_frame_reverts_empty_and_gives_its_gas_back() {
    for opcode in [CALL, CALLCODE, DELEGATECALL, STATICCALL] {
        let mut world = world(denying());
        let [success, size, gas] = run(&mut world, opcode, CALLEE);
        assert_eq!((success, size), (0, 0), "{opcode:#x}");
        // The cold account costs 2,600; of the millions forwarded nothing else is gone.
        assert!((2_600..2_700).contains(&gas), "{opcode:#x} took {gas}");
    }
}

#[test]
fn an_admitted_frame_runs() {
    for opcode in [CALL, CALLCODE, DELEGATECALL] {
        let mut world = world(Arc::default());
        let [success, _, gas] = run(&mut world, opcode, CALLEE);
        assert_eq!(success, 1);
        assert!(gas > 40_000, "{opcode:#x} took {gas}");
    }
    // Writing is what a static call may not do: all its gas is gone.
    let [success, _, gas] = run(&mut world(Arc::default()), STATICCALL, CALLEE);
    assert_eq!(success, 0);
    assert!(gas > 4_000_000, "took {gas}");
}

#[test]
fn precompiles_are_consulted() {
    let mut open = world(Arc::default());
    let [success, size, _] = run(&mut open, STATICCALL, PRECOMPILE);
    assert_eq!((success, size), (1, 32));
    let mut closed = world(denying());
    let [success, size, _] = run(&mut closed, STATICCALL, PRECOMPILE);
    assert_eq!((success, size), (0, 0));
}

#[test]
fn the_guard_sees_whose_storage_and_whose_code() {
    let expected = [
        (CALL, FrameKind::Call, CALLEE),
        (CALLCODE, FrameKind::CallCode, CALLER),
        (DELEGATECALL, FrameKind::DelegateCall, CALLER),
        (STATICCALL, FrameKind::StaticCall, CALLEE),
    ];
    for (opcode, kind, storage) in expected {
        let guard = Arc::new(Denies::default());
        let mut world = world(Arc::clone(&guard));
        run(&mut world, opcode, CALLEE);
        let asked = guard.asked.lock().unwrap().clone();
        assert_eq!(asked, [(FrameKind::Call, 0, Some(CALLER), Some(CALLER)), (kind, 1, Some(storage), Some(CALLEE)),]);
    }
}

#[test]
fn inspected_calls_are_guarded_as_well() {
    let mut world = world(denying());
    world.deploy(CALLER, &calls(CALL, CALLEE));
    let (state, block) = Default::default();
    let request = CallRequest { to: Some(CALLER), gas: Some(5_000_000), ..CallRequest::default() };
    let found = world.executor.create_access_list(&world.view(), &world.env(&state, &block), &request).unwrap();
    let [success, size, _] = words(found.outcome);
    assert_eq!((success, size), (0, 0));
}

#[test]
fn a_refused_transaction_cannot_be_replayed() {
    let guard = Arc::new(Denies { selector: Some(hex!("deadbeef")), creations: true, ..Denies::default() });
    let mut world = world(guard);
    let mut call = dynamic(0);
    call.to = TxKind::Call(CALLEE);
    call.input = hex!("deadbeef").into();
    let mut create = dynamic(1);
    create.to = TxKind::Create;
    create.input = initcode(&hex!("00"));
    let before = world.balance(account(1));
    let executed = world.mine(vec![recovered(1, call), recovered(1, create)]);
    for receipt in &executed.receipts {
        assert!(!receipt.status());
    }
    let sender = world.view().account(account(1)).unwrap().unwrap();
    assert_eq!(sender.nonce, 2);
    // Neither value moved; only gas was paid, and little of it.
    assert!(before - sender.balance < U256::from(ETHER / 1000));
    assert_eq!(world.balance(CALLEE), U256::from(ETHER));
    assert!(executed.header.gas_used < 80_000, "{}", executed.header.gas_used);
}

#[test]
fn the_open_guard_admits() {
    let facts = FrameFacts {
        kind: FrameKind::Call,
        depth: 0,
        caller: CALLER,
        origin: CALLER,
        recipient: None,
        transaction_input: &[],
        storage_address: None,
        code_address: None,
        value: U256::ZERO,
        is_static: false,
        input: &[],
    };
    assert_eq!(Open.admit(&facts), Admission::Admitted);
}
