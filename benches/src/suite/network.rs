//! Figures of a network of three nodes: what a transfer costs its leader and its followers, and what a leader's death costs.
//!
//! **Method.** All nodes and the load share this machine. Each node is two processes with a disk that is synced; links between
//! the enclaves are attested. The load goes to the leader. Deaths are on a network of their own, whose disk holds little else.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use alloy_primitives::Address;
use eyre::{Result, ensure, eyre};

use super::nodes::DEADLINE;
use super::{Programs, Scale};
use crate::cluster::Cluster;
use crate::engine::{Confirm, Limits, RunReport, run};
use crate::failover::{self, FailoverReport};
use crate::report::{Goal, Summary};
use crate::stats::{LatencyMs, median};
use crate::workload::{Kind, Prepared, Recipients, Secrecy, SetUp};
use crate::writers::{accounts, count_empty_blocks};

/// Nodes of the network.
const NODES: usize = 3;
/// Sender accounts.
const SENDERS: u64 = 500;
/// Wei per gas, which is free: the load generator funds its senders for what they may pay.
const MAX_FEE: u128 = 1;
/// Connections that load the leader.
const CONNECTIONS: usize = 8;
/// Pace of the load whose latency has a goal.
const OFFERED_PER_S: u32 = 500;
/// Seconds of it.
const OFFERED_FOR_S: u64 = 10;
/// Clients that write while leaders die.
const WRITERS: u64 = 8;

/// What was measured, once for each round where there are rounds.
#[derive(Debug, Default)]
pub(super) struct NetworkFigures {
    per_s: Vec<f64>,
    leader_us: Vec<f64>,
    /// Of the follower that needed more.
    follower_us: Vec<f64>,
    loaded: Vec<LatencyMs>,
    offered: LatencyMs,
    empty_blocks: u64,
    leader_memory_bytes: u64,
    follower_memory_bytes: u64,
    failover: FailoverReport,
}

pub(super) fn measure(scale: &Scale, programs: &Programs, progress: &mut dyn FnMut(&str)) -> Result<NetworkFigures> {
    let program = programs.cloister.as_deref().map_err(|e| eyre!("{e:#}"))?;
    let mut figures = NetworkFigures::default();
    progress(&format!("a network of {NODES} nodes: ERC-20 transfers"));
    transfers(scale, program, &programs.logs, &mut figures, progress)?;
    progress(&format!("a network of {NODES} nodes: {} deaths of its leader", scale.kills));
    let writers = accounts(WRITERS)?;
    let funded: Vec<Address> = writers.iter().map(|account| account.address).collect();
    let mut cluster = Cluster::new(program, &programs.logs, NODES, &funded)?;
    cluster.start_all()?;
    figures.failover = failover::run(&mut cluster, writers, scale.kills, progress)?;
    Ok(figures)
}

fn transfers(
    scale: &Scale,
    program: &Path,
    logs: &Path,
    figures: &mut NetworkFigures,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut cluster = Cluster::new(program, logs, NODES, &[])?;
    cluster.start_all()?;
    let leader = cluster.leader(&cluster.alive())?;
    let offered = u64::from(OFFERED_PER_S) * OFFERED_FOR_S;
    let set_up = SetUp {
        senders: SENDERS,
        transactions: scale.rounds * scale.transfers + offered,
        slots: 0,
        seed: 1,
        max_fee: MAX_FEE,
        chain: Secrecy::Open,
    };
    let mut prepared = Prepared::set_up(&cluster.endpoint(leader), set_up)?;
    for _ in 0..scale.rounds {
        let limits = Limits { connections: CONNECTIONS, deadline: DEADLINE, ..Limits::default() };
        let (report, cpu_us) = load(&cluster, leader, &mut prepared, scale.transfers, &limits)?;
        let follower_us = followers(&cpu_us, leader).fold(0.0, f64::max);
        progress(&format!(
            "  {:.0}/s, {} blocks, {:.1} us per transfer of the leader, {follower_us:.1} us of a follower",
            report.committed_per_s, report.blocks, cpu_us[leader]
        ));
        figures.per_s.push(report.committed_per_s);
        figures.leader_us.push(cpu_us[leader]);
        figures.follower_us.push(follower_us);
        figures.loaded.push(report.latency_ms);
    }
    progress(&format!("  {OFFERED_PER_S} transfers per second"));
    let limits = Limits {
        batch: 1,
        offered_per_s: NonZeroU32::new(OFFERED_PER_S),
        connections: CONNECTIONS,
        ..Limits::default()
    };
    figures.offered = load(&cluster, leader, &mut prepared, offered, &limits)?.0.latency_ms;
    figures.empty_blocks = count_empty_blocks(&cluster.endpoint(leader))?;
    let memory: Vec<_> =
        (0..NODES).map(|index| cluster.group(index).map_or(0, |group| group.peak_memory_bytes())).collect();
    figures.leader_memory_bytes = memory[leader];
    figures.follower_memory_bytes = followers(&memory, leader).max().unwrap_or(0);
    cluster.agreement()?;
    (0..NODES).try_for_each(|index| cluster.stop(index))
}

