//! Who sets a contract's rules, and when they change.

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use cloister_primitives::VISIBILITY_ADDRESS;

use crate::chain::{ALICE, BOB, CAROL, Chain, Change, FALLBACK, PUBLIC, argument, balance_of, initcode, input, role};
use crate::{token, token_rules, transfer, word};

#[test]
fn only_who_created_it_sets_rules_and_only_until_they_are_frozen() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let change = token_rules().input(token);
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, change.clone()), "nobody has claimed it");
    let claim = |nonce: u64| input("claim(uint32)", &[U256::from(nonce).into()]);
    assert!(chain.send(BOB, VISIBILITY_ADDRESS, claim(0)), "what Bob creates at his nonce 0 is another");
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, change.clone()));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, claim(0)));
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, claim(0)), "once");
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, change.clone()));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, change.clone()));
    // Rules are their owner's to read.
    let head = input("headOf(address)", &[token.into_word()]);
    assert!(chain.ask(ALICE, VISIBILITY_ADDRESS, head.clone()).is_some());
    // Any nonce: an address is claimed before there is anything at it.
    for nonce in [1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u64::from(u32::MAX)] {
        assert!(chain.send(CAROL, VISIBILITY_ADDRESS, claim(nonce)));
        let bound = Change::default().input(CAROL.create(nonce));
        assert!(chain.send(CAROL, VISIBILITY_ADDRESS, bound), "{nonce}");
    }
    let unknown = Change::default().function(FALLBACK, &[[8, 0]], &[]);
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, unknown.input(token)), "a term that nobody understands");
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, input("freeze(address)", &[token.into_word()])));
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, change));
}

fn hash_of(initcode: &[u8]) -> B256 {
    keccak256(initcode)
}

#[test]
fn rules_are_bound_before_the_contract_exists() {
    let mut chain = Chain::new();
    // Alice's nonce 0 prepares, her nonce 1 creates.
    let at = ALICE.create(1);
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, token_rules().prepare(1)));
    assert_eq!(token(&mut chain), at);
    // There was no block in which it had no rules.
    assert!(chain.send(ALICE, at, transfer(BOB, 5)));
    assert_eq!(chain.ask(BOB, at, balance_of(BOB)), word(5));
    assert_eq!(chain.ask(BOB, at, balance_of(ALICE)), None);
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, token_rules().prepare(1)), "once");
}

#[test]
fn a_salt_that_names_its_owner_is_nobody_elses() {
    let mut chain = Chain::new();
    let deployer = cloister_primitives::DETERMINISTIC_DEPLOYER_ADDRESS;
    let code = initcode(&alloy_primitives::hex!("602a5f5260205ff3"));
    let salt_of = |owner: Address| {
        let mut salt = B256::with_last_byte(1);
        salt[..20].copy_from_slice(owner.as_slice());
        salt
    };
    let rules = Change::default().function(FALLBACK, &[PUBLIC], &[PUBLIC]);
    for (who, owner, is_bound) in [(BOB, ALICE, false), (BOB, CAROL, false), (ALICE, ALICE, true), (BOB, ALICE, false)]
    {
        let prepare = rules.prepare_salted(deployer, salt_of(owner), hash_of(&code));
        assert_eq!(chain.send(who, VISIBILITY_ADDRESS, prepare), is_bound, "{who}");
        let claim =
            input("claimSalted(address,bytes32,bytes32)", &[deployer.into_word(), salt_of(owner), hash_of(&code)]);
        assert!(who == owner || !chain.send(who, VISIBILITY_ADDRESS, claim));
    }
    // Whoever deploys it: it is Alice's.
    let at = deployer.create2(salt_of(ALICE), hash_of(&code));
    let deployment: Bytes = [salt_of(ALICE).as_slice(), &code].concat().into();
    assert!(chain.send(BOB, deployer, deployment));
    assert!(chain.ask(CAROL, at, Bytes::new()).is_some());
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, Change::default().input(at)));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, Change::default().function(FALLBACK, &[], &[]).input(at)));
    assert!(chain.ask(CAROL, at, Bytes::new()).is_none());
}

/// Creates contracts with the code it is given after a salt, as the deterministic deployer does, and is Alice's.
fn factory(chain: &mut Chain) -> Address {
    chain.create(initcode(&cloister_primitives::DETERMINISTIC_DEPLOYER_CODE))
}

