//! The shipped policies on OpenZeppelin's contracts as they are, on a node, by accounts that signed in.

use std::path::PathBuf;

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use cloister_primitives::{DETERMINISTIC_DEPLOYER_ADDRESS, MULTICALL3_ADDRESS, VISIBILITY_ADDRESS};
use cloister_tests::node::{CHAIN_ID, Target, run_cloister};
use cloister_tests::repository;
use cloister_tests::sign_in::exchange;
use cloister_tests::tools::{Workspace, compiled_contracts, test_artifact, test_artifact_path};
use serde_json::{Value, json};

use crate::chain::{balance_of, input};
use crate::node::{ALICE, AUDITOR, BOB, CAROL, EVERYBODY, Ledger, path};
use crate::{transfer, word};

fn code(contract: &str) -> Bytes {
    test_artifact("Standards", contract).bytecode.into()
}

fn interface(contract: &str) -> PathBuf {
    test_artifact_path("Standards", contract)
}

fn with_arguments(code: &Bytes, arguments: Vec<u8>) -> Bytes {
    [code.as_ref(), &arguments].concat().into()
}

fn number(number: u64) -> B256 {
    U256::from(number).into()
}

/// A contract by itself, or behind OpenZeppelin's proxy.
#[derive(Clone, Copy)]
enum Way {
    Plain,
    Proxy,
}

/// Creates a contract with the policy of a file, and has Alice set it up; the proxy does that in its constructor.
fn create(ledger: &mut Ledger, way: Way, contract: &str, file: &str, setup: Bytes) -> Address {
    match way {
        Way::Plain => {
            let created = ledger.create(code(contract), file, &interface(contract));
            assert!(ledger.run(ALICE, created, setup));
            created
        }
        Way::Proxy => {
            let implementation = ledger.deploy(code(contract));
            let proxy = with_arguments(&code("Proxy"), (implementation, setup).abi_encode_params());
            ledger.create(proxy, file, &interface(contract))
        }
    }
}

/// What gives all coins to an account.
fn initialize(holder: Address, supply: u64) -> Bytes {
    input("initialize(address,uint256)", &[holder.into_word(), number(supply)])
}

/// Allowances, balances and transfers of an ERC-20 are told those that they are about, and the auditor.
fn erc20(way: Way, contract: &str) -> (Ledger, Address) {
    let mut ledger = Ledger::start(Target::Dev);
    let (alice, bob) = (ledger.address(ALICE), ledger.address(BOB));
    let coin = create(&mut ledger, way, contract, "erc20.json", initialize(alice, 1_000));
    assert!(ledger.run(ALICE, coin, transfer(bob, 5)));

    assert_eq!(ledger.ask(BOB, coin, &balance_of(bob)), word(5));
    assert_eq!(ledger.ask(AUDITOR, coin, &balance_of(bob)), word(5));
    assert_eq!(ledger.answered(coin, &balance_of(bob)), [BOB, AUDITOR]);
    assert_eq!(ledger.answered(coin, &balance_of(alice)), [ALICE, AUDITOR]);
    assert_eq!(ledger.answered(coin, &input("totalSupply()", &[])), EVERYBODY);
    ledger.conceals(coin);
    assert_eq!(ledger.shown(coin, &json!("0x0")), [ALICE, BOB, AUDITOR]);

    let allowance = input("allowance(address,address)", &[bob.into_word(), ledger.address(CAROL).into_word()]);
    let approve = input("approve(address,uint256)", &[ledger.address(CAROL).into_word(), number(3)]);
    let receipt = ledger.send(BOB, TxKind::Call(coin), approve);
    assert_eq!(ledger.answered(coin, &allowance), [BOB, AUDITOR, CAROL]);
    assert_eq!(ledger.shown(coin, &receipt["blockNumber"]), [BOB, AUDITOR, CAROL]);
    let words = [bob.into_word(), alice.into_word(), number(3)];
    assert!(ledger.run(CAROL, coin, input("transferFrom(address,address,uint256)", &words)));
    assert_eq!(ledger.ask(BOB, coin, &balance_of(bob)), word(2));
    // What a wallet asks before it sends.
    let params = json!([{ "to": coin, "data": transfer(alice, 1) }]);
    assert!(ledger.call(BOB, "eth_estimateGas", &params).is_ok());
    let estimate = ledger.call(BOB, "eth_estimateGas", &json!([{ "to": coin, "data": balance_of(alice) }]));
    assert_eq!(estimate.expect_err("not his balance").data, Some(json!("0x")));
    (ledger, coin)
}

