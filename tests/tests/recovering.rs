//! Networks that lost most of their disks and go on from the one that is left, because members say so.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alloy_primitives::{Address, hex};
use cloister_benches::cluster::{Cluster, Founding, eventually};
use cloister_benches::rpc::Client;
use cloister_tests::copy_folder;
use cloister_tests::membership::{approval, approve, serves_nobody, vote_like};
use cloister_tests::node::{binary, run_cloister};
use cloister_tests::transactions::{Account, signer};
use eyre::{Result, bail, ensure, eyre};
use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The node whose disk is left.
const SURVIVOR: usize = 0;
/// Development accounts that are members; another one writes.
const MEMBERS: std::ops::Range<usize> = 0..3;
const WRITER: usize = 5;
/// What nodes log: that one waits for the others after its start, and what can be done; that another is connected; that
/// it was left behind.
const WAITS: &str = "members have it go on with `cloister recover`";
const LINKED: &str = "peer-linked";
const REFUSED: &str = "wipe its folder, and let it join anew";

/// A network of three nodes and as many members, and nodes that may join.
fn on_network(size: usize, test: impl FnOnce(&mut Cluster, &Path) -> Result<()>) {
    let files = tempfile::tempdir().expect("a folder");
    let governors: Vec<_> = MEMBERS.map(|index| signer(index).address()).collect();
    let founding = Founding { size, founders: 3, funded: &[], governors: &governors };
    let mut cluster = Cluster::found(&binary("cloister"), files.path(), founding).expect("a network's files");
    cluster.log_events();
    if let Err(error) = test(&mut cluster, files.path()) {
        panic!("{error:#}\n{}", cluster.last_words());
    }
}

/// Writes through the survivor; the receipts that it gave.
fn write(cluster: &Cluster, sender: &mut Account, count: usize) -> Result<Vec<Value>> {
    let mut client = Client::connect(&cluster.endpoint(SURVIVOR))?;
    let send = |_| {
        let raw = sender.transfer(Address::repeat_byte(7), 1);
        let receipt: Value = client.call("eth_sendRawTransactionSync", json!([raw, 20_000]))?;
        ensure!(receipt["status"] == "0x1", "{receipt}");
        Ok(receipt)
    };
    (0..count).map(send).collect()
}

fn has_all(cluster: &Cluster, index: usize, receipts: &[Value]) -> Result<()> {
    let mut client = Client::connect(&cluster.endpoint(index))?;
    for receipt in receipts {
        let found: Value = client.call("eth_getTransactionReceipt", json!([receipt["transactionHash"]]))?;
        ensure!(found == *receipt, "node {} has {found} in place of {receipt}", index + 1);
    }
    Ok(())
}

/// Runs `cloister recover` on the survivor's folder; what it printed, or the code that it failed with and why.
fn recover(cluster: &Cluster, arguments: &[&str]) -> Result<String, (Option<i32>, String)> {
    let (datadir, key) = (cluster.datadir(SURVIVOR), cluster.network_key());
    let place = ["--datadir", &datadir.display().to_string(), "--node-id", "1"].map(str::to_owned);
    let key = ["--network-key-file".to_owned(), key.display().to_string()];
    let all = ["recover", arguments[0]].map(str::to_owned).into_iter().chain(place).chain(key);
    let all: Vec<_> = all.chain(arguments[1..].iter().map(|argument| (*argument).to_owned())).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    run_cloister(&all).map_err(|failure| (failure.status.code(), failure.output))
}

fn refused(outcome: Result<String, (Option<i32>, String)>, code: i32, words: &str) -> Result<()> {
    match outcome {
        Err((Some(found), said)) if found == code && said.contains(words) => Ok(()),
        other => bail!("not refused with {code} and {words:?}: {other:?}"),
    }
}

