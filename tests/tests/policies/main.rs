//! Contracts' own rules on a confidential chain: who is answered what, and ways around that must not be ways.

mod attacks;
mod audits;
mod bill_of_lading;
mod chain;
mod custom;
mod node;
mod ownership;
mod standards;
mod traces;

use std::io::Write as _;
use std::process::{Command, Stdio};

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use chain::{
    ALICE, BOB, CAROL, Chain, Change, FALLBACK, OWNER, PROBE, PROBE_CODE, PUBLIC, RECEIVE, SESSION, argument,
    balance_of, forwarded, forwarder, forwarder_code, initcode, input, role,
};
use cloister_access::{Caller, Resource};
use cloister_primitives::{NODES_CODE, VISIBILITY_ADDRESS, VISIBILITY_CODE};
use cloister_tests::repository;
use cloister_tests::tools::{artifact, node_modules};
use serde_json::{Value, json};

/// A token of Alice's, with the rules that are said of it.
fn token(chain: &mut Chain) -> Address {
    let arguments = ("Token".to_owned(), "TOK".to_owned(), U256::from(1_000_000)).abi_encode_params();
    let creation = [artifact("Token").bytecode, arguments].concat();
    chain.create(creation.into())
}

fn token_rules() -> Change {
    Change::default()
        .named("balanceOf(address)", &[argument(0), role(7)], &[argument(0), role(7)])
        .named("allowance(address,address)", &[argument(0), argument(1)], &[argument(0), argument(1)])
        .named("name()", &[PUBLIC], &[PUBLIC])
        .named("totalSupply()", &[SESSION], &[SESSION])
        .named("owner()", &[OWNER], &[OWNER])
        .named("transfer(address,uint256)", &[], &[PUBLIC])
        .event("Transfer(address,address,uint256)", &[argument(0x81), argument(0x82)])
}

fn transfer(to: Address, amount: u64) -> Bytes {
    input("transfer(address,uint256)", &[to.into_word(), U256::from(amount).into()])
}

fn word(number: u64) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(B256::from(U256::from(number)).as_slice()))
}

#[test]
fn a_contract_without_rules_answers_nobody_and_runs_for_everybody() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    assert!(chain.send(ALICE, token, transfer(BOB, 5)));
    for who in [ALICE, BOB, CAROL] {
        assert_eq!(chain.ask(who, token, balance_of(who)), None);
        assert_eq!(chain.ask(who, token, input("name()", &[])), None);
    }
}

#[test]
fn an_unmodified_token_tells_each_holder_his_own_balance() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    chain.rule(token, &token_rules());
    assert!(chain.send(ALICE, token, transfer(BOB, 5)));

    assert_eq!(chain.ask(BOB, token, balance_of(BOB)), word(5));
    assert_eq!(chain.ask(ALICE, token, balance_of(ALICE)), word(999_995));
    for (who, whose) in [(ALICE, BOB), (CAROL, BOB), (BOB, ALICE), (BOB, token)] {
        assert_eq!(chain.ask(who, token, balance_of(whose)), None, "{who} about {whose}");
    }
    let allowance = |owner: Address, spender: Address| {
        input("allowance(address,address)", &[owner.into_word(), spender.into_word()])
    };
    assert_eq!(chain.ask(ALICE, token, allowance(ALICE, BOB)), word(0));
    assert_eq!(chain.ask(BOB, token, allowance(ALICE, BOB)), word(0));
    assert_eq!(chain.ask(CAROL, token, allowance(ALICE, BOB)), None);
    assert_eq!(chain.ask(CAROL, token, input("totalSupply()", &[])), word(1_000_000));
    assert!(chain.ask(CAROL, token, input("owner()", &[])).is_none());
    assert!(chain.ask(ALICE, token, input("owner()", &[])).is_some());
    // Not on the list; and denied outside transactions.
    assert_eq!(chain.ask(ALICE, token, input("symbol()", &[])), None);
    assert_eq!(chain.ask(ALICE, token, transfer(BOB, 1)), None);
}

#[test]
fn a_role_is_granted_and_taken_away() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let grants = vec![(CAROL, U256::from(1 << 7)), (BOB, U256::from(1 << 6))];
    chain.rule(token, &Change { grants, ..token_rules() });
    assert_eq!(chain.ask(CAROL, token, balance_of(ALICE)), word(1_000_000));
    assert_eq!(chain.ask(BOB, token, balance_of(ALICE)), None, "another role");
    chain.rule(token, &Change { grants: vec![(CAROL, U256::ZERO)], ..Change::default() });
    assert_eq!(chain.ask(CAROL, token, balance_of(ALICE)), None);
}