#[test]
fn what_a_factory_creates_has_the_rules_that_its_code_is_bound_to() {
    let mut chain = Chain::new();
    let code = initcode(&alloy_primitives::hex!("602a5f5260205ff3"));
    let runtime = keccak256(alloy_primitives::hex!("602a5f5260205ff3"));
    let factory = factory(&mut chain);
    let nonce_of = |account: Address| (0..).find(|nonce| ALICE.create(*nonce) == account).expect("one of Alice's");
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, input("claim(uint32)", &[U256::from(nonce_of(factory)).into()])));
    // The rules that all of them have, of an account that is never created.
    let template = ALICE.create(1_000);
    let rules = Change { grants: vec![(CAROL, U256::from(1))], ..Change::default() };
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, rules.function(FALLBACK, &[role(0)], &[PUBLIC]).prepare(1_000)));
    let bind = |hash: B256, template: Address| {
        input("bind(address,bytes32,address)", &[factory.into_word(), hash, template.into_word()])
    };
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, bind(runtime, template)), "it is not his");
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, bind(runtime, BOB.create(5))), "nor is the template hers");
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, bind(hash_of(&code), template)));

    let adopt =
        |salt: B256, hash: B256| input("adoptSalted(address,bytes32,bytes32)", &[factory.into_word(), salt, hash]);
    // Anybody gives what is going to be created its rules; nobody anything else.
    let (one, other) = (B256::with_last_byte(1), B256::with_last_byte(2));
    let at = |salt: B256| factory.create2(salt, hash_of(&code));
    assert!(chain.send(BOB, VISIBILITY_ADDRESS, adopt(one, hash_of(&code))));
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, adopt(one, hash_of(&code))), "once");
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, adopt(one, B256::repeat_byte(7))), "other code");
    for salt in [one, other] {
        assert!(chain.send(BOB, factory, [salt.as_slice(), &code].concat().into()));
    }
    assert!(chain.ask(CAROL, at(one), Bytes::new()).is_some());
    for who in [ALICE, BOB] {
        assert!(chain.ask(who, at(one), Bytes::new()).is_none());
    }
    // By the code that came out, too.
    assert!(chain.ask(CAROL, at(other), Bytes::new()).is_none(), "nobody has given it any");
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, bind(hash_of(&code), Address::ZERO)));
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, adopt(other, hash_of(&code))));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, bind(runtime, template)));
    assert!(chain.send(BOB, VISIBILITY_ADDRESS, adopt(other, hash_of(&code))));
    assert!(chain.ask(CAROL, at(other), Bytes::new()).is_some());
    // All change with the template, and none by itself.
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, Change::default().input(at(one))));
    let wider = Change::default().function(FALLBACK, &[PUBLIC], &[PUBLIC]);
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, wider.input(template)));
    assert!(chain.ask(BOB, at(one), Bytes::new()).is_some() && chain.ask(BOB, at(other), Bytes::new()).is_some());
}

#[test]
fn behind_a_timelock_changes_are_announced() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    chain.rule(token, &token_rules());
    let lock = |delay: u64| input("setTimelock(address,uint32)", &[token.into_word(), U256::from(delay).into()]);
    let announce = |digest: B256| input("announce(address,bytes32)", &[token.into_word(), digest]);
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, lock(100)));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, lock(100)));

    let wider = Change::default().named("balanceOf(address)", &[PUBLIC], &[PUBLIC]);
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, wider.input(token)), "not announced");
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, announce(wider.digest())));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, announce(wider.digest())));
    chain.wait_s(97);
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, wider.input(token)), "too early");
    chain.wait_s(10);
    let other = Change::default().named("balanceOf(address)", &[argument(0)], &[PUBLIC]);
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, other.input(token)), "another change");
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, wider.input(token)));
    assert_eq!(chain.ask(BOB, token, balance_of(ALICE)), word(1_000_000));
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, wider.input(token)), "once");
    // What is never done is forgotten, and less time is a change itself.
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, announce(wider.digest())));
    chain.wait_s(100 + 14 * 24 * 3_600 + 10);
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, wider.input(token)), "too late");
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, lock(0)));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, announce(keccak256(U256::ZERO.abi_encode()))));
    chain.wait_s(200);
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, lock(0)));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, wider.input(token)));
}

#[test]
fn rules_are_handed_over_and_frozen_for_good() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    chain.rule(token, &token_rules());
    let hand = |to: Address| input("transfer(address,address)", &[token.into_word(), to.into_word()]);
    assert!(!chain.send(BOB, VISIBILITY_ADDRESS, hand(BOB)));
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, hand(Address::ZERO)));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, hand(BOB)));
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, Change::default().input(token)));
    // The rules are as they were, but those that name the owner.
    assert!(chain.ask(BOB, token, input("owner()", &[])).is_some());
    assert!(chain.ask(ALICE, token, input("owner()", &[])).is_none());
    assert!(chain.send(BOB, VISIBILITY_ADDRESS, input("freeze(address)", &[token.into_word()])));
    for change in [hand(CAROL), Change::default().input(token)] {
        assert!(!chain.send(BOB, VISIBILITY_ADDRESS, change));
    }
    assert_eq!(chain.ask(ALICE, token, balance_of(ALICE)), word(1_000_000));
}
