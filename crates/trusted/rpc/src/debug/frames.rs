//! Who is answered with traces on a confidential chain, and what of them is shown.
//!
//! A sender sees how his transaction was called and ended, and within it the frames that he could ask for himself, by the
//! rules about queries; others are left out with all that they started, and leave no gap. So do accounts of gas: what is left
//! when a frame begins says how much those before it used.

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, Log, U256};
use cloister_access::{Caller, Shown};
use cloister_core::SeenState;
use cloister_execution::{
    CallRequest, FrameFacts, FrameKind, Tracer,
    tracing::{CallFrame, CallLogFrame, GethTrace},
};
use cloister_primitives::{Height, Protection, RecoveredTransaction};
use jsonrpsee::types::ErrorObjectOwned;

use super::options::TraceOptions;
use crate::{
    MethodCall,
    errors::{self, RpcResult},
};

/// How a method about traces answers, on this chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    method: &'static str,
    is_confidential: bool,
}

impl Answers {
    /// To whoever asks.
    ///
    /// # Errors
    /// That there is no such method, where nothing is the caller's to see.
    pub(super) fn to(call: &MethodCall, method: &'static str) -> RpcResult<Self> {
        let is_confidential = call.context.ledger.is_confidential() && Protection::WithheldMethods.holds();
        let answers = Self { method, is_confidential };
        if is_confidential && call.caller.accounts().is_empty() {
            return Err(answers.not_found(String::new()));
        }
        Ok(answers)
    }

    pub(super) const fn is_confidential(self) -> bool {
        self.is_confidential
    }

    /// What is not there, or not the caller's: on a confidential chain as if the method did not exist.
    pub(super) fn not_found(self, text: impl Into<String>) -> ErrorObjectOwned {
        if self.is_confidential { errors::no_such_method(self.method) } else { errors::server_error(text) }
    }

    /// The tracer, if what it tells can be shown by frames.
    ///
    /// # Errors
    /// On a confidential chain, for those that tell of every frame together.
    pub(super) fn admit(self, tracer: Tracer) -> RpcResult<Tracer> {
        match tracer {
            Tracer::Calls(_) | Tracer::Noop => Ok(tracer),
            _ if self.is_confidential => {
                Err(errors::invalid_params("a confidential chain traces with callTracer: name it as tracer"))
            }
            _ => Ok(tracer),
        }
    }

    /// Makes a call the caller's own.
    ///
    /// # Errors
    /// On a confidential chain, if it is made as somebody else, or asks what would be if something were different.
    pub(super) fn admit_call(
        self,
        call: &MethodCall,
        options: &TraceOptions,
        request: &mut CallRequest,
    ) -> RpcResult<()> {
        if options.changes_anything() {
            return Err(errors::invalid_params("overrides are refused on a confidential chain"));
        }
        request.from = call.caller.from_or_first(request.from);
        if request.from.is_none_or(|from| !call.caller.controls(from)) {
            return Err(self.not_found(String::new()));
        }
        Ok(())
    }
}

/// What of traces one caller is shown.
pub(super) struct ShownFrames {
    /// The state whose rules decide: those that the transactions were executed by.
    state: SeenState,
    height: Height,
    shown: Shown,
}

/// What a tree of frames is about.
#[derive(Clone, Copy)]
struct Root<'a> {
    origin: Address,
    recipient: Option<Address>,
    input: &'a [u8],
}

/// Where a frame stands.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// Whose storage it works on; `None` for a creation.
    storage: Option<Address>,
    /// Whether it is shown because its reader could ask for it, and not just because it is his own.
    is_read: bool,
}

impl Place {
    const fn top(storage: Option<Address>) -> Self {
        Self { depth: 0, storage, is_read: false }
    }
}

impl ShownFrames {
    /// Of the block at a height, by the rules of this state and those of today; `None` where everything is shown.
    pub(super) fn of(state: &SeenState, height: Height) -> Option<Self> {
        state.shown(height).map(|shown| Self { state: state.clone(), height, shown })
    }

