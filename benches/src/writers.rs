//! Clients that write without a pause and hold a network to what it has acknowledged.
//!
//! Each has an account and one transaction in flight. It talks to the nodes as client libraries do that are given several: to
//! the first that answers. A request that none of them does is asked again as often, and as soon, as libraries do by
//! themselves; one that fails even then, or that a node refuses, is a failure.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use eyre::{Result, bail, ensure, eyre};
use serde::Deserialize;

use crate::cluster::CHAIN_ID;
use crate::http::Endpoint;
use crate::rpc::{BatchBody, Client, Reply, RpcError, parse_batch, parse_quantity};
use crate::wallet::{Account, Draft, Fees, Signed};

/// Gas is free.
const FEES: Fees = Fees { chain_id: CHAIN_ID, max_fee: 0, max_priority_fee: 0 };
/// Pause between two looks for a receipt.
const POLL: Duration = Duration::from_millis(2);
/// How often a request is asked again that no node has done, and the first pause, which doubles: the defaults of viem's
/// transports (`retryCount`, `retryDelay`).
const RETRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(150);
/// A transaction without a receipt for so long is sent again, to the next node.
const SENT_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A write that has not succeeded for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Requests of one batch.
const BATCH: usize = 100;

/// What a client was told of its transaction.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement {
    /// The transaction.
    pub hash: B256,
    /// The block that the receipt names.
    pub block_hash: B256,
    /// When it was sent, or sent again.
    pub sent: Instant,
    /// When the receipt was there.
    pub seen: Instant,
}

/// A receipt, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    block_hash: B256,
    status: String,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicBool,
    sent_again: AtomicU64,
    /// Why a writer has given up.
    failure: OnceLock<String>,
    acknowledged: Mutex<Vec<Acknowledgement>>,
    grown: Condvar,
}

impl Shared {
    fn acknowledged(&self) -> MutexGuard<'_, Vec<Acknowledgement>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writers at work.
#[derive(Debug)]
pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

/// What writers have been told, after their end.
#[derive(Debug)]
pub struct Written {
    /// All acknowledgements, in the order in which they arrived.
    pub acknowledged: Vec<Acknowledgement>,
    /// How often a node took a transaction and nobody had its receipt after seconds.
    pub sent_again: u64,
}

/// The accounts of `count` writers. A genesis must give them money.
///
/// # Errors
/// As [`Account::derived`].
pub fn accounts(count: u64) -> Result<Vec<Account>> {
    (0..count).map(|index| Account::derived(u64::MAX, index)).collect()
}

impl Writers {
    /// Sets one writer to work for each account. Their first choices among the nodes differ.
    #[must_use]
    pub fn start(endpoints: &[Endpoint], accounts: Vec<Account>) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = accounts.into_iter().enumerate().map(|(index, account)| {
            let nodes = (0..endpoints.len()).map(|turn| endpoints[(index + turn) % endpoints.len()].clone());
            let mut writer = Writer {
                account,
                nonce: 0,
                node: 0,
                nodes: nodes.map(|endpoint| Connected { endpoint, client: None }).collect(),
                shared: Arc::clone(&shared),
            };
            std::thread::spawn(move || {
                writer.work().inspect_err(|error| {
                    let _ = writer.shared.failure.set(format!("{error:#}"));
                })
            })
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// How many acknowledgements there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.acknowledged().len()
    }

    /// Waits for `more` acknowledgements of what was sent at `since` or later, and returns the first of them.
    ///
    /// # Errors
    /// When they do not come, or a writer has failed.
    pub fn acknowledge(&self, more: usize, since: Instant) -> Result<Acknowledgement> {
        let start = Instant::now();
        let mut acknowledged = self.shared.acknowledged();
        loop {
            // The newest come first: the last of those is the one that was acknowledged first.
            let recent = acknowledged.iter().rev().take_while(|one| one.seen >= since);
            let (count, first) =
                recent.filter(|one| one.sent >= since).fold((0, None), |(count, _), one| (count + 1, Some(*one)));
            if let Some(first) = first.filter(|_| count >= more) {
                return Ok(first);
            }
            if let Some(failure) = self.shared.failure.get() {
                bail!("a writer has given up: {failure}");
            }
            ensure!(start.elapsed() < PATIENCE, "no write has succeeded for {} s", PATIENCE.as_secs());
            let wait = self.shared.grown.wait_timeout(acknowledged, Duration::from_millis(50));
            acknowledged = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets each writer finish what it has begun.
    ///
    /// # Errors
    /// When one of them has failed.
    pub fn finish(mut self) -> Result<Written> {
        self.shared.done.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| eyre!("a writer panicked"))??;
        }
        let acknowledged = std::mem::take(&mut *self.shared.acknowledged());
        Ok(Written { acknowledged, sent_again: self.shared.sent_again.load(Ordering::Relaxed) })
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Release);
    }
}

/// A node and the connection to it, if there is one.
struct Connected {
    endpoint: Endpoint,
    client: Option<Client>,
}

impl Connected {
    /// Asks one method. The error is that of the node, if it is there.
    fn ask<T: for<'d> Deserialize<'d>>(&mut self, method: &str, params: &str) -> Result<Option<T>, Option<RpcError>> {
        let answer = self.post(method, params);
        if answer.is_err() {
            self.client = None;
        }
        let reply = answer.map_err(|_| None)?;
        reply.error.map_or(Ok(reply.result), |error| Err(Some(error)))
    }

