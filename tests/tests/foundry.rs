//! Foundry against the node: forge builds, deploys, scripts and forks; cast sends every transaction type and reads everything back.

use cloister_tests::foundry::Scene;
use cloister_tests::node::{CHAIN_ID, Target, receipt_of};
use cloister_tests::rpc::quantity;
use cloister_tests::tools::Workspace;
use cloister_tests::transactions::{KEYS, signer};
use serde_json::{Value, json};

/// keccak256("key") and keccak256("salt").
const KEY: &str = "0x07855b46a623a8ecabac76ed697aa4e13631e3b6718c8a0d342860c13c30d2fc";
const SALT: &str = "0xa05e334153147e75f3f416139b5109d1179cb56fef6a4ecb4c4cbc92a7c37b70";
/// keccak256("Set(bytes32,uint256)").
const SET_TOPIC: &str = "0x28e3246f80515f5c1ed987b133ef2f193439b25acba6a5e69f219e896fc9d179";
const BOB: &str = "0x0000000000000000000000000000000000000B0B";

#[test]
fn the_examples_pass_their_own_tests() {
    let workspace = Workspace::contracts();
    workspace.foundry("forge").succeed(["build", "--force"]);
    let report = workspace.foundry("forge").succeed(["test", "--json"]).json();
    let suites = report.as_object().expect("a suite for each test contract");
    let results =
        suites.values().flat_map(|suite| suite["test_results"].as_object().expect("results by test").values());
    let statuses: Vec<&str> = results.map(|result| result["status"].as_str().expect("a status")).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "Success").count(), 20, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == "Failure").count(), 0, "{statuses:?}");
}

fn forge_create_deploys_what_was_compiled(target: Target) {
    let scene = Scene::new(target);
    let registry = scene.create_registry(SALT);
    assert_eq!(scene.cast(&["call", &registry, "label()(string)"]).text(), "\"example\"");
    assert_eq!(scene.cast(&["call", &registry, "salt()(bytes32)"]).text(), SALT);
    assert_eq!(scene.cast(&["call", &registry, "version()(uint32)"]).text(), "7");
    let vault = scene.create("Vault", "1ether", &["3600"]);
    assert_eq!(scene.cast(&["balance", "--ether", &vault]).text(), "1.000000000000000000");
    scene.create("BatchCaller", "0", &[]);
    assert_eq!(scene.cast(&["nonce", &signer(0).address().to_string()]).text(), "3");
}

#[test]
fn forge_create_deploys_what_was_compiled_dev() {
    forge_create_deploys_what_was_compiled(Target::Dev);
}

#[test]
fn forge_create_deploys_what_was_compiled_two_process() {
    forge_create_deploys_what_was_compiled(Target::TwoProcess);
}

#[test]
fn forge_create_of_a_failing_constructor_says_why() {
    let scene = Scene::new(Target::Dev);
    // The vault takes ether, the registry does not.
    let arguments = [
        "create",
        "examples/src/Registry.sol:Registry",
        "--rpc-url",
        &scene.url,
        "--private-key",
        KEYS[0],
        "--broadcast",
    ];
    let refused =
        scene.tool("forge").fail([arguments.as_slice(), &["--value", "1", "--constructor-args", SALT, "x"]].concat());
    assert!(refused.stderr.contains("not payable") || refused.stderr.contains("revert"), "{}", refused.stderr);
    assert_eq!(scene.cast(&["nonce", &signer(0).address().to_string()]).text(), "0");
}

fn forge_script_broadcasts_every_step(target: Target) {
    let scene = Scene::new(target);
    let arguments = [
        "script",
        "examples/script/Deploy.s.sol",
        "--rpc-url",
        &scene.url,
        "--private-key",
        KEYS[0],
        "--broadcast",
        "--slow",
    ];
    scene.tool("forge").succeed(arguments);

    let run = scene.workspace.path().join(format!("broadcast/Deploy.s.sol/{CHAIN_ID}/run-latest.json"));
    let run: Value =
        serde_json::from_slice(&std::fs::read(run).expect("forge script writes what it sent")).expect("as JSON");
    let receipts = run["receipts"].as_array().expect("receipts");
    assert_eq!(receipts.len(), 7);
    for receipt in receipts {
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        let onchain = scene.node.rpc().expect("eth_getTransactionReceipt", json!([receipt["transactionHash"]]));
        assert_eq!(onchain["blockHash"], receipt["blockHash"]);
    }
    let created = |name: &str| {
        let transactions = run["transactions"].as_array().expect("transactions").iter();
        let found = transactions.clone().find(|t| {
            t["contractName"] == name && t["transactionType"].as_str().is_some_and(|t| t.starts_with("CREATE"))
        });
        found
            .and_then(|t| t["contractAddress"].as_str())
            .unwrap_or_else(|| panic!("{name} was not created: {run}"))
            .to_owned()
    };
    assert_eq!(
        scene.cast(&["call", &created("Token"), "balanceOf(address)(uint256)", BOB, "--json"]).json(),
        json!(["25000000000000000000"])
    );
    assert_eq!(scene.cast(&["balance", "--ether", &created("Vault")]).text(), "3.000000000000000000");
    // This one was deployed with CREATE2, through the factory every chain has.
    assert_eq!(scene.cast(&["call", &created("Registry"), "values(bytes32)(uint256)", KEY]).text(), "42");
}

