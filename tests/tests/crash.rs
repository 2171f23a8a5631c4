//! Power cuts, damaged folders and full disks: what was answered stays answered, what is damaged is named and never served.
//!
//! `CLOISTER_CRASHES` sets how often the node is killed (10), `CLOISTER_CRASH_SEED` when.

#![allow(clippy::print_stderr)] // seeds and counts, for whoever repeats a run

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy::consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, TxKind, U256, address};
use cloister_tests::fuzz::Random;
use cloister_tests::node::{
    Node, NodeOptions, StartFailure, Target, children_of, eventually, free_port, is_reference_run, is_running,
    receipt_of, run_cloister, signal,
};
use cloister_tests::rpc::{RpcClient, quantity};
use cloister_tests::tools::artifact;
use cloister_tests::transactions::{Account, eip1559, raw, send_params};
use serde_json::{Value, json};

const STRANGER: Address = address!("0x00000000000000000000000000000000000a11ce");

/// Exit codes of `cloister`, as its help lists them.
const PORT_TAKEN: i32 = 10;
const FOLDER_IN_USE: i32 = 11;
const FOREIGN_FOLDER: i32 = 12;
const DAMAGED_FOLDER: i32 = 13;
const NO_SEALING_KEY: i32 = 16;
const NO_ENCLAVE: i32 = 17;

fn kept_in(folder: &Path) -> NodeOptions {
    NodeOptions { datadir: Some(folder.to_path_buf()), ..NodeOptions::default() }
}

/// What the node has confirmed: transaction hash → the receipt it answered.
type Answered = BTreeMap<String, Value>;

/// Sends from one account until the node is gone: plain transfers and storage writes, one at a time, waiting for each receipt.
fn load(node: SocketAddr, account: &mut Account, registry: Address, stop: &AtomicBool) -> Answered {
    let rpc = RpcClient::new(node);
    let mut answered = Answered::new();
    // keccak256("setMany(uint256)")[..4] and the number 20.
    let set_many: Bytes =
        [&alloy_primitives::keccak256("setMany(uint256)")[..4], &U256::from(20).to_be_bytes::<32>()].concat().into();
    while !stop.load(Ordering::Relaxed) {
        let write = TxEip1559 {
            nonce: account.nonce,
            gas_limit: 2_000_000,
            to: TxKind::Call(registry),
            input: set_many.clone(),
            ..eip1559(registry, 0)
        };
        let plain = TxEip1559 { nonce: account.nonce, ..eip1559(STRANGER, 1) };
        let next = raw(account.sign(if account.nonce.is_multiple_of(3) { write } else { plain }));
        let Ok(Ok(hash)) = rpc.try_call("eth_sendRawTransaction", send_params(&next)) else {
            break;
        };
        account.nonce += 1;
        let receipt = loop {
            match rpc.try_call("eth_getTransactionReceipt", json!([hash])) {
                Ok(Ok(Value::Null)) => {}
                Ok(Ok(receipt)) => break Some(receipt),
                _ => break None,
            }
        };
        let Some(receipt) = receipt else { break };
        answered.insert(hash.as_str().expect("a hash").to_owned(), receipt);
    }
    answered
}

fn deploy_registry(node: &Node, account: &mut Account) -> Address {
    let arguments = [&[0; 32][..], &U256::from(64).to_be_bytes::<32>(), &[0; 32]].concat();
    let input = [artifact("Registry").bytecode, arguments].concat().into();
    let creation =
        TxEip1559 { nonce: account.nonce, gas_limit: 3_000_000, to: TxKind::Create, input, ..eip1559(STRANGER, 0) };
    account.nonce += 1;
    let hash = node.rpc().expect("eth_sendRawTransaction", send_params(&raw(account.sign(creation))));
    let receipt = receipt_of(node.rpc(), &hash);
    receipt["contractAddress"]
        .as_str()
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("not deployed: {receipt}"))
}

