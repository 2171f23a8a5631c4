//! A tracer that ends an execution whose trace outgrows its bound.
//!
//! What a trace keeps has no relation to its gas: a warm call costs 100 gas and its record a kilobyte, and
//! each instruction may be recorded with all of the stack and the memory. So what is kept is weighed before
//! it is kept, in bytes of memory, by rules that give the same sum on every machine.

use alloy_primitives::map::{AddressHashMap, HashSet};
use alloy_primitives::{Address, Log, U256};
use alloy_rpc_types_trace::geth::{GethDefaultTracingOptions, GethTrace, StructLog};
use cloister_primitives::{Code, Rejected};
use revm::bytecode::opcode::{SLOAD, SSTORE};
use revm::context::result::{HaltReason, ResultAndState};
use revm::context::{BlockEnv, ContextError, ContextTr, TxEnv};
use revm::inspector::JournalExt;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LoopControl, MemoryTr, ReturnData};
use revm::interpreter::{
    CallInputs, CallOutcome, CreateInputs, CreateOutcome, Gas, InstructionResult, Interpreter, InterpreterResult,
    SuccessOrHalt,
};
use revm::{DatabaseRef, Inspector};
use revm_inspectors::tracing::{DebugInspector, TracingInspector, TransactionContext};
use std::collections::BTreeMap;

use super::Tracer;
use crate::error::ExecutionError;
use crate::revert::halt_message;

/// An instruction without what it is recorded with: once as it is recorded, once as it is answered.
const STEP_BYTES: usize = 640;
/// A stack item, twice.
const STACK_ITEM_BYTES: usize = 64;
/// A byte of memory: as it is recorded, and in hexadecimal.
const MEMORY_BYTE_BYTES: usize = 4;
/// A storage slot of one answer.
const SLOT_BYTES: usize = 128;
/// A frame: as it is recorded, and as it is answered.
const FRAME_BYTES: usize = 1_024;
/// A level of a flat frame's address.
const LEVEL_BYTES: usize = 16;
/// A selector with its count.
const SELECTOR_BYTES: usize = 160;
/// A log without its data.
const LOG_BYTES: usize = 256;

/// What of frames a tracer keeps.
#[derive(Clone, Copy, Debug, Default)]
struct FrameWeights {
    frame: usize,
    level: usize,
    inputs: usize,
    outputs: usize,
    logs: usize,
}

impl FrameWeights {
    fn of(tracer: &Tracer) -> Self {
        let recorded = Self { frame: FRAME_BYTES, outputs: 1, ..Self::default() };
        match tracer {
            Tracer::Instructions(_) => Self { inputs: 1, ..recorded },
            Tracer::Calls(config) => {
                Self { inputs: 1, logs: usize::from(config.with_log.unwrap_or_default()), ..recorded }
            }
            // The library copies the whole record to answer it.
            Tracer::FlatCalls(_) => Self { frame: 2 * FRAME_BYTES, level: LEVEL_BYTES, inputs: 1, logs: 1, ..recorded },
            Tracer::Prestate(_) => recorded,
            Tracer::FourByte => Self { frame: SELECTOR_BYTES, ..Self::default() },
            Tracer::Noop => Self::default(),
            Tracer::Mux(tracers) => tracers.iter().map(Self::of).fold(Self::default(), Self::plus),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            frame: self.frame + other.frame,
            level: self.level + other.level,
            inputs: self.inputs + other.inputs,
            outputs: self.outputs + other.outputs,
            logs: self.logs + other.logs,
        }
    }
}

/// What of instructions the default tracer keeps.
#[derive(Clone, Debug)]
struct StepWeights {
    options: GethDefaultTracingOptions,
    left: u64,
    /// Slots that an answer of each contract repeats.
    slots: AddressHashMap<HashSet<U256>>,
}

impl StepWeights {
    fn new(options: GethDefaultTracingOptions) -> Self {
        let left = options.limit.filter(|limit| *limit != 0).unwrap_or(u64::MAX);
        Self { options, left, slots: AddressHashMap::default() }
    }

    /// What recording the next instruction adds.
    fn weigh(&mut self, interpreter: &Interpreter) -> usize {
        let Some(left) = self.left.checked_sub(1) else {
            return 0;
        };
        self.left = left;
        let mut bytes = STEP_BYTES;
        if self.options.is_stack_enabled() {
            bytes += STACK_ITEM_BYTES * interpreter.stack.len();
        }
        if self.options.is_memory_enabled() {
            bytes += MEMORY_BYTE_BYTES * interpreter.memory.size();
        }
        if self.options.is_return_data_enabled() {
            bytes += interpreter.return_data.buffer().len();
        }
        if self.options.is_storage_enabled()
            && matches!(interpreter.bytecode.opcode(), SLOAD | SSTORE)
            && let Some(slot) = interpreter.stack.data().last()
        {
            let slots = self.slots.entry(interpreter.input.target_address()).or_default();
            slots.insert(*slot);
            bytes += SLOT_BYTES * slots.len();
        }
        bytes
    }
}

/// A tracer and what is left of its bound.
#[derive(Debug)]
pub(crate) struct Recorder {
    inspector: DebugInspector,
    frames: FrameWeights,
    steps: Option<StepWeights>,
    limit: usize,
    left: usize,
    depth: usize,
    has_outgrown: bool,
}

