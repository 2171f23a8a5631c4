//! `cloister backup` and `cloister restore`: a chain that was lost is there again, and what cannot be restored is refused by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::consensus::TxEip1559;
use alloy_primitives::{Address, Bytes};
use cloister_tests::network::{Member, Network, write_key};
use cloister_tests::node::{Node, NodeOptions, Target, eventually, receipt_of, run_cloister};
use cloister_tests::rpc::RpcClient;
use cloister_tests::transactions::{Account, eip1559, raw};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A chain in a folder, whose node has been stopped.
struct Chain {
    files: TempDir,
    /// The receipts of its transactions.
    receipts: Vec<Value>,
}

impl Chain {
    fn new(target: Target) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let node = start(target, &files.path().join("chain"), &[]);
        let mut sender = Account::new(0);
        let receipts = (1..=3).map(|value| send(node.rpc(), &mut sender, value)).collect();
        assert!(node.terminate().success());
        Self { files, receipts }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn back_up(&self, folder: &str, file: &str) -> Result<String, (Option<i32>, String)> {
        cloister(&["backup", "--datadir", &self.name(folder), "--out", &self.name(file)])
    }

    fn restore(&self, file: &str, folder: &str) -> Result<String, (Option<i32>, String)> {
        cloister(&["restore", "--in", &self.name(file), "--datadir", &self.name(folder)])
    }

    fn verify(&self, folder: &str) -> Value {
        let report = cloister(&["verify", "--datadir", &self.name(folder), "--json"]).expect("it is in order");
        serde_json::from_str(&report).expect("JSON")
    }
}

fn start(target: Target, datadir: &Path, flags: &[&str]) -> Node {
    let extra = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Node::start(target, &NodeOptions { datadir: Some(datadir.to_owned()), extra, ..NodeOptions::default() })
}

fn send(rpc: &RpcClient, sender: &mut Account, value: u64) -> Value {
    let hash = rpc.expect("eth_sendRawTransaction", json!([sender.transfer(Address::repeat_byte(7), value)]));
    receipt_of(rpc, &hash)
}

/// Runs the command; how it failed, and what it said.
fn cloister(arguments: &[&str]) -> Result<String, (Option<i32>, String)> {
    run_cloister(arguments).map_err(|failure| (failure.status.code(), failure.output))
}

/// That a command was refused with this code, for a reason in these words.
fn refused(outcome: Result<String, (Option<i32>, String)>, code: i32, words: &str) {
    let (found, said) = outcome.expect_err("it is refused");
    assert_eq!(found, Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

fn a_chain_that_was_lost_is_there_again(target: Target) {
    let chain = Chain::new(target);
    let before = chain.verify("chain");
    let said = chain.back_up("chain", "chain.backup").expect("it is written");
    assert!(said.contains("up to block 3") && said.contains("keep a copy of sealing.key"), "{said}");
    let key = fs::read(chain.path("chain/sealing.key")).expect("the key");
    let file = fs::read(chain.path("chain.backup")).expect("the backup");
    assert!(!file.windows(key.len()).any(|part| part == key), "the key is in the backup");
    fs::remove_dir_all(chain.path("chain")).expect("it is destroyed");

    let said = chain.restore("chain.backup", "again").expect("it is restored");
    assert!(said.contains("up to block 3") && said.contains("Put the node's sealing.key there"), "{said}");
    write_key(&chain.path("again/sealing.key"), &key);
    assert_eq!(chain.verify("again"), before);
    let node = start(target, &chain.path("again"), &[]);
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), "0x3");
    for receipt in &chain.receipts {
        let again = node.rpc().expect("eth_getTransactionReceipt", json!([receipt["transactionHash"]]));
        assert_eq!(again, *receipt);
    }
    let mut sender = Account::new(1);
    assert_eq!(send(node.rpc(), &mut sender, 1)["blockNumber"], "0x4", "it goes on");
}

#[test]
fn a_chain_that_was_lost_is_there_again_dev() {
    a_chain_that_was_lost_is_there_again(Target::Dev);
}

#[test]
fn a_chain_that_was_lost_is_there_again_two_process() {
    a_chain_that_was_lost_is_there_again(Target::TwoProcess);
}

