//! Log queries over a long chain, nearly all of which has left memory.

use std::time::{Duration, Instant};

use eyre::{Result, ensure, eyre};
use serde_json::{Value, json};

use super::{Programs, Scale};
use crate::node::{Node, free_port};
use crate::report::{Goal, Summary};
use crate::rpc::Client;
use crate::stats::median;
use crate::workload::{Kind, Prepared, Recipients, Secrecy, SetUp};

/// Queries of one kind that are timed.
const QUERIES: usize = 5;

/// What was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogFigures {
    blocks: u64,
    matches: u64,
    first: Duration,
    again_ms: f64,
    without_match_ms: f64,
}

/// Makes a chain with a transfer every so many empty blocks, starts the node anew, and asks for the transfers.
pub(super) fn measure(scale: &Scale, programs: &Programs, progress: &mut dyn FnMut(&str)) -> Result<LogFigures> {
    let program = programs.cloister.as_deref().map_err(|e| eyre!("{e:#}"))?;
    let (datadir, port) = (tempfile::tempdir()?, free_port()?);
    // As few blocks in memory as can be: the others have to be read back.
    let mut arguments: Vec<String> = ["dev", "--quiet", "--block-memory", "0", "--datadir"].map(String::from).to_vec();
    arguments.extend([datadir.path().display().to_string(), "--port".to_owned(), port.to_string()]);
    let start = |name: &str| Node::start(program, &arguments, port, &programs.logs.join(name));
    let node = start("cloister-logs.log")?;
    progress(&format!("log queries: {} blocks, {} with a log", scale.log_blocks, scale.log_matches));
    let set_up = SetUp {
        senders: 1,
        transactions: scale.log_matches,
        slots: 1,
        seed: 1,
        max_fee: 10_000_000_000,
        chain: Secrecy::Open,
    };
    let mut prepared = Prepared::set_up(&node.endpoint, set_up)?;
    let last = fill(&node, &mut prepared, scale)?;
    node.stop()?;

    let node = start("cloister-logs-restart.log")?;
    let mut client = Client::connect(&node.endpoint)?;
    let first_block = last + 1 - scale.log_blocks;
    let query = |address| {
        let filter =
            json!({"fromBlock": format!("0x{first_block:x}"), "toBlock": format!("0x{last:x}"), "address": address});
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [filter]}).to_string()
    };
    let (matching, other) = (query(prepared.token), query(prepared.token.create(1)));
    let first = time(&mut client, &matching, scale.log_matches)?;
    let mut again = Vec::new();
    let mut without_match = Vec::new();
    for _ in 0..QUERIES {
        again.push(time(&mut client, &matching, scale.log_matches)?.as_secs_f64() * 1e3);
        without_match.push(time(&mut client, &other, 0)?.as_secs_f64() * 1e3);
    }
    node.stop()?;
    Ok(LogFigures {
        blocks: scale.log_blocks,
        matches: scale.log_matches,
        first,
        again_ms: median(&again),
        without_match_ms: median(&without_match),
    })
}

/// Mines and transfers in turns; the newest height.
fn fill(node: &Node, prepared: &mut Prepared, scale: &Scale) -> Result<u64> {
    let mut client = Client::connect(&node.endpoint)?;
    let empty_blocks = scale.log_blocks / scale.log_matches.max(1) - 1;
    for transfer in prepared.sign_transfers(Kind::Erc20, Recipients::Fresh, scale.log_matches)?.concat() {
        let _: Value = client.call("hardhat_mine", json!([format!("0x{empty_blocks:x}")]))?;
        let _: Value = client.call("eth_sendRawTransaction", json!([transfer.raw()]))?;
    }
    client.block_number()
}

/// How long a query takes, whose answer must have `expected` logs.
fn time(client: &mut Client, query: &str, expected: u64) -> Result<Duration> {
    let start = Instant::now();
    let response = client.post(query.as_bytes())?;
    let taken = start.elapsed();
    let answer: Value = serde_json::from_slice(response)?;
    let logs = answer["result"].as_array().ok_or_else(|| eyre!("a log query failed: {answer}"))?;
    ensure!(logs.len() as u64 == expected, "{} logs where there are {expected}", logs.len());
    Ok(taken)
}

pub(super) fn report(figures: Option<LogFigures>, scale: &Scale, summary: &mut Summary) {
    let blocks = figures.map_or(scale.log_blocks, |figures| figures.blocks);
    let matches = figures.map_or(scale.log_matches, |figures| figures.matches);
    let mut add = |name: &str, value: Option<f64>| {
        let name = format!("eth_getLogs over {blocks} blocks, {name}");
        summary.add(name, value.unwrap_or(f64::NAN), "ms", Goal::AtMost(200.0));
    };
    let first = figures.map(|figures| figures.first.as_secs_f64() * 1e3);
    add(&format!("{matches} matches, first after a restart"), first);
    add(&format!("{matches} matches, again"), figures.map(|figures| figures.again_ms));
    add("no match", figures.map(|figures| figures.without_match_ms));
}
