//! Figures of running nodes: ours, and anvil under the same load.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eyre::{Result, WrapErr, ensure, eyre};
use serde_json::{Value, json};

use super::in_process::Floors;
use super::{Programs, Scale, or_report};
use crate::engine::{Confirm, Limits, RunReport, run};
use crate::floor::FloorCost;
use crate::node::{Node, free_port};
use crate::readers::{Load, balance_request, block_number_request, call_rate, sample_latency};
use crate::report::{Goal, Summary};
use crate::rpc::Client;
use crate::stats::{LatencyMs, mean, median};
use crate::token;
use crate::workload::{Kind, Prepared, Recipients, Secrecy, SetUp};

/// Sender accounts.
const SENDERS: u64 = 500;
/// Most wei per gas; base fees fall during a run, as blocks stay below half of the gas limit.
const MAX_FEE: u128 = 1_000_000_000_000;
/// Block gas limit given to both nodes: more than twice of what can be in flight.
const BLOCK_GAS_LIMIT: &str = "4000000000";
/// ETH of each development account, given to both nodes.
const BALANCE: &str = "1000000";
/// Longest measured run; a node that needs longer has failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// Connections that load our node: enough to fill its blocks.
pub(super) const CONNECTIONS: usize = 16;
/// Heights divisible by this get a snapshot.
const SNAPSHOT_EVERY_BLOCKS: u64 = 1_024;
/// Connections that call.
const CALLERS: usize = 4;

/// What was measured; what failed is missing.
#[derive(Debug, Default)]
pub(super) struct Figures {
    cpu_us: Vec<f64>,
    per_s: Vec<f64>,
    p50_ms: Vec<f64>,
    p95_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    anvil_cpu_us: Vec<f64>,
    calls: Calls,
    anvil_calls: Calls,
    single: Option<LatencyMs>,
    block_number: Option<LatencyMs>,
    eth_call: Option<LatencyMs>,
    fullest_block: Option<u64>,
    restart: Option<Duration>,
    peak_memory_bytes: Option<u64>,
}

/// Balance calls per CPU-second of the node, a round each.
#[derive(Debug, Default)]
struct Calls {
    batched: Vec<f64>,
    single: Vec<f64>,
}

/// Our own node with the state that the figures are stated for.
struct Ours<'a> {
    node: Node,
    prepared: Prepared,
    program: &'a Path,
    arguments: Vec<String>,
}

pub(super) fn measure(
    scale: &Scale,
    programs: &Programs,
    mut floors: Option<&mut Floors>,
    progress: &mut dyn FnMut(&str),
) -> Figures {
    let mut figures = Figures::default();
    let datadir = match tempfile::tempdir() {
        Ok(datadir) => datadir,
        Err(error) => {
            progress(&format!("FAILED: no temporary folder: {error}"));
            return figures;
        }
    };
    let ours = start_ours(scale, programs, datadir.path(), progress);
    let mut ours = or_report(ours, progress);
    for round in 1..=scale.rounds {
        progress(&format!(
            "round {round}: the floor (decode, hash, recover, execute; one core, no I/O) and ERC-20 transfers on cloister"
        ));
        for _ in 0..scale.turns {
            let outcome = match &mut ours {
                Some(ours) => turn(scale, floors.as_deref_mut(), ours, &mut figures, progress),
                // It is a figure by itself.
                None => floors.as_deref_mut().map_or(Ok(()), |floors| floors.slice().map(drop)),
            };
            or_report(outcome, progress);
        }
        if let Some(ours) = &ours {
            progress(&format!("round {round}: calls on cloister"));
            or_report(calls(scale, &ours.node, &ours.prepared, &mut figures.calls), progress);
        }
        progress(&format!("round {round}: ERC-20 transfers and calls on anvil"));
        or_report(anvil_round(scale, programs, &mut figures), progress);
    }
    if let Some(mut ours) = ours {
        // It is written in the background while the next figures are taken.
        progress("a snapshot of the filled state");
        or_report(reach_snapshot(&ours), progress);
        progress("one client, one transaction at a time");
        or_report(one_by_one(scale, &mut ours, &mut figures), progress);
        progress("reads beside full blocks");
        or_report(reads_beside_load(scale, &mut ours, &mut figures), progress);
        figures.peak_memory_bytes = Some(ours.node.group.peak_memory_bytes());
        progress("restart");
        figures.restart = or_report(restart(ours, &programs.logs), progress);
    }
    figures
}