#[test]
fn an_erc20_by_itself() {
    let (ledger, coin) = erc20(Way::Plain, "Coin");
    // Nobody in particular is told what everybody may know, and no more.
    let anonymous = |data: Bytes| {
        let call = json!([{ "to": coin, "data": data }, "latest"]);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": call }).to_string();
        exchange(ledger.node.address(), "POST", "/", &[], &body).json()
    };
    assert!(anonymous(input("symbol()", &[]))["result"].is_string());
    for question in [input("totalSupply()", &[]), balance_of(Address::ZERO), balance_of(ledger.address(BOB))] {
        assert_eq!(anonymous(question)["error"]["data"], crate::node::NOT_AUTHORIZED);
    }
    // Its owner reads the rules back.
    let show = |token: &str| {
        let contract = coin.to_string();
        let url = ledger.node.http_url();
        let arguments = ["policy", "show", "--abi", path(&interface("Coin")), "--contract", &contract, "--url", &url]
            .map(str::to_owned);
        let output = std::process::Command::new(cloister_tests::node::binary("cloister"))
            .args(arguments)
            .env("CLOISTER_TOKEN", token)
            .output()
            .expect("it runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (is_shown, said) = show(&ledger.tokens[ALICE]);
    assert!(is_shown, "{said}");
    assert!(said.starts_with(&format!("owner: {}\ntimelock: 0 s\nfrozen: no\n", ledger.address(ALICE))), "{said}");
    assert!(said.contains("  query    caller == account or role 0 or auditor\n"), "{said}");
    let checked = run_cloister(&[
        "policy",
        "check",
        path(&repository().join("contracts/policies/erc20.json")),
        "--abi",
        path(&interface("Coin")),
    ]);
    let checked = checked.expect("the file fits");
    assert!(said.ends_with(&checked), "{said}\n\n{checked}");
    let (is_shown, said) = show(&ledger.tokens[BOB]);
    assert!(!is_shown && said.contains("rules are shown to their owner alone"), "{said}");
}

#[test]
fn an_erc20_behind_a_proxy() {
    let (mut ledger, coin) = erc20(Way::Proxy, "Coin");
    // Where a proxy's code is, is no secret.
    let slot = U256::from_be_bytes(keccak256("eip1967.proxy.implementation").0) - U256::from(1);
    let word = ledger.expect(CAROL, "eth_getStorageAt", &json!([coin, slot, "latest"]));
    let implementation = ledger.address(ALICE).create(0).into_word();
    assert_eq!(word, json!(implementation));
    // An upgrade keeps the rules; a function that they do not name is refused until they do.
    let implementation = ledger.deploy(code("PermitCoin"));
    let arguments = (implementation, Bytes::new()).abi_encode_params();
    let upgrade = [&keccak256("upgradeToAndCall(address,bytes)")[..4], &arguments].concat();
    assert!(ledger.run(ALICE, coin, upgrade.into()));
    let bob = ledger.address(BOB);
    assert_eq!(ledger.answered(coin, &balance_of(bob)), [BOB, AUDITOR]);
    let nonces = input("nonces(address)", &[bob.into_word()]);
    assert_eq!(ledger.answered(coin, &nonces), [] as [usize; 0]);
    ledger.apply("erc20.json", &interface("PermitCoin"), coin, &[]);
    assert_eq!(ledger.answered(coin, &nonces), [BOB, AUDITOR]);
}

#[test]
fn an_erc20_with_permits_and_batches() {
    let (mut ledger, coin) = erc20(Way::Plain, "PermitCoin");
    let (alice, bob) = (ledger.address(ALICE), ledger.address(BOB));
    assert_eq!(ledger.answered(coin, &input("nonces(address)", &[bob.into_word()])), [BOB, AUDITOR]);
    assert_eq!(ledger.answered(coin, &input("DOMAIN_SEPARATOR()", &[])), EVERYBODY);
    let batch = |calls: Vec<Bytes>| {
        let arguments = (calls,).abi_encode_params();
        Bytes::from([&keccak256("multicall(bytes[])")[..4], &arguments].concat())
    };
    let both = batch(vec![input("totalSupply()", &[]), balance_of(bob)]);
    let nested = batch(vec![batch(vec![balance_of(bob)])]);
    for asked in [&both, &nested] {
        let is_told = |who: usize| ledger.call(who, "eth_call", &json!([{ "to": coin, "data": asked }])).is_ok();
        assert_eq!(EVERYBODY.map(is_told), [false, true, true, false]);
    }
    assert!(ledger.run(BOB, coin, batch(vec![transfer(alice, 1), transfer(alice, 1)])));
    assert_eq!(ledger.ask(BOB, coin, &balance_of(bob)), word(0));
    permits(&mut ledger, coin);
}

/// Bob signs an approval that Carol brings.
fn permits(ledger: &mut Ledger, coin: Address) {
    let (bob, carol) = (ledger.address(BOB), ledger.address(CAROL));
    let separator = ledger.ask(BOB, coin, &input("DOMAIN_SEPARATOR()", &[])).expect("it is public");
    let kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    let deadline = number(u64::MAX);
    let permit = [kind, bob.into_word(), carol.into_word(), number(9), number(0), deadline];
    let digest = keccak256([b"\x19\x01", separator.as_ref(), keccak256(permit.concat()).as_slice()].concat());
    let signature =
        alloy::signers::SignerSync::sign_hash_sync(&ledger.accounts[BOB].signer, &digest).expect("a key signs");
    let words = [
        bob.into_word(),
        carol.into_word(),
        number(9),
        deadline,
        number(27 + u64::from(signature.v())),
        signature.r().into(),
        signature.s().into(),
    ];
    let brought = input("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", &words);
    assert!(ledger.run(CAROL, coin, brought));
    let allowance = input("allowance(address,address)", &[bob.into_word(), carol.into_word()]);
    assert_eq!(ledger.ask(CAROL, coin, &allowance), word(9));
    assert_eq!(ledger.answered(coin, &allowance), [BOB, AUDITOR, CAROL]);
}

fn erc721(way: Way) {
    let mut ledger = Ledger::start(Target::Dev);
    let (alice, bob, carol) = (ledger.address(ALICE), ledger.address(BOB), ledger.address(CAROL));
    let mint = input("mint(address,uint256)", &[bob.into_word(), number(7)]);
    let deeds = create(&mut ledger, way, "Deeds", "erc721.json", mint);
    assert_eq!(ledger.answered(deeds, &balance_of(bob)), [BOB, AUDITOR]);
    for asked in ["ownerOf(uint256)", "getApproved(uint256)", "tokenURI(uint256)"] {
        assert_eq!(ledger.answered(deeds, &input(asked, &[number(7)])), [AUDITOR], "{asked}");
    }
    assert_eq!(ledger.shown(deeds, &json!("0x0")), [BOB, AUDITOR]);
    ledger.conceals(deeds);
    let approve = input("approve(address,uint256)", &[carol.into_word(), number(7)]);
    let receipt = ledger.send(BOB, TxKind::Call(deeds), approve);
    assert_eq!(ledger.shown(deeds, &receipt["blockNumber"]), [BOB, AUDITOR, CAROL]);
    let words = [bob.into_word(), alice.into_word(), number(7)];
    assert!(ledger.run(CAROL, deeds, input("safeTransferFrom(address,address,uint256)", &words)));
    assert_eq!(ledger.ask(ALICE, deeds, &balance_of(alice)), word(1));
    let operator = input("isApprovedForAll(address,address)", &[bob.into_word(), carol.into_word()]);
    assert_eq!(ledger.answered(deeds, &operator), [BOB, AUDITOR, CAROL]);
    assert_eq!(ledger.answered(deeds, &input("name()", &[])), EVERYBODY);
}

#[test]
fn an_erc721_by_itself() {
    erc721(Way::Plain);
}

#[test]
fn an_erc721_behind_a_proxy() {
    erc721(Way::Proxy);
}

fn erc1155(way: Way) {
    let mut ledger = Ledger::start(Target::Dev);
    let (alice, bob, carol) = (ledger.address(ALICE), ledger.address(BOB), ledger.address(CAROL));
    let mint = input("mint(address,uint256,uint256)", &[bob.into_word(), number(7), number(4)]);
    let parts = create(&mut ledger, way, "Parts", "erc1155.json", mint);
    let balance = |of: Address| input("balanceOf(address,uint256)", &[of.into_word(), number(7)]);
    assert_eq!(ledger.ask(BOB, parts, &balance(bob)), word(4));
    assert_eq!(ledger.answered(parts, &balance(bob)), [BOB, AUDITOR]);
    let batch = (vec![bob], vec![U256::from(7)]).abi_encode_params();
    let batch = [&keccak256("balanceOfBatch(address[],uint256[])")[..4], &batch].concat();
    assert_eq!(ledger.answered(parts, &batch.into()), [AUDITOR]);
    assert_eq!(ledger.shown(parts, &json!("0x0")), [ALICE, BOB, AUDITOR]);
    ledger.conceals(parts);
    let approve = input("setApprovalForAll(address,bool)", &[carol.into_word(), number(1)]);
    assert!(ledger.run(BOB, parts, approve));
    let arguments = (bob, alice, U256::from(7), U256::from(1), Bytes::new()).abi_encode_params();
    let sent = [&keccak256("safeTransferFrom(address,address,uint256,uint256,bytes)")[..4], &arguments].concat();
    let receipt = ledger.send(CAROL, TxKind::Call(parts), sent.into());
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(ledger.shown(parts, &receipt["blockNumber"]), EVERYBODY);
    assert_eq!(ledger.ask(ALICE, parts, &balance(alice)), word(1));
    let operator = input("isApprovedForAll(address,address)", &[bob.into_word(), carol.into_word()]);
    assert_eq!(ledger.answered(parts, &operator), [BOB, AUDITOR, CAROL]);
}

#[test]
fn an_erc1155_by_itself() {
    erc1155(Way::Plain);
}

#[test]
fn an_erc1155_behind_a_proxy() {
    erc1155(Way::Proxy);
}

#[test]
fn coins_are_swapped_through_a_router() {
    let mut ledger = Ledger::start(Target::Dev);
    let bob = ledger.address(BOB);
    // Alice's transactions until then: a policy, a coin and its set-up, twice.
    let pair = ledger.address(ALICE).create(6);
    let coins =
        [bob, pair].map(|holder| create(&mut ledger, Way::Plain, "Coin", "erc20.json", initialize(holder, 1_000)));
    assert_eq!(ledger.deploy(with_arguments(&code("Pair"), (coins[0], coins[1]).abi_encode_params())), pair);
    let router = ledger.deploy(code("Router"));
    assert!(ledger.run(BOB, coins[0], input("approve(address,uint256)", &[router.into_word(), number(300)])));
    let swap = input("swap(address,address,uint256)", &[pair.into_word(), coins[0].into_word(), number(300)]);
    let receipt = ledger.send(BOB, TxKind::Call(router), swap.clone());
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    assert_eq!(ledger.ask(BOB, coins[0], &balance_of(bob)), word(700));
    assert_eq!(ledger.ask(BOB, coins[1], &balance_of(bob)), word(300));
    for coin in coins {
        assert_eq!(ledger.answered(coin, &balance_of(bob)), [BOB, AUDITOR]);
        assert_eq!(ledger.answered(coin, &balance_of(pair)), [AUDITOR]);
        assert_eq!(ledger.shown(coin, &receipt["blockNumber"]), [BOB, AUDITOR]);
    }
    // Nothing is approved any more: the router is told so, and it ends.
    assert!(!ledger.run(BOB, router, swap));
}

#[test]
fn viem_asks_in_batches() {
    let mut ledger = Ledger::start(Target::TwoProcess);
    let bob = ledger.address(BOB);
    let coin = create(&mut ledger, Way::Plain, "Coin", "erc20.json", initialize(bob, 5));
    let workspace = Workspace::of_suite("js");
    let program = workspace.tool("node");
    let program = program
        .with("RPC_URL", ledger.node.http_url())
        .with("WS_URL", ledger.node.ws_url())
        .with("ARTIFACTS", compiled_contracts().join("out"))
        .with("TOKEN", &ledger.tokens[BOB])
        .with("COIN", coin.to_string())
        .with("HOLDER", bob.to_string())
        .with("OTHER", ledger.address(ALICE).to_string());
    let said: Value = program.succeed(["policies.mjs"]).json();
    let told = json!(["Coin", "5", "refused"]);
    let by_contract = json!({ "requests": ["eth_call"], "to": format!("{MULTICALL3_ADDRESS:#x}"), "said": told });
    let without = json!({ "requests": ["eth_call"], "to": null, "said": told });
    assert_eq!(said, json!([by_contract, without]));
}

#[test]
fn a_genesis_file_need_not_list_the_contract_of_rules() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("genesis.json");
    let example = repository().join("genesis/development.json");
    let text = std::fs::read_to_string(example).expect("an example genesis");
    let mut genesis: Value = serde_json::from_str(&text).expect("an example is JSON");
    genesis["config"]["chainId"] = json!(CHAIN_ID);
    genesis["config"]["cloister"]["confidentiality"] = json!("on");
    genesis["config"]["cloister"]["baseFee"] = json!({ "fixed": "0x0" });
    genesis["baseFeePerGas"] = json!("0x0");
    let listed = genesis["alloc"].as_object_mut().expect("an allocation");
    assert!(listed.remove(&MULTICALL3_ADDRESS.to_string()).is_some());
    let mut write = |changed: &dyn Fn(&mut Value)| {
        changed(&mut genesis);
        std::fs::write(&file, genesis.to_string()).expect("a file");
        vec!["--genesis".to_owned(), path(&file).to_owned()]
    };
    let mut ledger = Ledger::with(Target::TwoProcess, write(&|_| ()));
    let bob = ledger.address(BOB);
    let coin = create(&mut ledger, Way::Plain, "Coin", "erc20.json", initialize(bob, 5));
    assert_eq!(ledger.answered(coin, &balance_of(bob)), [BOB, AUDITOR]);
    assert!(ledger.ask(BOB, MULTICALL3_ADDRESS, &input("getBlockNumber()", &[])).is_some());
    // Other rules than those that the node reads there can be none.
    let other = write(&|genesis| {
        genesis["alloc"][VISIBILITY_ADDRESS.to_string()] = json!({ "balance": "0x0", "code": "0x00" });
    });
    let refused = run_cloister(&["dev", &other[0], &other[1], "--port", "0"]).expect_err("the file contradicts itself");
    assert!(refused.output.contains("a confidential chain has a contract of its own at this address"), "{refused:?}");
}

#[test]
fn what_a_public_deployer_creates_is_whose_the_salt_says() {
    let mut ledger = Ledger::start(Target::Dev);
    let (alice, bob) = (ledger.address(ALICE), ledger.address(BOB));
    let mut salt = B256::with_last_byte(1);
    salt[..20].copy_from_slice(alice.as_slice());
    let initcode_hash = keccak256(code("Coin"));
    let coin = DETERMINISTIC_DEPLOYER_ADDRESS.create2(salt, initcode_hash);
    let deployer = DETERMINISTIC_DEPLOYER_ADDRESS.to_string();
    let (salt_text, hash_text) = (salt.to_string(), initcode_hash.to_string());
    let created = ["--deployer", &deployer, "--salt", &salt_text, "--initcode-hash", &hash_text];
    ledger.apply("erc20.json", &interface("Coin"), coin, &created);
    let deployment: Bytes = [salt.as_slice(), &code("Coin")].concat().into();
    assert!(ledger.run(BOB, DETERMINISTIC_DEPLOYER_ADDRESS, deployment));
    assert!(ledger.run(BOB, coin, initialize(bob, 5)));
    assert_eq!(ledger.answered(coin, &balance_of(bob)), [BOB]);
    // Whose address does not follow from what is said is told so before anything is sent.
    let file = repository().join("contracts/policies/erc20.json");
    let contract = alice.to_string();
    let abi = interface("Coin");
    let arguments = ["policy", "apply", path(&file), "--abi", path(&abi), "--contract", &contract];
    let refused = run_cloister(&[&arguments[..], &created].concat()).expect_err("another address");
    assert!(
        refused.output.contains(&format!("creates {coin} with this salt and initcode, not {alice}")),
        "{refused:?}"
    );
}

#[test]
fn a_file_that_is_refused_is_refused_with_line_and_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.json");
    let abi = interface("Coin");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        run_cloister(&["policy", "check", path(&file), "--abi", path(&abi)])
    };
    for (text, reason) in [
        (
            "{\n\"functions\": {\n\"balanceOf\": { \"query\": \"caller == holder\" } } }",
            "line 3: functions.balanceOf.query: there is no parameter `holder`",
        ),
        ("{\n\"events\": {\n\n\"Sent\": \"public\" } }", "line 4: the contract's interface has no `Sent`"),
        ("{\n\"functions\": {", "line 2: not JSON"),
    ] {
        let refused = check(text).expect_err(reason);
        assert!(refused.output.contains(&format!("policy.json: {reason}")), "{refused:?}");
    }
    let warned = check("{ \"functions\": { \"transfer\": { \"execute\": \"deny\" } } }").expect("it is a policy");
    assert!(warned.contains("he locks himself out"), "{warned}");
    assert!(
        warned.contains("nobody, the owner included, can run transfer(address,uint256) in a transaction"),
        "{warned}"
    );
}
