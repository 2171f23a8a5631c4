//! Running a case through both chains.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use alloy_primitives::{Address, B256};
use alloy_rpc_types_trace::geth::{
    CallConfig, GethDebugBuiltInTracerType, GethDebugTracingOptions, GethDefaultTracingOptions,
};
use cloister_access::Caller;
use cloister_core::{CoreError, DevelopmentRequest, Lookup, Response};
use cloister_execution::{Replay, TraceRequest, Tracer};
use cloister_primitives::{Block, Code, Height};

use super::case::{Batch, Case, Step};
use super::compare;
use super::host::{Host, admitted};
use super::reference::{Fault, Reference, Surroundings, Traced};
use super::wallet::{SignedTransaction, Wallet};

/// How far the clock of a development network may be ahead: a second for each block made, also for those taken back.
const MAX_AHEAD_S: u64 = 1_000;
/// Bytes that a trace may take; one that takes more is refused, as in the node, and not compared.
const TRACE_BYTES: usize = 64 << 20;
/// One block in so many is traced.
const TRACED_ONE_IN: u64 = 12;
/// The state is compared account by account once in so many blocks; its root always is.
const STATE_COMPARED_ONE_IN: u64 = 8;

/// Something the two chains do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step}, block {height}: {field}: {detail}")]
pub struct Difference {
    /// Index of the step.
    pub step: usize,
    /// Height of the block.
    pub height: u64,
    /// What differs; the same for the same fault.
    pub field: String,
    /// What each side says.
    pub detail: String,
}

impl Difference {
    pub(super) fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { step: 0, height: 0, field: field.into(), detail: detail.into() }
    }
}

impl From<String> for Difference {
    fn from(detail: String) -> Self {
        Self::new("node", detail)
    }
}

/// What has been run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transactions sent.
    pub sent: u64,
    /// Of these, in blocks.
    pub included: u64,
    /// Of those, successful.
    pub succeeded: u64,
    /// Refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Gas used.
    pub gas_used: u64,
    /// Blocks made.
    pub blocks: u64,
    /// Restarts and crashes.
    pub restarts: u64,
    /// Rewinds.
    pub rollbacks: u64,
    /// Traces compared.
    pub traces: u64,
}