fn start_ours<'a>(
    scale: &Scale,
    programs: &'a Programs,
    datadir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Ours<'a>> {
    let program = programs.cloister.as_deref().map_err(|e| eyre!("{e:#}"))?;
    let port = free_port()?;
    let mut arguments: Vec<String> = ["dev", "--quiet", "--gas-limit", BLOCK_GAS_LIMIT].map(String::from).to_vec();
    arguments.extend(["--balance", BALANCE, "--port"].map(String::from));
    arguments.push(port.to_string());
    arguments.push("--datadir".to_owned());
    arguments.push(datadir.display().to_string());
    let log = programs.logs.join("cloister.log");
    let node = Node::start(program, &arguments, port, &log)?;
    progress(&format!("cloister is up; filling {} token balances", scale.slots));
    let transactions =
        scale.rounds * scale.turns * scale.transfers + scale.transfers_beside_reads + scale.single_transfers;
    let prepared = set_up(&node, transactions, scale.slots)?;
    Ok(Ours { node, prepared, program, arguments })
}

fn set_up(node: &Node, transactions: u64, slots: u64) -> Result<Prepared> {
    let set_up = SetUp { senders: SENDERS, transactions, slots, seed: 1, max_fee: MAX_FEE, chain: Secrecy::Open };
    Prepared::set_up(&node.endpoint, set_up).wrap_err("set-up")
}

/// Sends transfers to fresh recipients in batches; CPU per committed one, in microseconds.
pub(super) fn load(
    node: &Node,
    prepared: &mut Prepared,
    count: u64,
    limits: &Limits,
    poll: Duration,
) -> Result<(f64, RunReport)> {
    let lanes = prepared.sign_transfers(Kind::Erc20, Recipients::Fresh, count)?;
    let before = node.group.cpu();
    let report = run(&node.endpoint, lanes, limits, Confirm::Blocks { poll })?;
    let cpu = node.group.cpu() - before;
    ensure!(report.is_complete(), "not all was committed: {report:?}");
    Ok((cpu.as_secs_f64() * 1e6 / report.committed as f64, report))
}

/// Transfers on our node, and the floor before and after.
fn turn(
    scale: &Scale,
    mut floors: Option<&mut Floors>,
    ours: &mut Ours<'_>,
    figures: &mut Figures,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut floor = || floors.as_mut().map(|floors| floors.slice()).transpose();
    let poll = Duration::from_millis(5);
    let limits = Limits { connections: CONNECTIONS, deadline: DEADLINE, ..Limits::default() };
    let before = floor()?;
    let (cpu_us, report) = load(&ours.node, &mut ours.prepared, scale.transfers, &limits, poll)?;
    let after = floor()?;
    let floor_us =
        before.zip(after).map_or(f64::NAN, |(before, after)| f64::midpoint(before.total_us(), after.total_us()));
    progress(&format!(
        "  {cpu_us:.1} us per transfer, the floor {floor_us:.1} us; {:.0}/s, {} blocks, the fullest of {}",
        report.committed_per_s, report.blocks, report.fullest_block
    ));
    figures.cpu_us.push(cpu_us);
    figures.per_s.push(report.committed_per_s);
    figures.p50_ms.push(report.latency_ms.p50);
    figures.p95_ms.push(report.latency_ms.p95);
    figures.p99_ms.push(report.latency_ms.p99);
    Ok(())
}

/// Anvil gets a fresh process, no balances beforehand, few transactions in flight and few looks for
/// blocks: its cost per transaction grows with its state and with the size of its blocks, and this
/// is where it is best.
fn anvil_round(scale: &Scale, programs: &Programs, figures: &mut Figures) -> Result<()> {
    let program = programs.anvil.as_deref().map_err(|e| eyre!("{e:#}"))?;
    let port = free_port()?;
    let mut arguments: Vec<String> = ["--quiet", "--block-time", "1", "--gas-limit"].map(String::from).to_vec();
    arguments.extend([BLOCK_GAS_LIMIT, "--balance", BALANCE, "--port"].map(String::from));
    arguments.push(port.to_string());
    let node = Node::start(program, &arguments, port, &programs.logs.join("anvil.log"))?;
    let mut prepared = set_up(&node, scale.anvil_transfers, 100)?;
    let limits = Limits { in_flight: 200, deadline: DEADLINE, connections: 2, ..Limits::default() };
    let poll = Duration::from_millis(100);
    let (cpu_us, _) = load(&node, &mut prepared, scale.anvil_transfers, &limits, poll)?;
    figures.anvil_cpu_us.push(cpu_us);
    calls(scale, &node, &prepared, &mut figures.anvil_calls)?;
    node.stop()
}