#[test]
fn nothing_is_written_over_and_a_running_node_is_left_alone() {
    let chain = Chain::new(Target::Dev);
    chain.back_up("chain", "chain.backup").expect("it is written");
    let before = fs::read(chain.path("chain.backup")).expect("the backup");
    refused(chain.back_up("chain", "chain.backup"), 1, "exists already: choose another name");
    assert_eq!(fs::read(chain.path("chain.backup")).expect("the backup"), before);
    refused(chain.restore("chain.backup", "chain"), 1, "the folder holds a chain already");
    refused(chain.back_up("nothing", "nothing.backup"), 1, "holds no chain");
    assert!(!chain.path("nothing.backup").exists());

    let node = start(Target::Dev, &chain.path("chain"), &[]);
    let running = "is in use by a running node: stop it for the time of the backup (the other nodes";
    refused(chain.back_up("chain", "running.backup"), 11, running);
    assert!(!chain.path("running.backup").exists());
    refused(chain.restore("chain.backup", "chain"), 11, "is in use by another node");
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), "0x3");
}

#[test]
fn a_file_that_is_cut_changed_or_something_else_is_refused_and_nothing_is_restored() {
    let chain = Chain::new(Target::Dev);
    chain.back_up("chain", "chain.backup").expect("it is written");
    let whole = fs::read(chain.path("chain.backup")).expect("the backup");
    let restored = |bytes: &[u8], words: &str| {
        fs::write(chain.path("wrong.backup"), bytes).expect("it is written");
        refused(chain.restore("wrong.backup", "again"), 13, words);
        assert!(!chain.path("again").exists(), "{words}");
    };
    restored(&whole[..whole.len() - 1], "it was copied or written only in part");
    restored(&whole[..whole.len() / 2], "it was copied or written only in part");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    restored(&changed, "it was changed or damaged");
    restored(&[&whole[..], b"more"].concat(), "there is something behind the end");
    restored(b"PK\x03\x04 something else altogether", "this is no backup of a node");
    refused(chain.restore("missing.backup", "again"), 1, "cannot read");

    // Where a folder was made for a chain, no other is put into it.
    let other = start(Target::Dev, &chain.path("other"), &["--timestamp", "5"]);
    assert!(other.terminate().success());
    fs::create_dir(chain.path("ready")).expect("a folder");
    fs::copy(chain.path("other/genesis.json"), chain.path("ready/genesis.json")).expect("a genesis");
    refused(chain.restore("chain.backup", "ready"), 12, "the backup is of another chain");
    // The right key is told from a wrong one by what it opens.
    chain.restore("chain.backup", "again").expect("it is restored");
    write_key(&chain.path("again/sealing.key"), &[3; 32]);
    let verified = cloister(&["verify", "--datadir", &chain.name("again")]);
    assert!(verified.is_err(), "{verified:?}");
}

/// A transaction of an account without money, where gas is free.
fn free(sender: &Account, nonce: u64) -> Bytes {
    let free = TxEip1559 { nonce, max_fee_per_gas: 0, max_priority_fee_per_gas: 0, ..eip1559(Address::ZERO, 0) };
    raw(sender.sign(free))
}

/// Leaves a node nothing but its keys and its configuration.
fn wipe(network: &Network, node: usize) {
    let kept = ["sealing.key", "transport.key", "network.key", "cloister.toml"];
    for entry in fs::read_dir(network.datadir(node)).expect("a folder") {
        let entry = entry.expect("an entry");
        if !kept.iter().any(|name| entry.file_name() == *name) {
            fs::remove_file(entry.path()).expect("it is destroyed");
        }
    }
}

