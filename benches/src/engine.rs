//! Sends lanes of signed transactions over several connections and reads every receipt once.

mod worker;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use eyre::{Result, ensure, eyre};
use serde::Serialize;

use crate::http::Endpoint;
use crate::rpc::Client;
use crate::stats::LatencyMs;
use crate::tracker::{Inbox, Owner, Owners, Sightings, follow};
use crate::wallet::Signed;
use worker::{Outcome, Worker};

/// Most transactions of one run.
pub const MAX_TRANSACTIONS: usize = 10_000_000;

/// How a worker learns that a transaction is committed.
#[derive(Clone, Copy, Debug)]
pub enum Confirm {
    /// One connection reads each new block's hashes; a receipt is asked for once it is there.
    Blocks {
        /// Pause between two looks for a new block.
        poll: Duration,
    },
    /// Receipts are asked for right after sending, again and again until they are there.
    Receipts {
        /// Pause after a round that found none.
        poll: Duration,
    },
}

impl Default for Confirm {
    fn default() -> Self {
        Self::Blocks { poll: Duration::from_millis(5) }
    }
}

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Transactions per HTTP request (a JSON-RPC batch; 1 sends single requests).
    pub batch: usize,
    /// Connections, each with its own thread.
    pub connections: usize,
    /// Most unconfirmed transactions of one sender.
    pub lane_in_flight: usize,
    /// Most unconfirmed transactions in all.
    pub in_flight: usize,
    /// The run ends after this, complete or not.
    pub deadline: Duration,
    /// Transactions offered per second by all connections together, each timed from when it was due: a node that falls behind
    /// does not slow its clients down. `None` sends as fast as the other bounds allow.
    pub offered_per_s: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 100,
            connections: 4,
            lane_in_flight: 16,
            in_flight: 8_000,
            deadline: Duration::from_secs(120),
            offered_per_s: None,
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Transactions that were to be sent.
    pub planned: u64,
    /// Transactions with exactly one receipt of status 1.
    pub committed: u64,
    /// Transactions whose receipt has status 0.
    pub reverted: u64,
    /// Transactions the node refused for good.
    pub refused: u64,
    /// Sends that were refused and tried again (back-pressure).
    pub resent: u64,
    /// Transactions seen in two places of the chain.
    pub duplicates: u64,
    /// Receipts asked for; equals `committed` when each was read once.
    pub receipt_reads: u64,
    /// Blocks that held our transactions; zero when blocks were not followed.
    pub blocks: u64,
    /// Our transactions in the fullest block.
    pub fullest_block: u64,
    /// First send to last receipt, in seconds.
    pub elapsed_s: f64,
    /// Committed transactions per second.
    pub committed_per_s: f64,
    /// Send of the request to receipt in hand.
    pub latency_ms: LatencyMs,
    /// What went wrong, a few lines at most.
    pub problems: Vec<String>,
}

impl RunReport {
    /// Whether every planned transaction was committed exactly once.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.planned == self.committed && self.duplicates == 0 && self.reverted == 0
    }
}

/// Transactions of a run, flattened; lane `i` is `lanes[i]`.
struct Plan {
    transactions: Vec<Signed>,
    lanes: Vec<std::ops::Range<u32>>,
}

impl Plan {
    fn new(lanes: Vec<Vec<Signed>>) -> Result<Self> {
        let total: usize = lanes.iter().map(Vec::len).sum();
        ensure!(total <= MAX_TRANSACTIONS, "too many transactions: {total}");
        let mut plan = Self { transactions: Vec::with_capacity(total), lanes: Vec::with_capacity(lanes.len()) };
        for lane in lanes {
            let start = u32::try_from(plan.transactions.len())?;
            plan.transactions.extend(lane);
            plan.lanes.push(start..u32::try_from(plan.transactions.len())?);
        }
        Ok(plan)
    }

    fn owners(&self, connections: usize) -> Owners {
        let mut owners = Owners::with_capacity(self.transactions.len());
        for (lane, range) in self.lanes.iter().enumerate() {
            for number in range.clone() {
                let connection = u32::try_from(lane % connections).unwrap_or_default();
                owners.insert(self.transactions[number as usize].hash, Owner { number, connection });
            }
        }
        owners
    }
}