impl Recorder {
    /// A recorder of at most `limit` bytes for each transaction.
    pub(crate) fn new(tracer: &Tracer, limit: usize) -> Result<Self, ExecutionError> {
        Ok(Self {
            inspector: tracer.inspector()?,
            frames: FrameWeights::of(tracer),
            steps: match tracer {
                Tracer::Instructions(options) => Some(StepWeights::new(*options)),
                _ => None,
            },
            limit,
            left: limit,
            depth: 0,
            has_outgrown: false,
        })
    }

    /// Why the execution was ended, if it was.
    pub(crate) fn refusal(&self) -> Option<Rejected> {
        self.has_outgrown.then(|| {
            Rejected::with_detail(Code::ResponseTooLarge, format!("the trace takes more than {} bytes", self.limit))
        })
    }

    /// The trace of the transaction that has just run, before its changes are committed to `database`.
    pub(crate) fn take<DB: DatabaseRef>(
        &mut self,
        context: TransactionContext,
        environment: (&TxEnv, &BlockEnv),
        result: &ResultAndState<HaltReason>,
        database: &mut DB,
    ) -> Result<GethTrace, ExecutionError> {
        let (transaction, block) = environment;
        let fatal = |error: String| ExecutionError::Fatal(error);
        let trace = self.inspector.get_result(Some(context), transaction, block, result, database);
        let mut trace = trace.map_err(|error| fatal(error.to_string()))?;
        if let (GethTrace::Default(frame), DebugInspector::Default(recorded, _)) = (&mut trace, &self.inspector) {
            let words = errors_in_words(recorded);
            for log in &mut frame.struct_logs {
                if let Some(error) = &mut log.error
                    && let Some(text) = words.get(error)
                {
                    error.clone_from(text);
                }
                leave_out_empty(log);
            }
        }
        self.inspector.fuse().map_err(|error| fatal(error.to_string()))?;
        self.steps = self.steps.take().map(|steps| StepWeights::new(steps.options));
        (self.left, self.depth) = (self.limit, 0);
        Ok(trace)
    }

    /// Takes `bytes` from what is left; ends the execution if that is not enough.
    fn keeps<CTX: ContextTr>(&mut self, bytes: usize, context: &mut CTX) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.has_outgrown => {
                self.left = left;
                true
            }
            _ => {
                self.has_outgrown = true;
                // revm gives up as soon as the frame that is running, or about to, returns.
                *context.error() = Err(ContextError::Custom(Code::ResponseTooLarge.message().to_owned()));
                false
            }
        }
    }

    fn keeps_frame<CTX: ContextTr>(&mut self, input_bytes: usize, context: &mut CTX) -> bool {
        let frames = self.frames;
        self.depth += 1;
        let bytes = frames.frame + frames.level * self.depth + frames.inputs * input_bytes;
        self.keeps(bytes, context)
    }

    fn keeps_output<CTX: ContextTr>(&mut self, output_bytes: usize, context: &mut CTX) -> bool {
        self.depth = self.depth.saturating_sub(1);
        self.keeps(self.frames.outputs * output_bytes, context)
    }
}

/// What geth leaves out of an instruction's entry: memory and return data where there is none yet, a refund of zero.
fn leave_out_empty(log: &mut StructLog) {
    log.memory.take_if(|memory| memory.is_empty());
    log.return_data.take_if(|data| data.is_empty());
    log.refund_counter.take_if(|refund| *refund == 0);
}

/// geth's words for what the library calls an error of an instruction.
fn errors_in_words(recorded: &TracingInspector) -> BTreeMap<String, String> {
    let steps = recorded.traces().nodes().iter().flat_map(|node| &node.trace.steps);
    let halts = steps.filter_map(|step| step.status).filter(|status| status.is_halt());
    halts
        .filter_map(|status| match SuccessOrHalt::<HaltReason>::from(status) {
            SuccessOrHalt::Halt(reason) => Some((format!("{:?}", Some(status)), halt_message(&reason))),
            _ => None,
        })
        .collect()
}

/// The end of a frame that never ran because the trace has outgrown its bound.
fn given_up() -> InterpreterResult {
    InterpreterResult { result: InstructionResult::OutOfGas, output: Default::default(), gas: Gas::new(0) }
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX> for Recorder {
    fn initialize_interp(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.inspector.initialize_interp(interpreter, context);
    }

    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        let bytes = self.steps.as_mut().map_or(0, |steps| steps.weigh(interpreter));
        if self.keeps(bytes, context) {
            self.inspector.step(interpreter, context);
        } else {
            interpreter.bytecode.reset_action();
            interpreter.halt_fatal();
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        if !self.has_outgrown {
            self.inspector.step_end(interpreter, context);
        }
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        let bytes = self.frames.logs * (LOG_BYTES + log.data.data.len());
        if self.keeps(bytes, context) {
            self.inspector.log(context, log);
        }
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        if self.keeps_frame(inputs.input.len(), context) {
            return self.inspector.call(context, inputs);
        }
        Some(CallOutcome::new(given_up(), inputs.return_memory_offset.clone()))
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        if self.keeps_output(outcome.result.output.len(), context) {
            self.inspector.call_end(context, inputs, outcome);
        }
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        if self.keeps_frame(inputs.init_code().len(), context) {
            return self.inspector.create(context, inputs);
        }
        Some(CreateOutcome::new(given_up(), None))
    }

    fn create_end(&mut self, context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        if self.keeps_output(outcome.result.output.len(), context) {
            self.inspector.create_end(context, inputs, outcome);
        }
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        if !self.has_outgrown {
            Inspector::<CTX>::selfdestruct(&mut self.inspector, contract, target, value);
        }
    }
}