#[test]
fn a_network_whose_nodes_were_all_lost_goes_on_from_their_backups() {
    let network = Network::new(&["alpha", "beta", "gamma"], &["--confidentiality", "off"]);
    let mut members = vec![network.start(1, &[]), network.start(2, &[]), network.start(3, &[])];
    let rpcs: Vec<_> = members.iter_mut().map(|member| member.serving()).collect();
    let sender = Account::new(0);
    let hash = rpcs[0].expect("eth_sendRawTransaction", json!([free(&sender, 0)]));
    let receipt = |rpc: &RpcClient| {
        let found = rpc.expect("eth_getTransactionReceipt", json!([hash]));
        (!found.is_null()).then_some(found)
    };
    let receipts: Vec<_> = rpcs.iter().map(|rpc| eventually("the receipt", PATIENCE, || receipt(rpc))).collect();
    members.into_iter().for_each(Member::terminate);
    for node in 1..=3 {
        let (datadir, file) = (network.datadir(node), network.path(&format!("{node}.backup")));
        let (datadir, file) = (datadir.display().to_string(), file.display().to_string());
        cloister(&["backup", "--datadir", &datadir, "--out", &file]).expect("it is written");
        wipe(&network, node);
        cloister(&["restore", "--in", &file, "--datadir", &datadir]).expect("it is restored");
    }
    let mut members = [network.start(1, &[]), network.start(2, &[]), network.start(3, &[])];
    for (member, before) in members.iter_mut().zip(&receipts) {
        let rpc = member.serving();
        assert_eq!(eventually("the receipt", PATIENCE, || receipt(&rpc)), *before);
    }
    let hash = members[1].serving().expect("eth_sendRawTransaction", json!([free(&sender, 1)]));
    let _ = receipt_of(&members[1].serving(), &hash);
}

/// Three nodes, as long as they run.
struct Running<'a> {
    network: &'a Network,
    members: [Option<Member>; 3],
}

impl Running<'_> {
    fn rpc(&mut self, node: usize) -> RpcClient {
        self.members[node].as_mut().expect("it runs").serving()
    }

    fn start(&mut self, node: usize) {
        self.members[node] = Some(self.network.start(node + 1, &[]));
    }

    fn stop(&mut self, node: usize) {
        self.members[node].take().expect("it runs").terminate();
    }

    fn leader(&mut self) -> usize {
        let running: Vec<_> = (0..3).filter(|node| self.members[*node].is_some()).collect();
        eventually("a leader", PATIENCE, || {
            let leads = |node: &usize| self.rpc(*node).expect("cloister_networkStatus", json!([]))["role"] == "leader";
            running.iter().copied().find(leads)
        })
    }

    /// Waits until a node has this block.
    fn has(&mut self, node: usize, head: &str) {
        let rpc = self.rpc(node);
        eventually("the newest block", PATIENCE, || (rpc.expect("eth_blockNumber", json!([])) == head).then_some(()));
    }
}

#[test]
fn a_node_with_an_old_disk_or_an_empty_one_catches_up() {
    let network = Network::new(&["alpha", "beta", "gamma"], &["--confidentiality", "off"]);
    let members = [1, 2, 3].map(|node| Some(network.start(node, &[])));
    let mut running = Running { network: &network, members };
    let sender = Account::new(0);
    let write = |rpc: &RpcClient, nonce: u64| {
        let hash = rpc.expect("eth_sendRawTransaction", json!([free(&sender, nonce)]));
        let _ = receipt_of(rpc, &hash);
    };
    write(&running.rpc(0), 0);
    let old = (running.leader() + 1) % 3;
    running.has(old, "0x1");
    // Its backup is of a time when the others had not gone on yet, and it knows more before it is lost.
    running.stop(old);
    let name = |path: PathBuf| path.display().to_string();
    let (datadir, file) = (name(network.datadir(old + 1)), name(network.path("old.backup")));
    cloister(&["backup", "--datadir", &datadir, "--out", &file]).expect("it is written");
    running.start(old);
    write(&running.rpc(old), 1);
    running.has(old, "0x2");
    running.stop(old);
    wipe(&network, old + 1);
    cloister(&["restore", "--in", &file, "--datadir", &datadir]).expect("it is restored");
    running.start(old);
    running.has(old, "0x2");
    write(&running.rpc(old), 2);

    // Without a backup, the genesis is all that it needs besides what was not lost.
    running.has(old, "0x3");
    running.stop(old);
    wipe(&network, old + 1);
    fs::copy(network.path("genesis.json"), network.datadir(old + 1).join("genesis.json")).expect("a genesis");
    running.start(old);
    running.has(old, "0x3");
    write(&running.rpc(old), 3);
}
