//! The `debug_trace*` methods.

use std::{collections::BTreeMap, io, sync::Arc};

use alloy_consensus::Block;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable as _;
use cloister_access::Caller;
use cloister_core::{Ledger, SeenBlock, SeenState};
use cloister_execution::{
    Admission, BlockOverrides, CallEnv, CallRequest, ExecutionError, Executor, Replay, StateOverrides, TraceRequest,
    Tracer,
    tracing::{GethTrace, mux::MuxFrame},
};
use cloister_primitives::{Code, Height, Rejected, Transaction};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    frames::{Answers, ShownFrames},
    options::TraceOptions,
};
use crate::{
    MethodCall, RpcContext,
    calls::{TransactionArgs, admission, counting_as},
    errors::{self, RpcResult},
};

/// A trace holds far more memory than a call does, so it counts as several.
const CALLS_PER_TRACE: u32 = 4;

/// A trace as JSON, written on the thread that made it.
type Answer = Box<RawValue>;

pub(crate) async fn transaction(call: MethodCall) -> RpcResult<Answer> {
    let answers = Answers::to(&call, "debug_traceTransaction")?;
    let (hash, options) = call.params::<(B256, Option<TraceOptions>)>()?;
    let tracer = answers.admit(options.unwrap_or_default().tracer()?)?;
    let not_found = || answers.not_found("transaction not found");
    let seen = call.transaction(hash).await?.ok_or_else(not_found)?;
    let (block, index) = (seen.block(), seen.index());
    if block.traced(index).is_none() {
        return Err(not_found());
    }
    let traces = Traces::prepare(&call, block.clone(), tracer).await?;
    traces.run(&call.context, answers, move |traces, output| traces.write_one(index, output)).await
}

pub(crate) async fn block_by_number(call: MethodCall) -> RpcResult<Answer> {
    let answers = Answers::to(&call, "debug_traceBlockByNumber")?;
    let (number, options) = call.params::<(BlockNumberOrTag, Option<TraceOptions>)>()?;
    let tracer = answers.admit(options.unwrap_or_default().tracer()?)?;
    let height = call.height_of(number);
    let not_found = || answers.not_found(format!("block #{height} not found"));
    let block = call.block_at(height).await?.ok_or_else(not_found)?;
    whole_block(&call, answers, block, tracer).await
}

pub(super) async fn block_by_hash(call: MethodCall) -> RpcResult<Answer> {
    let answers = Answers::to(&call, "debug_traceBlockByHash")?;
    let (hash, options) = call.params::<(B256, Option<TraceOptions>)>()?;
    let tracer = answers.admit(options.unwrap_or_default().tracer()?)?;
    let not_found = || answers.not_found(format!("block {hash} not found"));
    let block = call.block_by_hash(hash).await?.ok_or_else(not_found)?;
    whole_block(&call, answers, block, tracer).await
}

pub(super) async fn block(call: MethodCall) -> RpcResult<Answer> {
    let answers = Answers::to(&call, "debug_traceBlock")?;
    let (rlp, options) = call.params::<(Bytes, Option<TraceOptions>)>()?;
    let tracer = answers.admit(options.unwrap_or_default().tracer()?)?;
    let malformed = |error| errors::server_error(format!("could not decode block: {error}"));
    let mut rest = &rlp[..];
    let block = Block::<Transaction>::decode(&mut rest).map_err(malformed)?;
    if !rest.is_empty() {
        return Err(malformed(alloy_rlp::Error::UnexpectedLength));
    }
    // There are no forks: what has not been committed here never was a block of this chain.
    let hash = block.header.hash_slow();
    let not_found = || answers.not_found(format!("block {hash} not found"));
    let block = call.block_by_hash(hash).await?.ok_or_else(not_found)?;
    whole_block(&call, answers, block, tracer).await
}

async fn whole_block(call: &MethodCall, answers: Answers, block: SeenBlock, tracer: Tracer) -> RpcResult<Answer> {
    let count = u32::try_from(block.transaction_count()).unwrap_or(u32::MAX);
    if answers.is_confidential() && !(0..count).any(|index| block.traced(index).is_some()) {
        return Err(answers.not_found(String::new()));
    }
    let traces = Traces::prepare(call, block, tracer).await?;
    traces.run(&call.context, answers, Traces::write_all).await
}