#[test]
fn forge_script_broadcasts_every_step_dev() {
    forge_script_broadcasts_every_step(Target::Dev);
}

#[test]
fn forge_script_broadcasts_every_step_two_process() {
    forge_script_broadcasts_every_step(Target::TwoProcess);
}

#[test]
fn forge_script_resumes_without_waiting_for_each_step() {
    // Without --slow all seven are sent before the first receipt is read.
    let scene = Scene::new(Target::Dev);
    scene.tool("forge").succeed([
        "script",
        "examples/script/Deploy.s.sol",
        "--rpc-url",
        &scene.url,
        "--private-key",
        KEYS[0],
        "--broadcast",
    ]);
    assert_eq!(scene.cast(&["nonce", &signer(0).address().to_string()]).text(), "7");
}

#[test]
fn forge_tests_run_on_a_fork_of_the_node() {
    let scene = Scene::new(Target::Dev);
    let token = scene.create("Token", "0", &["Example", "EXA", "1000"]);
    scene.send(&[&token, "transfer(address,uint256)", &signer(1).address().to_string(), "400"]);
    let forge = scene
        .tool("forge")
        .with("TOKEN", &token)
        .with("HOLDER", signer(1).address().to_string())
        .with("EXPECTED", "400");
    let report = forge.succeed(["test", "--fork-url", &scene.url, "--match-contract", "ForkTest", "--json"]).json();
    let result =
        &report["examples/test/Fork.t.sol:ForkTest"]["test_results"]["test_the_forked_balance_can_be_spent_here()"];
    assert_eq!(result["status"], "Success", "{report}");
    // What happened on the fork did not happen here.
    assert_eq!(scene.cast(&["call", &token, "balanceOf(address)(uint256)", BOB]).text(), "0");
    // A fork pinned to the block before the transfer does not see it.
    let report = forge
        .run(["test", "--fork-url", &scene.url, "--fork-block-number", "1", "--match-contract", "ForkTest", "--json"])
        .json();
    let result =
        &report["examples/test/Fork.t.sol:ForkTest"]["test_results"]["test_the_forked_balance_can_be_spent_here()"];
    assert_eq!(result["status"], "Failure", "{report}");
}

fn cast_sends_and_reads_back(target: Target) {
    let scene = Scene::new(target);
    let registry = scene.create_registry(SALT);
    let sender = signer(0).address().to_string();

    let receipt = scene.send(&[&registry, "set(bytes32,uint256)", KEY, "42"]);
    assert_eq!(receipt["type"], "0x2");
    assert_eq!(receipt["logs"][0]["topics"], json!([SET_TOPIC, KEY]));
    assert_eq!(scene.cast(&["call", &registry, "values(bytes32)(uint256)", KEY]).text(), "42");
    assert_eq!(scene.cast(&["storage", &registry, "1"]).text(), format!("0x{:064x}", 1));
    let hash = receipt["transactionHash"].as_str().expect("a hash");
    assert_eq!(scene.cast(&["receipt", hash, "blockNumber"]).text(), "2");
    assert_eq!(scene.cast(&["receipt", hash, "--json"]).json()["gasUsed"], receipt["gasUsed"]);
    assert_eq!(scene.cast(&["tx", hash, "nonce"]).text(), "1");
    assert_eq!(scene.cast(&["tx", hash, "from"]).text(), sender);

    let logs = scene
        .cast(&["logs", "--json", "--address", &registry, "--from-block", "0", "Set(bytes32 indexed,uint256)", KEY])
        .json();
    assert_eq!(logs.as_array().map(Vec::len), Some(1));
    assert_eq!(logs[0]["transactionHash"], hash);
    let none = scene.cast(&[
        "logs",
        "--json",
        "--address",
        &registry,
        "--from-block",
        "0",
        "--to-block",
        "1",
        "Set(bytes32 indexed,uint256)",
    ]);
    assert_eq!(none.json(), json!([]));

    let block = scene.cast(&["block", "latest", "--json"]).json();
    assert_eq!((&block["number"], &block["hash"]), (&json!("0x2"), &receipt["blockHash"]));
    assert_eq!(scene.cast(&["block", "1", "--field", "hash"]).text(), block["parentHash"].as_str().expect("a parent"));
    assert_eq!(scene.cast(&["block-number"]).text(), "2");
    assert_eq!(scene.cast(&["nonce", &sender]).text(), "2");
    assert_eq!(scene.cast(&["nonce", &sender, "--block", "1"]).text(), "1");
    assert_eq!(scene.cast(&["chain-id"]).text(), CHAIN_ID.to_string());

    let estimate: u64 = scene
        .cast(&["estimate", &registry, "set(bytes32,uint256)", KEY, "7"])
        .text()
        .parse()
        .expect("an amount of gas");
    assert!((21_000..200_000).contains(&estimate), "{estimate}");
    assert_eq!(scene.cast(&["balance", "--ether", BOB]).text(), "0.000000000000000000");
    scene.send(&[BOB, "--value", "1.5ether"]);
    assert_eq!(scene.cast(&["balance", "--ether", BOB]).text(), "1.500000000000000000");
    assert_eq!(scene.cast(&["balance", "--ether", BOB, "--block", "2"]).text(), "0.000000000000000000");
}

