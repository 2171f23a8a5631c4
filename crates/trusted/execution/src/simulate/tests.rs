#![allow(clippy::unwrap_used)]

use alloy_consensus::proofs::calculate_receipt_root;
use alloy_consensus::{Eip658Value, Receipt as ConsensusReceipt, Transaction as _};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256, address, b256, hex, keccak256};
use cloister_primitives::{Code, Height, Receipt};

use super::*;
use crate::Open;
use crate::database::NoBlockHashes;
use crate::overrides::AccountOverride;
use crate::testing::{ETHER, GWEI, TOKEN, World, address as account, dynamic, initcode, recovered, transfer_input};

/// Where test code lives.
const AT: Address = Address::repeat_byte(0xcc);

fn simulate(world: &World, simulation: &Simulation) -> Result<Vec<SimulatedBlock>, ExecutionError> {
    capped(world, simulation, 50_000_000)
}

fn open() -> Arc<dyn FrameGuard> {
    Arc::new(Open)
}

fn capped(world: &World, simulation: &Simulation, gas_cap: u64) -> Result<Vec<SimulatedBlock>, ExecutionError> {
    let head = world.head();
    let parent = Parent { header: &head.header, hash: head.hash };
    let guard = open();
    let base = SimulationBase { parent, view: &world.view(), hashes: &NoBlockHashes, guard: &guard, gas_cap };
    world.executor.simulate(base, simulation)
}

fn refused(world: &World, simulation: &Simulation) -> (i32, String) {
    match simulate(world, simulation).unwrap_err() {
        ExecutionError::Rejected(refused) => (refused.code().rpc_number(), refused.to_string()),
        other => panic!("{other}"),
    }
}

fn blocks(blocks: impl IntoIterator<Item = SimulatedCalls>) -> Simulation {
    Simulation { blocks: blocks.into_iter().collect(), ..Simulation::default() }
}

fn calls(calls: impl IntoIterator<Item = CallRequest>) -> SimulatedCalls {
    SimulatedCalls { calls: calls.into_iter().collect(), ..SimulatedCalls::default() }
}

fn call(from: Address, to: Address, value: u64) -> CallRequest {
    CallRequest { from: Some(from), to: Some(to), value: Some(U256::from(value)), ..CallRequest::default() }
}

fn with_code(code: &[u8]) -> StateOverrides {
    let by = AccountOverride { code: Some(Bytes::copy_from_slice(code)), ..AccountOverride::default() };
    StateOverrides::from([(AT, by)])
}

fn number(height: u64) -> SimulatedCalls {
    SimulatedCalls { block: BlockOverrides { number: Some(height), ..Default::default() }, ..Default::default() }
}