pub(crate) async fn call(call: MethodCall) -> RpcResult<Answer> {
    let answers = Answers::to(&call, "debug_traceCall")?;
    let (args, id, options) = call.params::<(TransactionArgs, Option<BlockId>, Option<TraceOptions>)>()?;
    let options = options.unwrap_or_default();
    let tracer = answers.admit(options.tracer()?)?;
    let mut request = args.into_call_request()?;
    if answers.is_confidential() {
        answers.admit_call(&call, &options, &mut request)?;
    }
    let block = call.required_block(id).await?;
    let (state, earlier) = match options.tx_index {
        None => (call.state_at(block.height()).await?, None),
        Some(index) => {
            let height = block.height().parent().ok_or_else(|| errors::server_error("no transaction in genesis"))?;
            let count = block.transaction_count();
            let index = usize::try_from(index).ok().filter(|index| *index < count.max(1)).ok_or_else(|| {
                errors::server_error(format!("transaction index {index} out of range for block {}", block.hash()))
            })?;
            (call.state_at(height).await?, Some(index))
        }
    };
    let traced = TracedCall {
        request,
        earlier,
        state_overrides: options.state_overrides.map(|arg| arg.0).unwrap_or_default(),
        block_overrides: options.block_overrides.map(|arg| arg.0).unwrap_or_default(),
    };
    let frames = ShownFrames::of(&state, state.height());
    let traces = Traces::new(&call, block, state, tracer, frames);
    traces.run(&call.context, answers, move |traces, output| traces.write_call(&traced, output)).await
}

/// A call to trace.
struct TracedCall {
    request: CallRequest,
    /// How many of the block's transactions run before it; without it, it runs after the block.
    earlier: Option<usize>,
    state_overrides: StateOverrides,
    block_overrides: BlockOverrides,
}

/// What is traced, and everything that it runs on.
struct Traces {
    executor: Arc<Executor>,
    ledger: Ledger,
    caller: Caller,
    block: SeenBlock,
    /// The state that execution starts from.
    state: SeenState,
    tracer: Tracer,
    /// What of the traces is shown, where that is not all.
    frames: Option<ShownFrames>,
    limit_bytes: usize,
    call_gas: u64,
}

impl Traces {
    fn new(call: &MethodCall, block: SeenBlock, state: SeenState, tracer: Tracer, frames: Option<ShownFrames>) -> Self {
        let context = &call.context;
        Self {
            executor: context.executor.clone(),
            ledger: context.ledger.clone(),
            caller: call.caller.clone(),
            block,
            state,
            tracer,
            frames,
            limit_bytes: context.limits.trace_bytes,
            call_gas: context.limits.call_gas,
        }
    }

    /// Traces of what is in a block, on the state before it.
    async fn prepare(call: &MethodCall, block: SeenBlock, tracer: Tracer) -> RpcResult<Self> {
        let parent = block.height().parent().ok_or_else(|| errors::server_error("genesis is not traceable"))?;
        let state = call.state_at(parent).await?;
        let frames = ShownFrames::of(&state, block.height());
        Ok(Self::new(call, block, state, tracer, frames))
    }

    /// Runs `write` on a blocking thread.
    async fn run<W>(self, context: &RpcContext, answers: Answers, write: W) -> RpcResult<Answer>
    where
        W: FnOnce(&Self, &mut Output) -> Result<(), ExecutionError> + Send + 'static,
    {
        let limit = context.limits.trace_answer_bytes;
        counting_as(context, CALLS_PER_TRACE, move || {
            let mut output = Output { json: Vec::new(), limit };
            write(&self, &mut output).map_err(|error| errors::execution(&error))?;
            if output.json.is_empty() {
                return Err(answers.not_found(String::new()));
            }
            output.into_answer()
        })
        .await
    }