/// Sends every lane in order, checks every receipt, and reports.
///
/// # Errors
/// When the node cannot be reached or answers something that is not JSON-RPC; refusals and missing
/// receipts are part of the report instead.
pub fn run(endpoint: &Endpoint, lanes: Vec<Vec<Signed>>, limits: &Limits, confirm: Confirm) -> Result<RunReport> {
    ensure!(limits.batch > 0 && limits.connections > 0, "nothing to do");
    ensure!(limits.in_flight > 0 && limits.lane_in_flight > 0, "nothing may be in flight");
    let plan = Plan::new(lanes)?;
    let owners = plan.owners(limits.connections);
    ensure!(owners.len() == plan.transactions.len(), "a transaction is there twice");
    let inboxes: Vec<Inbox> = (0..limits.connections).map(|_| Inbox::default()).collect();
    let first_height = Client::connect(endpoint)?.block_number()? + 1;
    let done = AtomicBool::new(false);
    let working = AtomicUsize::new(limits.connections);
    let mut workers = (0..limits.connections)
        .map(|index| Worker::new(endpoint, &plan, limits, confirm, &inboxes[index], index))
        .collect::<Result<Vec<_>>>()?;

    let start = Instant::now();
    let (outcomes, sightings) = std::thread::scope(|scope| {
        let tracker = match confirm {
            Confirm::Blocks { poll } => Some(scope.spawn({
                let (owners, inboxes, done) = (&owners, &inboxes, &done);
                move || {
                    let result = follow(endpoint, first_height, owners, inboxes, poll, done);
                    // Without a tracker nobody would ever be told of a commit.
                    done.store(true, Ordering::Release);
                    result
                }
            })),
            Confirm::Receipts { .. } => None,
        };
        let threads: Vec<_> = workers
            .drain(..)
            .map(|worker| {
                let (done, working) = (&done, &working);
                scope.spawn(move || {
                    let outcome = worker.work(start, done);
                    if outcome.is_err() || working.fetch_sub(1, Ordering::AcqRel) == 1 {
                        done.store(true, Ordering::Release);
                    }
                    outcome
                })
            })
            .collect();
        let outcomes: Vec<Result<Outcome>> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(eyre!("a worker panicked"))))
            .collect();
        let sightings = tracker.map_or_else(
            || Ok(Sightings::default()),
            |thread| thread.join().unwrap_or_else(|_| Err(eyre!("the tracker panicked"))),
        );
        (outcomes, sightings)
    });
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(summarise(&plan, outcomes, &sightings?))
}

fn summarise(plan: &Plan, outcomes: Vec<Outcome>, sightings: &Sightings) -> RunReport {
    let mut report = RunReport {
        planned: plan.transactions.len() as u64,
        committed: 0,
        reverted: 0,
        refused: 0,
        resent: 0,
        duplicates: sightings.duplicates,
        receipt_reads: 0,
        blocks: sightings.blocks,
        fullest_block: sightings.fullest,
        elapsed_s: 0.0,
        committed_per_s: 0.0,
        latency_ms: LatencyMs::default(),
        problems: Vec::new(),
    };
    let mut latencies_us = Vec::with_capacity(plan.transactions.len());
    let mut places = Vec::with_capacity(plan.transactions.len());
    for outcome in outcomes {
        report.committed += outcome.latencies_us.len() as u64;
        report.reverted += outcome.reverted;
        report.refused += outcome.refused;
        report.resent += outcome.resent;
        report.receipt_reads += outcome.receipt_reads;
        report.elapsed_s = report.elapsed_s.max(outcome.last_receipt.as_secs_f64());
        latencies_us.extend(outcome.latencies_us);
        places.extend(outcome.places);
        report.problems.extend(outcome.problems);
    }
    // Two transactions in one place of the chain, or one receipt counted twice.
    places.sort_unstable();
    report.duplicates += places.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
    report.problems.truncate(5);
    if report.elapsed_s > 0.0 {
        report.committed_per_s = report.committed as f64 / report.elapsed_s;
    }
    report.latency_ms = LatencyMs::from_samples_us(latencies_us);
    report
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
