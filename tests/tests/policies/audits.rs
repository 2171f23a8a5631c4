//! Audits: of a contract's blocks to come by its owner, of what has passed by the members.

use std::process::Command;

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use cloister_access::{Caller, Resource};
use cloister_primitives::{Height, VISIBILITY_ADDRESS};
use cloister_tests::node::{Node, NodeOptions, Target, binary, run_cloister};
use cloister_tests::tools::{test_artifact, test_artifact_path};
use cloister_tests::transactions::signer;
use serde_json::{Value, json};

use crate::chain::{
    ALICE, AUDITOR as AUDIT, BOB, CAROL, Chain, Change, PUBLIC, balance_of, forwarded, forwarder, input,
};
use crate::node::{ALICE as ALICE_NODE, AUDITOR as AUDITOR_NODE, BOB as BOB_NODE, CAROL as CAROL_NODE, Ledger, path};
use crate::{token, transfer};

fn audited_rules() -> Change {
    Change::default()
        .named("balanceOf(address)", &[AUDIT], &[AUDIT])
        .named("transfer(address,uint256)", &[], &[PUBLIC])
        .event("Transfer(address,address,uint256)", &[AUDIT])
        .facts([AUDIT, [0; 2], [0; 2]])
}

fn runs(chain: &mut Chain, token: Address) -> u64 {
    assert!(chain.send(ALICE, token, transfer(BOB, 1)));
    chain.head().header.number
}

/// Whether Carol, as the auditor of a token, is told of a block, in each of the ways to ask.
fn is_told(chain: &Chain, token: Address, height: u64) -> bool {
    let auditor = chain.auditor(CAROL, token);
    let asked = chain.ask_as(&auditor, Height(height), Some(token), balance_of(BOB)).is_some();
    let access = chain.access(&chain.state.view(Height(height)).expect("it is kept"));
    let storage = access.view(&auditor, Resource::Storage(token)).is_visible();
    assert_eq!((storage, chain.sees_log(&auditor, height)), (asked, asked), "{height}");
    asked
}

#[test]
fn an_auditor_sees_the_blocks_of_his_audit_until_it_ends() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let rules = audited_rules();
    chain.rule(token, &rules);
    let early = runs(&mut chain, token);
    // The change stands in the second block from here.
    let (granted, until) = (chain.head().header.number + 2, chain.head().header.timestamp + 8);
    let (first, last) = (granted + 2, granted + 3);
    let audit = |first: u64, until: u64| Change { audits: vec![(CAROL, [first, last, until])], ..rules.clone() };
    chain.rule(token, &audit(first, until));
    assert_eq!([granted + 1, first, last].map(|_| runs(&mut chain, token)), [granted + 1, first, last]);
    let late = runs(&mut chain, token);
    let told = |chain: &Chain, heights: &[u64]| -> Vec<bool> {
        heights.iter().map(|height| is_told(chain, token, *height)).collect()
    };
    assert_eq!(told(&chain, &[early, first, last, late]), [false, true, true, false]);
    // Her session alone tells her nothing, and nobody else audits.
    let session = Caller::Session([CAROL].into());
    assert_eq!(chain.ask_as(&session, Height(first), Some(token), balance_of(BOB)), None);
    assert!(!chain.sees_log(&session, first) && !chain.sees_log(&chain.auditor(BOB, token), first));
    // Audits are questions: a transaction of hers learns nothing, and a contract in between neither.
    assert!(!chain.send(CAROL, forwarder(0xfa), forwarded(token, &balance_of(BOB))));
    chain.wait_s(5);
    runs(&mut chain, token);
    assert_eq!(told(&chain, &[first, last]), [false, false], "it is over");
    // It may go on, but not begin earlier: what was nobody's stays so.
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, audit(early, u64::MAX).input(token)));
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, audit(first, u64::MAX).input(token)));
    assert_eq!(told(&chain, &[early, first, last, late]), [false, true, true, false]);
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, audit(early, 0).input(token)), "it is taken away");
    assert_eq!(told(&chain, &[first]), [false]);
}

fn use_audit(contract: Address, [first, last, reads]: [u64; 3]) -> Bytes {
    let words = [contract.into_word(), U256::from(first).into(), U256::from(last).into(), U256::from(reads).into()];
    input("useAudit(address,uint64,uint64,uint32)", &words)
}

