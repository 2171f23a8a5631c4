//! `eth_simulateV1`: blocks of calls on top of each other.

mod json;
#[cfg(test)]
mod tests;

use alloy_eips::BlockId;
use cloister_core::SeenState;
use cloister_execution::{
    BlockOverrides, Checks, MAX_SIMULATED_BLOCKS, Parent, SimulatedBlock, SimulatedCalls, Simulation, SimulationBase,
    StateOverrides, Transfers,
};
use cloister_primitives::Code;
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    MethodCall, MethodInfo, Registry,
    calls::{StateOverridesArg, TransactionArgs, block_hash, block_overrides, not_authorized, on_blocking_thread},
    convert::Bodies,
    errors::{self, RpcResult},
    params::{Param, only_object, without_position},
};

use json::{SimulatedBlockJson, Size};

/// What to simulate, and how to show it.
struct Payload {
    simulation: Simulation,
    bodies: Bodies,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadObject<'a> {
    #[serde(borrow)]
    block_state_calls: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    trace_transfers: Option<bool>,
    #[serde(default)]
    validation: Option<bool>,
    #[serde(default)]
    return_full_transactions: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockObject<'a> {
    #[serde(borrow)]
    block_overrides: Option<&'a RawValue>,
    #[serde(borrow)]
    state_overrides: Option<&'a RawValue>,
    #[serde(borrow)]
    calls: Option<Vec<&'a RawValue>>,
}

impl Param for Payload {
    fn decode(json: &str) -> Result<Self, String> {
        only_object(json, "ethapi.simOpts")?;
        let object: PayloadObject<'_> = serde_json::from_str(json).map_err(|error| without_position(&error))?;
        let blocks = object.block_state_calls.unwrap_or_default();
        // What is beyond the limit is refused below, and not read.
        let blocks = blocks.iter().take(MAX_BLOCKS + 1).map(|block| decode_block(block.get()));
        let is = |flag: Option<bool>| flag.unwrap_or(false);
        Ok(Self {
            simulation: Simulation {
                blocks: blocks.collect::<Result<_, _>>()?,
                checks: if is(object.validation) { Checks::Full } else { Checks::Lenient },
                transfers: if is(object.trace_transfers) { Transfers::Logged } else { Transfers::Hidden },
            },
            bodies: Bodies::from(is(object.return_full_transactions)),
        })
    }
}

/// How far apart the numbers of logs of two calls are on a confidential chain, as those of two transactions are.
const LOG_NUMBERS_PER_CALL: usize = 1 << 16;

const MAX_BLOCKS: usize = MAX_SIMULATED_BLOCKS as usize;

fn decode_block(json: &str) -> Result<SimulatedCalls, String> {
    only_object(json, "ethapi.simBlock")?;
    let object: BlockObject<'_> = serde_json::from_str(json).map_err(|error| without_position(&error))?;
    let given = |value: Option<&RawValue>| value.map(RawValue::get).filter(|json| *json != "null").map(str::to_owned);
    let block =
        given(object.block_overrides).map_or_else(|| Ok(BlockOverrides::default()), |json| block_overrides(&json))?;
    let state = given(object.state_overrides).map_or_else(
        || Ok(StateOverrides::default()),
        |json| StateOverridesArg::decode(&json).map(|StateOverridesArg(overrides)| overrides),
    )?;
    let calls = object.calls.unwrap_or_default();
    let calls = calls.iter().map(|call| TransactionArgs::decode(call.get()).map(TransactionArgs::call_request));
    Ok(SimulatedCalls { block, state, calls: calls.collect::<Result<_, _>>()? })
}

/// Makes all calls of a simulation on a confidential chain the caller's own.
fn admit(call: &MethodCall, simulation: &mut Simulation) -> RpcResult<()> {
    if call.caller.accounts().is_empty() {
        return Err(not_authorized());
    }
    for block in &mut simulation.blocks {
        if block.block != BlockOverrides::default() || block.state != StateOverrides::default() {
            return Err(errors::invalid_params("overrides are refused on a confidential chain"));
        }
        for request in &mut block.calls {
            request.from = call.caller.from_or_first(request.from);
            if request.from.is_none_or(|from| !call.caller.controls(from)) {
                return Err(not_authorized());
            }
        }
    }
    Ok(())
}

/// Leaves out logs that the caller may not see, and numbers the others so that they do not tell how many there are.
fn leave_out_logs(simulated: &mut [SimulatedBlock], state: &SeenState) {
    for block in simulated {
        for (call, first) in block.calls.iter_mut().zip((0..).step_by(LOG_NUMBERS_PER_CALL)) {
            call.logs.retain(|logged| state.shows_log(&logged.log, state.height()));
            for (logged, index) in call.logs.iter_mut().zip(first..) {
                logged.index = index;
            }
        }
    }
}

/// Refuses what needs no execution to be refused.
fn check(simulation: &Simulation) -> RpcResult<()> {
    match simulation.blocks.len() {
        0 => Err(errors::invalid_params("empty input")),
        blocks if blocks > MAX_BLOCKS => Err(errors::code(Code::SimulationTooLarge)),
        _ => Ok(()),
    }
}

async fn simulate(call: MethodCall) -> RpcResult<Vec<SimulatedBlockJson>> {
    let (Payload { mut simulation, bodies }, id) = call.params::<(Payload, Option<BlockId>)>()?;
    check(&simulation)?;
    let is_confidential = call.context.ledger.is_confidential();
    if is_confidential {
        admit(&call, &mut simulation)?;
    }
    let block = call.required_block(id).await?;
    let state = call.state_at(block.height()).await?;
    let context = call.context.clone();
    let caller = call.caller.clone();
    let simulated: Vec<SimulatedBlock> = on_blocking_thread(&call.context, move || {
        let mut view = state.call_view(Default::default(), None);
        for request in simulation.blocks.iter().flat_map(|block| &block.calls) {
            view = state.call_view(request.from.unwrap_or_default(), request.to);
            if view.is_none() {
                break;
            }
        }
        let hashes = |height| block_hash(&context.ledger, &caller, height);
        let guard = state.guard();
        let base = SimulationBase {
            parent: Parent { header: block.header(), hash: block.hash() },
            view: view.ok_or_else(not_authorized)?,
            hashes: &hashes,
            guard: &guard,
            gas_cap: context.limits.call_gas,
        };
        let mut simulated = context.executor.simulate(base, &simulation).map_err(|error| errors::execution(&error))?;
        if is_confidential {
            leave_out_logs(&mut simulated, &state);
        }
        Ok(simulated)
    })
    .await?;
    let size = if is_confidential { Size::Constant } else { Size::Encoded };
    Ok(simulated.into_iter().map(|block| SimulatedBlockJson::new(block, bodies, size)).collect())
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let about = "Blocks of calls on top of each other, with the headers and roots they would have.";
    registry.method(MethodInfo::new("eth_simulateV1", "simulation, block? -> simulated blocks", about), simulate)?;
    Ok(())
}
