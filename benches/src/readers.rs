//! Reading clients: latency of single calls beside a load, and calls per CPU-second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, hex};
use eyre::{Result, ensure, eyre};
use serde::Deserialize;

use crate::http::Endpoint;
use crate::probe::Group;
use crate::rpc::Client;
use crate::stats::LatencyMs;
use crate::token;

/// Body of `eth_blockNumber`.
#[must_use]
pub fn block_number_request() -> String {
    r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#.to_owned()
}

/// Body of an `eth_call` that reads `holder`'s token balance at the newest block.
#[must_use]
pub fn balance_request(token: Address, holder: Address) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{{"to":"{token:?}","data":"{}"}},"latest"]}}"#,
        hex::encode_prefixed(token::balance_of(holder))
    )
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<&'a str>,
}

fn check(response: &[u8]) -> Result<()> {
    let answer: Answer<'_> = serde_json::from_slice(response)?;
    ensure!(answer.result.is_some_and(|text| text.len() > 2), "a read failed: {}", String::from_utf8_lossy(response));
    Ok(())
}

/// What one HTTP request asks for.
#[derive(Clone, Debug)]
pub enum Load {
    /// One call each.
    Single(Vec<String>),
    /// All of them in one batch.
    Batch(Vec<String>),
}

impl Load {
    /// The bodies, and how many calls each holds.
    fn bodies(&self) -> (Vec<String>, u64) {
        match self {
            Self::Single(calls) => (calls.clone(), 1),
            Self::Batch(calls) => (vec![format!("[{}]", calls.join(","))], calls.len() as u64),
        }
    }

    fn check(&self, response: &[u8]) -> Result<()> {
        let Self::Batch(calls) = self else {
            return check(response);
        };
        let answers: Vec<Answer<'_>> = serde_json::from_slice(response)?;
        let good = answers.iter().filter(|answer| answer.result.is_some_and(|text| text.len() > 2)).count();
        ensure!(good == calls.len(), "{good} of {} reads in a batch succeeded", calls.len());
        Ok(())
    }
}

/// Sends `request` every `interval` until `done`, and reports how long the answers took.
///
/// # Errors
/// When a request fails.
pub fn sample_latency(endpoint: &Endpoint, request: &str, interval: Duration, done: &AtomicBool) -> Result<LatencyMs> {
    let mut client = Client::connect(endpoint)?;
    let mut samples_us = Vec::new();
    while !done.load(Ordering::Acquire) {
        let start = Instant::now();
        check(client.post(request.as_bytes())?)?;
        let taken = start.elapsed();
        samples_us.push(u32::try_from(taken.as_micros()).unwrap_or(u32::MAX));
        std::thread::sleep(interval.saturating_sub(taken));
    }
    Ok(LatencyMs::from_samples_us(samples_us))
}

/// Calls answered in a while, and the CPU time the node used for them.
#[derive(Clone, Copy, Debug)]
pub struct CallRate {
    /// Calls answered.
    pub calls: u64,
    /// Calls per second of wall time.
    pub per_s: f64,
    /// Calls per second of the node's CPU time.
    pub per_cpu_s: f64,
}

/// Makes the calls in turn over `connections` connections for about `duration`.
///
/// # Errors
/// When a request fails.
pub fn call_rate(
    endpoint: &Endpoint,
    group: Group,
    load: &Load,
    connections: usize,
    duration: Duration,
) -> Result<CallRate> {
    let (requests, calls_each) = load.bodies();
    ensure!(calls_each > 0 && !requests.is_empty(), "no requests");
    let requests = &requests;
    let clients = (0..connections).map(|_| Client::connect(endpoint)).collect::<Result<Vec<_>>>()?;
    let cpu_before = group.cpu();
    let start = Instant::now();
    let counts: Vec<Result<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(offset, mut client)| {
                scope.spawn(move || {
                    let mut calls = 0;
                    for request in requests.iter().cycle().skip(offset * 7) {
                        if start.elapsed() >= duration {
                            break;
                        }
                        load.check(client.post(request.as_bytes())?)?;
                        calls += calls_each;
                    }
                    Ok(calls)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(eyre!("a reader panicked")))).collect()
    });
    let elapsed = start.elapsed();
    let cpu = group.cpu() - cpu_before;
    let calls = counts.into_iter().sum::<Result<u64>>()?;
    Ok(CallRate { calls, per_s: calls as f64 / elapsed.as_secs_f64(), per_cpu_s: calls as f64 / cpu.as_secs_f64() })
}
