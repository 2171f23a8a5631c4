//! Contracts that try to have a transaction say what nobody is told.

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use cloister_primitives::{MULTICALL3_ADDRESS, VISIBILITY_ADDRESS};
use cloister_tests::tools::test_artifact;

use crate::chain::{ALICE, BOB, CAROL, Chain, Change, FALLBACK, PUBLIC, SESSION, argument, balance_of, input};
use crate::{token, token_rules, transfer, word};

/// What a contract was answered, as it logged it.
#[derive(Debug, PartialEq, Eq)]
struct Answered {
    is_ok: bool,
    answer: Bytes,
    gas_used: U256,
}

struct Attack {
    chain: Chain,
    token: Address,
    attacker: Address,
}

impl Attack {
    fn new() -> Self {
        let mut chain = Chain::new();
        let token = token(&mut chain);
        let attacker = chain.create(test_artifact("Attacks", "Attacker").bytecode.into());
        chain.rule(token, &token_rules());
        assert!(chain.send(ALICE, token, transfer(BOB, 5)));
        Self { chain, token, attacker }
    }

    /// What Carol's transaction to a function of the attacker had logged.
    fn logged(&mut self, function: &str, target: Address, data: &[u8]) -> Answered {
        let arguments = (target, Bytes::copy_from_slice(data)).abi_encode_params();
        let call = [&keccak256(format!("{function}(address,bytes)"))[..4], &arguments].concat();
        assert!(self.chain.send(CAROL, self.attacker, call.into()));
        let log = &self.chain.head().receipts[0].logs()[0];
        let (is_ok, answer, gas_used) = <(bool, Bytes, U256)>::abi_decode_params(&log.data.data).expect("a log of its");
        Answered { is_ok, answer, gas_used }
    }

    fn probed(&mut self, target: Address) -> Bytes {
        assert!(self.chain.send(CAROL, self.attacker, input("probes(address)", &[target.into_word()])));
        self.chain.head().receipts[0].logs()[0].data.data.clone()
    }
}

#[test]
fn a_contract_is_not_answered_what_its_user_would_not_be() {
    let mut attack = Attack::new();
    for function in ["asks", "runs"] {
        for question in [balance_of(BOB), balance_of(ALICE), balance_of(CAROL), input("totalSupply()", &[])] {
            let said = attack.logged(function, attack.token, &question);
            assert_eq!((said.is_ok, said.answer.len()), (false, 0), "{function} {question}");
        }
        let own = attack.logged(function, attack.token, &balance_of(attack.attacker));
        assert_eq!((own.is_ok, Some(own.answer)), (true, word(0)), "its own balance");
    }
}

#[test]
fn gas_says_nothing_of_what_was_refused() {
    let mut attack = Attack::new();
    let token = attack.token;
    let rich = attack.logged("asks", token, &balance_of(BOB)).gas_used;
    // Balances that are there and are not, functions that are there and are not, and too little of an argument.
    for question in [
        balance_of(Address::repeat_byte(0x77)),
        balance_of(ALICE),
        input("allowance(address,address)", &[ALICE.into_word(), BOB.into_word()])[..36].to_vec().into(),
    ] {
        assert_eq!(attack.logged("asks", token, &question).gas_used, rich, "{question}");
    }
    // An account that has rules costs as much as one that has none, once and again.
    let size = |attack: &mut Attack, target: Address| attack.logged("asks", target, &balance_of(BOB)).gas_used;
    assert_eq!(size(&mut attack, token), rich);
    assert_eq!(size(&mut attack, token), rich);
}

#[test]
fn calldata_that_is_cut_is_nobodys() {
    let mut attack = Attack::new();
    let full = balance_of(attack.attacker);
    for length in [0, 1, 3, 4, 5, 20, 35] {
        let said = attack.logged("asks", attack.token, &full[..length]);
        assert_eq!((said.is_ok, said.answer.len()), (false, 0), "{length}");
    }
    assert!(attack.logged("asks", attack.token, &full).is_ok);
    // Who has code that nobody's rules foresaw is refused by `fallback`, which is not on the list.
    assert!(!attack.logged("runs", attack.token, &input("later()", &[])).is_ok);
}

#[test]
fn running_its_code_elsewhere_says_nothing_of_its_storage() {
    let mut attack = Attack::new();
    let said = attack.logged("becomes", attack.token, &balance_of(BOB));
    assert_eq!((said.is_ok, said.answer.len()), (false, 0), "denied code does not run");
    attack.chain.rule(attack.token, &Change::default().facts([[0; 2], PUBLIC, [0; 2]]));
    let said = attack.logged("becomes", attack.token, &balance_of(BOB));
    assert_eq!((said.is_ok, Some(said.answer)), (true, word(0)), "it is the attacker's storage");
}

