//! Executions that leave no trace: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.
//!
//! They run on tokio's blocking threads, within [`RpcContext::calls`] permits: a worker thread that is
//! busy for the milliseconds of a large call would hold up every other connection. Short calls are
//! spared the way there, see [`short`].

mod args;
mod overrides;
mod short;

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag, eip2930::AccessList};
use alloy_primitives::{B256, Bytes, keccak256};
use cloister_access::Caller;
use cloister_core::{Ledger, SeenBlock, SeenState};
use cloister_execution::{
    Admission, BlockOverrides, CallEnv, CallOutcome, CallRequest, ExecutionError, Executor, FrameFacts, FrameGuard,
    FrameKind, StateOverrides, halt_message, revert_message,
};
use cloister_primitives::{Code, Height};
use cloister_state::StateView;
use jsonrpsee::{core::RegisterMethodError, types::ErrorObjectOwned};
use serde::Serialize;

use crate::{
    MethodCall, MethodInfo, Registry, RpcContext,
    convert::Quantity,
    errors::{self, RpcResult},
    pending::{Pending, on_top},
};

pub use args::TransactionArgs;
pub(crate) use overrides::block_overrides;
pub use overrides::{BlockOverridesArg, StateOverridesArg};

/// Runs `work` on a blocking thread once there is a permit.
///
/// # Errors
/// Those of `work`; `-32603` if it panicked.
pub async fn on_blocking_thread<T, W>(context: &RpcContext, work: W) -> RpcResult<T>
where
    T: Send + 'static,
    W: FnOnce() -> RpcResult<T> + Send + 'static,
{
    counting_as(context, 1, work).await
}

/// As [`on_blocking_thread`], for work that counts as so many calls, or as all that may run at one time.
pub(crate) async fn counting_as<T, W>(context: &RpcContext, calls: u32, work: W) -> RpcResult<T>
where
    T: Send + 'static,
    W: FnOnce() -> RpcResult<T> + Send + 'static,
{
    let most = u32::try_from(context.limits.concurrent_calls).unwrap_or(u32::MAX);
    let permit = context.calls.clone().acquire_many_owned(calls.min(most)).await;
    let permit = permit.map_err(|_| errors::code(Code::Unavailable))?;
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    })
    .await
    .map_err(|_| errors::code(Code::Internal))?
}

/// A call with everything that it runs on.
#[derive(Debug)]
pub struct Execution {
    ledger: Ledger,
    caller: Caller,
    executor: Arc<Executor>,
    block: SeenBlock,
    state: SeenState,
    request: CallRequest,
    state_overrides: StateOverrides,
    block_overrides: BlockOverrides,
    gas_cap: u64,
    refusal: fn() -> ErrorObjectOwned,
}

impl Execution {
    /// Finds block and state for `request`, made in the context of block `id`.
    ///
    /// # Errors
    /// `header not found`, or that the block's state is no longer kept.
    pub async fn prepare(call: &MethodCall, mut request: CallRequest, id: Option<BlockId>) -> RpcResult<Self> {
        if request.from.is_some_and(|from| !call.reader().may_call_as(from)) {
            return Err(not_authorized());
        }
        request.from = call.caller.from_or_first(request.from);
        let (block, state, state_overrides) = match call.pending(id).await? {
            Some(Pending { block, overrides }) => {
                let parent = Height(block.height().0.saturating_sub(1));
                (block, call.state_at(parent).await?, overrides)
            }
            None => {
                let block = call.required_block(id).await?;
                let state = call.state_at(block.height()).await?;
                (block, state, StateOverrides::new())
            }
        };
        Ok(Self {
            ledger: call.context.ledger.clone(),
            caller: call.caller.clone(),
            executor: call.context.executor.clone(),
            block,
            state,
            request,
            state_overrides,
            block_overrides: BlockOverrides::default(),
            gas_cap: call.context.limits.call_gas,
            refusal: not_authorized,
        })
    }

