//! What tracing costs: a transaction of many calls, executed plainly and under `callTracer`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::Header;
use alloy_primitives::{Address, Bytes, TxKind, U256, address, hex};
use cloister_execution::tracing::CallConfig;
use cloister_execution::{
    Executor, NoBlockHashes, Open, Replay, TraceRequest, Tracer, genesis_block, genesis_delta, recover,
};
use cloister_primitives::{ChainSpec, DevChain, GenesisAccount, Height, RecoveredTransaction};
use cloister_state::{HistoryLimits, State, StateView};
use eyre::{Result, ensure};
use revm::inspector::NoOpInspector;

use crate::floor::Floor;
use crate::probe::thread_cpu;
use crate::stats::median;
use crate::token;
use crate::wallet::{Account, Draft, Fees, Signed, sign_lanes};

/// Calls that the transaction makes.
pub const CALLS: u16 = 1_000;

/// Runs that are timed together: the scheduler's clock is coarser than one.
const RUNS: u32 = 100;

const CALLER: Address = address!("0000000000000000000000000000000000006666");
const STOPPING: Address = address!("0000000000000000000000000000000000007777");

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// The ERC-20 token, to transfer to the same holder again and again.
    Token,
    /// A contract that stops at once: what is left is the cost of frames.
    Stops,
}

/// A block of one transaction, and the state before it.
#[derive(Debug)]
pub struct ManyCalls {
    executor: Executor,
    view: StateView,
    header: Header,
    transactions: Vec<RecoveredTransaction>,
}

/// Calls `callee` with `input`, [`CALLS`] times.
fn calling(callee: Address, input: &[u8]) -> Result<Bytes> {
    let length = u8::try_from(input.len())?;
    let count = CALLS.to_be_bytes();
    let start = [0x60, length, 0x60, 0, 0x5f, 0x39, 0x61, count[0], count[1], 0x5b];
    let loop_start = u8::try_from(start.len() - 1)?;
    // CALL with all gas and no value, whose success is not looked at; then count down.
    let call = [&[0x5f, 0x5f, 0x60, length, 0x5f, 0x5f, 0x73], callee.as_slice(), &[0x5a, 0xf1, 0x50]].concat();
    let mut code = [&start[..], &call, &hex!("6001900380"), &[0x60, loop_start, 0x57, 0x00]].concat();
    code[3] = u8::try_from(code.len())?;
    code.extend(input);
    Ok(code.into())
}

impl ManyCalls {
    /// A transaction that calls `callee`.
    ///
    /// # Errors
    /// When the chain cannot be made.
    pub fn new(callee: Callee) -> Result<Self> {
        let mut floor = Floor::new(1, 0)?;
        let sender = Account::derived(0, 0)?;
        let (called, input) = match callee {
            Callee::Token => (floor.token, token::transfer(token::filled_holder(0), 1)),
            Callee::Stops => (STOPPING, Bytes::new()),
        };
        let contract = |code| GenesisAccount { nonce: 1, code, ..GenesisAccount::default() };
        let funds = U256::from(1_000_000_000_000_000_000_000_u128);
        let balances = [(CALLER, 1_000_000), (token::filled_holder(0), 1)]
            .map(|(holder, amount)| (token::balance_slot(holder), U256::from(amount)));
        let token = GenesisAccount { storage: BTreeMap::from(balances), ..contract(floor.runtime_code()?) };
        let alloc = BTreeMap::from([
            (sender.address, GenesisAccount { balance: funds, ..GenesisAccount::default() }),
            (CALLER, contract(calling(called, &input)?)),
            (STOPPING, contract(Bytes::from_static(&[0]))),
            (floor.token, token),
        ]);
        let spec = Arc::new(ChainSpec::development(DevChain { alloc, ..DevChain::default() })?);
        let state = State::new(HistoryLimits::default());
        let genesis = genesis_block(&spec, state.apply(Height::GENESIS, &genesis_delta(&spec))?);
        let draft =
            Draft { nonce: 0, to: TxKind::Call(CALLER), value: U256::ZERO, input: Bytes::new(), gas_limit: 16_000_000 };
        let fees = Fees { chain_id: spec.chain_id(), max_fee: 1_000, max_priority_fee: 1 };
        let signed = sign_lanes(std::slice::from_ref(&sender), vec![vec![draft]], fees);
        let raw = signed.iter().flatten().map(Signed::raw);
        let transactions = raw.map(|raw| recover(&raw, raw.len())).collect::<Result<Vec<_>, _>>()?;
        let header = Header {
            parent_hash: genesis.hash,
            number: 1,
            timestamp: genesis.header.timestamp + 1,
            gas_limit: spec.gas_limit(),
            base_fee_per_gas: Some(7),
            ..genesis.header
        };
        Ok(Self {
            executor: Executor::new(spec, Arc::new(Open)),
            view: state.view(Height::GENESIS)?,
            header,
            transactions,
        })
    }

