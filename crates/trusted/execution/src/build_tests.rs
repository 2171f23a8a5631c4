#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use alloy_consensus::proofs::calculate_receipt_root;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_eips::{eip2935, eip4788, eip7002};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use cloister_primitives::{Code, DevBaseFee, DevChain, GenesisAccount, RecoveredTransaction};
use cloister_state::StorageCleared;
use proptest::prelude::*;

use crate::testing::{
    ETHER, GWEI, TOKEN, World, access_list_tx, address, authorization, balance_slot, dynamic, initcode, legacy,
    recovered, set_code, transfer_input,
};
use crate::{BlockAttributes, Claimed, ExecutionError, NoBlockHashes, Open, Parent};

fn token_transfer(number: u8, nonce: u64, to: Address, amount: u64) -> RecoveredTransaction {
    let mut tx = dynamic(nonce);
    tx.to = TxKind::Call(TOKEN);
    tx.value = U256::ZERO;
    tx.input = transfer_input(to, amount);
    recovered(number, tx)
}

#[test]
fn every_type_executes() {
    let mut world = World::new();
    let target = Address::repeat_byte(0xaa);
    let executed = world.mine(vec![
        recovered(1, legacy(0)),
        recovered(1, access_list_tx(1)),
        recovered(1, dynamic(2)),
        recovered(1, set_code(3, vec![authorization(2, 0, TOKEN)])),
    ]);
    assert!(executed.receipts.iter().all(|receipt| receipt.status()));
    let types: Vec<u8> = executed.receipts.iter().map(|r| r.tx_type() as u8).collect();
    assert_eq!(types, [0, 1, 2, 4]);
    let used: Vec<u64> = executed.receipts.iter().map(|receipt| receipt.cumulative_gas_used()).collect();
    assert_eq!(used[..3], [21_000, 42_000, 63_000]);
    assert_eq!(executed.header.gas_used, used[3]);
    assert_eq!(world.balance(target), U256::from(3 * 7));
    // The delegation is the authority's code now (EIP-7702).
    let authority = world.view().account(address(2)).unwrap().unwrap();
    let delegation = [hex!("ef0100").as_slice(), TOKEN.as_slice()].concat();
    assert_eq!(authority.nonce, 1);
    assert_eq!(authority.code_hash, keccak256(&delegation));
    let code = world.view().code(authority.code_hash).unwrap().unwrap();
    assert_eq!(code.as_ref(), delegation);
    // Who calls the authority now runs the token on the authority's storage.
    let mut call = dynamic(4);
    call.to = TxKind::Call(address(2));
    call.value = U256::ZERO;
    call.input = transfer_input(address(3), 0);
    let executed = world.mine(vec![recovered(1, call)]);
    assert_eq!(executed.receipts[0].logs()[0].address, address(2));
}

/// Until London anybody could deploy such code (EIP-3541).
#[test]
fn code_that_looks_like_a_delegation_is_one_from_prague_on() {
    let lookalike = Address::repeat_byte(0xd7);
    let code: Bytes = [hex!("ef0100").as_slice(), TOKEN.as_slice()].concat().into();
    for (fork, delegates) in [("berlin", false), ("cancun", false), ("prague", true)] {
        let account = GenesisAccount { nonce: 1, code: code.clone(), ..GenesisAccount::default() };
        let alloc = [(lookalike, account)].into();
        let chain = DevChain { hardfork: fork.parse().unwrap(), alloc, ..DevChain::default() };
        let mut world = World::with(chain, Arc::new(Open));
        let mut call = legacy(0);
        call.to = TxKind::Call(lookalike);
        call.value = U256::ZERO;
        call.input = transfer_input(address(3), 0);
        let executed = world.mine(vec![recovered(1, call)]);
        assert_eq!(executed.receipts[0].status(), delegates, "{fork}");
        assert_eq!(executed.receipts[0].logs().len(), usize::from(delegates), "{fork}");
    }
}