/// In batches, as transfers are sent, and one by one, which is mostly the cost of a request.
fn calls(scale: &Scale, node: &Node, prepared: &Prepared, calls: &mut Calls) -> Result<()> {
    let requests: Vec<String> =
        (0..100).map(|index| balance_request(prepared.token, token::filled_holder(index))).collect();
    for (load, rates) in
        [(Load::Batch(requests.clone()), &mut calls.batched), (Load::Single(requests), &mut calls.single)]
    {
        let rate = call_rate(&node.endpoint, node.group, &load, CALLERS, scale.calls_for)?;
        rates.push(rate.per_cpu_s);
    }
    Ok(())
}

fn one_by_one(scale: &Scale, ours: &mut Ours<'_>, figures: &mut Figures) -> Result<()> {
    let lanes = ours.prepared.sign_transfers(Kind::Erc20, Recipients::Fresh, scale.single_transfers)?;
    let limits =
        Limits { batch: 1, connections: 1, lane_in_flight: 1, in_flight: 1, deadline: DEADLINE, ..Limits::default() };
    let confirm = Confirm::Receipts { poll: Duration::from_micros(500) };
    let report = run(&ours.node.endpoint, lanes, &limits, confirm)?;
    ensure!(report.is_complete(), "not all was committed: {report:?}");
    figures.single = Some(report.latency_ms);
    Ok(())
}

/// Times reads while blocks are as full as the load makes them: nothing is mined but on demand, twice
/// a second.
fn reads_beside_load(scale: &Scale, ours: &mut Ours<'_>, figures: &mut Figures) -> Result<()> {
    let endpoint = &ours.prepared.endpoint.clone();
    let mut miner = Client::connect(endpoint)?;
    let _: Value = miner.call("evm_setAutomine", json!([false]))?;
    let call = balance_request(ours.prepared.token, token::filled_holder(0));
    let (done, interval) = (&AtomicBool::new(false), Duration::from_millis(10));
    let limits = Limits { connections: CONNECTIONS, deadline: DEADLINE, ..Limits::default() };
    let (number, called, mined, loaded) = std::thread::scope(|scope| {
        let sample = |request: String| scope.spawn(move || sample_latency(endpoint, &request, interval, done));
        let (number, called) = (sample(block_number_request()), sample(call));
        let miner = &mut miner;
        let mined = scope.spawn(move || mine(miner, Duration::from_millis(500), done));
        let loaded =
            load(&ours.node, &mut ours.prepared, scale.transfers_beside_reads, &limits, Duration::from_millis(20));
        done.store(true, Ordering::Release);
        (number.join(), called.join(), mined.join(), loaded)
    });
    let _: Value = miner.call("evm_setAutomine", json!([true]))?;
    mined.map_err(|_| eyre!("the miner panicked"))??;
    figures.fullest_block = Some(loaded?.1.fullest_block);
    figures.block_number = Some(number.map_err(|_| eyre!("a reader panicked"))??);
    figures.eth_call = Some(called.map_err(|_| eyre!("a reader panicked"))??);
    Ok(())
}

/// Asks for a block every `interval` until `done`.
fn mine(client: &mut Client, interval: Duration, done: &AtomicBool) -> Result<()> {
    while !done.load(Ordering::Acquire) {
        std::thread::sleep(interval);
        let _: Value = client.call("evm_mine", json!([]))?;
    }
    Ok(())
}

/// Mines empty blocks up to the next height at which a snapshot is cut.
fn reach_snapshot(ours: &Ours<'_>) -> Result<()> {
    let mut client = Client::connect(&ours.node.endpoint)?;
    let missing = SNAPSHOT_EVERY_BLOCKS - client.block_number()? % SNAPSHOT_EVERY_BLOCKS;
    let _: Value = client.call("hardhat_mine", json!([format!("{missing:#x}")]))?;
    Ok(())
}