/// Everything that was ever answered is answered again, word for word.
fn nothing_is_lost(node: &Node, answered: &Answered) {
    for (hash, receipt) in answered {
        let now = node.rpc().expect("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(now, *receipt, "a receipt that was answered before the crash");
    }
}

/// Checks the folder offline and returns the head that `cloister verify` names.
fn verified_head(folder: &Path) -> (u64, String) {
    let report = run_cloister(&["verify", "--json", "--datadir", &folder.display().to_string()])
        .unwrap_or_else(|failure| panic!("{failure}"));
    let report: Value = serde_json::from_str(report.lines().last().unwrap_or_default()).expect("verify prints JSON");
    (report["head"].as_u64().expect("a height"), report["hash"].as_str().expect("a hash").to_owned())
}

fn killed_under_load(target: Target, crashes: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = kept_in(folder.path());
    let seed = cloister_tests::number_from("CLOISTER_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("CLOISTER_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let mut accounts: Vec<Account> = (0..4).map(Account::new).collect();
    let mut answered = Answered::new();
    let mut registry = None;
    let mut head = 0;
    for crash in 0..crashes {
        let node = Node::start(target, &options);
        let here = quantity(&node.rpc().expect("eth_blockNumber", json!([])));
        assert!(here >= head, "crash {crash}: the chain went back from {head} to {here}");
        nothing_is_lost(&node, &answered);
        let registry = *registry.get_or_insert_with(|| deploy_registry(&node, &mut accounts[0]));
        for account in &mut accounts {
            account.nonce =
                quantity(&node.rpc().expect("eth_getTransactionCount", json!([account.address(), "latest"])));
        }
        let stop = AtomicBool::new(false);
        let found: Vec<Answered> = std::thread::scope(|scope| {
            let (address, stop) = (node.address(), &stop);
            let loads: Vec<_> = accounts
                .iter_mut()
                .map(|account| scope.spawn(move || load(address, account, registry, stop)))
                .collect();
            std::thread::sleep(Duration::from_micros(1_000 * random.below(600) as u64 + random.below(1_000) as u64));
            node.kill_now();
            stop.store(true, Ordering::Relaxed);
            loads.into_iter().map(|load| load.join().expect("a load thread ends")).collect()
        });
        answered.extend(found.into_iter().flatten());
        drop(node);
        let highest = answered.values().map(|receipt| quantity(&receipt["blockNumber"])).max().unwrap_or(0);
        let (verified, hash) = verified_head(folder.path());
        assert!(verified >= highest, "crash {crash}: block {highest} was answered, the folder ends at {verified}");
        head = verified;
        if crash + 1 == crashes {
            let node = Node::start(target, &options);
            nothing_is_lost(&node, &answered);
            let block = node.rpc().expect("eth_getBlockByNumber", json!([format!("{head:#x}"), false]));
            assert_eq!(block["hash"], hash, "the node's head is the one that was verified");
        }
    }
    eprintln!("{crashes} crashes, {} answered transactions, {head} blocks", answered.len());
    assert!(answered.len() as u64 > crashes, "only {} transactions got through", answered.len());
}

#[test]
fn killed_under_load_dev() {
    killed_under_load(Target::Dev, cloister_tests::number_from("CLOISTER_CRASHES").unwrap_or(10));
}

#[test]
fn killed_under_load_two_process() {
    killed_under_load(Target::TwoProcess, cloister_tests::number_from("CLOISTER_CRASHES").unwrap_or(10).div_ceil(3));
}

/// A chain of a few blocks in a folder, its node stopped; and what it answered.
fn a_chain(folder: &Path) -> Answered {
    let node = Node::start(Target::Dev, &kept_in(folder));
    let mut account = Account::new(0);
    let registry = deploy_registry(&node, &mut account);
    let stop = AtomicBool::new(false);
    let answered = std::thread::scope(|scope| {
        let (address, stop, account) = (node.address(), &stop, &mut account);
        let load = scope.spawn(move || load(address, account, registry, stop));
        eventually("twenty blocks", Duration::from_secs(20), || {
            (quantity(&node.rpc().expect("eth_blockNumber", json!([]))) >= 20).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        load.join().expect("the load ends")
    });
    let status = node.terminate();
    assert!(status.success(), "SIGTERM ends it with {status}");
    answered
}

#[test]
fn a_polite_end_keeps_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answered = a_chain(folder.path());
    let (head, hash) = verified_head(folder.path());
    let node = Node::start(Target::Dev, &kept_in(folder.path()));
    nothing_is_lost(&node, &answered);
    let latest = node.rpc().expect("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!((quantity(&latest["number"]), &latest["hash"]), (head, &json!(hash)));
    let previous = node.rpc().expect("eth_getBlockByNumber", json!([format!("{:#x}", head - 1), false]));
    assert_eq!(latest["parentHash"], previous["hash"]);
    // Without a folder nothing is kept, and this folder is not touched.
    assert_eq!(Node::start_default(Target::Dev).rpc().expect("eth_blockNumber", json!([])), "0x0");
}

fn refused(options: &NodeOptions) -> StartFailure {
    match Node::try_start(Target::Dev, options) {
        Err(failure) => failure,
        Ok(_) => panic!("the node started with {options:?}"),
    }
}

/// One sentence for a person, and the code that scripts read.
fn assert_exit(failure: &StartFailure, code: i32, words: &[&str]) {
    assert_eq!(failure.status.code(), Some(code), "{failure}");
    let said = failure.output.to_lowercase();
    assert!(words.iter().any(|word| said.contains(word)), "{failure}");
    assert!(!said.contains("panicked"), "{failure}");
}

#[test]
fn a_folder_of_another_chain_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    a_chain(folder.path());
    let before = verified_head(folder.path());
    let failure = refused(&NodeOptions { chain_id: Some(4242), ..kept_in(folder.path()) });
    assert_exit(&failure, FOREIGN_FOLDER, &["chain", "genesis"]);
    assert_eq!(verified_head(folder.path()), before, "the refusal changed nothing");
}

#[test]
fn a_folder_in_use_is_refused_and_its_user_not_disturbed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = Node::start(Target::Dev, &kept_in(folder.path()));
    assert_exit(&refused(&kept_in(folder.path())), FOLDER_IN_USE, &["in use", "another", "locked"]);
    let hash = first.rpc().expect("eth_sendRawTransaction", send_params(&Account::new(0).transfer(STRANGER, 1)));
    assert_eq!(receipt_of(first.rpc(), &hash)["status"], "0x1");
}

#[test]
fn a_port_in_use_is_refused() {
    let first = Node::start_default(Target::Dev);
    let port = first.address().port();
    let failure = refused(&NodeOptions { port: Some(port), ..NodeOptions::default() });
    if is_reference_run() {
        return; // anvil has exit codes of its own
    }
    assert_exit(&failure, PORT_TAKEN, &[&port.to_string()]);
}

#[test]
fn a_lost_or_foreign_sealing_key_is_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    a_chain(folder.path());
    let key = folder.path().join("sealing.key");
    let kept = fs::read(&key).expect("the key file of the virtual platform");
    fs::remove_file(&key).expect("the key can be removed");
    assert_exit(&refused(&kept_in(folder.path())), NO_SEALING_KEY, &["key"]);
    assert!(!key.exists(), "a new key would hide that the old one is gone");
    fs::write(&key, [7; 32]).expect("another key can be put there");
    Command::new("chmod").arg("600").arg(&key).status().expect("chmod runs");
    // Sealed with another key or for another chain: from outside the two look the same.
    let failure = refused(&kept_in(folder.path()));
    assert_exit(
        &failure,
        if failure.status.code() == Some(DAMAGED_FOLDER) { DAMAGED_FOLDER } else { FOREIGN_FOLDER },
        &["key"],
    );
    fs::write(&key, kept).expect("the key can be put back");
    verified_head(folder.path());
}

#[test]
fn folders_that_hold_nothing_are_said_to_hold_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let failure =
        run_cloister(&["verify", "--datadir", &folder.path().display().to_string()]).expect_err("there is no chain");
    assert!(failure.status.code().is_some_and(|code| code != 0) && failure.output.contains("no chain"), "{failure}");
    assert!(
        fs::read_dir(folder.path()).is_ok_and(|mut entries| entries.next().is_none()),
        "looking left something behind"
    );
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").expect("a file can be written");
    let failure = refused(&kept_in(&file));
    assert!(!failure.output.contains("panicked"), "{failure}");
    assert_eq!(fs::read(&file).expect("it is still there"), b"not a folder");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a readable folder").filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).expect("a file below it"));
        fs::create_dir_all(target.parent().expect("it has a folder")).expect("a folder can be made");
        fs::copy(&file, &target).expect("a file can be copied");
    }
}