#[test]
fn fees_go_to_the_beneficiary_and_the_base_fee_is_burned() {
    let mut world = World::new();
    let before = world.balance(address(1));
    let executed = world.mine(vec![recovered(1, dynamic(0))]);
    assert_eq!(executed.header.base_fee_per_gas, Some(875_000_000));
    let tip = U256::from(21_000 * GWEI);
    let burned = U256::from(21_000 * 875_000_000_u128);
    assert_eq!(world.balance(Address::repeat_byte(0xbe)), tip);
    assert_eq!(before - world.balance(address(1)), tip + burned + U256::from(7));
    // An almost empty block lowers the next base fee by nearly an eighth.
    let next = world.mine(vec![]);
    assert_eq!(next.header.base_fee_per_gas, Some(765_778_125));
}

#[test]
fn a_fixed_base_fee_stays() {
    let chain = DevChain { base_fee: DevBaseFee::Fixed(0), ..DevChain::default() };
    let mut world = World::with(chain, Arc::new(Open));
    let mut free = dynamic(0);
    (free.max_fee_per_gas, free.max_priority_fee_per_gas) = (0, 0);
    let before = world.balance(address(1));
    let executed = world.mine(vec![recovered(1, free)]);
    assert_eq!(executed.header.base_fee_per_gas, Some(0));
    assert_eq!(before - world.balance(address(1)), U256::from(7));
}

#[test]
fn tokens_move_and_log() {
    let mut world = World::new();
    let executed = world.mine(vec![
        token_transfer(1, 0, address(2), 10),
        token_transfer(2, 0, Address::repeat_byte(0x77), 1_000_010),
        token_transfer(2, 1, address(1), 1),
    ]);
    let status: Vec<bool> = executed.receipts.iter().map(|r| r.status()).collect();
    assert_eq!(status, [true, true, false]);
    let balance = |owner| world.storage(TOKEN, balance_slot(owner));
    assert_eq!(balance(address(1)), U256::from(999_990));
    assert_eq!(balance(address(2)), U256::ZERO);
    assert_eq!(balance(Address::repeat_byte(0x77)), U256::from(1_000_010));
    let log = &executed.receipts[0].logs()[0];
    assert_eq!(log.address, TOKEN);
    assert_eq!(log.topics()[0], keccak256("Transfer(address,address,uint256)"));
    assert_eq!(log.topics()[1], address(1).into_word());
    assert!(executed.header.logs_bloom.contains_raw_log(TOKEN, &[log.topics()[2]]));
    assert_eq!(executed.header.receipts_root, calculate_receipt_root(&executed.receipts));
    // Two slots of the token, and nothing else of it.
    let delta = executed.delta.accounts.iter().find(|a| a.address == TOKEN).unwrap();
    assert_eq!(delta.storage.len(), 3);
    assert_eq!(delta.storage_cleared, StorageCleared::No);
    executed.delta.check().unwrap();
}

#[test]
fn system_calls_write_their_slots() {
    let mut world = World::new();
    let genesis = world.head().hash;
    let attributes = BlockAttributes { parent_beacon_block_root: Some(B256::repeat_byte(0x42)), ..world.attributes() };
    let timestamp = attributes.timestamp;
    let built = world.build_with(attributes, vec![]);
    let executed = world.commit(built);
    // EIP-2935: the parent's hash at (number - 1) mod 8191.
    let history = world.storage(eip2935::HISTORY_STORAGE_ADDRESS, U256::ZERO);
    assert_eq!(B256::from(history), genesis);
    // EIP-4788: the time at time mod 8191, the root 8191 slots behind.
    let beacon = |slot| world.storage(eip4788::BEACON_ROOTS_ADDRESS, U256::from(slot));
    assert_eq!(beacon(timestamp % 8191), U256::from(timestamp));
    assert_eq!(B256::from(beacon(timestamp % 8191 + 8191)), B256::repeat_byte(0x42));
    assert_eq!(executed.header.requests_hash, Some(EMPTY_REQUESTS_HASH));
    assert_eq!(executed.header.blob_gas_used, Some(0));
}

