//! The task that listens to commits and prints them.

use std::{
    fmt,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::TxKind;
use cloister_access::Caller;
use cloister_core::{Event, SeenBlock, SeenTransaction};
use cloister_rpc::RpcContext;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    BlockLine, ConsoleFormat, Line, Outcome, SummaryLine, TransactionLine,
    budget::{Budget, Detail},
    describe_action,
};
use crate::replay::{self, Replayed};

/// How long blocks that were only counted wait for their summary.
const SUMMARY_AFTER: Duration = Duration::from_secs(1);

/// Prints what a development network does.
pub struct DevConsole {
    format: ConsoleFormat,
    out: Box<dyn Write + Send>,
    /// `hardhat_setLoggingEnabled` switches it.
    enabled: Arc<AtomicBool>,
}

impl fmt::Debug for DevConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevConsole").field("format", &self.format).finish_non_exhaustive()
    }
}

impl DevConsole {
    /// A console that writes to `out`.
    #[must_use]
    pub fn new(format: ConsoleFormat, out: Box<dyn Write + Send>) -> Self {
        Self { format, out, enabled: Arc::new(AtomicBool::new(true)) }
    }

    /// The switch that silences it and makes it speak again.
    pub(crate) fn switch(&self) -> Arc<AtomicBool> {
        self.enabled.clone()
    }

    /// Listens until the node stops, on a thread of its own: a terminal that is slow to print, or
    /// stopped, holds up nobody else.
    pub(crate) fn start(self, context: RpcContext) {
        if self.format == ConsoleFormat::Quiet {
            return;
        }
        let events = context.events.of_chain();
        let watch = Watch::new(self, context);
        // A node whose console cannot be started still serves.
        let _ = std::thread::Builder::new().name("console".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(watch.run(events));
            }
        });
    }
}

struct Watch {
    console: DevConsole,
    context: RpcContext,
    budget: Budget,
    started: Instant,
    counted: SummaryLine,
}

impl Watch {
    fn new(console: DevConsole, context: RpcContext) -> Self {
        Self { console, context, budget: Budget::new(0), started: Instant::now(), counted: SummaryLine::default() }
    }

    async fn run(mut self, mut events: Receiver<Event>) {
        loop {
            let next = if self.counted.blocks == 0 {
                events.recv().await
            } else {
                match tokio::time::timeout(SUMMARY_AFTER, events.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.sum_up();
                        continue;
                    }
                }
            };
            match next {
                Ok(event) => self.hear(event),
                // What was missed is in the chain; the numbers of the blocks show the gap.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Committed(block) => {
                let block = self.context.ledger.reader(&Caller::Development).open(&block.stored());
                self.block(&block);
            }
            Event::Reverted(height) => self.say(&Line::Reverted { number: height.0 }),
            Event::Admitted(_) => {}
        }
    }

    fn block(&mut self, block: &SeenBlock) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let count = block.transaction_count();
        match self.budget.spend(now_ms, count) {
            Detail::Counted => {
                self.counted.number = block.height().0;
                self.counted.blocks += 1;
                self.counted.transactions += count as u64;
                self.counted.gas_used += block.header().gas_used;
            }
            Detail::Block => {
                self.sum_up();
                self.say(&Line::Block(block_line(block)));
            }
            Detail::Transactions => {
                self.sum_up();
                self.say(&Line::Block(block_line(block)));
                for line in self.transactions(block) {
                    self.say(&Line::Transaction(line));
                }
            }
        }
    }

    /// A line for each transaction, with what a second execution tells about those that ran code.
    fn transactions(&self, block: &SeenBlock) -> Vec<TransactionLine> {
        let replayed = if block.transactions().any(|transaction| ran_code(&transaction)) {
            let all = 0..block.transaction_count();
            replay::replay(&self.context, &Caller::Development, block, all)
        } else {
            Vec::new()
        };
        block
            .transactions()
            .map(|transaction| {
                let index = transaction.index() as usize;
                let told = replayed.iter().find(|replayed| replayed.index == index);
                transaction_line(&transaction, told)
            })
            .collect()
    }

    fn sum_up(&mut self) {
        if self.counted.blocks > 0 {
            let line = Line::Summary(std::mem::take(&mut self.counted));
            self.say(&line);
        }
    }

    fn say(&mut self, line: &Line) {
        if self.console.enabled.load(Ordering::Relaxed) {
            let text = line.render(self.console.format);
            // Nobody may be listening any more (a closed pipe): that must not stop the node.
            let _ = self.console.out.write_all(text.as_bytes());
            let _ = self.console.out.flush();
        }
    }
}

/// Whether code ran that may have logged or failed: anything but a plain transfer that succeeded.
fn ran_code(transaction: &SeenTransaction) -> bool {
    let succeeded = transaction.receipt().is_some_and(|receipt| receipt.status());
    !succeeded || transaction.gas_used() > 21_000
}

fn block_line(block: &SeenBlock) -> BlockLine {
    let header = block.header();
    BlockLine {
        number: header.number,
        hash: block.hash(),
        transactions: block.transaction_count(),
        gas_used: header.gas_used,
        gas_limit: header.gas_limit,
        base_fee_per_gas: header.base_fee_per_gas,
        timestamp: header.timestamp,
    }
}

fn transaction_line(transaction: &SeenTransaction, told: Option<&Replayed>) -> TransactionLine {
    let signed = transaction.transaction();
    let kind = signed.kind();
    let status = match transaction.receipt() {
        Some(receipt) if receipt.status() => Outcome::Success,
        _ => Outcome::Failure,
    };
    let created =
        matches!((kind, status), (TxKind::Create, Outcome::Success)).then(|| signed.signer().create(signed.nonce()));
    TransactionLine {
        block_number: transaction.block().height().0,
        hash: transaction.hash(),
        from: signed.signer(),
        to: signed.to(),
        action: describe_action(kind, signed.input(), signed.value()),
        value: signed.value(),
        gas_used: transaction.gas_used(),
        status,
        reason: told.and_then(|told| told.failure.as_ref().map(|failure| failure.describe())),
        contract_address: created,
        logs: told.map(|told| told.logs.clone()).unwrap_or_default(),
    }
}
