//! Rules in Solidity.

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, Bytes, FixedBytes, U256};
use cloister_tests::tools::{artifact, test_artifact};

use crate::chain::{ALICE, BOB, CAROL, Chain, Change, PUBLIC, balance_of, custom, forwarded, forwarder, input, role};
use crate::{token, token_rules, transfer, word};

fn strict_judge(chain: &mut Chain, viewer: Address, asked: &[u8]) -> Address {
    let selector = FixedBytes::<4>::from_slice(&asked[..4]);
    let arguments = (viewer, selector, Bytes::copy_from_slice(&asked[4..])).abi_encode_params();
    chain.create([test_artifact("Judges", "StrictJudge").bytecode, arguments].concat().into())
}

fn unfit_judge(chain: &mut Chain, way: u64) -> Address {
    let arguments = U256::from(way).abi_encode();
    chain.create([test_artifact("Judges", "UnfitJudge").bytecode, arguments].concat().into())
}

fn judged(judges: &[Address]) -> Change {
    let terms: Vec<_> = (0..).map(custom).take(judges.len()).collect();
    Change { judges: (0..).zip(judges.iter().copied()).collect(), ..token_rules() }.named(
        "balanceOf(address)",
        &terms,
        &terms,
    )
}

#[test]
fn a_contract_says_who_is_admitted_and_to_what() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let judge = strict_judge(&mut chain, BOB, &balance_of(ALICE));
    chain.rule(token, &judged(&[judge]));
    assert_eq!(chain.ask(BOB, token, balance_of(ALICE)), word(1_000_000));
    assert_eq!(chain.ask(BOB, token, balance_of(BOB)), None, "other arguments");
    assert_eq!(chain.ask(CAROL, token, balance_of(ALICE)), None, "another viewer");
    // In transactions too, with the contract in between as the viewer.
    assert!(!chain.send(BOB, forwarder(0xfa), forwarded(token, &balance_of(ALICE))));
    let judge = strict_judge(&mut chain, forwarder(0xfa), &balance_of(ALICE));
    chain.rule(token, &judged(&[judge]));
    assert!(chain.send(BOB, forwarder(0xfa), forwarded(token, &balance_of(ALICE))));
    assert!(!chain.send(BOB, forwarder(0xf1), forwarded(token, &balance_of(ALICE))));
    // Any one of several is enough, and none is no one.
    let never = unfit_judge(&mut chain, 0);
    let bobs = strict_judge(&mut chain, BOB, &balance_of(ALICE));
    chain.rule(token, &judged(&[never, bobs]));
    assert_eq!(chain.ask(BOB, token, balance_of(ALICE)), word(1_000_000));
    assert_eq!(chain.ask(CAROL, token, balance_of(ALICE)), None);
    chain.rule(token, &Change { judges: vec![(0, Address::ZERO), (1, ALICE)], ..judged(&[]) });
    assert_eq!(chain.ask(BOB, token, balance_of(ALICE)), None);
}

#[test]
fn whatever_is_wrong_with_a_judge_denies() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    // It reverts, uses all its gas, writes, says 2, says one byte, says two words, says nothing, creates.
    for way in 0..8 {
        let judge = unfit_judge(&mut chain, way);
        chain.rule(token, &judged(&[judge]));
        assert_eq!(chain.ask(BOB, token, balance_of(BOB)), None, "{way}");
        assert!(!chain.send(BOB, forwarder(0xfa), forwarded(token, &balance_of(BOB))), "{way}");
    }
    let willing = unfit_judge(&mut chain, 8);
    chain.rule(token, &judged(&[willing]));
    assert_eq!(chain.ask(BOB, token, balance_of(BOB)), word(0));
    assert!(chain.send(BOB, forwarder(0xfa), forwarded(token, &balance_of(BOB))));
    // There is no contract.
    chain.rule(token, &judged(&[Address::repeat_byte(0x99)]));
    assert_eq!(chain.ask(BOB, token, balance_of(BOB)), None);
}