#[test]
fn short_calldata_names_nobody_and_is_padded_with_zeros() {
    let mut chain = Chain::new();
    let echo = chain.create(initcode(&hex!("600160005260206000f3")));
    let rules = Change::default()
        .function(B256::right_padding_from(&hex!("aabbcc00")), &[OWNER], &[])
        .named("balanceOf(address)", &[argument(0)], &[])
        .function(RECEIVE, &[OWNER], &[])
        .function(FALLBACK, &[PUBLIC], &[]);
    chain.rule(echo, &rules);
    let asked = |who, input: &[u8]| chain.ask(who, echo, Bytes::copy_from_slice(input)).is_some();
    // An argument that is not there, not all there, or not an address is nobody's.
    let full = balance_of(BOB);
    assert!(asked(BOB, &full));
    for cut in [4, 5, 35] {
        assert!(!asked(BOB, &full[..cut]), "{cut}");
    }
    let mut dirty = full.to_vec();
    dirty[4] = 1;
    assert!(!asked(BOB, &dirty));
    // Three bytes may be taken for a selector that ends in zero: its rule holds, too.
    assert!(!asked(BOB, &hex!("aabbcc")) && asked(ALICE, &hex!("aabbcc")));
    assert!(!asked(BOB, &hex!("aabbcc00")));
    // No calldata is `receive`, everything else `fallback`.
    assert!(!asked(BOB, &[]) && asked(ALICE, &[]));
    assert!(asked(BOB, &[1]) && asked(BOB, &hex!("01020304")));
    // In transactions nobody was admitted to any of them.
    assert!(!chain.send(BOB, echo, Bytes::from_static(&[1])));
}

#[test]
fn no_contract_asks_in_somebody_elses_name() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    chain.rule(token, &token_rules());
    for opcode in [0xf1, 0xfa] {
        // In a transaction the contract in between is who asks; in a query it has no rules that would let it run.
        assert!(!chain.send(ALICE, forwarder(opcode), forwarded(token, &balance_of(ALICE))), "{opcode:x}");
        assert!(chain.send(ALICE, forwarder(opcode), forwarded(token, &balance_of(forwarder(opcode)))));
        assert!(!chain.send(ALICE, forwarder(opcode), forwarded(token, &input("totalSupply()", &[]))));
        assert!(chain.send(ALICE, forwarder(opcode), forwarded(token, &input("name()", &[]))));
        assert_eq!(chain.ask(ALICE, forwarder(opcode), forwarded(token, &input("name()", &[]))), None);
    }
    // Initcode asks as the contract that it makes; it answers whether it was answered.
    let initcode = |asked: &Bytes| -> Bytes {
        let size = u8::try_from(asked.len()).expect("a short question");
        let mut code = vec![0x60, size, 0x60, 0, 0x5f, 0x39, 0x5f, 0x5f, 0x60, size, 0x5f, 0x73];
        code.extend(token);
        code.extend(hex!("5afa5f5260205ff3"));
        code[3] = u8::try_from(code.len()).expect("short code");
        [code.as_slice(), asked].concat().into()
    };
    let head = chain.head().height();
    assert_eq!(chain.ask_at(head, ALICE, None, initcode(&balance_of(ALICE))), word(0), "refused inside");
    assert_eq!(chain.ask_at(head, ALICE, None, initcode(&input("name()", &[]))), word(1), "public");
}

#[test]
fn delegated_frames_check_what_is_listed_and_inherit_the_rest() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    for opcode in [0xf4, 0xf2] {
        let proxy = chain.create(initcode(&forwarder_code(opcode)));
        let rules = Change::default().named("balanceOf(address)", &[argument(0)], &[argument(0)]).function(
            FALLBACK,
            &[PUBLIC],
            &[PUBLIC],
        );
        chain.rule(proxy, &rules);
        let asked = |who, input: &[u8]| chain.ask(who, proxy, forwarded(token, input));
        // Not listed: the proxy was admitted, so what it delegates to is.
        assert_eq!(asked(BOB, &input("totalSupply()", &[])), word(0), "{opcode:x}");
        // Listed: packing it into another call changes nothing. CALLCODE asks as the contract itself.
        let own = if opcode == 0xf4 { word(0) } else { None };
        assert_eq!(asked(BOB, &balance_of(BOB)), own, "{opcode:x}");
        assert_eq!(asked(BOB, &balance_of(ALICE)), None, "{opcode:x}");
    }
}