/// What damage came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The node refused the folder.
    Named,
    /// Everything answered is still there.
    Harmless,
    /// A sound chain, but an older one.
    Shortened,
}

/// Starts on a damaged folder. Whatever it serves must verify, and equal what was answered before or be absent.
fn after_damage(folder: &Path, answered: &Answered, what: &str) -> Outcome {
    let node = match Node::try_start(Target::Dev, &kept_in(folder)) {
        Ok(node) => node,
        Err(failure) => {
            assert!(!failure.output.contains("panicked"), "{what}: {failure}");
            assert_eq!(failure.status.code(), Some(DAMAGED_FOLDER), "{what}: {failure}");
            return Outcome::Named;
        }
    };
    let mut outcome = Outcome::Harmless;
    for (hash, receipt) in answered {
        let now = node.rpc().expect("eth_getTransactionReceipt", json!([hash]));
        assert!(now == *receipt || now.is_null(), "{what}: served something else: {now}");
        if now.is_null() {
            outcome = Outcome::Shortened;
        }
    }
    drop(node);
    verified_head(folder);
    outcome
}

#[test]
fn flipped_bits_and_torn_files_are_named_or_harmless() {
    let original = tempfile::tempdir().expect("a temporary folder");
    let answered = a_chain(original.path());
    let mut random = Random::new(cloister_tests::number_from("CLOISTER_CRASH_SEED").unwrap_or(1));
    let data: Vec<PathBuf> = files_below(original.path())
        .into_iter()
        .filter(|path| {
            ["log", "sst", "blob"].iter().any(|kind| path.extension().is_some_and(|extension| extension == *kind))
        })
        .filter(|path| fs::metadata(path).is_ok_and(|file| file.len() > 1024))
        .collect();
    assert!(!data.is_empty(), "no data files in {:?}", files_below(original.path()));
    let mut outcomes = Vec::new();
    for case in 0..24 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(original.path(), folder.path());
        let file = folder.path().join(data[case % data.len()].strip_prefix(original.path()).expect("a file below it"));
        let length = fs::metadata(&file).expect("it is there").len();
        let at = random.next() % length;
        let handle = fs::OpenOptions::new().read(true).write(true).open(&file).expect("it can be opened");
        let what = if case % 3 == 2 {
            handle.set_len(at).expect("it can be cut");
            format!("{} cut to {at} of {length} bytes", file.display())
        } else {
            let mut byte = [0];
            handle.read_exact_at(&mut byte, at).expect("a byte can be read");
            handle.write_all_at(&[byte[0] ^ (1 << random.below(8))], at).expect("a byte can be written");
            format!("{} flipped at {at} of {length} bytes", file.display())
        };
        let outcome = after_damage(folder.path(), &answered, &what);
        // A file cut short is what a power cut leaves, and cannot be told from an older folder by a node alone; a flipped bit can.
        assert!(
            outcome != Outcome::Shortened || what.contains(" cut to "),
            "{what}: accepted, with answered blocks missing"
        );
        eprintln!("{outcome:?}: {what}");
        outcomes.push(outcome);
    }
    let named = outcomes.iter().filter(|outcome| **outcome == Outcome::Named).count();
    assert!(named >= 8, "only {named} of {} damages were noticed", outcomes.len());
}

