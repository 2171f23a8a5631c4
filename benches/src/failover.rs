//! What the death of a leader costs, and that it costs no acknowledged transaction.

use std::time::Instant;

use eyre::{Result, ensure};

use crate::cluster::Cluster;
use crate::wallet::Account;
use crate::writers::{Writers, count_empty_blocks, count_lost};

/// Writes between a node's return and the next death.
const WRITES_BETWEEN: usize = 50;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct FailoverReport {
    /// For each death the time until a transaction that was sent after it had a receipt, in milliseconds.
    pub recovery_ms: Vec<f64>,
    /// For each death the time from the dead node's start to its reaching of the others, in milliseconds.
    pub catch_up_ms: Vec<f64>,
    /// Transactions that had a receipt.
    pub acknowledged: usize,
    /// Of those the ones that some node does not have in the end, once for each such node.
    pub lost: usize,
    /// How often a node took a transaction and nobody had its receipt after seconds.
    pub sent_again: u64,
    /// Blocks without transactions.
    pub empty_blocks: u64,
}

/// Kills the leader again and again under the writes of `accounts`, which have written nothing before; each time it comes back
/// and catches up. All nodes run before and after.
///
/// # Errors
/// When no leader is found any more, a node does not come back, a write fails, or the nodes' states differ in the end.
pub fn run(
    cluster: &mut Cluster,
    accounts: Vec<Account>,
    kills: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<FailoverReport> {
    let mut report = FailoverReport::default();
    let writers = Writers::start(&cluster.endpoints(), accounts);
    for kill in 1..=kills {
        writers.acknowledge(WRITES_BETWEEN, Instant::now())?;
        let leader = cluster.leader(&cluster.alive())?;
        let death = Instant::now();
        cluster.kill(leader)?;
        let first = writers.acknowledge(1, death)?;
        let recovery_ms = (first.seen - death).as_secs_f64() * 1e3;
        let start = Instant::now();
        cluster.start(leader)?;
        let others = cluster.leader(&cluster.alive())?;
        cluster.reaches(leader, cluster.standing(others)?.head)?;
        let catch_up_ms = start.elapsed().as_secs_f64() * 1e3;
        report.recovery_ms.push(recovery_ms);
        report.catch_up_ms.push(catch_up_ms);
        let count = writers.count();
        progress(&format!(
            "  death {kill} of node {}: a write after {recovery_ms:.0} ms; back after {catch_up_ms:.0} ms; {count} writes",
            leader + 1
        ));
    }
    let written = writers.finish()?;
    cluster.agreement()?;
    for endpoint in cluster.endpoints() {
        report.lost += count_lost(&endpoint, &written.acknowledged)?;
    }
    report.acknowledged = written.acknowledged.len();
    report.sent_again = written.sent_again;
    report.empty_blocks = count_empty_blocks(&cluster.endpoint(0))?;
    ensure!(report.acknowledged >= WRITES_BETWEEN * report.recovery_ms.len(), "too few writes");
    Ok(report)
}