/// A development account's signature under a statement.
fn signature(files: &Path, statement: &str, member: usize) -> Result<String> {
    let key = files.join(format!("member{member}.key"));
    fs::write(&key, hex::encode(signer(member).to_bytes()))?;
    let output = Command::new(binary("cloister"))
        .args(["recover", "sign", "--key", &format!("file:{}", key.display()), statement])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Starts a node and waits until it has logged this since.
fn spawn_until(cluster: &mut Cluster, index: usize, words: &str) -> Result<()> {
    let before = cluster.log_text(index).len();
    cluster.spawn(index)?;
    eventually(&format!("{words:?} in the log of node {}", index + 1), PATIENCE, || {
        cluster.log_text(index).get(before..)?.contains(words).then_some(())
    })
}

/// Members propose, sign and apply a recovery from the survivor's folder; all that is short of it is refused.
fn recover_by_votes(cluster: &Cluster, files: &Path) -> Result<()> {
    let statement = files.join("recovery.json").display().to_string();
    let failed = |(_, said): (Option<i32>, String)| eyre!("{said}");
    recover(cluster, &["propose", "--out", &statement]).map_err(failed)?;
    let [one, two, stranger] =
        [signature(files, &statement, 0)?, signature(files, &statement, 1)?, signature(files, &statement, 4)?];
    let apply = |signatures: &[&str], statement: &str| {
        let flags = signatures.iter().flat_map(|signature| ["--signature", signature]);
        recover(cluster, &["apply"].into_iter().chain(flags).chain([statement]).collect::<Vec<_>>())
    };
    refused(apply(&[&one], &statement), 19, "too-few-signatures")?;
    refused(apply(&[&one, &one], &statement), 19, "signed-twice")?;
    refused(apply(&[&one, &stranger], &statement), 19, "not-a-member")?;
    refused(apply(&[&one, "0x1234"], &statement), 19, "malformed-signature")?;
    for (key, value, code) in [
        ("chainId", json!(1), "wrong-chain"),
        ("node", json!(2), "other-node"),
        ("height", json!(1), "other-block"),
        ("recovery", json!(2), "other-recovery"),
        ("height", json!("high"), "malformed"),
    ] {
        let mut changed: Value = serde_json::from_str(&fs::read_to_string(&statement)?)?;
        changed[key] = value;
        let file = files.join("changed.json").display().to_string();
        fs::write(&file, changed.to_string())?;
        refused(apply(&[&one, &two], &file), 19, code)?;
    }
    let said = apply(&[&one, &two], &statement).map_err(failed)?;
    ensure!(said.contains("with node 1, which votes alone"), "{said}");
    refused(apply(&[&one, &two], &statement), 19, "already-used")
}

/// That the survivor goes on where it ended.
fn goes_on(cluster: &mut Cluster, sender: &mut Account, receipts: &mut Vec<Value>) -> Result<()> {
    cluster.start(SURVIVOR)?;
    has_all(cluster, SURVIVOR, receipts)?;
    ensure!(cluster.standing(SURVIVOR)?.voters == [1], "it votes alone");
    let last = |receipts: &[Value]| -> Result<u64> {
        let height = receipts.last().and_then(|receipt| receipt["blockNumber"].as_str()).unwrap_or_default();
        cloister_benches::rpc::parse_quantity(height)
    };
    let before = last(receipts)?;
    receipts.extend(write(cluster, sender, 1)?);
    ensure!(last(receipts)? == before + 1, "the chain goes on after its newest block");
    Ok(())
}

fn survives_lost_disks(cluster: &mut Cluster, files: &Path) -> Result<()> {
    for founder in 0..3 {
        cluster.spawn(founder)?;
    }
    for founder in 0..3 {
        cluster.reaches(founder, 0)?;
    }
    let mut sender = Account::new(WRITER);
    let mut receipts = write(cluster, &mut sender, 20)?;
    (0..3).try_for_each(|founder| cluster.kill(founder))?;
    // With their folders the keys are gone: nobody can come back as these nodes.
    (1..3).try_for_each(|lost| fs::remove_dir_all(cluster.datadir(lost)))?;

    spawn_until(cluster, SURVIVOR, WAITS)?;
    serves_nobody(cluster, SURVIVOR)?;
    refused(recover(cluster, &["propose"]), 11, "in use")?;
    cluster.kill(SURVIVOR)?;
    recover_by_votes(cluster, files)?;
    goes_on(cluster, &mut sender, &mut receipts)?;

    // Members have others take the places of those that are lost.
    cluster.spawn(3)?;
    let (comes, goes) = (approval(3, "voter")?, approval(1, "gone")?);
    for member in 0..2 {
        ensure!(approve(cluster, SURVIVOR, member, 0, &comes)?, "member {member} approves");
    }
    vote_like(cluster, SURVIVOR, &[1, 4])?;
    for member in 0..2 {
        ensure!(approve(cluster, SURVIVOR, member, 1, &goes)?, "member {member} approves");
    }
    receipts.extend(write(cluster, &mut sender, 5)?);
    cluster.agreement()?;
    has_all(cluster, 3, &receipts)?;
    vote_like(cluster, SURVIVOR, &[1, 4])?;
    // What the recovery left is what a restart goes on from.
    cluster.kill(SURVIVOR)?;
    cluster.kill(3)?;
    cluster.spawn(SURVIVOR)?;
    cluster.start(3)?;
    receipts.extend(write(cluster, &mut sender, 1)?);
    cluster.agreement()?;
    has_all(cluster, 3, &receipts)?;
    for index in [SURVIVOR, 3] {
        cluster.kill(index)?;
        verifies(cluster, index)?;
    }
    Ok(())
}

/// That a stopped node's folder is found in order with the network's key, which has to be named: it lies elsewhere.
fn verifies(cluster: &Cluster, index: usize) -> Result<()> {
    let (datadir, key) = (cluster.datadir(index).display().to_string(), cluster.network_key().display().to_string());
    let verify = |flags: &[&str]| run_cloister(&[&["verify", "--datadir", &datadir], flags].concat());
    let unnamed = verify(&[]).map_err(|failure| (failure.status.code(), failure.output));
    refused(unnamed, 2, "--network-key-file")?;
    let found = verify(&["--network-key-file", &key]).map_err(|failure| eyre!("{}", failure.output))?;
    ensure!(found.contains("is in order"), "{found}");
    Ok(())
}

#[test]
fn a_network_goes_on_from_one_disk_when_the_others_are_lost() {
    on_network(4, survives_lost_disks);
}

fn survives_old_disks(cluster: &mut Cluster, files: &Path) -> Result<()> {
    cluster.start_all()?;
    let mut sender = Account::new(WRITER);
    let mut receipts = write(cluster, &mut sender, 5)?;
    cluster.agreement()?;
    (0..3).try_for_each(|index| cluster.kill(index))?;
    let kept = |index: usize| -> PathBuf { files.join(format!("old{index}")) };
    (1..3).try_for_each(|index| copy_folder(&cluster.datadir(index), &kept(index)))?;
    cluster.start_all()?;
    receipts.extend(write(cluster, &mut sender, 10)?);
    (0..3).try_for_each(|index| cluster.kill(index))?;
    for index in 1..3 {
        fs::remove_dir_all(cluster.datadir(index))?;
        copy_folder(&kept(index), &cluster.datadir(index))?;
    }

    // One of the two is not there: it may be the one that knows better.
    spawn_until(cluster, SURVIVOR, WAITS)?;
    spawn_until(cluster, 1, LINKED)?;
    serves_nobody(cluster, SURVIVOR)?;
    serves_nobody(cluster, 1)?;
    cluster.kill(SURVIVOR)?;
    cluster.kill(1)?;
    recover_by_votes(cluster, files)?;
    goes_on(cluster, &mut sender, &mut receipts)?;

    // Whoever comes with an old disk now is told so, and changes nothing.
    spawn_until(cluster, 1, REFUSED)?;
    spawn_until(cluster, 2, REFUSED)?;
    receipts.extend(write(cluster, &mut sender, 3)?);
    has_all(cluster, SURVIVOR, &receipts)?;
    ensure!(cluster.standing(SURVIVOR)?.voters == [1], "they are not taken back");
    serves_nobody(cluster, 1)?;
    serves_nobody(cluster, 2)
}

#[test]
fn old_disks_are_refused_once_the_network_goes_on_from_a_newer_one() {
    on_network(3, survives_old_disks);
}