#[test]
fn an_enclave_does_not_outlive_its_host_two_process() {
    let node = Node::start_default(Target::TwoProcess);
    let enclaves = children_of(node.id());
    assert_eq!(enclaves.len(), 1, "the host starts one enclave");
    node.kill();
    eventually("the enclave's end", Duration::from_secs(5), || (!is_running(enclaves[0])).then_some(()));
}

#[test]
fn a_host_ends_when_its_enclave_dies_two_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut node = Node::start(Target::TwoProcess, &kept_in(folder.path()));
    let hash = node.rpc().expect("eth_sendRawTransaction", send_params(&Account::new(0).transfer(STRANGER, 1)));
    let answered = Answered::from([(hash.as_str().expect("a hash").to_owned(), receipt_of(node.rpc(), &hash))]);
    let enclave = children_of(node.id())[0];
    signal("KILL", enclave);
    let status = node.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(NO_ENCLAVE), "{}", node.log_text());
    drop(node);
    nothing_is_lost(&Node::start(Target::TwoProcess, &kept_in(folder.path())), &answered);
}

/// A small file system that is unmounted when the test ends.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where nobody may mount.
    fn new(folder: &Path, mebibytes: u64) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(folder)
            .output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the node that still holds it is killed after this.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_recovers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = SmallDisk::new(folder.path(), 128) else {
        eprintln!("skipped: mounting a small disk needs root");
        return;
    };
    let data = disk.0.join("chain");
    fs::create_dir(&data).expect("a folder on the small disk");
    fs::write(disk.0.join("filler"), vec![0x55; 123 << 20]).expect("a filler on the small disk");
    let options = kept_in(&data);
    let node = Node::start(Target::Dev, &options);
    let mut account = Account::new(0);
    let registry = deploy_registry(&node, &mut account);

    let answered = until_refused(&node, &mut account, registry);
    // Either it goes on answering reads and refuses to send, or it has ended with a sentence about the disk.
    let alive = node.rpc().try_call("eth_blockNumber", json!([])).is_ok();
    if alive {
        let another = send_params(&Account::new(1).transfer(STRANGER, 1));
        let refused = node.rpc().call("eth_sendRawTransaction", another).expect_err("there is no room to keep it");
        assert!(
            ["disk", "storage", "space", "unavailable"]
                .iter()
                .any(|word| refused.message.to_lowercase().contains(word)),
            "{refused}"
        );
        nothing_is_lost(&node, &answered);
    } else {
        let said = node.log_text().to_lowercase();
        assert!(said.contains("disk") || said.contains("no space"), "{said}");
    }
    fs::remove_file(disk.0.join("filler")).expect("space returns");
    let node = if alive {
        node
    } else {
        drop(node);
        Node::start(Target::Dev, &options)
    };
    nothing_is_lost(&node, &answered);
    account.nonce = quantity(&node.rpc().expect("eth_getTransactionCount", json!([account.address(), "pending"])));
    let transfer = account.transfer(STRANGER, 1);
    let hash = eventually("a transaction being taken again", Duration::from_secs(20), || {
        node.rpc().call("eth_sendRawTransaction", send_params(&transfer)).ok()
    });
    assert_eq!(receipt_of(node.rpc(), &hash)["status"], "0x1");
    drop(node);
    verified_head(&data);
}