fn approve(contract: Address, auditor: Address, [first, last, until]: [u64; 3]) -> Bytes {
    let selector = &keccak256("approveAudit(address,(address,uint64,uint64,uint64))")[..4];
    [selector, &(contract, (auditor, first, last, until)).abi_encode_params()].concat().into()
}

#[test]
fn what_was_not_granted_is_not_used() {
    let mut chain = Chain::new();
    let token = token(&mut chain);
    let first = chain.head().header.number + 3;
    let until = chain.head().header.timestamp + 20;
    chain.rule(token, &Change { audits: vec![(CAROL, [first, first + 9, until])], ..audited_rules() });
    let says =
        |chain: &mut Chain, who: Address, about: [u64; 3]| chain.send(who, VISIBILITY_ADDRESS, use_audit(token, about));
    assert!(says(&mut chain, CAROL, [first, first + 9, 1]));
    let logs = chain.head().receipts[0].logs().to_vec();
    // To the contract's owner, the auditor, and, without a name, all members.
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[0].topics()[1..], [token, CAROL, ALICE].map(|account| account.into_word()));
    assert_eq!(logs[1].topics().len(), 1);
    for wrong in [[first - 1, first, 1], [first, first + 10, 1], [first + 1, first, 1], [first, first, 0]] {
        assert!(!says(&mut chain, CAROL, wrong), "{wrong:?}");
    }
    assert!(!says(&mut chain, BOB, [first, first, 1]));
    assert!(!chain.send(CAROL, VISIBILITY_ADDRESS, use_audit(Address::ZERO, [first, first, 1])));
    chain.wait_s(30);
    assert!(!says(&mut chain, CAROL, [first, first, 1]), "it is over");
}

#[test]
fn most_members_together_open_the_past_and_nobody_else_does() {
    let mut chain = Chain::with_members(&[ALICE, BOB, CAROL]);
    let token = token(&mut chain);
    // Its rules never spoke of audits.
    let rules = Change::default()
        .named("transfer(address,uint256)", &[], &[PUBLIC])
        .event("Transfer(address,address,uint256)", &[]);
    chain.rule(token, &rules);
    let past = runs(&mut chain, token);
    let opened = |chain: &Chain| chain.sees_log(&chain.auditor(CAROL, token), past);
    let grant = [0, past, u64::MAX];
    let stranger = forwarder(0xf1);
    assert!(!chain.send(ALICE, stranger, forwarded(VISIBILITY_ADDRESS, &approve(token, CAROL, grant))), "no member");
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, approve(token, CAROL, grant)));
    assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, approve(token, CAROL, grant)), "one member, one vote");
    assert!(chain.send(CAROL, VISIBILITY_ADDRESS, approve(token, CAROL, [0, past, 1 << 40])), "another audit");
    assert!(!opened(&chain), "one of three");
    assert!(chain.send(BOB, VISIBILITY_ADDRESS, approve(token, CAROL, grant)));
    chain.rule(token, &Change::default().named("transfer(address,uint256)", &[], &[PUBLIC]));
    assert!(!opened(&chain), "today's rule of the event still admits nobody");
    let lifted = Change { events: vec![(keccak256("Transfer(address,address,uint256)"), B256::ZERO)], ..rules };
    chain.rule(token, &lifted);
    assert!(opened(&chain));
    assert!(!chain.sees_log(&Caller::Session([CAROL].into()), past), "not without the audit");
    // It is theirs: neither prolonged nor taken away by the owner, and by them only together.
    for until in [0, u64::MAX] {
        let change = Change { audits: vec![(CAROL, [0, past, until])], ..Change::default() };
        assert!(!chain.send(ALICE, VISIBILITY_ADDRESS, change.input(token)), "{until}");
    }
    assert!(chain.send(ALICE, VISIBILITY_ADDRESS, approve(token, CAROL, [0, 0, 0])));
    assert!(opened(&chain));
    assert!(chain.send(BOB, VISIBILITY_ADDRESS, approve(token, CAROL, [0, 0, 0])));
    assert!(!opened(&chain));
    // What was approved before they decided does not count any more.
    assert!(chain.send(BOB, VISIBILITY_ADDRESS, approve(token, CAROL, [0, past, 1 << 40])));
    assert!(!opened(&chain));
    // At address zero it is the whole ledger.
    let everything = |chain: &Chain| chain.auditor(CAROL, Address::ZERO);
    for member in [ALICE, CAROL] {
        assert!(chain.send(member, VISIBILITY_ADDRESS, approve(Address::ZERO, CAROL, grant)));
    }
    assert!(chain.sees_log(&everything(&chain), past));
    let access = chain.access(&chain.state.view(Height(past)).expect("it is kept"));
    for resource in [Resource::Proof(token), Resource::Storage(token), Resource::Account(BOB)] {
        assert!(access.view(&everything(&chain), resource).is_visible(), "{resource:?}");
        assert!(
            !access.view(&chain.auditor(BOB, Address::ZERO), resource).is_visible()
                || resource == Resource::Account(BOB)
        );
    }
    let late = chain.access(&chain.view());
    assert!(!late.view(&everything(&chain), Resource::Proof(token)).is_visible(), "only up to that block");
}