#[test]
fn requests_come_out_of_the_block() {
    let mut world = World::new();
    world.mine(vec![]);
    // EIP-7002: a public key of 48 bytes and an amount of 8, for a fee of 1 wei.
    let mut tx = dynamic(0);
    tx.to = TxKind::Call(eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS);
    tx.value = U256::ONE;
    tx.gas_limit = 300_000;
    tx.input = [[0xab; 48].as_slice(), &[0, 0, 0, 0, 0, 0, 0, 9]].concat().into();
    let built = world.build(vec![recovered(1, tx)]);
    let requests: Vec<Bytes> = built.requests.clone().unwrap().iter().cloned().collect();
    assert_eq!(requests.len(), 1);
    let expected = [
        &[eip7002::WITHDRAWAL_REQUEST_TYPE][..],
        address(1).as_slice(),
        &[0xab; 48],
        // The amount is little-endian in the request.
        &[9, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(requests[0].as_ref(), expected);
    let executed = world.commit(built);
    assert_ne!(executed.header.requests_hash, Some(EMPTY_REQUESTS_HASH));
    assert_eq!(executed.commitments.requests.root, executed.header.requests_hash.unwrap());
}

#[test]
fn withdrawals_are_paid() {
    let mut world = World::new();
    let to = Address::repeat_byte(0x99);
    let attributes = BlockAttributes {
        withdrawals: vec![Withdrawal { index: 0, validator_index: 1, address: to, amount: 5 }],
        ..world.attributes()
    };
    let built = world.build_with(attributes, vec![]);
    let executed = world.commit(built);
    assert_eq!(world.balance(to), U256::from(5 * GWEI));
    assert_eq!(executed.withdrawals.unwrap().len(), 1);
    // No block before Shanghai has any.
    let paris = World::on("paris");
    assert!(paris.build(vec![]).withdrawals.is_none());
    let attributes = BlockAttributes { withdrawals: vec![Withdrawal::default()], ..paris.attributes() };
    let parent = Parent { header: &paris.head().header, hash: paris.head().hash };
    let error = paris.executor.build(parent, attributes, &paris.view(), &NoBlockHashes, vec![]).unwrap_err();
    assert_eq!(error.code(), Code::InvalidParams);
}

#[test]
fn the_unusable_is_evicted_and_the_untimely_deferred() {
    let world = World::new();
    let mut expensive = dynamic(1);
    expensive.value = U256::from(60 * ETHER);
    let mut again = dynamic(2);
    again.value = U256::from(60 * ETHER);
    let mut cheap = dynamic(0);
    cheap.max_fee_per_gas = 1;
    cheap.max_priority_fee_per_gas = 1;
    let built = world.build(vec![
        recovered(1, dynamic(0)),
        recovered(1, legacy(0)),
        recovered(1, expensive),
        recovered(1, again),
        recovered(2, dynamic(1)),
        recovered(3, cheap),
        recovered(4, dynamic(0)),
    ]);
    let senders: Vec<_> = built.transactions.iter().map(|tx| tx.signer()).collect();
    assert_eq!(senders, [address(1), address(1), address(4)]);
    let evicted: Vec<Code> = built.evicted.iter().map(|(_, why)| why.code()).collect();
    assert_eq!(evicted, [Code::NonceTooLow, Code::InsufficientFunds]);
    assert_eq!(built.evicted[0].1.to_string(), format!("nonce too low: address {}, tx: 0 state: 1", address(1)));
    let deferred: Vec<_> = built.deferred.iter().map(|tx| tx.sender()).collect();
    assert_eq!(deferred, [address(2), address(3)]);
    assert_eq!(built.receipts.len(), 3);
}

#[test]
fn blocks_are_filled_by_declared_gas_and_on_development_networks_by_gas_used() {
    let mut world = World::on("prague");
    let sized = |number, gas| {
        let mut tx = dynamic(0);
        tx.gas_limit = gas;
        recovered(number, tx)
    };
    let candidates = [(1, 20_000_000), (2, 10_000_001), (3, 10_000_000), (4, 21_000)];
    let build = |world: &World| {
        let built = world.build(candidates.map(|(number, gas)| sized(number, gas)).to_vec());
        let senders: Vec<_> = built.transactions.iter().map(|tx| tx.signer()).collect();
        (senders, built.deferred.len(), built.header_draft.gas_used)
    };
    // Each uses 21,000.
    assert_eq!(build(&world), ([1, 2, 3, 4].map(address).to_vec(), 0, 84_000));
    let mut genesis = world.spec().genesis().clone();
    genesis.config.cloister.development = false;
    let spec = Arc::new(cloister_primitives::ChainSpec::new(genesis).unwrap());
    world.executor = crate::Executor::new(spec, Arc::new(Open));
    // What they declare is what counts, and a later one may still fit.
    assert_eq!(build(&world), ([1, 3].map(address).to_vec(), 2, 42_000));
}

#[test]
fn blocks_are_filled_by_count() {
    let mut world = World::new();
    let mut genesis = world.spec().genesis().clone();
    genesis.config.cloister.max_transactions_per_block = Some(2);
    let spec = Arc::new(cloister_primitives::ChainSpec::new(genesis).unwrap());
    world.executor = crate::Executor::new(spec, Arc::new(Open));
    let built = world.build((1..6).map(|number| recovered(number, dynamic(0))).collect());
    assert_eq!((built.transactions.len(), built.deferred.len()), (2, 3));
}

#[test]
fn time_must_follow_the_parent() {
    let mut world = World::new();
    world.mine(vec![]);
    let at = |timestamp| {
        let attributes = BlockAttributes { timestamp, ..world.attributes() };
        let parent = Parent { header: &world.head().header, hash: world.head().hash };
        let view = world.view();
        world.executor.build(parent, attributes, &view, &NoBlockHashes, vec![])
    };
    let now = world.head().header.timestamp;
    assert!(at(now + 1).is_ok());
    assert!(matches!(at(now), Err(ExecutionError::Rejected(_))));
}

#[test]
fn contracts_are_created_and_destroyed() {
    let mut world = World::on("shanghai");
    // SELFDESTRUCT to the zero address, deployed with one slot written by its initcode.
    let runtime = hex!("5fff");
    let create = |nonce, code: Bytes| {
        let mut tx = dynamic(nonce);
        tx.to = TxKind::Create;
        tx.gas_limit = 500_000;
        tx.input = code;
        recovered(1, tx)
    };
    // Store 42 at slot 1, put the two bytes at the end of a word, return them.
    let mut code = hex!("602a600155" "61").to_vec();
    code.extend(runtime);
    code.extend(hex!("5f52" "6002601ef3"));
    let executed = world.mine(vec![create(0, code.into())]);
    assert!(executed.receipts[0].status());
    let contract = address(1).create(0);
    assert_eq!(world.storage(contract, U256::from(1)), U256::from(42));
    let mut call = dynamic(1);
    call.to = TxKind::Call(contract);
    let executed = world.mine(vec![recovered(1, call)]);
    let delta = executed.delta.accounts.iter().find(|a| a.address == contract).unwrap();
    assert_eq!((delta.account, delta.storage_cleared), (None, StorageCleared::Yes));
    assert_eq!(world.storage(contract, U256::from(1)), U256::ZERO);
    assert!(world.view().account(contract).unwrap().is_none());

    // Since Cancun only what was created in the same transaction goes (EIP-6780).
    let mut world = World::on("cancun");
    world.deploy(TOKEN, &runtime);
    let mut call = dynamic(0);
    call.to = TxKind::Call(TOKEN);
    world.mine(vec![recovered(1, call)]);
    assert!(world.view().account(TOKEN).unwrap().unwrap().has_code());
}

#[test]
fn what_was_created_and_destroyed_in_a_block_leaves_no_trace() {
    let mut world = World::new();
    // Initcode that destroys what it is creating.
    let mut tx = dynamic(0);
    tx.to = TxKind::Create;
    tx.value = U256::ZERO;
    tx.input = hex!("33ff").into();
    let executed = world.mine(vec![recovered(1, tx)]);
    assert!(executed.receipts[0].status());
    let contract = address(1).create(0);
    assert!(executed.delta.accounts.iter().all(|a| a.address != contract));
    assert!(world.view().account(contract).unwrap().is_none());
}

#[test]
fn touching_creates_no_empty_accounts() {
    let mut world = World::new();
    let mut tx = dynamic(0);
    tx.to = TxKind::Call(Address::repeat_byte(0x55));
    tx.value = U256::ZERO;
    let executed = world.mine(vec![recovered(1, tx)]);
    let touched = Address::repeat_byte(0x55);
    assert!(executed.delta.accounts.iter().all(|a| a.address != touched));
}

#[test]
fn block_hashes_are_those_given() {
    let mut world = World::new();
    // BLOCKHASH(NUMBER - 1) into slot 0.
    world.deploy(TOKEN, &hex!("60014303405f55"));
    let mut tx = dynamic(0);
    tx.to = TxKind::Call(TOKEN);
    let candidates = vec![world.validate(recovered(1, tx)).unwrap()];
    let known = |height: u64| (height == 0).then_some(B256::repeat_byte(0x0b));
    let parent = Parent { header: &world.head().header, hash: world.head().hash };
    let built = world.executor.build(parent, world.attributes(), &world.view(), &known, candidates).unwrap();
    world.commit(built);
    assert_eq!(B256::from(world.storage(TOKEN, U256::ZERO)), B256::repeat_byte(0x0b));
}

#[test]
fn the_same_inputs_give_the_same_block() {
    let run = || {
        let mut world = World::new();
        world.mine((1..9).map(|n| token_transfer(n, 0, address(n + 1), 5)).collect());
        world.mine((1..9).map(|n| recovered(n, dynamic(1))).collect()).hash
    };
    assert_eq!(run(), run());
}

#[test]
fn only_blocks_that_were_mined_are_rewarded() {
    let mut world = World::on("london");
    let miner = Address::repeat_byte(0xbe);
    world.mine(vec![]);
    assert_eq!(world.balance(miner), U256::ZERO);
    // The same block with a difficulty is somebody else's, and paid 2 ether (EIP-1234).
    let parent = world.head().clone();
    let mut header = parent.header.clone();
    header.number += 1;
    header.timestamp += 1;
    header.parent_hash = parent.hash;
    header.difficulty = U256::from(131_072);
    let claimed = Claimed { header: &header, ommers: &[], transactions: &[], withdrawals: &[] };
    let parent = Parent { header: &parent.header, hash: parent.hash };
    let built = world.executor.reexecute(parent, claimed, &world.view(), &NoBlockHashes).unwrap();
    assert_eq!(built.header_draft.difficulty, U256::from(131_072));
    world.commit(built);
    assert_eq!(world.balance(miner), U256::from(2 * ETHER));
}

#[test]
fn the_base_fee_can_be_set_in_development_only() {
    let mut world = World::new();
    let attributes = BlockAttributes { base_fee_override: Some(5), ..world.attributes() };
    let built = world.build_with(attributes.clone(), vec![]);
    assert_eq!(built.header_draft.base_fee_per_gas, Some(5));
    let mut genesis = world.spec().genesis().clone();
    genesis.config.cloister.development = false;
    let spec = Arc::new(cloister_primitives::ChainSpec::new(genesis).unwrap());
    world.executor = crate::Executor::new(spec, Arc::new(Open));
    let built = world.build_with(attributes, vec![]);
    assert_eq!(built.header_draft.base_fee_per_gas, Some(875_000_000));
}

#[test]
fn a_false_header_is_named() {
    let mut world = World::new();
    let executed = world.mine(vec![recovered(1, dynamic(0))]);
    executed.verify(&executed.header).unwrap();
    let mut claimed = executed.header.clone();
    claimed.gas_used += 1;
    assert_eq!(executed.verify(&claimed).unwrap_err().to_string(), "block 1: gasUsed: expected 21000, found 21001");
    let mut claimed = executed.header.clone();
    claimed.state_root = B256::ZERO;
    assert_eq!(executed.verify(&claimed).unwrap_err().field, "stateRoot");
    let mut claimed = executed.header.clone();
    claimed.extra_data = Bytes::from_static(b"x");
    assert_eq!(executed.verify(&claimed).unwrap_err().field, "hash");
}

#[derive(Clone, Debug)]
enum Step {
    Transfer { from: u8, to: u8, wei: u64 },
    Token { from: u8, to: u8, amount: u64 },
    Create { from: u8, runtime: Vec<u8> },
    Delegate { from: u8, authority: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let who = 1u8..10;
    prop_oneof![
        (who.clone(), 1u8..20, any::<u64>()).prop_map(|(from, to, wei)| Step::Transfer { from, to, wei }),
        (who.clone(), 1u8..20, 0u64..2_000_000).prop_map(|(from, to, amount)| Step::Token { from, to, amount }),
        (who.clone(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(from, runtime)| Step::Create { from, runtime }),
        (who.clone(), who).prop_map(|(from, authority)| Step::Delegate { from, authority }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_built_reexecutes_to_the_same(blocks in proptest::collection::vec(
        proptest::collection::vec(step(), 0..12), 1..4))
    {
        let mut world = World::new();
        for steps in blocks {
            let mut nonces = [0u64; 10];
            for (number, nonce) in (1u8..10).zip(&mut nonces[1..]) {
                let account = world.view().account(address(number)).unwrap().unwrap();
                *nonce = account.nonce;
            }
            let mut candidates = Vec::new();
            for step in steps {
                let (from, transaction) = transaction(&step, &nonces);
                // Delegations move nonces of others, so some candidates are refused: that is wanted.
                if let Ok(valid) = world.validate(transaction) {
                    nonces[usize::from(from)] += 1;
                    candidates.push(valid);
                }
            }
            let parent = world.head().clone();
            let view = world.view();
            let built = world.build_with(world.attributes(), candidates);
            let delta = built.delta.clone();
            let executed = world.commit(built);
            let block = world.head().clone();
            let parent = Parent { header: &parent.header, hash: parent.hash };
            let again = world
                .executor
                .check_block(parent, (&block).into(), &view, &NoBlockHashes, |changes| {
                    assert_eq!(*changes, delta);
                    Ok(executed.header.state_root)
                })
                .unwrap();
            prop_assert_eq!(again, executed);
        }
    }
}

fn transaction(step: &Step, nonces: &[u64; 10]) -> (u8, RecoveredTransaction) {
    let account = |number: u8| {
        if number < 10 { address(number) } else { Address::repeat_byte(number) }
    };
    match step {
        Step::Transfer { from, to, wei } => {
            let mut tx = dynamic(nonces[usize::from(*from)]);
            tx.to = TxKind::Call(account(*to));
            tx.value = U256::from(*wei);
            (*from, recovered(*from, tx))
        }
        Step::Token { from, to, amount } => {
            (*from, token_transfer(*from, nonces[usize::from(*from)], account(*to), *amount))
        }
        Step::Create { from, runtime } => {
            let mut tx = dynamic(nonces[usize::from(*from)]);
            tx.to = TxKind::Create;
            tx.gas_limit = 300_000;
            tx.input = initcode(runtime);
            (*from, recovered(*from, tx))
        }
        Step::Delegate { from, authority } => {
            let nonce = nonces[usize::from(*authority)];
            let list = vec![authorization(*authority, nonce, TOKEN)];
            (*from, recovered(*from, set_code(nonces[usize::from(*from)], list)))
        }
    }
}

#[test]
fn a_block_holds_no_transaction_that_was_signed_for_another_chain() {
    let world = World::on("osaka");
    let foreign = [
        recovered(1, alloy_consensus::TxLegacy { chain_id: Some(1), ..legacy(0) }),
        recovered(1, alloy_consensus::TxEip2930 { chain_id: 1, ..access_list_tx(0) }),
        recovered(1, alloy_consensus::TxEip1559 { chain_id: 1, ..dynamic(0) }),
        recovered(
            1,
            alloy_consensus::TxEip7702 {
                chain_id: 1,
                ..set_code(0, vec![authorization(2, 0, Address::repeat_byte(0xaa))])
            },
        ),
    ];
    for transaction in foreign {
        let head = world.head();
        let parent = Parent { header: &head.header, hash: head.hash };
        let kind = transaction.tx_type();
        let refused = world
            .executor
            .assemble(parent, world.attributes(), &world.view(), &NoBlockHashes, vec![transaction])
            .expect_err("it was signed for another chain");
        assert_eq!(refused.code(), Code::InvalidChainId, "{kind}");
    }
}