/// Ends the node and starts it again; the time until it answers, with the balances it had.
fn restart(ours: Ours<'_>, logs: &Path) -> Result<Duration> {
    let port = ours.node.endpoint.port();
    let height = Client::connect(&ours.node.endpoint)?.block_number()?;
    ours.node.stop()?;
    let log = logs.join("cloister-restart.log");
    let node = Node::start(ours.program, &ours.arguments, port, &log)?;
    let started_in = node.started_in;
    let mut client = Client::connect(&node.endpoint)?;
    let restored = client.block_number()?;
    ensure!(restored >= height, "height {restored} after the restart, {height} before");
    let data = token::balance_of(token::filled_holder(9));
    let balance = client.eth_call(ours.prepared.token, &data)?;
    ensure!(balance.ends_with('1'), "a balance of {balance} after the restart");
    node.stop()?;
    Ok(started_in)
}

impl Figures {
    pub(super) fn report(&self, floor: Option<FloorCost>, summary: &mut Summary) {
        let floor_us = floor.map_or(f64::NAN, |floor| floor.total_us());
        let recover_us = floor.map_or(f64::NAN, |floor| floor.recover_us);
        let (cpu_us, anvil_us) = (mean(&self.cpu_us), median(&self.anvil_cpu_us));
        summary.add("floor: CPU per ERC-20 transfer", floor_us, "us", Goal::None);
        summary.add("floor: of it decode, hash, recover", recover_us, "us", Goal::None);
        summary.add("cloister: CPU per committed ERC-20 transfer", cpu_us, "us", Goal::None);
        summary.add("anvil: CPU per committed ERC-20 transfer", anvil_us, "us", Goal::None);
        summary.add("CPU per transfer, cloister / floor", cpu_us / floor_us, "x", Goal::AtMost(1.6));
        summary.add("CPU per transfer, cloister / anvil", cpu_us / anvil_us, "x", Goal::AtMost(0.4));
        summary.add("cloister: committed transfers", median(&self.per_s), "tx/s", Goal::None);
        for (name, values) in [("p50", &self.p50_ms), ("p95", &self.p95_ms), ("p99", &self.p99_ms)] {
            let name = format!("cloister: send to receipt under full load, {name}");
            summary.add(name, median(values), "ms", Goal::None);
        }
        let p50 = self.single.map_or(f64::NAN, |latency| latency.p50);
        summary.add("instant mode, one client: send to receipt, p50", p50, "ms", Goal::AtMost(5.0));
        let p99 = |latency: Option<LatencyMs>| latency.map_or(f64::NAN, |latency| latency.p99);
        let goal = Goal::AtMost(50.0);
        summary.add("eth_blockNumber beside full blocks, p99", p99(self.block_number), "ms", goal);
        summary.add("eth_call beside full blocks, p99", p99(self.eth_call), "ms", goal);
        let fullest = self.fullest_block.map_or(f64::NAN, |count| count as f64);
        summary.add("cloister: transfers in the fullest block", fullest, "tx", Goal::None);
        let pairs = [
            ("in batches of 100", &self.calls.batched, &self.anvil_calls.batched, Goal::AtLeast(3.0)),
            ("one per request", &self.calls.single, &self.anvil_calls.single, Goal::None),
        ];
        for (how, ours, anvils, goal) in pairs {
            let (calls, anvil_calls) = (median(ours), median(anvils));
            summary.add(format!("cloister: balance calls per CPU-second, {how}"), calls, "1/s", Goal::None);
            summary.add(format!("anvil: balance calls per CPU-second, {how}"), anvil_calls, "1/s", Goal::None);
            let name = format!("balance calls per CPU-second, cloister / anvil, {how}");
            summary.add(name, calls / anvil_calls, "x", goal);
        }
        let restart_s = self.restart.map_or(f64::NAN, |time| time.as_secs_f64());
        summary.add("restart from a snapshot of the filled state", restart_s, "s", Goal::AtMost(5.0));
        let peak = self.peak_memory_bytes.map_or(f64::NAN, |bytes| bytes as f64 / 1048576.0);
        summary.add("cloister: peak memory", peak, "MiB", Goal::None);
    }
}