#[test]
fn a_judge_costs_the_same_whatever_it_says_and_does() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let mut cost = |way: u64| {
        let judge = unfit_judge(&mut chain, way);
        chain.rule(token, &judged(&[judge]));
        assert!(!chain.send(BOB, forwarder(0xfa), forwarded(token, &balance_of(BOB))));
        chain.head().receipts[0].cumulative_gas_used()
    };
    let costs = [0, 1, 3, 6].map(&mut cost);
    assert!(costs.iter().all(|other| *other == costs[0]), "{costs:?}");
    assert!(costs[0] > 100_000, "it is paid for");
}

#[test]
fn a_judge_asks_in_its_own_name_and_no_further_judges() {
    let mut chain = Chain::new();
    let deeds = chain.create(test_artifact("Standards", "Deeds").bytecode.into());
    let judge = chain.create(artifact("HolderJudge").bytecode.into());
    let of = |function: &str, id: u64| input(function, &[U256::from(id).into()]);
    let mint = |to: Address, id: u64| input("mint(address,uint256)", &[to.into_word(), U256::from(id).into()]);
    assert!(chain.send(ALICE, deeds, mint(BOB, 7)));
    let rules = |grants: Vec<(Address, U256)>| {
        Change { grants, judges: vec![(0, judge)], ..Change::default() }
            .named("ownerOf(uint256)", &[role(0)], &[role(0)])
            .named("getApproved(uint256)", &[custom(0)], &[custom(0)])
    };
    chain.rule(deeds, &rules(Vec::new()));
    assert_eq!(chain.ask(BOB, deeds, of("getApproved(uint256)", 7)), None, "the judge may not ask");
    chain.rule(deeds, &rules(vec![(judge, U256::from(1))]));
    assert_eq!(chain.ask(BOB, deeds, of("getApproved(uint256)", 7)), word(0));
    assert_eq!(chain.ask(ALICE, deeds, of("getApproved(uint256)", 7)), None, "she does not hold it");
    assert_eq!(chain.ask(BOB, deeds, of("getApproved(uint256)", 8)), None, "nobody does");
    assert_eq!(chain.ask(BOB, deeds, of("ownerOf(uint256)", 7)), None);
    // A judge that would have to be asked about itself.
    let circular = rules(vec![(judge, U256::from(1))]).named("ownerOf(uint256)", &[custom(0)], &[custom(0)]);
    chain.rule(deeds, &circular);
    assert_eq!(chain.ask(BOB, deeds, of("getApproved(uint256)", 7)), None);
}

#[test]
fn memory_and_frames_are_as_they_were_after_a_judge_was_asked() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let judge = unfit_judge(&mut chain, 8);
    let rules = Change { judges: vec![(0, judge)], ..token_rules() };
    let rules = rules.named("transfer(address,uint256)", &[custom(0)], &[custom(0)]);
    chain.rule(token, &rules);
    assert!(chain.send(ALICE, token, transfer(forwarder(0xf1), 9)), "the first frame of a transaction");
    assert!(chain.send(BOB, forwarder(0xf1), forwarded(token, &transfer(CAROL, 4))), "one inside");
    assert_eq!(chain.ask(CAROL, token, balance_of(CAROL)), word(4));
    assert_eq!(chain.ask(BOB, token, transfer(CAROL, 0)), word(1));
    let public = rules.named("balanceOf(address)", &[PUBLIC], &[PUBLIC]);
    chain.rule(token, &public);
    assert_eq!(chain.ask(BOB, token, balance_of(forwarder(0xf1))), word(5));
}

#[test]
fn tables_of_both_heights_ask() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let alices = strict_judge(&mut chain, ALICE, &balance_of(ALICE));
    chain.rule(token, &judged(&[alices]));
    let before = chain.head().height();
    let bobs = strict_judge(&mut chain, BOB, &balance_of(ALICE));
    let both = judged(&[alices, bobs]);
    chain.rule(token, &both);
    assert_eq!(chain.ask(BOB, token, balance_of(ALICE)), word(1_000_000));
    assert_eq!(chain.ask_at(before, BOB, Some(token), balance_of(ALICE)), None);
    assert_eq!(chain.ask_at(before, ALICE, Some(token), balance_of(ALICE)), word(1_000_000));
}