#[test]
fn cast_sends_and_reads_back_dev() {
    cast_sends_and_reads_back(Target::Dev);
}

#[test]
fn cast_sends_and_reads_back_two_process() {
    cast_sends_and_reads_back(Target::TwoProcess);
}

#[test]
fn cast_sends_every_transaction_type() {
    let scene = Scene::new(Target::Dev);
    let registry = scene.create_registry(SALT);
    let set = [registry.as_str(), "set(bytes32,uint256)", KEY, "1"];

    assert_eq!(scene.send(&[&["--legacy"], set.as_slice()].concat())["type"], "0x0");

    // The slots that the call touches are found by the node, then declared.
    let list = scene.cast(&["access-list", set[0], set[1], set[2], set[3], "--json"]).json();
    let declared = list["accessList"][0]["storageKeys"].as_array().expect("slots");
    assert!(declared.len() >= 3, "values[key], history's length and element, counter: {list}");
    let receipt =
        scene.send(&[&["--legacy", "--access-list", &list["accessList"].to_string()], set.as_slice()].concat());
    let transaction = scene.node.rpc().expect("eth_getTransactionByHash", json!([receipt["transactionHash"]]));
    assert_eq!(
        transaction["accessList"][0]["storageKeys"].as_array().map(Vec::len),
        Some(declared.len()),
        "{transaction}"
    );
    assert_eq!(receipt["type"], "0x1", "{receipt}");

    assert_eq!(scene.send(&set)["type"], "0x2");

    let batch = scene.create("BatchCaller", "0", &[]);
    let account = signer(1).address().to_string();
    let arguments = [
        "send",
        "--json",
        "--private-key",
        KEYS[1],
        &account,
        "execute((address,uint256,bytes)[])",
        &format!("[({BOB},5,0x)]"),
        "--auth",
        &batch,
    ];
    let receipt = scene.cast(&arguments).json();
    assert_eq!((&receipt["type"], &receipt["status"]), (&json!("0x4"), &json!("0x1")), "{receipt}");
    assert_eq!(
        scene.cast(&["code", &account]).text(),
        format!("0xef0100{}", batch.trim_start_matches("0x").to_lowercase())
    );
    assert_eq!(scene.cast(&["balance", BOB]).text(), "5");
}

#[test]
fn cast_takes_a_delegation_that_another_account_signed() {
    let scene = Scene::new(Target::Dev);
    let batch = scene.create("BatchCaller", "0", &[]);
    let authorization =
        scene.cast(&["wallet", "sign-auth", &batch, "--private-key", KEYS[2], "--nonce", "0", "--chain", "31337"]);
    let receipt = scene.send(&[BOB, "--value", "1", "--auth", authorization.text()]);
    assert_eq!(receipt["type"], "0x4");
    let delegator = signer(2).address().to_string();
    assert_eq!(
        scene.cast(&["code", &delegator]).text(),
        format!("0xef0100{}", batch.trim_start_matches("0x").to_lowercase())
    );
    assert_eq!(scene.cast(&["nonce", &delegator]).text(), "1", "the delegation consumed a nonce");
    // Nobody but the account itself may make it act.
    let refused =
        scene.tool("cast").fail(["call", &delegator, "execute((address,uint256,bytes)[])", "[]", "--from", BOB]);
    assert!(refused.stderr.contains("execution reverted"), "{}", refused.stderr);
}

