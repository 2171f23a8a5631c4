//! Short calls, run where the request is served.
//!
//! Handing a call to another thread costs several times what a token balance costs, and what a call
//! costs is known only after it ran. So each `eth_call` starts on the serving thread, watched: one that
//! grows beyond a few hundred microseconds is given up and starts again on a blocking thread. The two
//! runs are the same to the last bit of gas; the first one only ends early.

use alloy_primitives::{Address, Bytes};
use cloister_execution::{CallEnv, CallRequest, ExecutionError, Executor, halt_message};
use cloister_state::StateView;
use revm::{
    Inspector,
    context::result::ExecutionResult,
    interpreter::{CallInputs, CallOutcome, Gas, InstructionResult, Interpreter, InterpreterResult, InterpreterTypes},
};

/// Instructions that a short call executes at most.
const MAX_STEPS: u32 = 20_000;
/// Gas that each frame of a short call uses at most: bounds instructions whose work depends on their
/// operands. A single such instruction may still work for some milliseconds.
const MAX_FRAME_GAS: u64 = 500_000;
/// Calldata of a precompile in a short call, in bytes at most.
const MAX_PRECOMPILE_INPUT: usize = 4 * 1_024;
/// The last precompile that is cheap for its gas: identity.
const LAST_CHEAP_PRECOMPILE: u16 = 4;

/// Ends an execution that grows too long.
#[derive(Debug, Default)]
struct Watch {
    steps: u32,
    is_too_long: bool,
}

impl<CTX, INTR: InterpreterTypes> Inspector<CTX, INTR> for Watch {
    #[inline]
    fn step(&mut self, interpreter: &mut Interpreter<INTR>, _: &mut CTX) {
        self.steps += 1;
        let frame_gas = interpreter.gas.total_gas_spent();
        if self.steps > MAX_STEPS || frame_gas > MAX_FRAME_GAS {
            self.is_too_long = true;
        }
        if self.is_too_long {
            interpreter.halt(InstructionResult::OutOfGas);
        }
    }

    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        if !is_slow_precompile(&inputs.bytecode_address, inputs.input.len()) {
            return None;
        }
        self.is_too_long = true;
        let result = InterpreterResult { result: InstructionResult::OutOfGas, output: Bytes::new(), gas: Gas::new(0) };
        Some(CallOutcome::new(result, inputs.return_memory_offset.clone()))
    }
}

/// Whether a call to `address` may run a precompile for long. Precompiles live at small addresses.
fn is_slow_precompile(address: &Address, input_bytes: usize) -> bool {
    let (high, low) = address.split_at(18);
    if high.iter().any(|byte| *byte != 0) {
        return false;
    }
    let number = u16::from_be_bytes([low[0], low[1]]);
    (LAST_CHEAP_PRECOMPILE + 1..=0x1ff).contains(&number) || input_bytes > MAX_PRECOMPILE_INPUT
}

/// Runs a call here; `None` if it is no short one.
pub(super) fn attempt(
    executor: &Executor,
    view: &StateView,
    env: &CallEnv<'_>,
    request: &CallRequest,
) -> Result<Option<Bytes>, ExecutionError> {
    let mut watch = Watch::default();
    let ended = executor.inspect_call(view, env, request, &mut watch)?;
    if watch.is_too_long {
        return Ok(None);
    }
    match ended.result {
        ExecutionResult::Success { output, .. } => Ok(Some(output.into_data())),
        ExecutionResult::Revert { output, .. } => Err(ExecutionError::Reverted { output }),
        ExecutionResult::Halt { reason, .. } => Err(ExecutionError::Halted { reason: halt_message(&reason) }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::{U256, address, hex};
    use cloister_execution::{AccountOverride, BlockOverrides, FrameGuard, NoBlockHashes, Open, StateOverrides};
    use cloister_primitives::{ChainSpec, DevChain, Height};
    use cloister_state::{HistoryLimits, State, StateDelta};

    use super::*;

    const CONTRACT: Address = address!("7dcd17433742f4c0ca53122ab541d0ba67fc27df");

    /// Runs `code` as a short call, and as a plain one.
    #[allow(clippy::type_complexity)]
    fn run(code: &[u8]) -> (Result<Option<Bytes>, ExecutionError>, Result<Bytes, ExecutionError>) {
        let state = State::new(HistoryLimits::default());
        state.apply(Height(0), &StateDelta::default()).unwrap();
        let view = state.view(Height(0)).unwrap();
        let spec = ChainSpec::development(DevChain::default()).unwrap();
        let header = spec.genesis_header(view.root());
        let account = AccountOverride { code: Some(Bytes::copy_from_slice(code)), ..AccountOverride::default() };
        let guard: Arc<dyn FrameGuard> = Arc::new(Open);
        let env = CallEnv {
            header: &header,
            hashes: &NoBlockHashes,
            state_overrides: &StateOverrides::from([(CONTRACT, account)]),
            block_overrides: &BlockOverrides::default(),
            guard: &guard,
            gas_cap: 50_000_000,
        };
        let request = CallRequest { to: Some(CONTRACT), ..CallRequest::default() };
        let executor = Executor::new(Arc::new(spec), Arc::new(Open));
        let plain = executor.call(&view, &env, &request).unwrap().into_output();
        (attempt(&executor, &view, &env, &request), plain)
    }

    /// Counts down from `count` and returns the gas that is left.
    fn countdown(count: u16) -> Vec<u8> {
        let mut code = vec![0x61];
        code.extend(count.to_be_bytes());
        code.extend(hex!("5b60019003806003575a60005260206000f3"));
        code
    }

    #[test]
    fn a_short_call_answers_what_a_plain_one_does() {
        let (short, plain) = run(&countdown(100));
        let output = short.unwrap().unwrap();
        assert_eq!(output, plain.unwrap());
        assert!(U256::from_be_slice(&output) > U256::from(49_000_000));
        let (short, plain) = run(&hex!("60aa60005260206000fd"));
        assert_eq!(short.unwrap_err(), plain.unwrap_err());
        let (short, plain) = run(&hex!("fe"));
        assert_eq!(short.unwrap_err(), plain.unwrap_err());
    }

    #[test]
    fn a_long_call_is_given_up() {
        assert_eq!(run(&countdown(60_000)).0, Ok(None));
        // STATICCALL of modexp (EIP-198), whose result the contract ignores.
        assert_eq!(run(&hex!("600060006000600060055afa00")).0, Ok(None));
        // A callee that is given up ends its caller as well: CALL to itself, for ever.
        assert_eq!(run(&hex!("60006000600060006000305af15b600e56")).0, Ok(None));
    }

    #[test]
    fn precompiles_are_slow_by_kind_or_by_input() {
        let at = |number: u16| {
            let mut address = Address::ZERO;
            address[18..].copy_from_slice(&number.to_be_bytes());
            address
        };
        assert!(!is_slow_precompile(&at(1), 128));
        assert!(is_slow_precompile(&at(2), 5_000));
        assert!(is_slow_precompile(&at(5), 96));
        assert!(is_slow_precompile(&at(8), 0));
        assert!(is_slow_precompile(&at(0x100), 160));
        assert!(!is_slow_precompile(&CONTRACT, 100_000));
    }
}