/// The auditor's own commands.
struct Auditor {
    url: String,
    who: usize,
}

impl Auditor {
    /// What `cloister audit` says; `None` where it fails.
    fn run(&self, action: &str, arguments: &[&str]) -> Result<String, String> {
        let key = hex::encode(signer(self.who).to_bytes());
        let own = ["audit", action, "--url", &self.url, "--key", &key];
        run_cloister(&[&own, arguments].concat()).map_err(|failure| failure.output)
    }
}

/// What `cloister audit list` shows somebody.
fn list(ledger: &Ledger, who: usize) -> String {
    let output = Command::new(binary("cloister"))
        .args(["audit", "list", "--url", &ledger.node.http_url()])
        .env("CLOISTER_TOKEN", &ledger.tokens[who])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn asked(contract: Address, method: &str, params: Value) -> Value {
    json!([contract, method, params])
}

/// A coin of Alice's that Carol audits in ten blocks to come; and the first of these.
fn audited_coin(ledger: &mut Ledger) -> (Address, u64) {
    let interface = test_artifact_path("Standards", "Coin");
    let coin = ledger.create(test_artifact("Standards", "Coin").bytecode.into(), "erc20.json", &interface);
    let alice = ledger.address(ALICE_NODE);
    let words = [alice.into_word(), U256::from(1_000).into()];
    assert!(ledger.run(ALICE_NODE, coin, input("initialize(address,uint256)", &words)));
    let head = ledger.expect(ALICE_NODE, "eth_blockNumber", &json!([]));
    let head = u64::from_str_radix(head.as_str().expect("a number").trim_start_matches("0x"), 16).expect("a number");
    // The change is in the next block, and about those after it.
    let first = head + 2;
    let carol = ledger.address(CAROL_NODE);
    let audit = format!("{carol}={first}..{}@{}", first + 9, u32::MAX);
    ledger.apply("erc20.json", &interface, coin, &["--audit", &audit]);
    (coin, first)
}

#[test]
fn an_audit_is_answered_once_the_ledger_says_that_it_will_be_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::governed(Target::Dev, folder.path());
    let (coin, first) = audited_coin(&mut ledger);
    let bob = ledger.address(BOB_NODE);
    assert!(ledger.run(ALICE_NODE, coin, transfer(bob, 5)));
    let at = format!("{first:#x}");
    let question = asked(coin, "eth_call", json!([{ "to": coin, "data": balance_of(bob) }, at]));
    let refusal = |ledger: &Ledger, who: usize, question: &Value| {
        let error = ledger.call(who, "cloister_audit", question).expect_err("it is refused");
        assert_eq!(error.code, -32047, "{}", error.message);
        error.message
    };
    let said = refusal(&ledger, CAROL_NODE, &question);
    assert!(said.contains("not in use"), "{said}");
    // Who audits nothing hears the same of every contract.
    let nowhere = asked(Address::repeat_byte(0x77), "eth_getBalance", json!([bob, "latest"]));
    for who in [BOB_NODE, AUDITOR_NODE] {
        assert_eq!(refusal(&ledger, who, &question), refusal(&ledger, who, &nowhere));
    }
    assert_eq!(refusal(&ledger, CAROL_NODE, &nowhere), refusal(&ledger, BOB_NODE, &question));

    let carol = Auditor { url: ledger.node.http_url(), who: CAROL_NODE };
    let (contract, last) = (coin.to_string(), first + 9);
    let blocks = format!("{first}..{last}");
    let call = question[2].to_string();
    let about = ["--contract", &contract, "--blocks", &blocks];
    let answer = carol.run("use", &[&about[..], &["eth_call", &call]].concat()).expect("it is answered");
    assert!(answer.contains(&format!("{}", B256::from(U256::from(5)))), "{answer}");
    assert!(refusal(&ledger, CAROL_NODE, &question).contains("have been made"), "one was said");
    let earlier = format!("{}..{last}", first - 1);
    let refused = carol.run("use", &["--contract", &contract, "--blocks", &earlier]).expect_err("it is not granted");
    assert!(refused.contains("no audit that is granted"), "{refused}");

    // In one use, other methods; and nothing else than what it is about.
    carol.run("use", &[&about[..], &["--reads", "4"]].concat()).expect("it is said");
    let ask = |ledger: &Ledger, method: &str, params: Value| {
        ledger.expect(CAROL_NODE, "cloister_audit", &asked(coin, method, params))
    };
    let filter = json!([{ "address": coin, "fromBlock": "0x0", "toBlock": "latest" }]);
    let logs = ask(&ledger, "eth_getLogs", filter.clone());
    assert_eq!(logs.as_array().map(Vec::len), Some(1), "{logs}");
    let hash = logs[0]["transactionHash"].clone();
    let seen = ask(&ledger, "eth_getTransactionByHash", json!([hash]));
    assert_eq!((&seen["to"], &seen["nonce"]), (&json!(format!("{coin:#x}")), &json!("0x0")), "{seen}");
    let traced = ask(&ledger, "debug_traceTransaction", json!([hash, { "tracer": "callTracer" }]));
    assert_eq!((&traced["input"], &traced["gasUsed"]), (&json!(transfer(bob, 5)), &json!("0x0")), "{traced}");
    let proof = ledger.call(CAROL_NODE, "cloister_audit", &asked(coin, "eth_getProof", json!([coin, [], at])));
    assert_eq!(proof.expect_err("of the whole ledger alone").code, -32601);
    assert_eq!(ledger.expect(CAROL_NODE, "eth_getLogs", &filter), json!([]), "not without saying so");

    // The owner reads who asked about what; members, that somebody did; others nothing.
    let owner = list(&ledger, ALICE_NODE);
    let auditor = ledger.address(CAROL_NODE);
    assert!(owner.contains(&format!("granted: {auditor} audits {coin}, blocks {first} to {last}")), "{owner}");
    assert!(
        owner.contains(&format!("used: {auditor} asks about {coin}, blocks {first} to {last}, reads 4")),
        "{owner}"
    );
    let member = list(&ledger, BOB_NODE);
    assert!(member.contains("so far 2 uses") && !member.contains(&auditor.to_string()), "{member}");
    assert_eq!(list(&ledger, AUDITOR_NODE), "");
}