#[test]
fn cast_shows_why_a_call_reverts() {
    let scene = Scene::new(Target::Dev);
    let registry = scene.create_registry(SALT);
    let vault = scene.create("Vault", "0", &["3600"]);
    // TooMany(1001, 1000)
    let data = "0xc3e33c9900000000000000000000000000000000000000000000000000000000000003e900000000000000000000000000000000000000000000000000000000000003e8";
    let call = scene.tool("cast").fail(["call", &registry, "setMany(uint256)", "1001"]);
    let estimate = scene.tool("cast").fail(["estimate", &registry, "setMany(uint256)", "1001"]);
    let send = scene.tool("cast").fail(["send", &registry, "setMany(uint256)", "1001", "--private-key", KEYS[0]]);
    for refused in [&call, &estimate, &send] {
        assert!(refused.stderr.contains("code 3") && refused.stderr.contains(data), "{}", refused.stderr);
    }
    let refused = scene.tool("cast").fail(["call", &vault, "failWithReason()"]);
    assert!(refused.stderr.contains("execution reverted: Vault: always fails"), "{}", refused.stderr);
    let refused = scene.tool("cast").fail(["call", &vault, "failWithPanic(uint256)", "0"]);
    assert!(refused.stderr.contains("0x4e487b71"), "{}", refused.stderr);

    // With gas given it is mined, and its receipt says it failed.
    let arguments =
        ["send", "--json", "--private-key", KEYS[0], "--gas-limit", "100000", &registry, "setMany(uint256)", "1001"];
    let receipt = scene.tool("cast").run(arguments).json();
    assert_eq!(receipt["status"], "0x0", "{receipt}");
    assert!(quantity(&receipt["gasUsed"]) < 100_000, "a revert gives the rest back: {receipt}");
}

#[test]
fn cast_publishes_a_transaction_signed_elsewhere() {
    let scene = Scene::new(Target::Dev);
    let raw = scene.cast(&["mktx", BOB, "--value", "7", "--private-key", KEYS[3]]);
    let hash = scene.cast(&["publish", "--async", raw.text()]);
    let receipt = receipt_of(scene.node.rpc(), &json!(hash.text()));
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(scene.cast(&["balance", BOB]).text(), "7");
    let again = scene.tool("cast").fail(["publish", "--async", raw.text()]);
    assert!(again.stderr.contains("nonce too low") || again.stderr.contains("already known"), "{}", again.stderr);
}

#[test]
fn cast_sends_from_an_account_the_node_holds() {
    let scene = Scene::new(Target::Dev);
    let from = signer(4).address().to_string();
    let receipt = scene.cast(&["send", "--json", "--unlocked", "--from", &from, BOB, "--value", "9"]).json();
    assert_eq!((&receipt["status"], &receipt["from"]), (&json!("0x1"), &json!(from.to_lowercase())));
    assert_eq!(scene.cast(&["balance", BOB]).text(), "9");
}

#[test]
fn cast_asks_about_the_node_and_its_fees() {
    let scene = Scene::new(Target::Dev);
    assert_eq!(scene.cast(&["rpc", "eth_chainId"]).json(), json!("0x7a69"));
    assert_eq!(scene.cast(&["rpc", "eth_getBlockByNumber", "0x0", "false"]).json()["number"], "0x0");
    assert!(scene.cast(&["client"]).text().contains('/'), "name/version");
    assert!(scene.cast(&["gas-price"]).text().parse::<u64>().is_ok());
    assert!(scene.cast(&["base-fee"]).text().parse::<u64>().is_ok());
    let history = scene.cast(&["rpc", "eth_feeHistory", "0x1", "latest", "[50]"]).json();
    assert_eq!(history["baseFeePerGas"].as_array().map(Vec::len), Some(2), "{history}");
    let unknown = scene.tool("cast").fail(["rpc", "eth_noSuchMethod"]);
    assert!(unknown.stderr.contains("-32601"), "{}", unknown.stderr);
}

#[test]
fn cast_verifies_a_storage_proof() {
    let scene = Scene::new(Target::Dev);
    let registry = scene.create_registry(SALT);
    let proof = scene.cast(&["proof", &registry, "0", "99"]).json();
    let slots = proof["storageProof"].as_array().expect("a proof for each slot");
    assert_eq!(slots.len(), 2);
    assert_eq!(slots[1]["value"], "0x0", "a slot that was never written: {proof}");
    assert_ne!(slots[0]["value"], "0x0");
    assert!(proof["accountProof"].as_array().is_some_and(|nodes| !nodes.is_empty()));
    let block = scene.cast(&["block", "latest", "--json"]).json();
    let root = proof["accountProof"][0].as_str().expect("the root node");
    assert_eq!(
        scene.cast(&["keccak", root]).text(),
        block["stateRoot"].as_str().expect("a root"),
        "the first node hashes to the state root"
    );
}