    const fn request(&self) -> TraceRequest<'_> {
        TraceRequest { tracer: &self.tracer, limit_bytes: self.limit_bytes }
    }

    fn block_hash(&self, height: u64) -> Option<B256> {
        self.ledger.reader(&self.caller).hash_at(Height(height))
    }

    fn write_one(&self, index: u32, output: &mut Output) -> Result<(), ExecutionError> {
        self.trace(&[index], |_, trace| output.write(&TraceJson(trace)))
    }

    fn write_all(&self, output: &mut Output) -> Result<(), ExecutionError> {
        let hashes: Vec<B256> = self.block.transaction_hashes().collect();
        let visible: Vec<u32> = (0..).take(hashes.len()).filter(|index| self.block.traced(*index).is_some()).collect();
        let mut before: &[u8] = b"[";
        self.trace(&visible, |index, trace| {
            output.push(core::mem::replace(&mut before, b","))?;
            output.write(&OfTransaction { tx_hash: hashes[index], result: TraceJson(trace) })
        })?;
        match (before, &self.frames) {
            (b",", _) => output.push(b"]"),
            // That there is a block is told where something in it is.
            (_, Some(_)) => Ok(()),
            (_, None) => output.push(b"[]"),
        }
    }

    /// Runs the block up to the last of `indices`, which ascend, and hands on the trace of each as far as it is shown.
    fn trace(
        &self,
        indices: &[u32],
        mut told: impl FnMut(usize, &GethTrace) -> Result<(), ExecutionError>,
    ) -> Result<(), ExecutionError> {
        let Some((last, transactions)) = indices.last().and_then(|last| Some((*last, self.block.traced(*last)?)))
        else {
            return Ok(());
        };
        let view = self.state.replay_view(&self.block, last).ok_or(Rejected::new(Code::ResourceUnavailable))?;
        let hashes = |height| self.block_hash(height);
        let replay = Replay { header: self.block.header(), transactions, view, hashes: &hashes };
        let indices: Vec<usize> = indices.iter().map(|index| *index as usize).collect();
        self.executor.trace_block(replay, &indices, self.request(), |found| {
            let trace = match &self.frames {
                None => Some(found.trace),
                Some(frames) => frames.of_transaction(found.trace, &transactions[found.index], &self.caller),
            };
            trace.map_or(Ok(()), |trace| told(found.index, &trace))
        })
    }

    fn write_call(&self, call: &TracedCall, output: &mut Output) -> Result<(), ExecutionError> {
        let request = &call.request;
        let view = self.state.trace_view(request.from.unwrap_or_default(), request.to);
        let view = view.ok_or(Rejected::new(Code::ResourceUnavailable))?;
        let hashes = |height| self.block_hash(height);
        let earlier = match call.earlier {
            None => None,
            Some(count) => {
                let whole = self.block.whole().ok_or(Rejected::new(Code::ResourceUnavailable))?;
                let transactions = &whole.transactions[..count.min(whole.transactions.len())];
                Some(Replay { header: self.block.header(), transactions, view, hashes: &hashes })
            }
        };
        let guard = self.state.guard();
        let env = CallEnv {
            header: self.block.header(),
            hashes: &hashes,
            state_overrides: &call.state_overrides,
            block_overrides: &call.block_overrides,
            guard: &guard,
            gas_cap: self.call_gas,
        };
        if self.frames.is_some() && admission(&*guard, request) != Admission::Admitted {
            return Ok(());
        }
        let trace = self.executor.trace_call(view, &env, request, earlier, self.request())?;
        let trace = match &self.frames {
            None => trace,
            Some(frames) => frames.of_call(trace, request),
        };
        output.write(&TraceJson(&trace))
    }
}

/// An entry of a block's traces.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfTransaction<'a> {
    tx_hash: B256,
    result: TraceJson<'a>,
}

/// A trace with its entries in an order.
struct TraceJson<'a>(&'a GethTrace);

impl Serialize for TraceJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            GethTrace::MuxTracer(MuxFrame(traces)) => {
                let sorted: BTreeMap<_, _> =
                    traces.iter().map(|(name, trace)| (name.as_str(), TraceJson(trace))).collect();
                sorted.serialize(serializer)
            }
            trace => trace.serialize(serializer),
        }
    }
}

/// JSON on its way, up to a bound.
struct Output {
    json: Vec<u8>,
    limit: usize,
}

impl Output {
    fn write(&mut self, value: &impl Serialize) -> Result<(), ExecutionError> {
        serde_json::to_writer(&mut *self, value).map_err(|_| self.too_large())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), ExecutionError> {
        io::Write::write_all(self, bytes).map_err(|_| self.too_large())
    }

    fn too_large(&self) -> ExecutionError {
        Rejected::with_detail(Code::ResponseTooLarge, format!("the answer takes more than {} bytes", self.limit)).into()
    }

    fn into_answer(self) -> RpcResult<Answer> {
        let text = String::from_utf8(self.json).map_err(|_| errors::code(Code::Internal))?;
        RawValue::from_string(text).map_err(|_| errors::code(Code::Internal))
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.json.len().saturating_add(bytes.len()) > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.json.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_beyond_its_bound_is_refused_and_not_cut() {
        let mut output = Output { json: Vec::new(), limit: 8 };
        output.write(&[1, 2, 3]).unwrap();
        assert_eq!(output.json, b"[1,2,3]");
        let error = output.write(&"long").unwrap_err();
        assert_eq!(error.to_string(), "response too large: the answer takes more than 8 bytes");
        assert_eq!(errors::execution(&error).code(), -32003);
    }
}
