//! Drives an Ethereum node on this machine with pre-signed transfers and reports what it did.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use cloister_benches::engine::{Confirm, Limits, RunReport, run};
use cloister_benches::http::Endpoint;
use cloister_benches::node::Node;
use cloister_benches::probe::Group;
use cloister_benches::workload::{Kind, Prepared, Recipients, Secrecy, SetUp};
use eyre::{Result, ensure};
use serde::Serialize;

/// Drive an Ethereum node on this machine with pre-signed transfers.
///
/// The ten accounts of the development mnemonic must be funded on it. Every receipt is checked.
/// Prints one JSON object; exits with 1 when a transaction was not committed exactly once.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The node; loopback addresses only
    #[arg(long, default_value = "http://127.0.0.1:8545")]
    url: String,
    /// Measured process (its whole group); default: whichever listens on the port
    #[arg(long, conflicts_with = "command")]
    pid: Option<u32>,
    /// Transactions to send
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// What to send
    #[arg(long, value_enum, default_value_t = Kind::Erc20)]
    kind: Kind,
    /// Whom to pay
    #[arg(long, value_enum, default_value_t = Recipients::Fresh)]
    recipients: Recipients,
    /// Transactions per HTTP request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Connections
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Sender accounts
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    senders: u64,
    /// Most unconfirmed transactions of one sender
    #[arg(long, default_value_t = 16)]
    sender_in_flight: usize,
    /// Transactions offered per second, whether the node keeps up or not; default: as many as it takes
    #[arg(long)]
    offered_per_s: Option<NonZeroU32>,
    /// Most unconfirmed transactions in all
    #[arg(long, default_value_t = 8_000)]
    in_flight: usize,
    /// Token balances to fill before the run
    #[arg(long, default_value_t = 0)]
    slots: u64,
    /// How commits are noticed
    #[arg(long, value_enum, default_value_t = Notice::Blocks)]
    confirm: Notice,
    /// Pause between two looks for a commit, in milliseconds
    #[arg(long, default_value_t = 5)]
    poll_ms: u64,
    /// The run ends after this, complete or not, in seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    max_seconds: u64,
    /// Most that is paid per gas, in gwei
    #[arg(long, default_value_t = 1000)]
    max_fee_gwei: u64,
    /// Chooses senders and recipients
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File for what a started node prints
    #[arg(long, default_value = "/dev/null")]
    node_log: PathBuf,
    /// Start this node for the run (it must listen on the port of --url)
    #[arg(last = true)]
    command: Vec<String>,
}

/// How commits are noticed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Notice {
    /// Read each block's hashes, then each receipt once
    Blocks,
    /// Ask for receipts until they are there
    Receipts,
}

/// The printed object.
#[derive(Serialize)]
struct Output {
    kind: Kind,
    recipients: Recipients,
    batch: u16,
    concurrency: u16,
    #[serde(flatten)]
    run: RunReport,
    server_cpu_us_per_tx: f64,
    server_peak_memory_bytes: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let endpoint = Endpoint::parse(&options.url)?;
    let mut started = None;
    let group = match (options.command.split_first(), options.pid) {
        (Some((program, arguments)), _) => {
            let program = PathBuf::from(program);
            let node = Node::start(&program, arguments, endpoint.port(), &options.node_log)?;
            started.insert(node).group
        }
        (None, Some(pid)) => Group::of(pid)?,
        (None, None) => Group::listening_on(endpoint.port())?,
    };
    let mut prepared = Prepared::set_up(
        &endpoint,
        SetUp {
            chain: Secrecy::Open,
            senders: options.senders,
            transactions: options.count,
            slots: options.slots,
            seed: options.seed,
            max_fee: u128::from(options.max_fee_gwei) * 1_000_000_000,
        },
    )?;
    let lanes = prepared.sign_transfers(options.kind, options.recipients, options.count)?;
    let limits = Limits {
        batch: usize::from(options.batch),
        connections: usize::from(options.concurrency),
        lane_in_flight: options.sender_in_flight,
        in_flight: options.in_flight,
        deadline: Duration::from_secs(options.max_seconds),
        offered_per_s: options.offered_per_s,
    };
    let poll = Duration::from_millis(options.poll_ms);
    let confirm = match options.confirm {
        Notice::Blocks => Confirm::Blocks { poll },
        Notice::Receipts => Confirm::Receipts { poll },
    };
    let cpu_before = group.cpu();
    let report = run(&endpoint, lanes, &limits, confirm)?;
    let cpu = group.cpu() - cpu_before;
    let output = Output {
        kind: options.kind,
        recipients: options.recipients,
        batch: options.batch,
        concurrency: options.concurrency,
        server_cpu_us_per_tx: cpu.as_secs_f64() * 1e6 / report.committed.max(1) as f64,
        server_peak_memory_bytes: group.peak_memory_bytes(),
        run: report,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&output)?)?;
    if let Some(node) = started {
        node.stop()?;
    }
    ensure!(output.run.is_complete(), "not every transaction was committed exactly once");
    Ok(())
}
