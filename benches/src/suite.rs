//! `make bench`: every figure in one run, bounded to ten minutes.

mod confidential;
mod in_process;
mod logs;
mod network;
mod nodes;
mod subscribers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eyre::Result;

use crate::report::Summary;
use crate::resident::Footprint;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Token balances there are before a measured run.
    pub slots: u64,
    /// Slots of the memory measurement.
    pub dense_slots: u64,
    /// Slots changed by one root update.
    pub changed_slots: u64,
    /// Rounds of what is measured in turns; the median counts.
    pub rounds: u64,
    /// Turns of the floor and our node within a round: both are compared over all of them.
    pub turns: u64,
    /// ERC-20 transfers of one turn, and of one round where there are no turns.
    pub transfers: u64,
    /// ERC-20 transfers of one round on anvil.
    pub anvil_transfers: u64,
    /// Transfers while reads are timed.
    pub transfers_beside_reads: u64,
    /// Transactions sent one by one.
    pub single_transfers: u64,
    /// Blocks that a log query spans.
    pub log_blocks: u64,
    /// Blocks among them with a log.
    pub log_matches: u64,
    /// WebSocket clients that listen.
    pub subscribers: u64,
    /// ERC-20 transfers of one round with or without them.
    pub transfers_beside_subscribers: u64,
    /// Deaths of a network's leader.
    pub kills: u64,
    /// Length of one round of calls.
    pub calls_for: Duration,
}

impl Scale {
    /// What the goals are stated for.
    pub const FULL: Self = Self {
        slots: 1_000_000,
        dense_slots: 10_000_000,
        changed_slots: 50_000,
        rounds: 3,
        turns: 4,
        transfers: 30_000,
        anvil_transfers: 2_000,
        transfers_beside_reads: 60_000,
        single_transfers: 300,
        log_blocks: 100_000,
        log_matches: 100,
        subscribers: 1_000,
        transfers_beside_subscribers: 90_000,
        kills: 10,
        calls_for: Duration::from_secs(4),
    };

    /// A minute's look, to see that everything runs; its figures are no verdict.
    pub const QUICK: Self = Self {
        slots: 20_000,
        dense_slots: 300_000,
        changed_slots: 5_000,
        rounds: 1,
        turns: 1,
        transfers: 5_000,
        anvil_transfers: 600,
        transfers_beside_reads: 5_000,
        single_transfers: 50,
        log_blocks: 5_000,
        log_matches: 20,
        subscribers: 100,
        transfers_beside_subscribers: 5_000,
        kills: 1,
        calls_for: Duration::from_secs(1),
    };
}

/// The programs that are measured; without one, its figures are shown as not measured.
#[derive(Debug)]
pub struct Programs {
    /// The `cloister` binary.
    pub cloister: Result<PathBuf>,
    /// The `anvil` binary.
    pub anvil: Result<PathBuf>,
    /// Where logs go.
    pub logs: PathBuf,
}

/// Runs everything. `progress` is told what is being done; `footprint` measures memory in a fresh
/// process.
pub fn run(
    scale: &Scale,
    programs: &Programs,
    footprint: impl FnOnce(u64) -> Result<Footprint>,
    progress: &mut dyn FnMut(&str),
) -> Summary {
    let mut progress = timed(progress);
    let mut floors = or_report(in_process::Floors::prepare(scale, &mut progress), &mut progress);
    let root_us = or_report(in_process::root_update(scale, &mut progress), &mut progress);
    let guard_ns = or_report(in_process::frame_guard(&mut progress), &mut progress);
    let call_tracer = or_report(in_process::call_tracer(scale, &mut progress), &mut progress);
    progress(&format!("building a state of {} slots", scale.dense_slots));
    let footprint = or_report(footprint(scale.dense_slots), &mut progress);
    let nodes = nodes::measure(scale, programs, floors.as_mut(), &mut progress);
    let logs = or_report(logs::measure(scale, programs, &mut progress), &mut progress);
    let subscribers = or_report(subscribers::measure(scale, programs, &mut progress), &mut progress);

    let confidential = or_report(confidential::measure(scale, programs, &mut progress), &mut progress);
    let network = or_report(network::measure(scale, programs, &mut progress), &mut progress);

    let floor = floors.map(|floors| floors.cost());
    let mut summary = Summary::default();
    nodes.report(floor, &mut summary);
    logs::report(logs, scale, &mut summary);
    subscribers::report(subscribers, scale, &mut summary);
    confidential::report(confidential, floor, &mut summary);
    network::report(network, &mut summary);
    in_process::report(scale, root_us, guard_ns, call_tracer, footprint, &mut summary);
    progress("done");
    summary
}

/// Runs only what is measured on a network of three nodes.
pub fn run_network(scale: &Scale, programs: &Programs, progress: &mut dyn FnMut(&str)) -> Summary {
    let mut progress = timed(progress);
    let network = or_report(network::measure(scale, programs, &mut progress), &mut progress);
    let mut summary = Summary::default();
    network::report(network, &mut summary);
    summary
}

/// Puts the time since now before what is told.
fn timed(progress: &mut dyn FnMut(&str)) -> impl FnMut(&str) {
    let start = Instant::now();
    move |text| {
        let seconds = start.elapsed().as_secs();
        progress(&format!("[{:>2}:{:02}] {text}", seconds / 60, seconds % 60));
    }
}

/// A failed measurement is told and leaves a gap; the others go on.
fn or_report<T>(result: Result<T>, progress: &mut dyn FnMut(&str)) -> Option<T> {
    result.map_err(|error| progress(&format!("FAILED: {error:#}"))).ok()
}
