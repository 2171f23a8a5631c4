#![allow(clippy::unwrap_used)]

use super::*;
use crate::impersonate;
use crate::testing::{
    ETHER, GWEI, TOKEN, World, access_list_tx, address, authorization, dynamic, legacy, recovered, set_code,
};
use alloy_primitives::{Bytes, TxKind};
use cloister_primitives::DevChain;

fn code(world: &World, transaction: RecoveredTransaction) -> Code {
    world.validate(transaction).unwrap_err().code()
}

fn message(world: &World, transaction: RecoveredTransaction) -> String {
    world.validate(transaction).unwrap_err().to_string()
}

#[test]
fn a_good_transaction_passes_and_tells_about_itself() {
    let world = World::new();
    let transaction = recovered(1, dynamic(5));
    let valid = world.validate(transaction.clone()).unwrap();
    assert_eq!(valid.hash(), *transaction.tx_hash());
    assert_eq!(valid.sender(), address(1));
    assert_eq!(valid.nonce(), 5);
    assert_eq!(valid.gas_limit(), 100_000);
    assert_eq!(valid.max_fee_per_gas(), 10 * GWEI);
    assert_eq!(valid.max_priority_fee_per_gas(), GWEI);
    assert_eq!(valid.cost(), U256::from(100_000 * 10 * GWEI + 7));
    assert_eq!(valid.encoded_len(), transaction.eip2718_encoded_length());
    assert_eq!(valid.origin(), Origin::External);
    assert_eq!(valid.effective_tip(2_000_000_000), Some(GWEI));
    assert_eq!(valid.effective_tip(9_500_000_000), Some(GWEI / 2));
    assert_eq!(valid.effective_tip(10_000_000_001), None);
    assert_eq!(valid.into_transaction(), transaction);
}

#[test]
fn types_come_with_their_forks() {
    let authorized = || set_code(0, vec![authorization(2, 0, TOKEN)]);
    let cases: [(&str, [bool; 4]); 6] = [
        ("istanbul", [true, false, false, false]),
        ("berlin", [true, true, false, false]),
        ("london", [true, true, true, false]),
        ("cancun", [true, true, true, false]),
        ("prague", [true, true, true, true]),
        ("osaka", [true, true, true, true]),
    ];
    for (fork, expected) in cases {
        let world = World::on(fork);
        let transactions = [
            recovered(1, legacy(0)),
            recovered(1, access_list_tx(0)),
            recovered(1, dynamic(0)),
            recovered(1, authorized()),
        ];
        for (transaction, expected) in transactions.into_iter().zip(expected) {
            match world.validate(transaction) {
                Ok(_) => assert!(expected, "{fork}"),
                Err(error) => {
                    assert!(!expected, "{fork}: {error}");
                    assert_eq!(error.code(), Code::TransactionTypeNotSupported);
                }
            }
        }
    }
    assert_eq!(
        message(&World::on("berlin"), recovered(1, dynamic(0))),
        "transaction type not supported: type 2 rejected, chain not yet in London"
    );
}

#[test]
fn gas_limits() {
    let world = World::new();
    let with_gas = |gas| {
        let mut tx = dynamic(0);
        tx.gas_limit = gas;
        recovered(1, tx)
    };
    assert_eq!(message(&world, with_gas(20_999)), "intrinsic gas too low: gas 20999, minimum needed 21000");
    world.validate(with_gas(21_000)).unwrap();
    // EIP-7825 on Osaka, the block's limit before.
    world.validate(with_gas(16_777_216)).unwrap();
    assert_eq!(message(&world, with_gas(16_777_217)), "transaction gas limit too high (cap: 16777216, tx: 16777217)");
    let prague = World::on("prague");
    prague.validate(with_gas(30_000_000)).unwrap();
    assert_eq!(code(&prague, with_gas(30_000_001)), Code::ExceedsBlockGasLimit);
}

#[test]
fn calldata_costs_by_fork() {
    let with_data = |gas| {
        let mut tx = legacy(0);
        tx.input = Bytes::from(vec![1; 1000]);
        tx.gas_limit = gas;
        recovered(1, tx)
    };
    // 16 a byte since Istanbul, a floor of 40 a byte since Prague (EIP-7623).
    let cancun = World::on("cancun");
    cancun.validate(with_data(37_000)).unwrap();
    assert_eq!(code(&cancun, with_data(36_999)), Code::IntrinsicGasTooLow);
    let prague = World::on("prague");
    prague.validate(with_data(61_000)).unwrap();
    assert_eq!(
        message(&prague, with_data(60_999)),
        "insufficient gas for floor data gas cost: gas 60999, minimum needed 61000"
    );
    // 68 a byte before Istanbul (EIP-2028).
    let petersburg = World::on("petersburg");
    assert_eq!(code(&petersburg, with_data(88_999)), Code::IntrinsicGasTooLow);
    petersburg.validate(with_data(89_000)).unwrap();
}

