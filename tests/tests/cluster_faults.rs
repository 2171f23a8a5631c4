//! Networks of real processes whose nodes are killed, cut off, restarted or long away while clients write.
//!
//! `CLUSTER_KILLS` sets how often a leader is killed (3), `CLUSTER_BLOCKS` how many blocks a node misses (300).

#![allow(clippy::print_stderr)] // what recovery took, for whoever reads along

use std::fs;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use cloister_benches::cluster::{Cluster, eventually};
use cloister_benches::failover;
use cloister_benches::rpc::Client;
use cloister_benches::wallet;
use cloister_benches::writers::{Writers, accounts, count_lost};
use cloister_tests::node::binary;
use cloister_tests::transactions::Account;
use cloister_tests::wires::Wires;
use cloister_tests::{copy_folder, number_from};
use eyre::{Result, WrapErr, ensure};
use serde_json::{Value, json};

/// Clients that write.
const WRITERS: u64 = 4;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Writes after which a network is seen to go on.
const SOME: usize = 20;

/// Runs a test on a network of which no node runs yet, with accounts that have money. Where it fails, the nodes have the last
/// word.
fn on_network(size: usize, test: impl FnOnce(&mut Cluster, Vec<wallet::Account>) -> Result<()>) {
    let logs = tempfile::tempdir().expect("a folder");
    let writers = accounts(WRITERS).expect("accounts");
    let funded: Vec<Address> = writers.iter().map(|account| account.address).collect();
    let mut cluster = Cluster::new(&binary("cloister"), logs.path(), size, &funded).expect("a network's files");
    if let Err(error) = test(&mut cluster, writers) {
        panic!("{error:#}\n{}", cluster.last_words());
    }
}

/// Lets the writers end and checks that all nodes that run agree and have all that was acknowledged.
fn settle(cluster: &Cluster, writers: Writers) -> Result<()> {
    let written = writers.finish()?;
    eprintln!("{} writes, {} of them sent again", written.acknowledged.len(), written.sent_again);
    cluster.agreement()?;
    for index in cluster.alive() {
        let lost = count_lost(&cluster.endpoint(index), &written.acknowledged)?;
        ensure!(lost == 0, "node {} lacks {lost} of {} writes", index + 1, written.acknowledged.len());
    }
    Ok(())
}

#[test]
fn no_acknowledged_transaction_is_lost_when_leaders_are_killed() {
    on_network(3, |cluster, accounts| {
        cluster.start_all()?;
        let kills = number_from("CLUSTER_KILLS").unwrap_or(3);
        let report = failover::run(cluster, accounts, kills, &mut |line| eprintln!("{line}"))?;
        ensure!(report.lost == 0, "{} of {} writes are lost", report.lost, report.acknowledged);
        ensure!(report.empty_blocks == 0, "{} blocks are empty", report.empty_blocks);
        Ok(())
    });
}

#[test]
fn five_nodes_go_on_without_two() {
    on_network(5, |cluster, accounts| {
        cluster.start_all()?;
        let writers = Writers::start(&cluster.endpoints(), accounts);
        writers.acknowledge(SOME, Instant::now())?;
        let leader = cluster.leader(&cluster.alive())?;
        let dead = [leader, (leader + 1) % cluster.size()];
        dead.into_iter().try_for_each(|index| cluster.kill(index))?;
        writers.acknowledge(SOME, Instant::now())?;
        dead.into_iter().try_for_each(|index| cluster.start(index))?;
        settle(cluster, writers)
    });
}

#[test]
fn what_a_leader_took_while_it_was_cut_off_lands_after_it_is_deposed() {
    on_network(3, |cluster, accounts| {
        let wires = Wires::lay(cluster)?;
        cluster.start_all()?;
        let leader = cluster.leader(&cluster.alive())?;
        let others: Vec<_> = (0..3).filter(|index| *index != leader).collect();
        for other in &others {
            wires.cut(leader, *other);
            wires.cut(*other, leader);
        }
        let mut sender = Account::new(0);
        let mut stranded = Vec::new();
        for _ in 0..5 {
            let raw = sender.transfer(Address::repeat_byte(9), 1);
            let hash: B256 =
                Client::connect(&cluster.endpoint(leader))?.call("eth_sendRawTransaction", json!([raw]))?;
            stranded.push(hash);
        }
        cluster.leader(&others)?;
        let reached: Vec<_> = others.iter().map(|other| cluster.endpoint(*other)).collect();
        let writers = Writers::start(&reached, accounts);
        writers.acknowledge(SOME, Instant::now())?;
        for hash in &stranded {
            for other in &others {
                ensure!(receipt(cluster, *other, *hash)?.is_null(), "{hash} has passed a cut wire");
            }
        }
        wires.mend();
        for hash in &stranded {
            let receipts = (0..3).map(|index| {
                eventually(&format!("the receipt of {hash} on node {}", index + 1), PATIENCE, || {
                    receipt(cluster, index, *hash).ok().filter(|receipt| !receipt.is_null())
                })
            });
            let mut receipts = receipts.collect::<Result<Vec<_>>>()?;
            receipts.dedup();
            ensure!(receipts.len() == 1, "nodes disagree: {receipts:?}");
        }
        settle(cluster, writers)
    });
}