#[test]
fn existence_is_not_to_be_probed() {
    let mut attack = Attack::new();
    let nothing = attack.probed(Address::repeat_byte(0x77));
    // A contract whose code is denied, and an account with a balance, are as one that never was.
    let of = |data: &Bytes| data[32..].to_vec();
    for account in [attack.token, ALICE] {
        let probed = attack.probed(account);
        assert_eq!(probed[..32], [0; 32], "{account}: no code");
        assert_eq!(probed[64..128], [0; 64], "{account}: no balance");
        assert_eq!(of(&probed), of(&nothing), "{account}");
    }
    let own = attack.probed(attack.attacker);
    assert_ne!(own[..32], [0; 32], "itself it sees");
}

#[test]
fn batches_do_not_step_around_rules() {
    let mut attack = Attack::new();
    let batch = |calls: &[(Address, &Bytes)]| {
        let calls: Vec<_> = calls.iter().map(|(target, data)| (*target, true, (*data).clone())).collect();
        let arguments = (calls,).abi_encode_params();
        Bytes::from([&keccak256("aggregate3((address,bool,bytes)[])")[..4], &arguments].concat())
    };
    let answers = |output: Bytes| <(Vec<(bool, Bytes)>,)>::abi_decode_params(&output).expect("answers").0;
    let (of_alice, of_bob) = (balance_of(ALICE), balance_of(BOB));
    let name = input("name()", &[]);
    let supply = input("totalSupply()", &[]);
    let calls = [
        (attack.token, &of_alice),
        (attack.token, &of_bob),
        (attack.token, &name),
        (attack.token, &supply),
        (VISIBILITY_ADDRESS, &name),
        (attack.attacker, &name),
    ];
    // In a query the session is who asks, whatever it asks in one go.
    let told = answers(attack.chain.ask(BOB, MULTICALL3_ADDRESS, batch(&calls)).expect("an answer"));
    let is_told: Vec<bool> = told.iter().map(|(is_ok, _)| *is_ok).collect();
    assert_eq!(is_told, [false, true, true, true, false, false]);
    assert_eq!(Some(told[1].1.clone()), word(5));
    assert_eq!(told[0].1.len(), 0);
    // Inside a batch, a batch is one more contract.
    let nested = batch(&[(MULTICALL3_ADDRESS, &batch(&[(attack.token, &of_bob)]))]);
    let told = answers(attack.chain.ask(BOB, MULTICALL3_ADDRESS, nested).expect("an answer"));
    assert!(!told[0].0);
    // In a transaction it is a contract like any other.
    let said = attack.logged("runs", MULTICALL3_ADDRESS, &batch(&[(attack.token, &balance_of(CAROL))]));
    assert!(said.is_ok);
    assert!(!answers(said.answer)[0].0);
}

#[test]
fn a_contract_that_calls_itself_does_so_on_its_own_behalf() {
    let mut attack = Attack::new();
    // The attacker's own rules let its owner run it, and nobody ask it anything; to itself it may say all it has.
    let rules = Change::default()
        .named("runs(address,bytes)", &[SESSION], &[SESSION])
        .named("asks(address,bytes)", &[SESSION], &[SESSION])
        .named("canSee(address,bytes4,bytes)", &[argument(0)], &[argument(0)]);
    attack.chain.rule(attack.attacker, &rules);
    let inner = [
        &keccak256("canSee(address,bytes4,bytes)")[..4],
        &(ALICE, alloy_primitives::FixedBytes::<4>::ZERO, Bytes::new()).abi_encode_params(),
    ]
    .concat();
    let said = attack.logged("runs", attack.attacker, &inner);
    assert!(said.is_ok, "its own call of itself");
    // That says nothing of another contract's storage.
    let outer = [&keccak256("asks(address,bytes)")[..4], &(attack.token, balance_of(BOB)).abi_encode_params()].concat();
    // The first log is of the call inside.
    let said = attack.logged("runs", attack.attacker, &outer);
    assert_eq!((said.is_ok, said.answer.len()), (false, 0));
    assert_eq!(attack.chain.head().receipts[0].logs().len(), 2);
    // From outside it is refused.
    assert!(!attack.chain.send(CAROL, attack.attacker, inner.into()));
}

#[test]
fn functions_that_are_added_later_are_refused_until_somebody_lists_them() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    // A policy that names one function alone, as one that was written before an upgrade.
    let rules = Change::default().named("transfer(address,uint256)", &[], &[PUBLIC]);
    chain.rule(token, &rules);
    let approve = input("approve(address,uint256)", &[BOB.into_word(), B256::with_last_byte(1)]);
    assert!(chain.send(ALICE, token, transfer(BOB, 1)));
    assert!(!chain.send(ALICE, token, approve.clone()));
    // `fallback` says what becomes of all that are not named.
    chain.rule(token, &Change::default().function(FALLBACK, &[], &[PUBLIC]));
    assert!(chain.send(ALICE, token, approve));
}