fn word(result: &CallResult) -> U256 {
    match &result.ending {
        Ending::Returned(output) => U256::from_be_slice(output),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_simulated_block_is_the_block_that_would_be_built() {
    let mut world = World::new();
    let mut deploy = dynamic(1);
    deploy.to = alloy_primitives::TxKind::Create;
    deploy.input = initcode(&hex!("602a5f55"));
    let mut transfer = dynamic(0);
    transfer.to = TOKEN.into();
    transfer.input = transfer_input(account(5), 7);
    let mut attributes = world.attributes();
    attributes.withdrawals =
        vec![Withdrawal { index: 1, validator_index: 2, address: Address::repeat_byte(0x77), amount: 3 }];
    attributes.parent_beacon_block_root = Some(B256::repeat_byte(0x44));
    let transactions = [recovered(1, dynamic(0)), recovered(1, deploy), recovered(2, transfer)];
    let valid = transactions.iter().map(|transaction| world.validate(transaction.clone()).unwrap()).collect();
    let before = world.view();
    let parent = world.head().clone();
    let real = world.build_with(attributes.clone(), valid);
    assert_eq!(real.receipts.len(), 3);
    let real = world.commit(real);

    let requests = transactions.iter().map(|transaction| CallRequest {
        from: Some(transaction.signer()),
        to: transaction.to(),
        gas: Some(transaction.gas_limit()),
        max_fee_per_gas: Some(transaction.max_fee_per_gas()),
        max_priority_fee_per_gas: transaction.max_priority_fee_per_gas(),
        value: Some(transaction.value()),
        input: transaction.input().clone(),
        ..CallRequest::default()
    });
    let block = SimulatedCalls {
        block: BlockOverrides {
            timestamp: Some(attributes.timestamp),
            beneficiary: Some(attributes.beneficiary),
            prev_randao: Some(attributes.prev_randao),
            gas_limit: Some(attributes.gas_limit),
            beacon_root: attributes.parent_beacon_block_root,
            withdrawals: Some(attributes.withdrawals),
            ..BlockOverrides::default()
        },
        ..calls(requests)
    };
    let simulation = Simulation { checks: Checks::Full, ..blocks([block]) };
    let base = SimulationBase {
        parent: Parent { header: &parent.header, hash: parent.hash },
        view: &before,
        hashes: &NoBlockHashes,
        guard: &open(),
        gas_cap: 0,
    };
    let simulated = world.executor.simulate(base, &simulation).unwrap();
    let header = &simulated[0].block.header;
    // Only signatures differ.
    assert_ne!(header.transactions_root, real.header.transactions_root);
    let expected = alloy_consensus::Header { transactions_root: header.transactions_root, ..real.header };
    assert_eq!(*header, expected);
    assert_eq!(simulated[0].block.hash, header.hash_slow());
    assert_eq!(simulated[0].block.receipts, real.receipts);
    assert_eq!(simulated[0].calls[2].logs[0].log, real.receipts[2].logs()[0]);
}

#[test]
fn transactions_and_their_roots_are_those_of_the_vectors() {
    // From execution-apis, tests/eth_simulateV1: two calls, of which one has no recipient.
    let chain_id = 0x000c_72dd_9d5e_883e;
    let environment = alloy_evm::EvmEnv::new(
        revm::context::CfgEnv::new_with_spec(revm::primitives::hardfork::SpecId::OSAKA).with_chain_id(chain_id),
        revm::context::BlockEnv { gas_limit: 200_000_000, ..Default::default() },
    );
    let place =
        call::Place { environment: &environment, nonce: 0, gas_used: 0, gas_left: 50_000_000, checks: Checks::Full };
    let from = address!("c000000000000000000000000000000000000000");
    let sent = call::fill(&call(from, address!("c100000000000000000000000000000000000000"), 1_000), &place).unwrap();
    assert_eq!(
        *sent.transaction.inner().tx_hash(),
        b256!("f1c5abb08809ef760f87aeabe7a87284c60797192dab6d2f0d26c27c9c038e9d")
    );
    assert_eq!(
        alloy_consensus::proofs::ordered_trie_root_encoded(&[sent.encoded]),
        b256!("153033b7bf79591032a757961da3656789d4bf0873801108ff81449dfe8df202")
    );
    let empty = call::fill(&CallRequest::default(), &place).unwrap();
    let hash = b256!("aab6995ceb3fb6183ef81e8cdaa904e2c96f3907215d19771607e47dec9f8c14");
    assert_eq!(*empty.transaction.inner().tx_hash(), hash);
    let receipt = ConsensusReceipt { status: Eip658Value::success(), cumulative_gas_used: 21_000, logs: vec![] };
    assert_eq!(
        calculate_receipt_root(&[Receipt::Eip1559(receipt.with_bloom())]),
        b256!("f78dfb743fbd92ade140711c8bbc542b5e307f0ab7984eff35d751969fe57efa")
    );
    // A gas price makes it a legacy transaction, whose hash is that of its own encoding.
    let priced = CallRequest { gas_price: Some(7), ..call(from, AT, 1) };
    let priced = call::fill(&priced, &place).unwrap();
    assert!(priced.transaction.is_legacy());
    assert_eq!(*priced.transaction.inner().tx_hash(), keccak256(&priced.encoded));
    assert!(priced.encoded.ends_with(&[0x80, 0x80, 0x80]));
}

#[test]
fn gaps_are_filled_and_every_block_knows_the_hashes_before_it() {
    let world = World::new();
    // BLOCKHASH of what calldata says.
    let code = hex!("5f35405f5260205ff3");
    let height = |height: u64| CallRequest {
        to: Some(AT),
        input: U256::from(height).to_be_bytes_vec().into(),
        ..CallRequest::default()
    };
    let first = SimulatedCalls { state: with_code(&code), ..number(3) };
    let second = SimulatedCalls { calls: vec![height(0), height(2), height(3), height(4)], ..number(4) };
    let done = simulate(&world, &blocks([first, second])).unwrap();
    let headers: Vec<_> = done.iter().map(|block| &block.block.header).collect();
    assert_eq!(headers.iter().map(|header| header.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let start = world.head().header.timestamp;
    assert_eq!(headers.iter().map(|header| header.timestamp - start).collect::<Vec<_>>(), [12, 24, 36, 48]);
    assert_eq!(headers[0].parent_hash, world.head().hash);
    assert_eq!(headers[3].parent_hash, done[2].block.hash);
    let answers: Vec<_> = done[3].calls.iter().map(word).collect();
    let hashes = [world.head().hash, done[1].block.hash, done[2].block.hash, B256::ZERO];
    assert_eq!(answers, hashes.map(|hash| U256::from_be_bytes(hash.0)));
    assert_eq!(headers[3].base_fee_per_gas, Some(0));
}

#[test]
fn blocks_out_of_order_are_refused_with_their_numbers() {
    let world = World::new();
    assert_eq!(
        refused(&world, &blocks([number(5), number(5)])),
        (-38020, "block numbers must be in order: 5 <= 5".to_owned())
    );
    assert_eq!(refused(&world, &blocks([number(0)])).0, -38020);
    assert_eq!(refused(&world, &blocks([number(257)])), (-38026, "too many blocks".to_owned()));
    assert_eq!(simulate(&world, &blocks([number(256)])).unwrap().len(), 256);
    let at = |timestamp| SimulatedCalls {
        block: BlockOverrides { timestamp: Some(timestamp), ..BlockOverrides::default() },
        ..SimulatedCalls::default()
    };
    let time = world.head().header.timestamp;
    assert_eq!(
        refused(&world, &blocks([at(time + 9), at(time + 8)])),
        (-38021, format!("block timestamps must be in order: {} <= {}", time + 8, time + 9))
    );
    assert_eq!(refused(&world, &blocks([at(u64::MAX), number(2)])).0, -38021);
    assert_eq!(refused(&world, &blocks([number(u64::MAX)])).0, -38026);
}

#[test]
fn what_one_block_leaves_the_next_one_finds() {
    let world = World::new();
    // Adds one to slot 0 and returns it.
    let code = hex!("5f546001018060005560005260206000f3");
    let first = SimulatedCalls { state: with_code(&code), ..calls([call(account(1), AT, 0)]) };
    let second = calls([call(account(1), AT, 0), call(account(1), AT, 0)]);
    let cleared = AccountOverride { state: Some([(U256::from(0), U256::from(40))].into()), ..Default::default() };
    let third = SimulatedCalls { state: StateOverrides::from([(AT, cleared)]), ..calls([call(account(1), AT, 0)]) };
    let done = simulate(&world, &blocks([first, second, third])).unwrap();
    let words: Vec<_> = done.iter().flat_map(|block| &block.calls).map(word).collect();
    assert_eq!(words, [1, 2, 3, 41].map(U256::from));
    // Nothing of it is left.
    assert_eq!(world.view().account(AT).unwrap(), None);
}

#[test]
fn full_checks_refuse_what_a_block_would() {
    let world = World::new();
    let full = |request: CallRequest| Simulation { checks: Checks::Full, ..blocks([calls([request])]) };
    let paid = |request: CallRequest| CallRequest { max_fee_per_gas: Some(10 * GWEI), gas: Some(100_000), ..request };
    let one = account(1);
    let base_fee = world.spec().next_base_fee(&world.head().header, world.head().header.timestamp + 12).unwrap();
    let (code, message) = refused(&world, &full(CallRequest { gas: Some(30_000), ..call(one, AT, 1) }));
    let text = "max fee per gas less than block base fee";
    assert_eq!(code, -38012);
    assert_eq!(
        message,
        format!("err: {text}: address {one}, maxFeePerGas: 0, baseFee: {base_fee} (supplied gas 30000)")
    );
    let low = CallRequest { nonce: Some(5), ..paid(call(one, AT, 1)) };
    assert_eq!(
        refused(&world, &full(low.clone())),
        (-38011, format!("err: nonce too high: address {one}, tx: 5 state: 0 (supplied gas 100000)"))
    );
    // Without checks, it runs.
    assert_eq!(simulate(&world, &blocks([calls([low])])).unwrap()[0].calls.len(), 1);
    let poor = Address::repeat_byte(0x99);
    let (code, message) = refused(&world, &blocks([calls([call(poor, AT, 5)])]));
    assert_eq!(code, -38014);
    assert_eq!(
        message,
        format!(
            "err: insufficient funds for gas * price + value: address {poor} have 0 want 5 (supplied gas {})",
            world.head().header.gas_limit
        )
    );
    let gas = refused(&world, &blocks([calls([CallRequest { gas: Some(0), ..call(one, AT, 0) }])]));
    assert_eq!(gas, (-38013, "err: intrinsic gas too low: have 0, want 21000 (supplied gas 0)".to_owned()));
    let tip = CallRequest { max_priority_fee_per_gas: Some(20 * GWEI), ..paid(call(one, AT, 0)) };
    assert_eq!(refused(&world, &full(tip)).0, -32602);
    let large = CallRequest { to: None, input: vec![0; 50_000].into(), ..call(one, AT, 0) };
    assert_eq!(refused(&world, &blocks([calls([large])])).0, -38025);
    let (code, message) = refused(&world, &blocks([calls([CallRequest { chain_id: Some(5), ..call(one, AT, 0) }])]));
    assert_eq!((code, message.as_str()), (-32000, "chainId does not match node's (have=5, want=31337)"));
}

#[test]
fn gas_is_bounded_by_the_block_and_by_the_whole_simulation() {
    let world = World::new();
    let limited = BlockOverrides { gas_limit: Some(50_000), ..BlockOverrides::default() };
    let over = SimulatedCalls {
        block: limited.clone(),
        ..calls([call(account(1), AT, 0), CallRequest { gas: Some(30_000), ..call(account(1), AT, 0) }])
    };
    assert_eq!(refused(&world, &blocks([over])), (-38015, "block gas limit reached: 21000 >= 50000".to_owned()));
    // A loop without end takes what the block has left.
    let endless = SimulatedCalls {
        block: limited,
        state: with_code(&hex!("5b5f56")),
        ..calls([call(account(1), account(2), 0), call(account(1), AT, 0)])
    };
    let done = simulate(&world, &blocks([endless])).unwrap();
    assert_eq!(done[0].calls[1].ending, Ending::Halted("out of gas".to_owned()));
    assert_eq!(done[0].calls[1].gas_used, 29_000);
    assert_eq!(done[0].block.header.gas_used, 50_000);
    // Two calls use up the cap: nothing is left for the third.
    let three = blocks([calls(vec![call(account(1), AT, 0); 3])]);
    let refused = capped(&world, &three, 42_000).unwrap_err();
    assert_eq!(refused.code(), Code::SimulatedIntrinsicGas);
    assert!(refused.to_string().ends_with("have 0, want 21000 (supplied gas 0)"), "{refused}");
}

#[test]
fn transfers_are_logged_if_asked_for_and_only_where_they_stand() {
    let world = World::new();
    // Forwards its value to the address in calldata, then reverts if the second word says so.
    let forward = hex!("5f5f5f5f345f355af15060203515601457" "5f5ffd" "5b00");
    let target = Address::repeat_byte(0x55);
    let request = |reverts: u64| CallRequest {
        input: [target.into_word(), B256::from(U256::from(reverts))].concat().into(),
        ..call(account(1), AT, 9)
    };
    let block = SimulatedCalls { state: with_code(&forward), ..calls([request(0), request(1), request(0)]) };
    let plain = simulate(&world, &blocks([block.clone()])).unwrap();
    assert!(plain[0].calls.iter().all(|call| call.logs.is_empty()));
    let logged = Simulation { transfers: Transfers::Logged, ..blocks([block]) };
    let logged = simulate(&world, &logged).unwrap();
    assert_eq!(logged[0].block.hash, plain[0].block.hash, "receipts and roots do not change");
    let [first, second, third] = logged[0].calls.as_slice() else { panic!("three calls") };
    assert!(matches!(second.ending, Ending::Reverted { .. }));
    assert_eq!(second.logs, []);
    let shown = |call: &CallResult| {
        let logs = call.logs.iter();
        logs.map(|logged| (logged.index, logged.log.topics()[1], logged.log.topics()[2])).collect::<Vec<_>>()
    };
    let (one, at, target) = (account(1).into_word(), AT.into_word(), target.into_word());
    assert_eq!(shown(first), [(0, one, at), (1, at, target)]);
    assert_eq!(shown(third), [(2, one, at), (3, at, target)]);
    assert_eq!(U256::from_be_slice(&first.logs[0].log.data.data), U256::from(9));
}

#[test]
fn ether_of_creations_and_selfdestructs_is_logged_too() {
    let world = World::new();
    // Initcode that destroys itself in favour of 0x..5555.
    let create = CallRequest {
        from: Some(account(1)),
        input: hex!("615555ff").into(),
        value: Some(U256::from(4)),
        ..CallRequest::default()
    };
    let simulation = Simulation { transfers: Transfers::Logged, ..blocks([calls([create])]) };
    let done = simulate(&world, &simulation).unwrap();
    let created = account(1).create(0).into_word();
    let to: Vec<_> = done[0].calls[0].logs.iter().map(|logged| logged.log.topics()[2]).collect();
    assert_eq!(to, [created, B256::from(U256::from(0x5555))]);
}

#[test]
fn precompiles_move_for_one_block() {
    let world = World::new();
    let (sha256, elsewhere) = (Address::with_last_byte(2), Address::repeat_byte(0x12));
    let moved = AccountOverride { move_precompile_to: Some(elsewhere), ..AccountOverride::default() };
    let hash = |to| CallRequest { input: hex!("1234").into(), ..call(account(1), to, 0) };
    let both = || [hash(sha256), hash(elsewhere)];
    let first = SimulatedCalls { state: StateOverrides::from([(sha256, moved)]), ..calls(both()) };
    let done = simulate(&world, &blocks([first, calls(both())])).unwrap();
    let lengths = |block: &SimulatedBlock| {
        let calls = block.calls.iter();
        calls.map(|call| matches!(&call.ending, Ending::Returned(output) if output.len() == 32)).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&done[0]), [false, true]);
    assert_eq!(lengths(&done[1]), [true, false]);
    let both = AccountOverride { state: Some([].into()), state_diff: Some([].into()), ..AccountOverride::default() };
    let simulation = blocks([SimulatedCalls { state: StateOverrides::from([(AT, both)]), ..calls([]) }]);
    assert_eq!(refused(&world, &simulation), (-32000, format!("account {AT} has both 'state' and 'stateDiff'")));
}

#[test]
fn fees_are_paid_where_they_are_offered() {
    let world = World::new();
    let recipient = Address::repeat_byte(0x33);
    let block = SimulatedCalls {
        block: BlockOverrides { beneficiary: Some(recipient), base_fee: Some(10), ..BlockOverrides::default() },
        ..calls([
            CallRequest { max_fee_per_gas: Some(15), max_priority_fee_per_gas: Some(15), ..call(account(1), AT, 0) },
            call(account(1), AT, 0),
            // BALANCE of the beneficiary.
            CallRequest { input: hex!("41315f5260205ff3").into(), to: None, ..call(account(1), AT, 0) },
        ])
    };
    let done = simulate(&world, &blocks([block])).unwrap();
    assert_eq!(done[0].calls[2].ending, Ending::Returned(U256::from(5 * 21_000).to_be_bytes_vec().into()));
    assert!(U256::from(100 * ETHER) > U256::from(15 * 21_000));
}

#[test]
fn an_overridden_account_exists_even_if_empty() {
    let mut world = World::new();
    let empty = AccountOverride { balance: Some(U256::ZERO), ..AccountOverride::default() };
    let done = simulate(
        &world,
        &blocks([SimulatedCalls { state: StateOverrides::from([(AT, empty)]), ..SimulatedCalls::default() }]),
    )
    .unwrap();
    let plain = simulate(&world, &blocks([SimulatedCalls::default()])).unwrap();
    assert_ne!(done[0].block.header.state_root, plain[0].block.header.state_root);
    // Roots are those of the state, however far it has gone on since.
    let view = world.view();
    let parent = world.head().clone();
    for nonce in 0..3 {
        world.mine(vec![recovered(1, dynamic(nonce))]);
    }
    let base = SimulationBase {
        parent: Parent { header: &parent.header, hash: parent.hash },
        view: &view,
        hashes: &NoBlockHashes,
        guard: &open(),
        gas_cap: 0,
    };
    assert_eq!(view.height(), Height(0));
    let later = world.executor.simulate(base, &blocks([SimulatedCalls::default()])).unwrap();
    assert_eq!(later[0].block.hash, plain[0].block.hash);
}
