//! Not tests of behaviour: what the pool costs. Run with `--release -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Duration;

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_primitives::{Address, U256};
use cloister_execution::ValidTx;
use cloister_primitives::Transaction;

use crate::testing::{rich, signature, valid};
use crate::{Pool, PoolLimits, SenderState, SlotId, TakeLimits};

const COUNT: u64 = 100_000;

/// Time this thread has spent on a core, so that a busy machine does not count.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// `COUNT` transactions of as many senders as asked for, with prices that look random, in an order that does, too.
fn transactions(senders: u64) -> Vec<ValidTx> {
    let mixed = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let mut txs: Vec<ValidTx> = (0..COUNT)
        .map(|n| {
            let tip = u128::from(mixed(n));
            let tx = TxEip1559 {
                chain_id: 31337,
                nonce: n / senders,
                gas_limit: 60_000,
                max_fee_per_gas: (1 << 25) + tip,
                max_priority_fee_per_gas: tip,
                ..TxEip1559::default()
            };
            let from = Address::from_word(U256::from(mixed(n % senders) << 20 | (n % senders)).into());
            valid(Transaction::Eip1559(tx.into_signed(signature(from))), from)
        })
        .collect();
    txs.sort_by_key(|tx| (tx.nonce(), tx.hash()));
    txs
}

fn report(what: &str, since: Duration, count: usize) {
    println!("  {what:<28} {:7.0} ns each", (cpu() - since).as_secs_f64() * 1e9 / count as f64);
}

#[test]
#[ignore = "a measurement"]
fn measure_a_hundred_thousand() {
    for senders in [10, 1_000, COUNT] {
        println!("{COUNT} transactions of {senders} senders");
        let txs = transactions(senders);
        let mut pool = Pool::new(PoolLimits::default());
        let start = cpu();
        for tx in &txs {
            pool.add(tx.clone(), rich(0)).unwrap();
        }
        report("add", start, txs.len());

        let limits = |base_fee| TakeLimits { max_transactions: 2_000, gas_limit: u64::MAX, base_fee };
        let (mut took, mut built, mut committed) = (0.0, 0.0, 0.0);
        let mut count = 0;
        for slot in 1..=25 {
            let start = cpu();
            // The base fee moves by up to an eighth from block to block.
            let taken = pool.take(SlotId(slot), limits(1_000 + slot % 3 * 100));
            took += (cpu() - start).as_secs_f64();
            count += taken.len();
            let hashes: Vec<_> = taken.iter().map(ValidTx::hash).collect();
            let start = cpu();
            pool.built(SlotId(slot), &hashes);
            built += (cpu() - start).as_secs_f64();
            let states: Vec<(Address, SenderState)> =
                taken.iter().map(|tx| (tx.sender(), rich(tx.nonce() + 1))).collect();
            let start = cpu();
            pool.committed(SlotId(slot), states);
            committed += (cpu() - start).as_secs_f64();
        }
        for (what, seconds) in [("take, 25 blocks", took), ("built", built), ("committed", committed)] {
            println!("  {what:<28} {:7.0} ns each", seconds * 1e9 / count as f64);
        }
        pool.check();
    }
}