    /// What is shown of a transaction's trace. To who did not send it nothing, unless he may ask for its first frame; and
    /// gas is the sender's.
    pub(super) fn of_transaction(
        &self,
        trace: GethTrace,
        transaction: &RecoveredTransaction,
        caller: &Caller,
    ) -> Option<GethTrace> {
        let origin = transaction.signer();
        let root = Root { origin, recipient: transaction.to(), input: transaction.input() };
        let GethTrace::CallTracer(top) = trace else { return Some(trace) };
        let is_own = caller.controls(origin);
        let is_read = self.shows(&top, root, Place::top(transaction.to()));
        if !is_own && !is_read {
            return None;
        }
        let mut top = self.without_hidden(top, root, Place { is_read, ..Place::top(transaction.to()) });
        if !is_own {
            (top.gas, top.gas_used) = (U256::ZERO, U256::ZERO);
        }
        Some(GethTrace::CallTracer(top))
    }

    /// What is shown of the trace of the caller's own call.
    pub(super) fn of_call(&self, trace: GethTrace, request: &CallRequest) -> GethTrace {
        let GethTrace::CallTracer(top) = trace else { return trace };
        let root = Root { origin: request.from.unwrap_or_default(), recipient: request.to, input: &request.input };
        let is_read = self.shows(&top, root, Place::top(request.to));
        GethTrace::CallTracer(self.without_hidden(top, root, Place { is_read, ..Place::top(request.to) }))
    }

    /// A frame that is shown, without those in it that are not.
    fn without_hidden(&self, frame: CallFrame, root: Root<'_>, place: Place) -> CallFrame {
        let CallFrame { from, gas, gas_used, to, input, output, error, revert_reason, calls, logs, value, typ, .. } =
            frame;
        let logs = logs.into_iter().filter_map(|log| self.log(log)).collect();
        let calls = calls.into_iter().filter_map(|call| {
            let storage = if is_delegated(&call) { place.storage } else { call.to };
            // What a contract does within itself is shown to who may ask it, and not to everybody whom it runs for.
            let is_within = storage == place.storage;
            let inner = Place { depth: place.depth + 1, storage, is_read: true };
            let is_shown = (place.is_read || !is_within) && self.shows(&call, root, inner);
            is_shown.then(|| {
                let shown = self.without_hidden(call, root, inner);
                CallFrame { gas: U256::ZERO, gas_used: U256::ZERO, ..shown }
            })
        });
        let calls = calls.collect();
        CallFrame {
            from,
            gas,
            gas_used,
            to,
            input,
            output,
            error,
            revert_reason,
            calls,
            logs,
            value,
            typ,
            ..CallFrame::default()
        }
    }

    /// Whether a frame is shown, given that the one that started it is. Creations within a transaction are not, nor is who
    /// got what a contract left when it ended.
    fn shows(&self, frame: &CallFrame, root: Root<'_>, place: Place) -> bool {
        let kind = match frame.typ.as_str() {
            "CALL" => FrameKind::Call,
            "STATICCALL" => FrameKind::StaticCall,
            "DELEGATECALL" => FrameKind::DelegateCall,
            "CALLCODE" => FrameKind::CallCode,
            _ => return false,
        };
        if place.storage.is_none() {
            return false;
        }
        self.shown.shows(&FrameFacts {
            kind,
            depth: place.depth,
            caller: frame.from,
            origin: root.origin,
            recipient: root.recipient,
            transaction_input: root.input,
            storage_address: place.storage,
            code_address: frame.to,
            value: frame.value.unwrap_or_default(),
            is_static: kind == FrameKind::StaticCall,
            input: &frame.input,
        })
    }

    /// A log, if it is shown; its number and its place would tell of others.
    fn log(&self, log: CallLogFrame) -> Option<CallLogFrame> {
        let CallLogFrame { address, topics, data, .. } = log;
        let emitted = Log::new_unchecked(
            address.unwrap_or_default(),
            topics.clone().unwrap_or_default(),
            data.clone().unwrap_or_default(),
        );
        let shown = CallLogFrame { address, topics, data, ..CallLogFrame::default() };
        self.state.shows_log(&emitted, self.height).then_some(shown)
    }
}

fn is_delegated(frame: &CallFrame) -> bool {
    matches!(frame.typ.as_str(), "DELEGATECALL" | "CALLCODE")
}
