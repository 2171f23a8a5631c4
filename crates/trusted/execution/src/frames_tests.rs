#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use alloy_evm::{Evm, EvmEnv, EvmFactory};
use alloy_primitives::{Address, Bytes, Log, TxKind, U256, address, hex};
use cloister_primitives::GasSchedule;
use proptest::prelude::*;
use revm::Inspector;
use revm::context::result::ResultAndState;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};

use crate::{CloisterEvmFactory, Detail, Open};

const CALLER: Address = Address::repeat_byte(0xca);
const CONTRACTS: [Address; 3] = [Address::repeat_byte(0xa1), Address::repeat_byte(0xa2), Address::repeat_byte(0xa3)];
const IDENTITY: Address = address!("0x0000000000000000000000000000000000000004");

/// What an inspector heard, in order.
#[derive(Debug, Default, PartialEq)]
struct Heard(Vec<String>);

impl<CTX> Inspector<CTX> for Heard {
    fn log(&mut self, _: &mut CTX, log: Log) {
        self.0.push(format!("{log:?}"));
    }

    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.0.push(format!("call {:?} {} {}", inputs.scheme, inputs.target_address, inputs.gas_limit));
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.0.push(format!("{:?}", outcome.result));
    }

    fn create(&mut self, _: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.0.push(format!("create {} {}", inputs.init_code(), inputs.gas_limit()));
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.0.push(format!("{:?} {:?}", outcome.address, outcome.result));
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.0.push(format!("{contract} leaves {value} to {target}"));
    }
}

fn run(codes: &[Vec<u8>; 3], fork: SpecId, detail: Detail) -> (Heard, ResultAndState) {
    let mut database = CacheDB::new(EmptyDB::default());
    for (at, code) in CONTRACTS.into_iter().zip(codes) {
        let code = Bytecode::new_raw(Bytes::copy_from_slice(code));
        database.insert_account_info(at, AccountInfo::from_balance(U256::from(1_000)).with_code(code));
    }
    database.insert_account_info(CALLER, AccountInfo::from_balance(U256::MAX));
    let environment = EvmEnv { cfg_env: CfgEnv::new_with_spec(fork), block_env: BlockEnv::default() };
    let transaction = TxEnv {
        caller: CALLER,
        kind: TxKind::Call(CONTRACTS[0]),
        gas_limit: 2_000_000,
        chain_id: Some(1),
        ..TxEnv::default()
    };
    let factory = CloisterEvmFactory::new(Arc::new(Open), GasSchedule::Ethereum);
    let mut evm = factory.create_evm_with_inspector(database, environment, Heard::default()).with_detail(detail);
    let result = evm.transact_raw(transaction).unwrap();
    let heard = core::mem::take(evm.inspector_mut());
    (heard, result)
}

/// A call of `to` by `opcode`, with `value` where the opcode takes one, and what it leaves popped.
fn calling(opcode: u8, to: Address, value: u8) -> Vec<u8> {
    let mut code = hex!("5f5f60205f").to_vec();
    if matches!(opcode, 0xf1 | 0xf2) {
        code.extend([0x60, value]);
    }
    code.push(0x73);
    code.extend(to);
    code.extend([0x5a, opcode, 0x50]);
    code
}

/// Something that a contract does.
fn deed() -> impl Strategy<Value = Vec<u8>> {
    let anyone = prop::sample::select([CONTRACTS.as_slice(), &[IDENTITY, CALLER]].concat());
    prop_oneof![
        4 => (prop::sample::select(&[0xf1u8, 0xf2, 0xf4, 0xfa][..]), anyone.clone(), 0u8..3)
            .prop_map(|(opcode, to, value)| calling(opcode, to, value)),
        // LOG0 and LOG1 of one word.
        2 => any::<u8>().prop_map(|topic| [&hex!("60205fa0")[..], &[0x60, topic], &hex!("60205fa1")].concat()),
        2 => (0u8..4, any::<u8>()).prop_map(|(slot, value)| vec![0x60, value, 0x60, slot, 0x55]),
        // CREATE from three bytes of initcode: SELFDESTRUCT to the origin, or a revert.
        1 => Just(hex!("6232ff005f526003601d6001f050").to_vec()),
        1 => Just(hex!("625f5ffd5f526003601d5ff050").to_vec()),
        1 => anyone.prop_map(|to| [&[0x73][..], to.as_slice(), &[0xff]].concat()),
        1 => prop::sample::select(vec![hex!("60205ff3").to_vec(), hex!("60205ffd").to_vec(), vec![0xfe], vec![0x50]]),
    ]
}

fn contract() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(deed(), 0..6).prop_map(|deeds| deeds.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_but_steps_is_missed(
        codes in [contract(), contract(), contract()],
        fork in prop::sample::select(&[SpecId::SHANGHAI, SpecId::OSAKA][..]),
    ) {
        prop_assert_eq!(run(&codes, fork, Detail::Frames), run(&codes, fork, Detail::Steps));
    }
}

#[test]
fn the_programs_reach_what_they_are_meant_to() {
    let codes = [
        [calling(0xf1, CONTRACTS[1], 2), hex!("60205fa0").to_vec()].concat(),
        [hex!("60205fa0").to_vec(), [&[0x73][..], CALLER.as_slice(), &[0xff]].concat()].concat(),
        vec![],
    ];
    let (heard, _) = run(&codes, SpecId::OSAKA, Detail::Frames);
    let leaves = format!("{} leaves 1002 to {CALLER}", CONTRACTS[1]);
    assert!(heard.0.contains(&leaves), "{heard:?}");
    assert_eq!(heard.0.iter().filter(|line| line.starts_with("Log")).count(), 2, "{heard:?}");
}
