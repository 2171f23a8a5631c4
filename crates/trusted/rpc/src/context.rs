//! What every method is given: readers of the ledger, a line to the core, the executor, limits.

use std::sync::Arc;

use cloister_access::Caller;
use cloister_core::{CoreError, Ledger, Request, RequestBody, Response};
use cloister_execution::Executor;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{events::Events, feeds::Feeds, filters::Filters, reference::Reference};

/// A request on its way to the core, and where its answer goes.
#[derive(Debug)]
pub struct Envelope {
    /// The request.
    pub request: Request,
    /// Takes the answer.
    pub reply: oneshot::Sender<Result<Response, CoreError>>,
}

/// A line to the core: bounded, so that a flood of requests is refused and not stored.
#[derive(Clone, Debug)]
pub struct CoreHandle {
    requests: mpsc::Sender<Envelope>,
}

impl CoreHandle {
    /// A line over this channel; the shell holds the other end.
    #[must_use]
    pub const fn new(requests: mpsc::Sender<Envelope>) -> Self {
        Self { requests }
    }

    /// Asks the core and waits for the answer.
    ///
    /// # Errors
    /// What the core answered, or [`CoreError::Unavailable`] when it is overloaded or stopping.
    pub async fn request(&self, caller: &Caller, body: RequestBody) -> Result<Response, CoreError> {
        let answer = self.send(caller, body).await?;
        answer.await.map_err(|_| CoreError::Unavailable("the node is stopping"))?
    }

    /// Asks the core, which takes requests in the order they are sent; the answer comes through what is returned.
    ///
    /// # Errors
    /// [`CoreError::Unavailable`] when the core is stopping.
    pub async fn send(
        &self,
        caller: &Caller,
        body: RequestBody,
    ) -> Result<oneshot::Receiver<Result<Response, CoreError>>, CoreError> {
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope { request: Request { caller: caller.clone(), body }, reply };
        self.requests.send(envelope).await.map_err(|_| CoreError::Unavailable("the node is stopping"))?;
        Ok(answer)
    }
}

/// Bounds on what one request, connection or client may use.
#[derive(Clone, Debug)]
pub struct RpcLimits {
    /// Blocks one log query may span.
    pub log_range_blocks: u64,
    /// Logs one answer may carry.
    pub log_results: usize,
    /// Addresses plus topics one log filter may name.
    pub log_criteria: usize,
    /// Filters alive at one time, over all clients.
    pub filters: usize,
    /// A filter nobody polled for so long is dropped, milliseconds.
    pub filter_idle_ms: u64,
    /// Subscriptions per connection.
    pub subscriptions_per_connection: u32,
    /// Gas one call or estimate may use.
    pub call_gas: u64,
    /// Calls executing at one time.
    pub concurrent_calls: usize,
    /// Memory the trace of one transaction may take, bytes.
    pub trace_bytes: usize,
    /// JSON one answer of traces may have, bytes.
    pub trace_answer_bytes: usize,
    /// How long `eth_sendRawTransactionSync` waits at most, milliseconds.
    pub sync_timeout_ms: u64,
    /// Blocks `eth_feeHistory` reports at most.
    pub fee_history_blocks: u64,
    /// Storage keys one `eth_getProof` may name.
    pub proof_keys: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            log_range_blocks: 100_000,
            log_results: 20_000,
            log_criteria: 1_000,
            filters: 10_000,
            filter_idle_ms: 5 * 60 * 1_000,
            subscriptions_per_connection: 128,
            call_gas: 50_000_000,
            concurrent_calls: 8,
            trace_bytes: 256 << 20,
            trace_answer_bytes: 128 << 20,
            sync_timeout_ms: 20_000,
            fee_history_blocks: 1_024,
            proof_keys: 1_024,
        }
    }
}

/// Shared by all methods; cheap to clone.
#[derive(Clone, Debug)]
pub struct RpcContext {
    /// The resident chain; every read goes through its [`cloister_core::Reader`].
    pub ledger: Ledger,
    /// The line to the core.
    pub core: CoreHandle,
    /// Runs calls and estimates on views.
    pub executor: Arc<Executor>,
    /// What subscribers hear.
    pub events: Events,
    /// Bounds.
    pub limits: Arc<RpcLimits>,
    /// Slots for calls that execute.
    pub calls: Arc<Semaphore>,
    /// Polling filters of all clients.
    pub(crate) filters: Arc<Filters>,
    /// What subscribers listen to.
    pub(crate) feeds: Feeds,
    /// What can be called.
    pub(crate) reference: Arc<Reference>,
}

impl RpcContext {
    /// A context over these parts, within a runtime.
    #[must_use]
    pub fn new(ledger: Ledger, core: CoreHandle, executor: Arc<Executor>, events: Events, limits: RpcLimits) -> Self {
        let feeds = Feeds::start(ledger.clone(), events.of_chain());
        Self {
            ledger,
            feeds,
            core,
            executor,
            events,
            calls: Arc::new(Semaphore::new(limits.concurrent_calls)),
            limits: Arc::new(limits),
            filters: Arc::default(),
            reference: Arc::default(),
        }
    }
}