/// Sends transactions of a hundred kilobytes of storage each until the node refuses one or leaves it without a receipt; what it answered.
fn until_refused(node: &Node, account: &mut Account, registry: Address) -> Answered {
    let rpc = RpcClient::new(node.address());
    let input: Bytes =
        [&alloy_primitives::keccak256("setMany(uint256)")[..4], &U256::from(200).to_be_bytes::<32>()].concat().into();
    let mut answered = Answered::new();
    for _ in 0..2_000 {
        let write = TxEip1559 {
            nonce: account.nonce,
            gas_limit: 16_000_000,
            to: TxKind::Call(registry),
            input: input.clone(),
            ..eip1559(registry, 0)
        };
        let Ok(Ok(hash)) = rpc.try_call("eth_sendRawTransaction", send_params(&raw(account.sign(write)))) else {
            return answered;
        };
        account.nonce += 1;
        let deadline = Instant::now() + Duration::from_secs(5);
        let receipt = loop {
            match rpc.try_call("eth_getTransactionReceipt", json!([hash])) {
                Ok(Ok(Value::Null)) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                Ok(Ok(receipt)) if !receipt.is_null() => break receipt,
                _ => return answered,
            }
        };
        answered.insert(hash.as_str().expect("a hash").to_owned(), receipt);
    }
    panic!("two thousand such transactions fit on a full disk");
}

#[test]
fn a_free_port_is_really_free() {
    // The suite's own ground: two nodes at once get two ports.
    let (first, second) = (Node::start_default(Target::Dev), Node::start_default(Target::Dev));
    assert_ne!(first.address(), second.address());
    assert_ne!(free_port(), first.address().port());
}