#[test]
fn an_export_is_whole_and_goes_on_where_it_was_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::governed(Target::Dev, folder.path());
    let (coin, first) = audited_coin(&mut ledger);
    let bob = ledger.address(BOB_NODE);
    for amount in 1..=3 {
        assert!(ledger.run(ALICE_NODE, coin, transfer(bob, amount)));
    }
    let carol = Auditor { url: ledger.node.http_url(), who: CAROL_NODE };
    let out = folder.path().join("audit");
    let (contract, last) = (coin.to_string(), first + 2);
    let blocks = format!("{first}..{last}");
    let arguments = ["--contract", &contract, "--blocks", &blocks, "--out", path(&out)];
    let said = carol.run("export", &arguments).expect("it is exported");
    assert!(said.contains("section 1 of 1"), "{said}");
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("it was written");
    let manifest: Value = serde_json::from_str(&read("manifest.json")).expect("JSON");
    let file = &manifest["files"][0];
    let name = file["name"].as_str().expect("a name");
    let text = read(name);
    assert_eq!(file["sha256"], hex::encode(cloister_crypto::sha256(text.as_bytes())));
    let kinds = |kind: &str| text.lines().filter(|line| line.starts_with(&format!("{{\"kind\":\"{kind}\""))).count();
    assert_eq!(["block", "transaction", "receipt", "log"].map(kinds), [3, 3, 3, 3], "{text}");
    assert_eq!(manifest["uses"].as_array().map(Vec::len), Some(1));
    assert!(carol.run("export", &arguments).expect_err("it is complete").contains("is complete"));
    // What is there is not asked for again.
    std::fs::remove_file(out.join("manifest.json")).expect("it was there");
    carol.run("export", &arguments).expect("it goes on");
    let again: Value = serde_json::from_str(&read("manifest.json")).expect("JSON");
    assert_eq!((&again["files"], &again["uses"]), (&manifest["files"], &json!([])));
    let other = ["--contract", &contract, "--blocks", "9..9", "--out", path(&out)];
    assert!(carol.run("export", &other).is_err());
}

