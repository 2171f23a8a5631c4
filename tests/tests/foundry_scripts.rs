//! The ways in which Foundry sends, and what else `cast` asks: scripts of every kind, accounts that the node holds,
//! the pool, blocks by time, logs as they come.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloister_tests::foundry::Scene;
use cloister_tests::node::{CHAIN_ID, NodeOptions, Target, eventually};
use cloister_tests::rpc::quantity;
use cloister_tests::tools::Output;
use cloister_tests::transactions::{KEYS, signer};
use serde_json::{Value, json};

const SCRIPT: &str = "examples/script/Deploy.s.sol";
/// Transactions of that script.
const STEPS: usize = 7;
const KEY: &str = "0x07855b46a623a8ecabac76ed697aa4e13631e3b6718c8a0d342860c13c30d2fc";
const SALT: &str = "0xa05e334153147e75f3f416139b5109d1179cb56fef6a4ecb4c4cbc92a7c37b70";
const BOB: &str = "0x0000000000000000000000000000000000000B0B";

fn script(scene: &Scene, arguments: &[&str]) -> Output {
    scene.tool("forge").run([&["script", SCRIPT, "--rpc-url", &scene.url, "--broadcast"], arguments].concat())
}

/// What the script has written about its transactions, once it has.
fn written(scene: &Scene) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(latest(scene)).ok()?).ok()
}

fn latest(scene: &Scene) -> PathBuf {
    scene.workspace.path().join(format!("broadcast/Deploy.s.sol/{CHAIN_ID}/run-latest.json"))
}

/// What the script wrote about its transactions: each is in a block and succeeded. Answers them as the node shows them.
fn sent_by(scene: &Scene, output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}\n{}", output.stdout, output.stderr);
    let run = written(scene).expect("forge script writes what it sent");
    let receipts = run["receipts"].as_array().expect("receipts");
    assert_eq!(receipts.len(), STEPS);
    let shown = |receipt: &Value| {
        let hash = json!([receipt["transactionHash"]]);
        assert_eq!(scene.node.rpc().expect("eth_getTransactionReceipt", hash.clone())["status"], "0x1");
        scene.node.rpc().expect("eth_getTransactionByHash", hash)
    };
    receipts.iter().map(shown).collect()
}

fn nonce(scene: &Scene, account: usize) -> String {
    scene.cast(&["nonce", &signer(account).address().to_string()]).text().to_owned()
}

#[test]
fn a_script_sends_legacy_transactions_one_by_one() {
    let scene = Scene::new(Target::Dev);
    let output = script(&scene, &["--private-key", KEYS[0], "--legacy", "--slow"]);
    let sent = sent_by(&scene, &output);
    assert!(sent.iter().all(|transaction| transaction["type"] == "0x0"), "{sent:?}");
    let blocks: Vec<u64> = sent.iter().map(|transaction| quantity(&transaction["blockNumber"])).collect();
    assert!(blocks.is_sorted_by(|earlier, later| earlier < later), "each waits for the one before: {blocks:?}");
}

fn a_script_sends_from_an_account_that_the_node_holds(target: Target) {
    let scene = Scene::new(target);
    let sender = signer(3).address().to_string();
    let output = script(&scene, &["--unlocked", "--sender", &sender]);
    let sent = sent_by(&scene, &output);
    assert!(sent.iter().all(|transaction| transaction["from"] == sender.to_lowercase()), "{sent:?}");
    assert_eq!((nonce(&scene, 3).as_str(), nonce(&scene, 0).as_str()), ("7", "0"));
}

#[test]
fn a_script_sends_from_an_account_that_the_node_holds_dev() {
    a_script_sends_from_an_account_that_the_node_holds(Target::Dev);
}

#[test]
fn a_script_sends_from_an_account_that_the_node_holds_two_process() {
    a_script_sends_from_an_account_that_the_node_holds(Target::TwoProcess);
}

#[test]
fn a_script_sends_all_at_once_where_blocks_come_each_second() {
    let scene = Scene::with(Target::Dev, &NodeOptions { block_time: Some(1), ..NodeOptions::default() });
    let output = script(&scene, &["--private-key", KEYS[0]]);
    let sent = sent_by(&scene, &output);
    let place =
        |transaction: &Value| (quantity(&transaction["blockNumber"]), quantity(&transaction["transactionIndex"]));
    let places: Vec<(u64, u64)> = sent.iter().map(place).collect();
    assert!(places.is_sorted(), "in the order of their nonces: {places:?}");
}