    fn post<T: for<'d> Deserialize<'d>>(&mut self, method: &str, params: &str) -> Result<Reply<T>> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(Client::connect(&self.endpoint)?),
        };
        let body = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}","params":[{params}]}}"#);
        Ok(serde_json::from_slice(client.post(body.as_bytes())?)?)
    }
}

/// Errors after which viem's transports ask again: internal errors and exceeded limits (its `shouldRetry`).
const fn is_worth_asking_again(error: &RpcError) -> bool {
    matches!(error.code, -1 | -32_005 | -32_603)
}

struct Writer {
    account: Account,
    nonce: u64,
    nodes: Vec<Connected>,
    /// The one that is asked.
    node: usize,
    shared: Arc<Shared>,
}

impl Writer {
    fn work(&mut self) -> Result<()> {
        while !self.shared.done.load(Ordering::Acquire) {
            // The first choice again, once it is back.
            self.node = 0;
            let signed = self.next();
            let (receipt, sent) = self.write(&signed)?;
            ensure!(receipt.transaction_hash == signed.hash, "the receipt of another transaction");
            ensure!(receipt.status == "0x1", "a plain transfer failed");
            let mut acknowledged = self.shared.acknowledged();
            let (hash, block_hash) = (signed.hash, receipt.block_hash);
            acknowledged.push(Acknowledgement { hash, block_hash, sent, seen: Instant::now() });
            self.shared.grown.notify_all();
        }
        Ok(())
    }

    /// A transfer of one wei with the next nonce.
    fn next(&mut self) -> Signed {
        let to = TxKind::Call(Address::repeat_byte(7));
        let nonce = self.nonce;
        self.nonce += 1;
        self.account.sign(Draft { nonce, to, value: U256::ONE, input: Bytes::new(), gas_limit: 21_000 }, FEES)
    }