#[test]
fn members_grant_the_whole_ledger_and_proofs_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::governed(Target::Dev, folder.path());
    let bob = ledger.address(BOB_NODE);
    assert_eq!(ledger.send(ALICE_NODE, TxKind::Call(bob), Bytes::new())["status"], "0x1");
    let auditor = ledger.address(AUDITOR_NODE);
    let grant = approve(Address::ZERO, auditor, [0, 1_000, u64::from(u32::MAX)]);
    assert!(!ledger.run(AUDITOR_NODE, VISIBILITY_ADDRESS, grant.clone()), "he is no member");
    let says = Auditor { url: ledger.node.http_url(), who: AUDITOR_NODE };
    assert!(ledger.run(ALICE_NODE, VISIBILITY_ADDRESS, grant.clone()));
    assert!(says.run("use", &["--blocks", "0..1000"]).is_err(), "one of three");
    assert!(ledger.run(BOB_NODE, VISIBILITY_ADDRESS, grant));
    assert!(list(&ledger, CAROL_NODE).contains("approved by"), "members read what members approve");
    says.run("use", &["--blocks", "0..1000", "--reads", "3"]).expect("it is granted");
    let ask = |method: &str, params: Value| {
        ledger.expect(AUDITOR_NODE, "cloister_audit", &asked(Address::ZERO, method, params))
    };
    let proof = ask("eth_getProof", json!([bob, [], "latest"]));
    assert_eq!(proof["balance"], "0xde0b6b3a7640000");
    assert_ne!(proof["accountProof"], json!([]));
    let block = ask("eth_getBlockByNumber", json!(["0x1", true]));
    assert_eq!(block["transactions"][0]["to"], json!(format!("{bob:#x}")));
    assert_eq!(ask("eth_getBalance", json!([bob, "latest"])), "0xde0b6b3a7640000");
    for method in ["eth_getProof", "eth_createAccessList"] {
        let error = ledger.call(AUDITOR_NODE, method, &json!([bob, [], "latest"])).expect_err("not by itself");
        assert_eq!(error.code, -32601);
    }
}

#[test]
fn a_restart_asks_auditors_to_say_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("data");
    let kept = |extra: Vec<String>| NodeOptions { datadir: Some(datadir.clone()), extra, ..NodeOptions::default() };
    let genesis = folder.path().join("genesis.json");
    let mut ledger = Ledger::governed(Target::Dev, folder.path());
    let node = Node::start(Target::Dev, &kept(vec!["--genesis".into(), path(&genesis).to_owned()]));
    ledger.moves_to(node);
    let (coin, first) = audited_coin(&mut ledger);
    let about = (coin.to_string(), format!("{first}..{first}"));
    let use_it = |ledger: &Ledger, reads: &str| {
        let carol = Auditor { url: ledger.node.http_url(), who: CAROL_NODE };
        carol.run("use", &["--contract", &about.0, "--blocks", &about.1, "--reads", reads]).expect("it is said");
    };
    let question = asked(coin, "eth_getLogs", json!([{ "address": coin }]));
    use_it(&ledger, "100");
    assert!(ledger.call(CAROL_NODE, "cloister_audit", &question).is_ok());
    ledger.node.kill_now();
    ledger.moves_to(Node::start(Target::Dev, &kept(vec![])));
    let error = ledger.call(CAROL_NODE, "cloister_audit", &question).expect_err("nobody counted");
    assert!(error.message.contains("not in use"), "{}", error.message);
    assert!(list(&ledger, ALICE_NODE).contains("reads 100"), "the record is on the ledger");
    use_it(&ledger, "1");
    assert!(ledger.call(CAROL_NODE, "cloister_audit", &question).is_ok());
}