#[test]
fn a_script_that_was_given_up_is_resumed_and_sends_nothing_twice() {
    let scene = Scene::with(Target::Dev, &NodeOptions { extra: vec!["--no-mining".into()], ..NodeOptions::default() });
    let arguments = ["script", SCRIPT, "--rpc-url", &scene.url, "--broadcast", "--private-key", KEYS[0]];
    let interrupted = scene.tool("forge").start(arguments);
    let waiting = || scene.cast(&["tx-pool", "status"]).json()["pending"].clone();
    eventually("all being sent", Duration::from_secs(60), || (waiting() == json!("0x7")).then_some(()));
    // It writes down what it has sent a moment after it has.
    eventually("it being written down", Duration::from_secs(60), || {
        let run = written(&scene)?;
        let noted = run["transactions"].as_array()?.iter().filter(|transaction| transaction["hash"].is_string());
        (noted.count() == STEPS).then_some(())
    });
    // It writes that file anew several times; what it is killed in the middle of, it cannot resume.
    eventually("nothing more being written", Duration::from_secs(60), || {
        let written = std::fs::metadata(latest(&scene)).and_then(|file| file.modified()).ok()?;
        (written.elapsed().ok()? > Duration::from_secs(1)).then_some(())
    });
    drop(interrupted);
    scene.node.rpc().expect("evm_mine", json!([]));
    let resumed = script(&scene, &["--private-key", KEYS[0], "--resume"]);
    sent_by(&scene, &resumed);
    assert_eq!(nonce(&scene, 0), "7");
    assert_eq!(waiting(), json!("0x0"));
}

#[test]
fn forge_creates_from_an_account_that_the_node_holds() {
    let scene = Scene::new(Target::Dev);
    let from = signer(5).address().to_string();
    let arguments =
        ["create", "examples/src/BatchCaller.sol:BatchCaller", "--rpc-url", &scene.url, "--broadcast", "--json"];
    let created = scene.tool("forge").succeed([&arguments, ["--unlocked", "--from", &from].as_slice()].concat()).json();
    assert_eq!(created["deployer"].as_str().map(str::to_lowercase), Some(from.to_lowercase()));
    let address = created["deployedTo"].as_str().expect("an address");
    assert_ne!(scene.cast(&["code", address]).text(), "0x");
    assert_eq!(nonce(&scene, 5), "1");
}

#[test]
fn cast_looks_into_the_pool() {
    let scene = Scene::with(Target::Dev, &NodeOptions { extra: vec!["--no-mining".into()], ..NodeOptions::default() });
    let account = signer(0).address().to_string().to_lowercase();
    let hashes: Vec<String> = ["0", "1", "5"]
        .iter()
        .map(|nonce| {
            let value = format!("{nonce}1");
            let send = [
                "send",
                "--async",
                "--private-key",
                KEYS[0],
                "--nonce",
                nonce,
                "--gas-limit",
                "21000",
                BOB,
                "--value",
                &value,
            ];
            scene.cast(&send).text().to_owned()
        })
        .collect();
    assert_eq!(scene.cast(&["tx-pool", "status"]).json(), json!({"pending": "0x2", "queued": "0x1"}));
    let content = scene.cast(&["tx-pool", "content"]).json();
    assert_eq!(content["pending"][&account]["1"]["hash"], hashes[1], "{content}");
    assert_eq!(content["queued"][&account]["5"]["hash"], hashes[2], "{content}");
    let own = scene.cast(&["tx-pool", "content-from", "--from", &account]).json();
    assert_eq!(own["pending"]["0"]["hash"], hashes[0], "{own}");
    let summary = scene.cast(&["tx-pool", "inspect"]).text().to_lowercase();
    assert!(summary.contains(&BOB.to_lowercase()) && summary.contains("11 wei"), "{summary}");
    assert_eq!(scene.cast(&["nonce", &account]).text(), "0");
    assert_eq!(scene.cast(&["nonce", &account, "--block", "pending"]).text(), "2", "the gap before 5 is not filled");
    scene.node.rpc().expect("evm_mine", json!([]));
    assert_eq!(scene.cast(&["tx-pool", "status"]).json(), json!({"pending": "0x0", "queued": "0x1"}));
    assert_eq!(scene.cast(&["receipt", &hashes[1], "status"]).text(), "true");
}