#[test]
fn a_contract_may_call_itself() {
    let mut chain = Chain::new();
    for opcode in [0xf1, 0xfa] {
        let contract = chain.create(initcode(&forwarder_code(opcode)));
        // Whom it calls in turn is a precompile: that copies what it is given.
        let identity = Address::with_last_byte(4);
        let rules = Change::default()
            .function(B256::right_padding_from(&forwarded(contract, &[])[..4]), &[PUBLIC], &[])
            .function(FALLBACK, &[OWNER], &[]);
        chain.rule(contract, &rules);
        // The EVM ignores what stands before an address, so this names another function.
        let mut inner = forwarded(identity, b"said").to_vec();
        inner[0] = 0xff;
        let inner = Bytes::from(inner);
        assert_eq!(chain.ask(BOB, contract, inner.clone()), None, "{opcode:x}: not from outside");
        let itself = forwarded(contract, &inner);
        assert_eq!(chain.ask(BOB, contract, itself), Some(Bytes::from_static(b"said")), "{opcode:x}");
    }
}

#[test]
fn denied_code_is_delegated_to_by_listed_proxies_only() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let delegates = |chain: &mut Chain| chain.send(BOB, forwarder(0xf4), forwarded(token, &input("name()", &[])));
    assert!(delegates(&mut chain), "it has no rules yet");
    chain.rule(token, &token_rules());
    assert!(!delegates(&mut chain));
    chain.rule(token, &Change { delegations: vec![(forwarder(0xf4), true)], ..Change::default() });
    assert!(delegates(&mut chain));
    chain.rule(token, &Change { delegations: vec![(forwarder(0xf4), false)], ..Change::default() });
    assert!(!delegates(&mut chain));
    chain.rule(token, &Change::default().facts([[0; 2], PUBLIC, [0; 2]]));
    assert!(delegates(&mut chain));
}

#[test]
fn code_and_balances_are_not_to_be_probed() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let probe = chain.create(initcode(&PROBE_CODE));
    chain.rule(token, &token_rules());
    chain.rule(probe, &Change::default().function(FALLBACK, &[PUBLIC], &[PUBLIC]));
    let probed = |chain: &Chain, account: Address| {
        chain.ask(BOB, probe, Bytes::copy_from_slice(account.into_word().as_slice())).expect("it answers")
    };
    let nothing = Bytes::from(vec![0; 128]);
    for account in [ALICE, token, PROBE, VISIBILITY_ADDRESS, Address::repeat_byte(0x77)] {
        assert_eq!(probed(&chain, account), nothing, "{account}");
    }
    assert_ne!(probed(&chain, probe), nothing, "itself");
    chain.rule(token, &Change::default().facts([[0; 2], PUBLIC, [0; 2]]));
    assert_ne!(probed(&chain, token), nothing);
    let access = chain.access(&chain.view());
    let stranger = Caller::Session([CAROL].into());
    assert!(access.view(&Caller::Anonymous, Resource::Code(token)).is_visible());
    assert!(!access.view(&stranger, Resource::Storage(token)).is_visible());
    assert!(!access.view(&stranger, Resource::Account(token)).is_visible());
    assert!(!access.view(&stranger, Resource::Code(PROBE)).is_visible(), "it has no rules");
}

#[test]
fn refusals_cost_the_same_whatever_is_behind_them() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    chain.rule(token, &token_rules());
    chain.send(ALICE, token, transfer(BOB, 5));
    let mut cost = |whose: Address| {
        assert!(!chain.send(CAROL, forwarder(0xf1), forwarded(token, &balance_of(whose))));
        chain.head().receipts[0].cumulative_gas_used()
    };
    // Of the same number of bytes that are not zero.
    assert_eq!(cost(BOB), cost(Address::repeat_byte(0x77)));
}

#[test]
fn rules_hold_from_the_next_block() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    chain.rule(token, &token_rules());
    let shut = Change::default().named("transfer(address,uint256)", &[], &[]);
    let to = TxKind::Call;
    let block = [(ALICE, to(VISIBILITY_ADDRESS), shut.input(token)), (ALICE, to(token), transfer(BOB, 1))];
    assert_eq!(chain.mine(&block), [true, true]);
    assert!(!chain.send(ALICE, token, transfer(BOB, 1)));
}

