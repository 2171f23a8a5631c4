//! One connection: composes batches from its lanes, sends them, reads receipts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eyre::{Result, bail, ensure};
use serde::Deserialize;

use super::{Confirm, Limits, Plan};
use crate::http::Endpoint;
use crate::rpc::{BatchBody, Client, Reply, RpcError, parse_batch, parse_quantity};
use crate::tracker::Inbox;

/// How often one transaction may be refused before the run gives it up.
const MAX_SENDS: u8 = 100;
/// Pause after a refusal, so that a full pool can drain.
const REFUSAL_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for a commit before other things are looked after.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// What one connection did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) latencies_us: Vec<u32>,
    pub(super) places: Vec<(u64, u32)>,
    pub(super) reverted: u64,
    pub(super) refused: u64,
    pub(super) resent: u64,
    pub(super) receipt_reads: u64,
    pub(super) last_receipt: Duration,
    pub(super) problems: Vec<String>,
}

impl Outcome {
    fn note(&mut self, problem: impl FnOnce() -> String) {
        if self.problems.len() < 5 {
            self.problems.push(problem());
        }
    }
}

/// A sender's transactions, in nonce order.
struct Lane {
    next: u32,
    end: u32,
    in_flight: usize,
    /// Refused transactions, to be sent again before new ones.
    again: VecDeque<u32>,
}

#[derive(Clone, Copy, Default)]
struct Sending {
    lane: u32,
    sent_us: u32,
    sends: u8,
    /// Whether the first send has been answered and the receipt has not been read.
    open: bool,
}