    /// Refuses what the caller may not ask as the transaction would fail: with a revert that says nothing.
    #[must_use]
    pub fn refusing_in_silence(mut self) -> Self {
        self.refusal = || errors::reverted(&Bytes::new());
        self
    }

    /// Adds what the call shall see differently.
    ///
    /// # Errors
    /// On a confidential chain nobody asks what would be if a contract were another one.
    pub fn with_overrides(
        mut self,
        state: Option<StateOverridesArg>,
        block: Option<BlockOverridesArg>,
    ) -> RpcResult<Self> {
        if (state.is_some() || block.is_some()) && self.ledger.is_confidential() {
            return Err(errors::invalid_params("overrides are refused on a confidential chain"));
        }
        if let Some(StateOverridesArg(asked)) = state {
            self.state_overrides = on_top(self.state_overrides, asked);
        }
        self.block_overrides = block.map(|arg| arg.0).unwrap_or_default();
        Ok(self)
    }

    /// Runs `work` with executor, state, environment and request, on a blocking thread.
    ///
    /// # Errors
    /// What the execution answered, as JSON-RPC shows it.
    pub async fn run<T, W>(self, context: &RpcContext, work: W) -> RpcResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Executor, &StateView, &CallEnv<'_>, &CallRequest) -> Result<T, ExecutionError> + Send + 'static,
    {
        on_blocking_thread(context, move || self.run_here(work)).await
    }

    /// What the call returns.
    async fn output(self, context: &RpcContext) -> RpcResult<Bytes> {
        if let Some(output) = self.run_here(short::attempt)? {
            return Ok(output);
        }
        self.run(context, |executor, view, env, request| executor.call(view, env, request)?.into_output()).await
    }