#[test]
fn the_past_is_not_opened_and_can_be_closed() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    chain.rule(token, &token_rules());
    let before = chain.head().height();
    let narrower = Change::default().named("balanceOf(address)", &[OWNER], &[]);
    chain.rule(token, &narrower);
    let narrow = chain.head().height();
    assert_eq!(chain.ask_at(before, BOB, Some(token), balance_of(BOB)), None, "today's rule holds for the past");
    let wider = Change::default().named("balanceOf(address)", &[PUBLIC], &[]);
    chain.rule(token, &wider);
    assert_eq!(chain.ask_at(before, BOB, Some(token), balance_of(BOB)), word(0));
    assert_eq!(chain.ask_at(before, BOB, Some(token), balance_of(ALICE)), None, "the past's rule holds, too");
    assert_eq!(chain.ask_at(narrow, BOB, Some(token), balance_of(BOB)), None);
    assert_eq!(chain.ask(BOB, token, balance_of(ALICE)), word(1_000_000));
}

#[test]
fn a_log_is_shown_if_its_blocks_rule_and_todays_allow_it() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let log = |chain: &mut Chain| {
        assert!(chain.send(ALICE, token, transfer(BOB, 1)));
        chain.head().header.number
    };
    let transfer = "Transfer(address,address,uint256)";
    let unruled = log(&mut chain);
    assert_eq!(chain.see_log(unruled), [ALICE, BOB], "without a rule it is the topics' accounts");
    let runs = Change::default().named("transfer(address,uint256)", &[], &[PUBLIC]);
    chain.rule(token, &runs.event(transfer, &[PUBLIC]));
    let public = log(&mut chain);
    assert_eq!(chain.see_log(public), [ALICE, BOB, CAROL]);
    assert_eq!(chain.see_log(unruled), [ALICE, BOB], "a rule does not open the past");
    chain.rule(token, &Change::default().event(transfer, &[argument(0x82)]));
    let received = log(&mut chain);
    for height in [unruled, public, received] {
        assert_eq!(chain.see_log(height), [BOB], "{height}");
    }
    // The block that changes the rule still has the one before.
    let change = Change::default().event(transfer, &[PUBLIC]).input(token);
    let block =
        [(ALICE, TxKind::Call(VISIBILITY_ADDRESS), change), (ALICE, TxKind::Call(token), self::transfer(BOB, 1))];
    assert_eq!(chain.mine(&block), [true, true]);
    let changing = chain.head().header.number;
    assert_eq!(chain.see_log(changing), [BOB]);
    assert_eq!(chain.see_log(received), [BOB]);
    assert_eq!(chain.see_log(public), [ALICE, BOB, CAROL]);
    chain.rule(token, &Change::default().event(transfer, &[]));
    assert!(chain.see_log(public).is_empty());
}

#[test]
fn the_checked_in_code_is_what_the_source_compiles_to() {
    for (name, evm_version, code) in [("Visibility", "osaka", &VISIBILITY_CODE), ("Nodes", "london", &NODES_CODE)] {
        let file = format!("crates/primitives/src/predeploys/{}.hex", name.to_lowercase());
        assert_eq!(compiled(name, evm_version), hex::encode(code), "put it in {file}");
    }
}

/// The code of a system contract, in hex.
fn compiled(name: &str, evm_version: &str) -> String {
    let file = format!("{name}.sol");
    let source = std::fs::read_to_string(repository().join("contracts/system").join(&file)).expect("the source");
    let request = json!({
        "language": "Solidity",
        "sources": { &file: { "content": source } },
        "settings": {
            "evmVersion": evm_version,
            "optimizer": { "enabled": true, "runs": 200 },
            "metadata": { "bytecodeHash": "none", "appendCBOR": false },
            "outputSelection": { "*": { "*": ["evm.deployedBytecode.object"] } },
        },
    });
    let mut compiler = Command::new(repository().join("scripts/solc-wrapper"))
        .arg("--standard-json")
        .env("CLOISTER_NODE_MODULES", node_modules())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the compiler starts");
    let mut stdin = compiler.stdin.take().expect("it is piped");
    stdin.write_all(request.to_string().as_bytes()).expect("the compiler reads");
    drop(stdin);
    let output = compiler.wait_with_output().expect("the compiler ends");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it answers JSON");
    let code = &answer["contracts"][&file][name]["evm"]["deployedBytecode"]["object"];
    code.as_str().expect("it compiles").to_owned()
}