#[test]
fn cast_finds_blocks_by_their_time() {
    let scene = Scene::new(Target::Dev);
    let rpc = scene.node.rpc();
    let start = quantity(&rpc.expect("eth_getBlockByNumber", json!(["latest", false]))["timestamp"]);
    for hours in 1..=5 {
        rpc.expect("evm_setNextBlockTimestamp", json!([start + hours * 3600]));
        rpc.expect("evm_mine", json!([]));
    }
    assert_eq!(scene.cast(&["find-block", &(start + 3 * 3600).to_string()]).text(), "3");
    assert_eq!(scene.cast(&["find-block", &(start + 3 * 3600 + 100).to_string()]).text(), "3");
    assert_eq!(scene.cast(&["block", "4", "--field", "timestamp"]).text(), (start + 4 * 3600).to_string());
    let age = scene.cast(&["age", "4"]);
    assert!(age.text().contains(':') && age.text().contains("UTC"), "a date: {}", age.text());
}

#[test]
fn cast_prints_logs_as_they_come() {
    let scene = Scene::new(Target::Dev);
    let registry = scene.create_registry(SALT);
    let end = quantity(&scene.node.rpc().expect("eth_blockNumber", json!([]))) + 5;
    let cast = scene.workspace.foundry("cast").with("ETH_RPC_URL", scene.node.ws_url());
    let finished = AtomicBool::new(false);
    let printed = std::thread::scope(|scope| {
        let listening = scope.spawn(|| {
            let to = end.to_string();
            let arguments = ["logs", "--subscribe", "--json", "--address", &registry, "--to-block", &to];
            let output = cast.run(arguments);
            finished.store(true, Ordering::Release);
            output
        });
        // It ends with a log beyond its last block; when it began to listen nobody knows.
        while !finished.load(Ordering::Acquire) {
            scene.send(&[&registry, "set(bytes32,uint256)", KEY, "1"]);
        }
        listening.join().expect("cast ended")
    });
    assert!(printed.status.success(), "{}", printed.stderr);
    assert!(printed.stdout.contains(KEY), "{}", printed.stdout);
}

#[test]
fn cast_asks_for_accounts_in_many_ways() {
    let scene = Scene::new(Target::Dev);
    let token = scene.create("Token", "0", &["Example", "EXA", "1000"]);
    let (owner, bob) = (signer(0).address().to_string(), BOB);
    // The receipt comes with the answer to the send.
    let receipt = scene.send(&["--sync", &token, "transfer(address,uint256)", bob, "400"]);
    assert_eq!(scene.cast(&["erc20-token", "balance", &token, bob, "--json"]).json(), json!("400"));
    let hash = receipt["transactionHash"].as_str().expect("a hash");

    let raw = scene.cast(&["tx", hash, "--raw"]);
    assert_eq!(scene.cast(&["keccak", raw.text()]).text(), hash);
    let block = scene.cast(&["block", "2", "--raw"]);
    assert_eq!(json!(scene.cast(&["keccak", block.text()]).text()), receipt["blockHash"], "an encoded header");

    let code = scene.cast(&["code", &token]);
    assert_eq!(scene.cast(&["codesize", &token]).text(), ((code.text().len() - 2) / 2).to_string());
    assert_eq!(scene.cast(&["codehash", &token]).text(), scene.cast(&["keccak", code.text()]).text());
    let proof = scene.cast(&["proof", &token]).json();
    assert_eq!(json!(scene.cast(&["storage-root", &token]).text()), proof["storageHash"]);
    let zero = "0x0000000000000000000000000000000000000000";
    assert_eq!(scene.cast(&["implementation", &token]).text(), zero);
    assert_eq!(scene.cast(&["admin", &token]).text(), zero);
    assert_eq!(scene.cast(&["balance", &owner, "--block", "0", "--ether"]).text(), "10000.000000000000000000");
    let named = scene.cast(&["rpc", "--raw", "eth_getBlockByNumber", "[\"0x2\", false]"]).json();
    assert_eq!(named["hash"], receipt["blockHash"]);
    let deployment: u64 =
        scene.cast(&["estimate", "--create", "0x6460006000a06000526005601bf3"]).text().parse().expect("gas");
    assert!((53_000..60_000).contains(&deployment), "{deployment}");
}