    fn replay(&self) -> Replay<'_> {
        Replay { header: &self.header, transactions: &self.transactions, view: &self.view, hashes: &NoBlockHashes }
    }

    /// Executes the block without an inspector.
    ///
    /// # Errors
    /// When the transaction is invalid.
    pub fn plain(&self) -> Result<()> {
        let none = self.transactions.len()..self.transactions.len();
        Ok(self.executor.inspect_block(self.replay(), none, &mut NoOpInspector, |_| ())?)
    }

    /// Executes the block under `callTracer`; the trace as JSON.
    ///
    /// # Errors
    /// When the transaction is invalid.
    pub fn traced(&self) -> Result<Vec<u8>> {
        let tracer = Tracer::Calls(CallConfig::default());
        let request = TraceRequest { tracer: &tracer, limit_bytes: usize::MAX };
        let mut found = None;
        self.executor.trace_block(self.replay(), &[0], request, |told| {
            found = Some(told.trace);
            Ok(())
        })?;
        Ok(serde_json::to_vec(&found)?)
    }
}

/// CPU time of one run of `work`.
fn timed(mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let start = thread_cpu()?;
    for _ in 0..RUNS {
        work()?;
    }
    Ok((thread_cpu()? - start) / RUNS)
}

/// CPU time under `callTracer`, its JSON included, divided by that of plain execution: the median of
/// `rounds` of each, in turns.
///
/// # Errors
/// When a transaction fails.
pub fn call_tracer_ratio(callee: Callee, rounds: u64) -> Result<f64> {
    let block = ManyCalls::new(callee)?;
    let calls = serde_json::from_slice::<serde_json::Value>(&block.traced()?)?;
    let count = calls["calls"].as_array().map_or(0, Vec::len);
    ensure!(count == usize::from(CALLS) && calls["error"].is_null(), "{count} calls, error {}", calls["error"]);
    let mut ratios = Vec::new();
    for _ in 0..rounds.max(1) {
        let plain = timed(|| block.plain())?;
        let traced = timed(|| block.traced().map(drop))?;
        ratios.push(traced.as_secs_f64() / plain.as_secs_f64());
    }
    Ok(median(&ratios))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_made_and_told() {
        for callee in [Callee::Token, Callee::Stops] {
            let block = ManyCalls::new(callee).unwrap();
            block.plain().unwrap();
            let trace: serde_json::Value = serde_json::from_slice(&block.traced().unwrap()).unwrap();
            let calls = trace["calls"].as_array().unwrap();
            assert_eq!(calls.len(), usize::from(CALLS));
            assert!(calls.iter().all(|call| call["error"].is_null()), "{callee:?}");
            let output = calls[0]["output"].as_str();
            assert_eq!(output.is_some_and(|output| output.ends_with("01")), callee == Callee::Token);
        }
    }
}