pub(super) struct Worker<'a> {
    client: Client,
    plan: &'a Plan,
    limits: &'a Limits,
    confirm: Confirm,
    inbox: &'a Inbox,
    /// Number among the connections.
    index: usize,
    /// Requests sent so far.
    requests: u32,
    lanes: Vec<Lane>,
    cursor: usize,
    in_flight: usize,
    unfinished: usize,
    /// Committed as far as known; the receipt is still to be read.
    ready: VecDeque<u32>,
    /// By transaction number; sparse, as a worker owns every n-th lane only.
    sendings: Vec<Sending>,
    batch: Vec<u32>,
    body: BatchBody,
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptFields<'a> {
    transaction_hash: alloy_primitives::B256,
    #[serde(borrow)]
    status: &'a str,
    block_number: &'a str,
    transaction_index: &'a str,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        endpoint: &Endpoint,
        plan: &'a Plan,
        limits: &'a Limits,
        confirm: Confirm,
        inbox: &'a Inbox,
        index: usize,
    ) -> Result<Self> {
        let mut lanes = Vec::new();
        let mut sendings = vec![Sending::default(); plan.transactions.len()];
        for range in plan.lanes.iter().skip(index).step_by(limits.connections) {
            for number in range.clone() {
                sendings[number as usize].lane = u32::try_from(lanes.len())?;
            }
            lanes.push(Lane { next: range.start, end: range.end, in_flight: 0, again: VecDeque::new() });
        }
        Ok(Self {
            client: Client::connect(&endpoint.of_connection(index))?,
            plan,
            limits,
            confirm,
            inbox,
            index,
            requests: 0,
            cursor: 0,
            in_flight: 0,
            unfinished: lanes.iter().map(|lane| (lane.end - lane.next) as usize).sum(),
            lanes,
            ready: VecDeque::new(),
            sendings,
            batch: Vec::with_capacity(limits.batch),
            body: BatchBody::default(),
            outcome: Outcome::default(),
        })
    }

    /// Runs to the end: all confirmed, the deadline, or `done` set by a failure elsewhere.
    pub(super) fn work(mut self, start: Instant, done: &AtomicBool) -> Result<Outcome> {
        while self.unfinished > 0 {
            if start.elapsed() > self.limits.deadline || done.load(Ordering::Acquire) {
                let missing = self.unfinished;
                self.outcome.note(|| format!("stopped with {missing} transactions unconfirmed"));
                break;
            }
            self.ready.extend(self.inbox.take(Duration::ZERO));
            // Full batches of receipts first: they free senders. Small ones only when idle.
            if self.ready.len() >= self.limits.batch {
                self.read_receipts(start)?;
            } else if self.due().is_none_or(|due| due <= start.elapsed()) && self.compose() {
                self.send(start)?;
            } else if !self.ready.is_empty() {
                self.read_receipts(start)?;
            } else {
                let early = self.due().map(|due| due.saturating_sub(start.elapsed())).filter(|early| !early.is_zero());
                let arrived = self.inbox.take(early.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT));
                self.ready.extend(arrived);
            }
        }
        Ok(self.outcome)
    }

    /// When the next request is to leave, since the start, if the load is offered at a pace. Connections take turns.
    fn due(&self) -> Option<Duration> {
        let per_s = self.limits.offered_per_s?.get();
        let before = self.requests as usize * self.limits.connections + self.index;
        Some(Duration::from_secs_f64((before * self.limits.batch) as f64 / f64::from(per_s)))
    }

    /// Fills `self.batch` with the next transactions, one per lane and round.
    fn compose(&mut self) -> bool {
        self.batch.clear();
        let share = (self.limits.in_flight / self.limits.connections).max(1);
        let room = share.saturating_sub(self.in_flight).min(self.limits.batch);
        // A short batch would cost the node a request for few transactions; wait for room instead.
        let wanted = self.limits.batch.min(share);
        if room < wanted {
            return false;
        }
        let mut idle_lanes = 0;
        while self.batch.len() < room && idle_lanes < self.lanes.len() {
            self.cursor = (self.cursor + 1) % self.lanes.len();
            let lane = &mut self.lanes[self.cursor];
            let free = lane.in_flight < self.limits.lane_in_flight;
            let number = match lane.again.pop_front() {
                Some(number) => number,
                None if free && lane.next < lane.end => {
                    lane.next += 1;
                    lane.next - 1
                }
                None => {
                    idle_lanes += 1;
                    continue;
                }
            };
            idle_lanes = 0;
            lane.in_flight += 1;
            self.in_flight += 1;
            self.batch.push(number);
        }
        !self.batch.is_empty()
    }

    fn lane_of(&mut self, number: u32) -> &mut Lane {
        let lane = self.sendings[number as usize].lane as usize;
        &mut self.lanes[lane]
    }

    fn release(&mut self, number: u32) {
        self.in_flight -= 1;
        self.lane_of(number).in_flight -= 1;
    }

    fn send(&mut self, start: Instant) -> Result<()> {
        let now_us = micros(self.due().unwrap_or_else(|| start.elapsed()));
        self.requests += 1;
        self.body.clear();
        for (id, number) in self.batch.iter().enumerate() {
            let transaction = &self.plan.transactions[*number as usize];
            let params = format!("\"{}\"", transaction.raw_hex);
            self.body.push(u32::try_from(id)?, "eth_sendRawTransaction", &params);
            let sending = &mut self.sendings[*number as usize];
            sending.sends = sending.sends.saturating_add(1);
            if sending.sends == 1 {
                sending.sent_us = now_us;
            }
        }
        let response = post(&mut self.client, &mut self.body, self.limits.batch)?;
        let replies: Vec<Reply<alloy_primitives::B256>> = parse_replies(response, self.limits.batch)?;
        ensure!(replies.len() == self.batch.len(), "the node answered too few requests");
        let mut refused = Vec::new();
        for reply in replies {
            let Some(number) = self.batch.get(reply.id as usize).copied() else {
                bail!("an answer to request {}, which was not asked", reply.id);
            };
            let expected = self.plan.transactions[number as usize].hash;
            match (reply.result, reply.error) {
                (Some(hash), _) => {
                    ensure!(hash == expected, "the node named {hash} for {expected}");
                    self.accepted(number);
                }
                (None, Some(error)) if is_known(&error) => self.accepted(number),
                (None, error) => refused.push((number, error)),
            }
        }
        if !refused.is_empty() {
            self.refuse(refused);
            std::thread::sleep(REFUSAL_PAUSE);
        }
        Ok(())
    }

    fn accepted(&mut self, number: u32) {
        self.sendings[number as usize].open = true;
        if let Confirm::Receipts { .. } = self.confirm {
            self.ready.push_back(number);
        }
    }

    /// Puts refused transactions back in nonce order, or gives them up.
    fn refuse(&mut self, mut refused: Vec<(u32, Option<RpcError>)>) {
        refused.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        for (number, error) in refused {
            self.release(number);
            let reason = error.map_or_else(|| "null".to_owned(), |error| error.message);
            if self.sendings[number as usize].sends < MAX_SENDS {
                self.outcome.resent += 1;
                let lane = self.lane_of(number);
                lane.again.push_front(number);
            } else {
                self.outcome.refused += 1;
                self.unfinished -= 1;
                self.outcome.note(|| format!("refused: {reason}"));
            }
        }
    }

    fn read_receipts(&mut self, start: Instant) -> Result<()> {
        let count = self.ready.len().min(self.limits.batch);
        self.batch.clear();
        self.batch.extend(self.ready.drain(..count));
        self.body.clear();
        for (id, number) in self.batch.iter().enumerate() {
            let params = format!("\"{:?}\"", self.plan.transactions[*number as usize].hash);
            self.body.push(u32::try_from(id)?, "eth_getTransactionReceipt", &params);
        }
        self.outcome.receipt_reads += count as u64;
        let response = post(&mut self.client, &mut self.body, self.limits.batch)?;
        let replies: Vec<Reply<ReceiptFields<'_>>> = parse_replies(response, self.limits.batch)?;
        ensure!(replies.len() == count, "the node answered too few requests");
        let now = start.elapsed();
        let mut found = Vec::with_capacity(count);
        for reply in replies {
            let Some(number) = self.batch.get(reply.id as usize).copied() else {
                bail!("an answer to request {}, which was not asked", reply.id);
            };
            if let Some(error) = reply.error {
                bail!("eth_getTransactionReceipt: {}", error.message);
            }
            let Some(receipt) = reply.result else {
                self.ready.push_back(number);
                continue;
            };
            let expected = self.plan.transactions[number as usize].hash;
            ensure!(receipt.transaction_hash == expected, "the receipt of another transaction");
            let place =
                (parse_quantity(receipt.block_number)?, u32::try_from(parse_quantity(receipt.transaction_index)?)?);
            found.push((number, place, receipt.status == "0x1"));
        }
        let found_any = !found.is_empty();
        for (number, place, success) in found {
            self.confirmed(number, place, success, now);
        }
        if let (false, Confirm::Receipts { poll } | Confirm::Blocks { poll }) = (found_any, self.confirm) {
            std::thread::sleep(poll);
        }
        Ok(())
    }

    fn confirmed(&mut self, number: u32, place: (u64, u32), success: bool, now: Duration) {
        let sending = &mut self.sendings[number as usize];
        if !std::mem::replace(&mut sending.open, false) {
            self.outcome.note(|| "a receipt was read twice".to_owned());
            return;
        }
        let latency_us = micros(now).saturating_sub(sending.sent_us);
        self.release(number);
        self.unfinished -= 1;
        self.outcome.last_receipt = now;
        self.outcome.places.push(place);
        if success {
            self.outcome.latencies_us.push(latency_us);
        } else {
            self.outcome.reverted += 1;
            self.outcome.note(|| format!("reverted in block {}", place.0));
        }
    }
}

/// A batch of one is sent as a plain request, as a wallet would.
fn post<'c>(client: &'c mut Client, body: &mut BatchBody, batch: usize) -> Result<&'c [u8]> {
    let text = body.finish();
    client.post(if batch == 1 { &text[1..text.len() - 1] } else { text })
}

fn parse_replies<'r, T: Deserialize<'r>>(response: &'r [u8], batch: usize) -> Result<Vec<Reply<T>>> {
    if batch == 1 { Ok(vec![serde_json::from_slice(response)?]) } else { parse_batch(response) }
}

fn is_known(error: &RpcError) -> bool {
    let message = error.message.to_ascii_lowercase();
    message.contains("already known") || message.contains("already imported")
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