#[test]
fn initcode_size() {
    let creating = |size| {
        let mut tx = legacy(0);
        tx.to = TxKind::Create;
        tx.gas_limit = 10_000_000;
        tx.input = Bytes::from(vec![0; size]);
        recovered(1, tx)
    };
    let world = World::new();
    world.validate(creating(49_152)).unwrap();
    assert_eq!(message(&world, creating(49_153)), "max initcode size exceeded: code size 49153, limit 49152");
    World::on("paris").validate(creating(49_153)).unwrap();
    let large = DevChain { code_size_limit: Some(40_000), ..DevChain::default() };
    let large = World::with(large, std::sync::Arc::new(crate::Open));
    large.validate(creating(80_000)).unwrap();
    assert_eq!(code(&large, creating(80_001)), Code::InitcodeTooLarge);
}

#[test]
fn size_fees_and_chain_id() {
    let world = World::new();
    let mut large = legacy(0);
    large.gas_limit = 16_000_000;
    large.input = Bytes::from(vec![0; 131_072]);
    assert!(message(&world, recovered(1, large)).starts_with("oversized data: transaction size 1311"));

    let mut greedy = dynamic(0);
    greedy.max_priority_fee_per_gas = greedy.max_fee_per_gas + 1;
    assert_eq!(code(&world, recovered(1, greedy)), Code::TipAboveFeeCap);

    let mut foreign = dynamic(0);
    foreign.chain_id = 1;
    assert_eq!(message(&world, recovered(1, foreign)), "invalid chain id for signer: have 1 want 31337");

    // A fee cap below the base fee waits; it is not refused.
    let mut cheap = dynamic(0);
    cheap.max_fee_per_gas = 1;
    cheap.max_priority_fee_per_gas = 0;
    world.validate(recovered(1, cheap)).unwrap();
}

#[test]
fn unprotected_transactions_are_for_development_only() {
    let mut tx = legacy(0);
    tx.chain_id = None;
    let transaction = recovered(1, tx);
    let world = World::new();
    world.validate(transaction.clone()).unwrap();
    let mut genesis = world.spec().genesis().clone();
    genesis.config.cloister.development = false;
    let chain = ChainSpec::new(genesis).unwrap();
    let sender = SenderFacts { balance: U256::from(ETHER), ..SenderFacts::default() };
    let attempt = |origin| validate(transaction.clone(), origin, &chain, &world.facts(), &sender);
    let refused = attempt(Origin::External).unwrap_err();
    assert_eq!(refused.code(), Code::UnprotectedTransaction);
    attempt(Origin::Local).unwrap();
}

#[test]
fn nonces_and_funds() {
    let mut world = World::new();
    world.mine(vec![recovered(1, dynamic(0))]);
    assert_eq!(message(&world, recovered(1, dynamic(0))), "nonce too low: next nonce 1, tx nonce 0");
    world.validate(recovered(1, dynamic(9))).unwrap();
    assert_eq!(code(&world, recovered(1, dynamic(u64::MAX))), Code::NonceMax);

    // Key 20 has nothing.
    let cost = 100_000 * 10 * GWEI + 7;
    assert_eq!(
        message(&world, recovered(20, dynamic(0))),
        format!("insufficient funds for gas * price + value: balance 0, tx cost {cost}, overshot {cost}")
    );
    let mut all = dynamic(0);
    all.value = U256::from(100 * ETHER) - U256::from(100_000 * 10 * GWEI);
    world.validate(recovered(2, all.clone())).unwrap();
    all.value += U256::ONE;
    assert_eq!(code(&world, recovered(2, all.clone())), Code::InsufficientFunds);
    all.value = U256::MAX;
    assert_eq!(code(&world, recovered(2, all)), Code::GasUintOverflow);
}

#[test]
fn contracts_do_not_send_but_delegations_do() {
    let mut world = World::new();
    world.mine(vec![recovered(1, set_code(0, vec![authorization(2, 0, TOKEN)]))]);
    let facts = SenderFacts::read(&world.view(), address(2)).unwrap();
    assert_eq!(facts.code, SenderCode::Delegation);
    assert_eq!(facts.nonce, 1);
    world.validate(recovered(2, dynamic(1))).unwrap();

    world.deploy(address(3), &[0x00]);
    assert_eq!(code(&world, recovered(3, dynamic(1))), Code::SenderNotEoa);
    let sender = SenderFacts::read(&world.view(), address(3)).unwrap();
    assert_eq!(sender.code, SenderCode::Contract);
    let posing = impersonate(dynamic(1), address(3));
    validate(posing, Origin::Impersonated, world.spec(), &world.facts(), &sender).unwrap();
}

#[test]
fn authorizations_are_required() {
    let world = World::new();
    assert_eq!(code(&world, recovered(1, set_code(0, vec![]))), Code::EmptyAuthorizationList);
    let mut poor = set_code(0, vec![authorization(2, 0, TOKEN)]);
    poor.gas_limit = 45_999;
    assert_eq!(message(&world, recovered(1, poor)), "intrinsic gas too low: gas 45999, minimum needed 46000");
}
