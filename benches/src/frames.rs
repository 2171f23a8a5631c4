//! What asking the frame guard costs: the same frames with and without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_evm::{Evm, EvmEnv, EvmFactory};
use alloy_primitives::{Address, Bytes, TxKind, U256, address, hex};
use cloister_execution::{CloisterEvmFactory, Open};
use cloister_primitives::GasSchedule;
use eyre::{Result, ensure};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};

/// Frames that one transaction opens.
pub const FRAMES: u32 = 100_000;

const LOOP: Address = address!("0000000000000000000000000000000000006666");
const CALLER: Address = address!("0000000000000000000000000000000000009999");

/// Calls 0x7777, which stops at once, [`FRAMES`] times.
const LOOP_CODE: [u8; 27] = hex!(
    "620186a0"       // PUSH3 100000
    "5b"             // JUMPDEST, at 4
    "5f5f5f5f5f"     // no output, no input, no value
    "6177775af150"   // PUSH2 0x7777, GAS, CALL, POP
    "6001900380"     // PUSH1 1, SWAP1, SUB, DUP1
    "60045700"       // PUSH1 4, JUMPI, STOP
    "0000"
);

fn database() -> CacheDB<EmptyDB> {
    let mut database = CacheDB::new(EmptyDB::default());
    let target = address!("0000000000000000000000000000000000007777");
    for (at, code) in [(LOOP, &LOOP_CODE[..]), (target, &[0])] {
        let code = Bytecode::new_raw(Bytes::copy_from_slice(code));
        database.insert_account_info(at, AccountInfo::default().with_code(code));
    }
    database.insert_account_info(CALLER, AccountInfo::from_balance(U256::MAX));
    database
}

fn transaction() -> TxEnv {
    TxEnv { caller: CALLER, kind: TxKind::Call(LOOP), gas_limit: 16_000_000, chain_id: Some(1), ..TxEnv::default() }
}

/// Runs the frames on our EVM, which asks an open guard about each; the time it took.
///
/// # Errors
/// When the transaction fails.
pub fn guarded() -> Result<Duration> {
    let environment = EvmEnv { cfg_env: CfgEnv::new_with_spec(SpecId::OSAKA), block_env: BlockEnv::default() };
    let factory = CloisterEvmFactory::new(Arc::new(Open), GasSchedule::Ethereum);
    let mut evm = factory.create_evm(database(), environment);
    let start = Instant::now();
    let outcome = Evm::transact(&mut evm, transaction())?;
    let time = start.elapsed();
    ensure!(outcome.result.is_success(), "{:?}", outcome.result);
    Ok(time)
}

/// Runs the frames on plain revm; the time it took.
///
/// # Errors
/// When the transaction fails.
pub fn unguarded() -> Result<Duration> {
    let mut evm = Context::mainnet().with_db(database()).with_cfg(CfgEnv::new_with_spec(SpecId::OSAKA)).build_mainnet();
    let start = Instant::now();
    let outcome = ExecuteEvm::transact(&mut evm, transaction())?;
    let time = start.elapsed();
    ensure!(outcome.result.is_success(), "{:?}", outcome.result);
    Ok(time)
}

/// Cost of the guard per frame, in nanoseconds: the best of `rounds` of each kind, in turns.
///
/// # Errors
/// When a transaction fails.
pub fn guard_cost_ns(rounds: u64) -> Result<f64> {
    let (mut with, mut without) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds.max(1) {
        with = with.min(guarded()?);
        without = without.min(unguarded()?);
    }
    Ok((with.as_secs_f64() - without.as_secs_f64()) * 1e9 / f64::from(FRAMES))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_open_the_same_frames() {
        // 100,000 calls of a warm account at 100 gas each, and the loop around them.
        let mut evm =
            Context::mainnet().with_db(database()).with_cfg(CfgEnv::new_with_spec(SpecId::OSAKA)).build_mainnet();
        let outcome = ExecuteEvm::transact(&mut evm, transaction()).unwrap();
        assert!(outcome.result.is_success());
        let gas = outcome.result.tx_gas_used();
        assert!((13_000_000..16_000_000).contains(&gas), "{gas}");
        guarded().unwrap();
        unguarded().unwrap();
    }
}
