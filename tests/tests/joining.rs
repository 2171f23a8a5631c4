//! Nodes that come and go while clients write: members decide, the leader carries it out.
//!
//! `CLUSTER_BLOCKS` sets how many blocks there are for the newcomer to fetch (300).

#![allow(clippy::expect_used, clippy::print_stderr)] // how long it took, for whoever reads along

use std::time::{Duration, Instant};

use alloy_primitives::Address;
use cloister_benches::cluster::{Cluster, Founding};
use cloister_benches::writers::{Writers, accounts, count_lost};
use cloister_tests::membership::{approval, approve, serves_nobody, vote_like};
use cloister_tests::node::binary;
use cloister_tests::number_from;
use cloister_tests::transactions::signer;
use eyre::{Result, ensure, eyre};

/// Writes after which a network is seen to go on.
const SOME: usize = 20;

/// A fourth node is let in and votes, the first one is sent away; clients notice nothing.
fn comes_and_goes(cluster: &mut Cluster) -> Result<()> {
    for founder in 0..3 {
        cluster.spawn(founder)?;
    }
    for founder in 0..3 {
        cluster.reaches(founder, 0)?;
    }
    let reached: Vec<_> = [1, 2].map(|index| cluster.endpoint(index)).into();
    let writers = Writers::start(&reached, accounts(3)?);
    let blocks = number_from("CLUSTER_BLOCKS").unwrap_or(300);
    while cluster.standing(1)?.head < blocks {
        writers.acknowledge(SOME, Instant::now())?;
    }
    cluster.set_patience(Duration::from_secs(120) + Duration::from_millis(10 * blocks));

    // It has all it needs but the others' consent.
    cluster.spawn(3)?;
    let voter = approval(3, "voter")?;
    ensure!(approve(cluster, 1, 0, 0, &voter)?, "one member of three approves");
    ensure!(!approve(cluster, 1, 0, 1, &voter)?, "a member counts once");
    ensure!(!approve(cluster, 1, 4, 0, &voter)?, "who is no member has no say");
    writers.acknowledge(SOME, Instant::now())?;
    ensure!(cluster.standing(1)?.voters == [1, 2, 3], "one of three members decides nothing");
    serves_nobody(cluster, 3)?;

    ensure!(approve(cluster, 2, 1, 0, &voter)?, "two of three are enough");
    let start = Instant::now();
    vote_like(cluster, 1, &[1, 2, 3, 4])?;
    eprintln!("a voter at block {} after {} ms", cluster.standing(1)?.head, start.elapsed().as_millis());
    cluster.reaches(3, cluster.standing(1)?.head)?;

    let gone = approval(0, "gone")?;
    ensure!(approve(cluster, 1, 0, 2, &gone)? && approve(cluster, 2, 1, 1, &gone)?, "the first node goes");
    vote_like(cluster, 3, &[2, 3, 4])?;
    cluster.kill(0)?;
    // With the new one a majority is there without either of the others.
    cluster.kill(1)?;
    writers.acknowledge(SOME, Instant::now())?;
    ensure!(!approve(cluster, 2, 0, 3, &approval(0, "voter")?)?, "a number is its node's for good");
    cluster.start(1)?;
    let written = writers.finish()?;
    cluster.agreement()?;
    for index in 1..4 {
        let lost = count_lost(&cluster.endpoint(index), &written.acknowledged)?;
        ensure!(lost == 0, "node {} lacks {lost} of {} writes", index + 1, written.acknowledged.len());
    }
    Ok(())
}

#[test]
fn a_node_comes_and_one_goes_by_the_votes_of_members() {
    let logs = tempfile::tempdir().expect("a folder");
    let funded: Vec<Address> = accounts(3).expect("accounts").iter().map(|account| account.address).collect();
    let governors: Vec<_> = (0..3).map(|index| signer(index).address()).collect();
    let founding = Founding { size: 4, founders: 3, funded: &funded, governors: &governors };
    let mut cluster = Cluster::found(&binary("cloister"), logs.path(), founding).expect("a network's files");
    let outcome = comes_and_goes(&mut cluster).map_err(|error| eyre!("{error:#}\n{}", cluster.last_words()));
    outcome.expect("nodes come and go");
}