/// The others' values.
fn followers<T: Copy>(values: &[T], leader: usize) -> impl Iterator<Item = T> {
    values.iter().enumerate().filter(move |(index, _)| *index != leader).map(|(_, value)| *value)
}

/// Sends transfers to the leader; each node's CPU per committed one, in microseconds.
fn load(
    cluster: &Cluster,
    leader: usize,
    prepared: &mut Prepared,
    count: u64,
    limits: &Limits,
) -> Result<(RunReport, Vec<f64>)> {
    let lanes = prepared.sign_transfers(Kind::Erc20, Recipients::Fresh, count)?;
    let cpu = || (0..NODES).map(|index| cluster.group(index).map_or(Duration::ZERO, |group| group.cpu()));
    let before: Vec<_> = cpu().collect();
    let confirm = Confirm::Blocks { poll: Duration::from_millis(2) };
    let report = run(&cluster.endpoint(leader), lanes, limits, confirm)?;
    ensure!(report.is_complete(), "not all was committed: {report:?}");
    // The followers' part of the last blocks belongs to it.
    cluster.agreement()?;
    let used = cpu().zip(before).map(|(after, before)| (after - before).as_secs_f64() * 1e6);
    let used = used.map(|used_us| used_us / report.committed as f64).collect();
    Ok((report, used))
}

pub(super) fn report(figures: Option<NetworkFigures>, summary: &mut Summary) {
    let is_measured = figures.is_some();
    let figures = figures.unwrap_or_default();
    let mut add = |name: &str, value: f64, unit, goal| {
        summary.add(format!("three nodes: {name}"), if is_measured { value } else { f64::NAN }, unit, goal);
    };
    let latency = |of: fn(&LatencyMs) -> f64| median(&figures.loaded.iter().map(of).collect::<Vec<_>>());
    let mb = |bytes: u64| bytes as f64 / 1e6;
    add("committed ERC-20 transfers", median(&figures.per_s), "tx/s", Goal::AtLeast(6_400.0));
    add("CPU per transfer, leader", median(&figures.leader_us), "us", Goal::None);
    add("CPU per transfer, follower", median(&figures.follower_us), "us", Goal::AtMost(30.0));
    add("send to receipt under full load, p50", latency(|ms| ms.p50), "ms", Goal::None);
    add("send to receipt under full load, p95", latency(|ms| ms.p95), "ms", Goal::None);
    add("send to receipt at 500 tx/s, p50", figures.offered.p50, "ms", Goal::AtMost(40.0));
    add("send to receipt at 500 tx/s, p95", figures.offered.p95, "ms", Goal::None);
    add("peak memory, leader", mb(figures.leader_memory_bytes), "MB", Goal::None);
    add("peak memory, follower", mb(figures.follower_memory_bytes), "MB", Goal::None);
    let failover = &figures.failover;
    let empty_blocks = figures.empty_blocks + failover.empty_blocks;
    add("empty blocks", empty_blocks as f64, "", Goal::AtMost(0.0));
    add("deaths of the leader", failover.recovery_ms.len() as f64, "", Goal::None);
    let max = |values: &[f64]| values.iter().copied().fold(f64::NAN, f64::max);
    let recovery_ms = &failover.recovery_ms;
    add("a write succeeds after the leader's death, median", median(recovery_ms), "ms", Goal::None);
    add("a write succeeds after the leader's death, max", max(recovery_ms), "ms", Goal::AtMost(2_000.0));
    add("start to caught up after a death, median", median(&failover.catch_up_ms), "ms", Goal::None);
    add("acknowledged transactions lost in deaths", failover.lost as f64, "", Goal::AtMost(0.0));
}