    fn run_here<T>(
        &self,
        work: impl FnOnce(&Executor, &StateView, &CallEnv<'_>, &CallRequest) -> Result<T, ExecutionError>,
    ) -> RpcResult<T> {
        let from = self.request.from.unwrap_or_default();
        let view = self.state.call_view(from, self.request.to).ok_or_else(self.refusal)?;
        let guard = self.state.guard();
        let is_asked = match admission(&*guard, &self.request) {
            Admission::Admitted => false,
            Admission::Asks(_) => true,
            Admission::Refused | Admission::Unknown => return Err((self.refusal)()),
        };
        let hashes = |height| self.block_hash(height);
        let env = CallEnv {
            header: self.block.header(),
            hashes: &hashes,
            state_overrides: &self.state_overrides,
            block_overrides: &self.block_overrides,
            guard: &guard,
            gas_cap: self.gas_cap,
        };
        work(&self.executor, view, &env, &self.request).map_err(|error| match &error {
            // What a contract said no to ends like this, and what ends like this without has nothing to tell either.
            ExecutionError::Reverted { output } if is_asked && output.is_empty() => (self.refusal)(),
            error => self.error(error),
        })
    }

    /// As geth says it. On a development network a call that stopped or found no gas limit also says that it
    /// returned nothing: Hardhat's matchers take an error without data for one of the connection.
    fn error(&self, error: &ExecutionError) -> ErrorObjectOwned {
        let shown = errors::execution(error);
        let ran = match error {
            ExecutionError::Halted { .. } => true,
            ExecutionError::Rejected(refusal) => refusal.code() == Code::GasRequiredExceedsAllowance,
            _ => false,
        };
        if ran && self.ledger.spec().is_development() { errors::with_data(shown, &Bytes::new()) } else { shown }
    }

    fn block_hash(&self, height: u64) -> Option<B256> {
        block_hash(&self.ledger, &self.caller, height)
    }
}

/// The hash of a block, as BLOCKHASH needs it.
pub(crate) fn block_hash(ledger: &Ledger, caller: &Caller, height: u64) -> Option<B256> {
    ledger.reader(caller).hash_at(Height(height))
}

/// Whether a call's first frame may run: who may not make the call is told so, instead of that it reverted.
pub(crate) fn admission(guard: &dyn FrameGuard, request: &CallRequest) -> Admission {
    let Some(to) = request.to else { return Admission::Admitted };
    let from = request.from.unwrap_or_default();
    let frame = FrameFacts {
        kind: FrameKind::Call,
        depth: 0,
        caller: from,
        origin: from,
        recipient: Some(to),
        transaction_input: &request.input,
        storage_address: Some(to),
        code_address: Some(to),
        value: request.value.unwrap_or_default(),
        is_static: false,
        input: &request.input,
    };
    guard.admit(&frame)
}

/// A call that policy refuses looks like a revert with the custom error `NotAuthorized()`.
pub(crate) fn not_authorized() -> ErrorObjectOwned {
    let selector = &keccak256("NotAuthorized()")[..4];
    errors::reverted(&Bytes::copy_from_slice(selector))
}

pub(crate) async fn eth_call(call: MethodCall) -> RpcResult<Bytes> {
    let (args, id, state, block) =
        call.params::<(TransactionArgs, Option<BlockId>, Option<StateOverridesArg>, Option<BlockOverridesArg>)>()?;
    let execution = Execution::prepare(&call, args.into_call_request()?, id).await?.with_overrides(state, block)?;
    execution.output(&call.context).await
}

/// What a call returns on the newest block.
pub(crate) async fn call_of(call: &MethodCall, request: CallRequest) -> RpcResult<Bytes> {
    Execution::prepare(call, request, None).await?.output(&call.context).await
}

/// Where an estimate takes place that names no block: in the one that the transaction will be in, where
/// there is such a thing.
const NEXT: Option<BlockId> = Some(BlockId::Number(BlockNumberOrTag::Pending));

/// The gas limit that a request needs in the next block.
///
/// # Errors
/// As `eth_estimateGas`.
pub async fn estimate(call: &MethodCall, request: CallRequest) -> RpcResult<u64> {
    Execution::prepare(call, request, NEXT)
        .await?
        .refusing_in_silence()
        .run(&call.context, Executor::estimate_gas)
        .await
}

async fn estimate_gas(call: MethodCall) -> RpcResult<Quantity> {
    let (args, id, state, block) =
        call.params::<(TransactionArgs, Option<BlockId>, Option<StateOverridesArg>, Option<BlockOverridesArg>)>()?;
    Execution::prepare(&call, args.into_call_request()?, id.or(NEXT))
        .await?
        .with_overrides(state, block)?
        .refusing_in_silence()
        .run(&call.context, Executor::estimate_gas)
        .await
        .map(Quantity::from)
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessListJson {
    access_list: AccessList,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    gas_used: Quantity,
}

async fn create_access_list(call: MethodCall) -> RpcResult<AccessListJson> {
    let (args, id, state) = call.params::<(TransactionArgs, Option<BlockId>, Option<StateOverridesArg>)>()?;
    let found = Execution::prepare(&call, args.into_call_request()?, id)
        .await?
        .with_overrides(state, None)?
        .run(&call.context, Executor::create_access_list)
        .await?;
    Ok(AccessListJson {
        access_list: found.access_list,
        gas_used: found.outcome.gas_used().into(),
        error: match found.outcome {
            CallOutcome::Success { .. } => None,
            CallOutcome::Revert { output, .. } => Some(revert_message(&output)),
            CallOutcome::Halt { reason, .. } => Some(halt_message(&reason)),
        },
    })
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(
            info(
                "eth_call",
                "call, block?, state overrides?, block overrides? -> data",
                "Executes a call without a transaction.",
            ),
            eth_call,
        )?
        .method(
            info(
                "eth_estimateGas",
                "call, block?, state overrides?, block overrides? -> quantity",
                "The gas limit that a transaction needs.",
            ),
            estimate_gas,
        )?
        .method(
            info(
                "eth_createAccessList",
                "call, block?, state overrides? -> access list",
                "The access list (EIP-2930) that a transaction would profit from.",
            ),
            create_access_list,
        )?;
    Ok(())
}