impl Tally {
    /// Adds what another run has done.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.included += other.included;
        self.succeeded += other.succeeded;
        self.gas_used += other.gas_used;
        self.blocks += other.blocks;
        self.restarts += other.restarts;
        self.rollbacks += other.rollbacks;
        self.traces += other.traces;
        for (code, count) in &other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

/// Runs a case through both chains.
///
/// # Errors
/// The first [`Difference`]; a panic is one, too.
pub fn check(case: &Case, fault: Fault) -> Result<Tally, Difference> {
    let run = || {
        let mut run = Run::new(case, fault)?;
        for (index, step) in case.steps.iter().enumerate() {
            let height = run.reference.head.number;
            run.step(step).map_err(|difference| Difference { step: index, height: height + 1, ..difference })?;
        }
        Ok(run.tally)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Difference::new("panic", message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").to_owned()
}

struct Run<'a> {
    case: &'a Case,
    host: Host<'a>,
    reference: Reference<'a>,
    wallet: Wallet,
    /// Everything sent so far.
    known: BTreeMap<B256, SignedTransaction>,
    beneficiary: Address,
    tally: Tally,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, fault: Fault) -> Result<Self, Difference> {
        let mut run = Self {
            case,
            host: Host::start(case)?,
            reference: Reference::new(case, fault),
            wallet: Wallet::new(),
            known: BTreeMap::new(),
            beneficiary: case.beneficiary,
            tally: Tally::default(),
        };
        run.compare_head()?;
        Ok(run)
    }

    fn step(&mut self, step: &Step) -> Result<(), Difference> {
        match step {
            Step::Send(batch) => self.send(batch)?,
            Step::Mine(blocks) => {
                self.host.now_s += 1;
                let request = DevelopmentRequest::Mine { blocks: *blocks, interval_s: None, timestamp: None };
                self.host.development(request)?;
                self.follow()?;
            }
            Step::Restart => self.restart()?,
            Step::Rollback(blocks) => {
                let target = self.reference.head.number.checked_sub(*blocks);
                let caller = Caller::Development;
                let oldest = self.host.opened()?.ledger.reader(&caller).oldest_state();
                // What is older than the snapshot it started from, a node cannot come back to.
                if target.is_some_and(|target| Height(target) >= oldest) && self.reference.roll_back(*blocks) {
                    self.host.development(DevelopmentRequest::Rollback { blocks: *blocks })?;
                    self.host.now_s = self.host.now_s.max(self.reference.head.timestamp);
                    self.tally.rollbacks += 1;
                }
            }
        }
        self.compare_head()
    }

    /// Those of the next block, if it were made now.
    fn around(&self) -> Surroundings {
        let timestamp = self.host.now_s.max(self.reference.head.timestamp + u64::from(self.case.development));
        Surroundings { timestamp, beneficiary: self.beneficiary }
    }

    /// Those of a block that was made, whose time is the one thing that the node may choose.
    fn surroundings(&self, block: &Block) -> Result<Surroundings, Difference> {
        let around = self.around();
        let timestamp = block.header.timestamp;
        // On a development network the chain's clock is ahead once there were many blocks within a second.
        let ahead = if self.case.development { timestamp.checked_sub(around.timestamp) } else { None };
        if timestamp != around.timestamp && ahead.is_none_or(|ahead| ahead > MAX_AHEAD_S) {
            return Err(Difference::new("header timestamp", format!("ours {timestamp}, reference {around:?}")));
        }
        Ok(Surroundings { timestamp, ..around })
    }

    fn send(&mut self, batch: &Batch) -> Result<(), Difference> {
        self.host.now_s = self.host.now_s.max(self.reference.head.timestamp) + batch.seconds;
        if let (Some(beneficiary), true) = (batch.beneficiary, self.case.development) {
            self.host.development(DevelopmentRequest::SetCoinbase { beneficiary })?;
            self.beneficiary = beneficiary;
        }
        let sent = self.sign(batch);
        self.tally.sent += sent.len() as u64;
        let raws = sent.iter().map(|transaction| transaction.raw.clone()).collect();
        for transaction in &sent {
            self.known.insert(transaction.hash, transaction.clone());
        }
        let replies = self.host.send(raws, batch.crash)?;
        if self.host.is_dead() {
            return self.restart();
        }
        for (transaction, reply) in sent.iter().zip(&replies) {
            self.check_reply(transaction, reply.as_ref())?;
        }
        let included = self.follow()?;
        for (transaction, reply) in sent.iter().zip(&replies) {
            if matches!(reply, Some(Ok(_))) && !included.contains(&transaction.hash) {
                // One that was taken and is in no block must be one that cannot be: none is lost.
                if self.reference.admits(self.around(), transaction) {
                    return Err(Difference::new("lost", format!("{transaction:?}")));
                }
                *self.tally.refused.entry("after admission").or_default() += 1;
            }
        }
        if self.case.development {
            self.host.development(DevelopmentRequest::DropAll)?;
        }
        Ok(())
    }

    /// Signs a batch, each transaction with its sender's next nonce.
    fn sign(&self, batch: &Batch) -> Vec<SignedTransaction> {
        let base_fee = self.reference.next_base_fee(self.around());
        let mut nonces: BTreeMap<Address, u64> = BTreeMap::new();
        let mut signed = Vec::with_capacity(batch.transactions.len());
        for sent in &batch.transactions {
            let sender = self.wallet.address(sent.from);
            let next = |nonces: &BTreeMap<Address, u64>, address| {
                nonces.get(&address).copied().unwrap_or_else(|| self.reference.world.nonce(address))
            };
            let nonce = next(&nonces, sender);
            if sent.nonce_offset == 0 {
                nonces.insert(sender, nonce + 1);
            }
            let nonce = nonce.saturating_add_signed(i64::from(sent.nonce_offset));
            // An authorization is looked at after its transaction has raised the sender's nonce.
            signed.push(self.wallet.sign(sent, nonce, base_fee, |authority| next(&nonces, authority)));
        }
        signed
    }

    /// A transaction that was refused must be one that could not be next.
    fn check_reply(
        &mut self,
        transaction: &SignedTransaction,
        reply: Option<&Result<Response, CoreError>>,
    ) -> Result<(), Difference> {
        match reply {
            None => Err(Difference::new("no answer", format!("to {}", transaction.hash))),
            Some(Ok(response)) if admitted(response) == Some(transaction.hash) => Ok(()),
            Some(Err(CoreError::Rejected(rejected))) => {
                // Rules of the pool, which counts what waits already.
                let by_pool = matches!(
                    rejected.code(),
                    Code::InsufficientFunds | Code::ReplacementUnderpriced | Code::AlreadyKnown
                );
                if !by_pool && self.reference.admits(self.around(), transaction) {
                    return Err(Difference::new("refused", format!("{rejected}: {transaction:?}")));
                }
                *self.tally.refused.entry(rejected.code().name()).or_default() += 1;
                Ok(())
            }
            Some(answer) => Err(Difference::new("answer", format!("{answer:?} to {}", transaction.hash))),
        }
    }

    fn restart(&mut self) -> Result<(), Difference> {
        self.host.restart()?;
        self.tally.restarts += 1;
        self.follow()?;
        // What was chosen for later blocks has ended with the process.
        self.beneficiary = self.case.beneficiary;
        self.compare_state()
    }

    /// Makes every block that the node has made and the reference has not, and compares. Returns what is in them.
    fn follow(&mut self) -> Result<Vec<B256>, Difference> {
        let mut included = Vec::new();
        while self.reference.head.number < self.host.head().0 {
            let block = self.block(Height(self.reference.head.number + 1))?;
            let hashes: Vec<_> = block.transactions.iter().map(|transaction| *transaction.tx_hash()).collect();
            let find = |hash: &B256| self.known.get(hash).ok_or_else(|| format!("nobody sent {hash}"));
            let transactions = hashes.iter().map(find).collect::<Result<Vec<_>, _>>()?;
            let around = self.surroundings(&block)?;
            if block.header.number.is_multiple_of(TRACED_ONE_IN) && !transactions.is_empty() {
                self.tally.traces += self.compare_traces(&block, around, &transactions)?;
            }
            let made = self.reference.make(around, &transactions)?;
            compare::block(&block, &made, &transactions)?;
            self.tally.blocks += 1;
            self.tally.included += transactions.len() as u64;
            self.tally.succeeded += made.receipts.iter().filter(|receipt| receipt.success).count() as u64;
            self.tally.gas_used += made.header.gas_used;
            included.extend(hashes);
            if block.header.number.is_multiple_of(STATE_COMPARED_ONE_IN) {
                self.compare_state_at(Height(block.header.number))?;
            }
        }
        Ok(included)
    }

    fn block(&self, height: Height) -> Result<Block, Difference> {
        let caller = Caller::Development;
        let ledger = &self.host.opened()?.ledger;
        match ledger.reader(&caller).block(height) {
            Lookup::Found(block) => block.whole().cloned().ok_or_else(|| "a block is not shown".to_owned().into()),
            other => Err(format!("block {height:?} is {other:?}").into()),
        }
    }

    fn compare_head(&mut self) -> Result<(), Difference> {
        if self.host.head().0 != self.reference.head.number {
            let detail = format!("ours {:?}, reference {}", self.host.head(), self.reference.head.number);
            return Err(Difference::new("head", detail));
        }
        compare::header(&self.block(self.host.head())?.header, &self.reference.head)?;
        // The host holds ciphertext: nothing that was sent is in it.
        if let Some(blob) = self.host.sealed(self.host.head())?
            && blob.windows(32).any(|window| window == self.reference.head.state_root.as_slice())
        {
            return Err(Difference::new("sealed", "a record shows its state root"));
        }
        Ok(())
    }

    fn compare_state(&self) -> Result<(), Difference> {
        self.compare_state_at(self.host.head())
    }

    fn compare_state_at(&self, height: Height) -> Result<(), Difference> {
        let caller = Caller::Development;
        let ledger = &self.host.opened()?.ledger;
        let state = ledger.reader(&caller).state(height).map_err(|error| error.to_string())?;
        compare::state(&state, &self.reference.world)
    }

    /// Traces one transaction of a block that the reference has not made yet, in both ways.
    fn compare_traces(
        &self,
        block: &Block,
        around: Surroundings,
        transactions: &[&SignedTransaction],
    ) -> Result<u64, Difference> {
        let index = usize::try_from(block.header.timestamp).unwrap_or_default() % transactions.len();
        let caller = Caller::Development;
        let opened = self.host.opened()?;
        let parent = Height(block.header.number - 1);
        let state = opened.ledger.reader(&caller).state(parent).map_err(|error| error.to_string())?;
        let view =
            state.trace_view(transactions[index].environment.caller, None).ok_or("no view to trace on".to_owned())?;
        let hashes = self.reference.world.hashes().to_vec();
        let hashes = move |height: u64| hashes.get(usize::try_from(height).ok()?).copied();
        let replay = Replay { header: &block.header, transactions: &block.transactions, view, hashes: &hashes };
        let mut compared = 0;
        for (name, tracer, options) in tracers() {
            let request = TraceRequest { tracer: &tracer, limit_bytes: TRACE_BYTES };
            let mut ours = Vec::new();
            let told = |trace| {
                ours.push(trace);
                Ok(())
            };
            match opened.executor.trace_block(replay, &[index], request, told) {
                Ok(()) => {}
                Err(error) if error.code() == Code::ResponseTooLarge => continue,
                Err(error) => return Err(error.to_string().into()),
            }
            let traced = Traced { index, block: block.hash, options: &options };
            let reference = self.reference.trace(around, transactions, traced)?;
            let [ours] = ours.as_slice() else {
                return Err(Difference::new("trace", format!("{} traces of one transaction", ours.len())));
            };
            compare::trace(transactions[index].hash, name, &ours.trace, &reference)?;
            compared += 1;
        }
        Ok(compared)
    }
}

/// Every kind of trace, as ours and as the library is asked for it.
fn tracers() -> [(&'static str, Tracer, GethDebugTracingOptions); 2] {
    let steps = GethDefaultTracingOptions::default().with_enable_memory(true).with_enable_return_data(true);
    let calls = CallConfig::default().with_log();
    let builtin = GethDebugTracingOptions::new_tracer(GethDebugBuiltInTracerType::CallTracer).with_config(calls);
    [
        (
            "of instructions",
            Tracer::Instructions(steps),
            GethDebugTracingOptions { config: steps, ..GethDebugTracingOptions::default() },
        ),
        ("of calls", Tracer::Calls(calls), builtin),
    ]
}
