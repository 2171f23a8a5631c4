//! What a thousand subscribers cost the blocks.
//!
//! **Method.** Blocks are made once a second, as full as the load makes them. The same load runs in turns with
//! no subscribers and with all of them, each subscribed to new heads and to the transfers to one account, and
//! all of them listening. What is compared is how many transfers are committed per second: on a machine whose
//! cores are all busy, that is how full the blocks get. The thousand clients share this machine, and what they
//! cost counts against the node. Its own CPU time per transfer is shown beside it, and per notification.

use eyre::{Result, ensure, eyre};

use super::nodes::{CONNECTIONS, DEADLINE, load};
use super::{Programs, Scale};
use crate::engine::{Limits, RunReport};
use crate::node::{Node, free_port};
use crate::report::{Goal, Summary};
use crate::stats::median;
use crate::subscribers::{Subscriber, listen_during};
use crate::workload::{Prepared, Secrecy, SetUp};

/// Sender accounts of the load.
const SENDERS: u64 = 500;

/// What was measured, once for each round.
#[derive(Debug, Default)]
pub(super) struct SubscriberFigures {
    cpu_us: Vec<f64>,
    cpu_us_alone: Vec<f64>,
    per_s: Vec<f64>,
    per_s_alone: Vec<f64>,
    p50_ms: Vec<f64>,
    p50_ms_alone: Vec<f64>,
    /// CPU time per notification, by which the one differs from the other.
    notification_us: Vec<f64>,
}

pub(super) fn measure(scale: &Scale, programs: &Programs, progress: &mut dyn FnMut(&str)) -> Result<SubscriberFigures> {
    let program = programs.cloister.as_deref().map_err(|e| eyre!("{e:#}"))?;
    let (datadir, port) = (tempfile::tempdir()?, free_port()?);
    let mut arguments: Vec<String> =
        ["dev", "--quiet", "--block-time", "1", "--gas-limit", "4000000000", "--balance", "1000000"]
            .map(String::from)
            .to_vec();
    arguments.extend(["--datadir".to_owned(), datadir.path().display().to_string()]);
    arguments.extend(["--port".to_owned(), port.to_string()]);
    let node = Node::start(program, &arguments, port, &programs.logs.join("cloister-subscribers.log"))?;
    let transactions = scale.rounds * 2 * scale.transfers_beside_subscribers;
    let set_up =
        SetUp { senders: SENDERS, transactions, slots: 1, seed: 1, max_fee: 1_000_000_000_000, chain: Secrecy::Open };
    let mut prepared = Prepared::set_up(&node.endpoint, set_up)?;
    let mut figures = SubscriberFigures::default();
    for round in 1..=scale.rounds {
        progress(&format!("round {round}: transfers with and without {} subscribers", scale.subscribers));
        let (alone_us, alone) = transfers(&node, &mut prepared, scale)?;
        let (beside_us, beside, notifications) = transfers_beside_subscribers(&node, &mut prepared, scale)?;
        progress(&format!("  {alone_us:.1} us and {beside_us:.1} us per transfer, {notifications} notifications"));
        figures.cpu_us_alone.push(alone_us);
        figures.cpu_us.push(beside_us);
        figures.per_s_alone.push(alone.committed_per_s);
        figures.per_s.push(beside.committed_per_s);
        figures.p50_ms_alone.push(alone.latency_ms.p50);
        figures.p50_ms.push(beside.latency_ms.p50);
        let more_us = (beside_us - alone_us) * beside.committed as f64;
        figures.notification_us.push(more_us / notifications as f64);
    }
    node.stop()?;
    Ok(figures)
}

fn transfers(node: &Node, prepared: &mut Prepared, scale: &Scale) -> Result<(f64, RunReport)> {
    let limits = Limits { connections: CONNECTIONS, deadline: DEADLINE, ..Limits::default() };
    let poll = std::time::Duration::from_millis(20);
    load(node, prepared, scale.transfers_beside_subscribers, &limits, poll)
}

/// Also returns how many notifications were delivered.
fn transfers_beside_subscribers(node: &Node, prepared: &mut Prepared, scale: &Scale) -> Result<(f64, RunReport, u64)> {
    let recipients = prepared.next_recipients(scale.subscribers);
    let subscribers =
        recipients.map(|recipient| Subscriber::open(&node.endpoint, recipient)).collect::<Result<Vec<_>>>()?;
    let loaded = listen_during(subscribers, || transfers(node, prepared, scale), |(_, report)| report.blocks);
    let ((cpu_us, report), heard) = loaded?;
    for heard in &heard {
        ensure!(heard.heads >= report.blocks, "a subscriber heard of {} of {} blocks", heard.heads, report.blocks);
        ensure!(heard.logs == 1, "a subscriber heard of {} transfers where there was one", heard.logs);
    }
    let notifications = heard.iter().map(|heard| heard.heads + heard.logs).sum();
    Ok((cpu_us, report, notifications))
}

pub(super) fn report(figures: Option<SubscriberFigures>, scale: &Scale, summary: &mut Summary) {
    let figures = figures.unwrap_or_default();
    let count = scale.subscribers;
    let ratio = median(&figures.cpu_us) / median(&figures.cpu_us_alone);
    summary.add(format!("CPU per transfer at a block a second, {count} subscribers / none"), ratio, "x", Goal::None);
    summary.add(
        format!("committed transfers at a block a second, {count} subscribers / none"),
        median(&figures.per_s) / median(&figures.per_s_alone),
        "x",
        Goal::AtLeast(0.95),
    );
    summary.add("CPU per notification", median(&figures.notification_us), "us", Goal::None);
    for (with, per_s, p50_ms) in [
        (format!("{count} subscribers"), &figures.per_s, &figures.p50_ms),
        ("no subscribers".to_owned(), &figures.per_s_alone, &figures.p50_ms_alone),
    ] {
        summary.add(format!("committed transfers at a block a second, {with}"), median(per_s), "tx/s", Goal::None);
        summary.add(format!("send to receipt at a block a second, {with}, p50"), median(p50_ms), "ms", Goal::None);
    }
}