    /// Sends until a node has the receipt, which it returns with the time of the last send.
    fn write(&mut self, signed: &Signed) -> Result<(Receipt, Instant)> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let sent = Instant::now();
            self.send(signed)?;
            if let Some(receipt) = self.receipt(signed, sent)? {
                return Ok((receipt, sent));
            }
        }
        bail!("no node has the receipt of {} after {} s", signed.hash, PATIENCE.as_secs())
    }

    /// Returns once a node has taken it.
    fn send(&mut self, signed: &Signed) -> Result<()> {
        let params = format!("\"{}\"", signed.raw_hex);
        match self.ask::<B256>("eth_sendRawTransaction", &params)? {
            Err(error) if !is_there_already(&error) => {
                bail!("{} is refused: {} ({})", signed.hash, error.message, error.code)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the receipt; `None` where another node answers now than took it, or where it takes so long that the transaction
    /// is to be sent again.
    fn receipt(&mut self, signed: &Signed, sent: Instant) -> Result<Option<Receipt>> {
        let params = format!("\"{}\"", signed.hash);
        let node = self.node;
        while sent.elapsed() < SENT_AGAIN_AFTER {
            match self.ask("eth_getTransactionReceipt", &params)? {
                Ok(Some(receipt)) => return Ok(Some(receipt)),
                Ok(None) if self.node != node => return Ok(None),
                Ok(None) => std::thread::sleep(POLL),
                Err(error) => bail!("a receipt is refused: {} ({})", error.message, error.code),
            }
        }
        self.shared.sent_again.fetch_add(1, Ordering::Relaxed);
        self.node = (self.node + 1) % self.nodes.len();
        Ok(None)
    }

    /// Asks one node after the other until one does it, beginning with the one that answered last, as viem's `fallback` does.
    fn ask<T: for<'d> Deserialize<'d>>(&mut self, method: &str, params: &str) -> Result<Result<Option<T>, RpcError>> {
        for retry in 0..=RETRIES {
            let mut refused = None;
            for _ in 0..self.nodes.len() {
                match self.nodes[self.node].ask(method, params) {
                    Ok(result) => return Ok(Ok(result)),
                    Err(error) => refused = error.or(refused),
                }
                self.node = (self.node + 1) % self.nodes.len();
            }
            if let Some(error) = refused.filter(|error| !is_worth_asking_again(error)) {
                return Ok(Err(error));
            }
            if retry < RETRIES {
                std::thread::sleep(FIRST_PAUSE * 2_u32.pow(retry));
            }
        }
        bail!("{method} has failed on all nodes, {RETRIES} times again")
    }
}

/// What a node says of a transaction that has reached it, or the chain, on another way before.
fn is_there_already(error: &RpcError) -> bool {
    let message = error.message.to_ascii_lowercase();
    message.contains("already known") || message.contains("nonce too low")
}

/// How many of the acknowledged transactions a node does not have, or has in another block.
///
/// # Errors
/// When the node does not answer.
pub fn count_lost(endpoint: &Endpoint, acknowledged: &[Acknowledgement]) -> Result<usize> {
    let mut client = Client::connect(endpoint)?;
    let mut lost = 0;
    for chunk in acknowledged.chunks(BATCH) {
        let mut body = BatchBody::default();
        for (id, one) in chunk.iter().enumerate() {
            body.push(u32::try_from(id)?, "eth_getTransactionReceipt", &format!("\"{}\"", one.hash));
        }
        let replies: Vec<Reply<Receipt>> = parse_batch(client.post(body.finish())?)?;
        ensure!(replies.len() == chunk.len(), "the node answered too few requests");
        for reply in replies {
            let one = chunk.get(reply.id as usize).ok_or_else(|| eyre!("an answer that was not asked"))?;
            lost += usize::from(reply.result.is_none_or(|receipt| receipt.block_hash != one.block_hash));
        }
    }
    Ok(lost)
}

/// How many of the blocks from height 1 on are empty.
///
/// # Errors
/// When the node does not answer.
pub fn count_empty_blocks(endpoint: &Endpoint) -> Result<u64> {
    let mut client = Client::connect(endpoint)?;
    let heights: Vec<_> = (1..=client.block_number()?).collect();
    let mut empty = 0;
    for chunk in heights.chunks(BATCH) {
        let mut body = BatchBody::default();
        for (id, height) in chunk.iter().enumerate() {
            body.push(u32::try_from(id)?, "eth_getBlockTransactionCountByNumber", &format!("\"{height:#x}\""));
        }
        for reply in parse_batch::<&str>(client.post(body.finish())?)? {
            let count = reply.result.ok_or_else(|| eyre!("a block is missing"))?;
            empty += u64::from(parse_quantity(count)? == 0);
        }
    }
    Ok(empty)
}