fn receipt(cluster: &Cluster, index: usize, hash: B256) -> Result<Value> {
    Client::connect(&cluster.endpoint(index))?.call("eth_getTransactionReceipt", json!([hash]))
}

/// Which way a leader is cut off.
#[derive(Clone, Copy, Debug)]
enum Deaf {
    /// It hears nothing.
    Leader,
    /// It is not heard.
    Others,
}

#[test]
fn a_leader_that_hears_nothing_is_replaced() {
    one_way(Deaf::Leader);
}

#[test]
fn a_leader_that_is_not_heard_is_replaced() {
    one_way(Deaf::Others);
}

fn one_way(deaf: Deaf) {
    on_network(3, |cluster, accounts| {
        let wires = Wires::lay(cluster)?;
        cluster.start_all()?;
        let leader = cluster.leader(&cluster.alive())?;
        let others: Vec<_> = (0..3).filter(|index| *index != leader).collect();
        let reached: Vec<_> = others.iter().map(|other| cluster.endpoint(*other)).collect();
        let writers = Writers::start(&reached, accounts);
        writers.acknowledge(SOME, Instant::now())?;
        for other in &others {
            match deaf {
                Deaf::Leader => wires.cut(*other, leader),
                Deaf::Others => wires.cut(leader, *other),
            }
        }
        cluster.leader(&others)?;
        writers.acknowledge(SOME, Instant::now())?;
        wires.mend();
        cluster.reaches(leader, cluster.standing(others[0])?.head)?;
        settle(cluster, writers)
    });
}

#[test]
fn a_rolling_restart_fails_no_request_that_client_libraries_repeat() {
    on_network(3, |cluster, accounts| {
        cluster.start_all()?;
        let writers = Writers::start(&cluster.endpoints(), accounts);
        for index in 0..cluster.size() {
            writers.acknowledge(SOME, Instant::now())?;
            cluster.stop(index)?;
            writers.acknowledge(SOME, Instant::now())?;
            cluster.start(index)?;
            let leader = cluster.leader(&cluster.alive())?;
            cluster.reaches(index, cluster.standing(leader)?.head)?;
        }
        settle(cluster, writers)
    });
}

/// Of a node that is started twice, from its folder and from a copy of it, one process stops and says why; nobody's write is lost.
#[test]
fn of_a_node_that_is_started_twice_one_process_stops() {
    on_network(3, |cluster, accounts| {
        let files = tempfile::tempdir()?;
        cluster.start_all()?;
        let writers = Writers::start(&cluster.endpoints()[1..], accounts);
        writers.acknowledge(SOME, Instant::now())?;
        cluster.stop(0)?;
        let (folder, log) = (files.path().join("copy"), files.path().join("copy.log"));
        copy_folder(&cluster.datadir(0), &folder)?;
        cluster.start(0)?;
        let leader = cluster.leader(&cluster.alive())?;
        cluster.reaches(0, cluster.standing(leader)?.head)?;
        let mut copy = cluster.spawn_copy(0, &folder, &log)?;
        let (code, said) = eventually("the end of one of the two", PATIENCE, || {
            if let Some(code) = copy.ended().ok()? {
                return Some((code, fs::read_to_string(&log).unwrap_or_default()));
            }
            Some((cluster.ended(0).ok()??, cluster.log_text(0)))
        })
        .wrap_err_with(|| fs::read_to_string(&log).unwrap_or_default())?;
        ensure!(code == 20, "it ended with {code}: {said}");
        ensure!(said.contains("another process has this node's identity"), "{said}");
        writers.acknowledge(SOME, Instant::now())?;
        if cluster.ended(0)?.is_some() {
            // The copy is the node now, and may have acknowledged what the folder lacks: with it, this is a node with an old disk.
            cluster.kill(0)?;
        }
        settle(cluster, writers)
    });
}

#[test]
fn a_node_that_misses_all_blocks_catches_up_under_load() {
    on_network(3, |cluster, accounts| {
        cluster.start_all()?;
        let leader = cluster.leader(&cluster.alive())?;
        let late = (leader + 1) % cluster.size();
        cluster.kill(late)?;
        let writers = Writers::start(&cluster.endpoints(), accounts);
        let blocks = number_from("CLUSTER_BLOCKS").unwrap_or(300);
        while cluster.standing(leader)?.head < blocks {
            writers.acknowledge(SOME, Instant::now())?;
        }
        cluster.set_patience(PATIENCE + Duration::from_millis(10 * blocks));
        let start = Instant::now();
        cluster.start(late)?;
        let head = cluster.standing(cluster.leader(&cluster.alive())?)?.head;
        cluster.reaches(late, head)?;
        eprintln!("block {head} after {} ms", start.elapsed().as_millis());
        settle(cluster, writers)
    });
}
