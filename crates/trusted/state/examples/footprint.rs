//! Measures what the state was designed for: bytes per slot, time per changed slot, time to load.
//! Times are this thread's own, so that a busy machine does not blur them (Linux only).
//!
//! `cargo run --release -p cloister-state --example footprint [slots] [changes]`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use cloister_primitives::Height;
use cloister_state::{Account, AccountDelta, HistoryLimits, SnapshotLoader, State, StateDelta, StorageCleared};

const CONTRACT: Address = Address::repeat_byte(0xcc);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |n| n.parse());
    let slots = number(1_000_000)?;
    let changes = number(50_000)?;
    let state = State::new(HistoryLimits::default());
    let genesis = contract((0..slots).map(|slot| (U256::from(slot), value(slot, 0))));
    let before = resident_bytes()?;
    let start = Cpu::start()?;
    state.apply(Height(0), &genesis)?;
    println!("built {slots} slots in {:?}", start.elapsed()?);
    drop(genesis);
    let stats = state.stats();
    println!(
        "{:.1} bytes per slot (process: {:.1})",
        stats.resident_bytes as f64 / slots as f64,
        (resident_bytes()?.saturating_sub(before)) as f64 / slots as f64,
    );
    measure_blocks(&state, slots, changes)?;
    measure_reads(&state, slots)?;
    measure_readers(&state, slots, changes)?;
    measure_accounts(&state, changes)?;
    measure_snapshot(&state)
}

fn contract(storage: impl Iterator<Item = (U256, U256)>) -> StateDelta {
    let change = AccountDelta {
        address: CONTRACT,
        account: Some(Account::default()),
        storage_cleared: StorageCleared::No,
        storage: storage.collect(),
    };
    StateDelta { accounts: vec![change], codes: Vec::new() }
}

/// Large values, as balances and addresses are.
fn value(slot: u64, height: u64) -> U256 {
    U256::from_limbs([slot + 1, height + 1, slot, 1 << 60])
}

fn measure_blocks(state: &State, slots: u64, changes: u64) -> Result<(), Box<dyn Error>> {
    let stride = (slots / changes).max(1);
    for height in 1..=4 {
        let changed = (0..changes).map(|n| n * stride + height % stride);
        let delta = contract(changed.map(|slot| (U256::from(slot), value(slot, height))));
        let history = state.stats().history_bytes;
        let start = Cpu::start()?;
        state.apply(Height(height), &delta)?;
        let elapsed = start.elapsed()?;
        println!(
            "block {height}: {changes} changed slots in {elapsed:?}, {:.2} µs and {:.1} history bytes each",
            elapsed.as_secs_f64() * 1e6 / changes as f64,
            (state.stats().history_bytes - history) as f64 / changes as f64,
        );
    }
    let start = Cpu::start()?;
    state.rewind(Height(3))?;
    println!("rewound a block in {:?}", start.elapsed()?);
    for count in [10u64, 1000] {
        let mut delta = contract((0..count).map(|n| {
            let slot = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % slots;
            (U256::from(slot), value(slot, 77))
        }));
        delta.sort();
        let height = state.tip().map_or(Height(0), Height::next);
        let start = Instant::now();
        state.apply(height, &delta)?;
        println!("block of {count} scattered slots in {:?}", start.elapsed());
    }
    Ok(())
}

fn measure_reads(state: &State, slots: u64) -> Result<(), Box<dyn Error>> {
    const READS: u64 = 500_000;
    let tip = state.tip().unwrap_or_default();
    for height in [tip, Height(2)] {
        let view = state.view(height)?;
        let start = Cpu::start()?;
        let mut sum = U256::ZERO;
        for n in 0..READS {
            let slot = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % slots;
            sum ^= view.storage(CONTRACT, U256::from(slot))?;
        }
        let each = start.elapsed()?.as_secs_f64() * 1e9 / READS as f64;
        println!("read at {height} of {tip}: {each:.0} ns each ({})", sum.bit(0));
        let start = Cpu::start()?;
        let proof = view.proof(CONTRACT, &[U256::from(7)])?;
        let nodes = proof.storage[0].proof.len();
        println!("proof at {height} of {tip}: {nodes} nodes in {:?}", start.elapsed()?);
    }
    Ok(())
}

/// How long a reader waits, at worst, while a large block is applied.
fn measure_readers(state: &State, slots: u64, changes: u64) -> Result<(), Box<dyn Error>> {
    let height = state.tip().map_or(Height(0), Height::next);
    let view = state.view(state.tip().unwrap_or_default())?;
    let stride = (slots / changes).max(1);
    let slots = (0..changes).map(|n| U256::from(n * stride));
    let delta = contract(slots.map(|slot| (slot, value(9, height.0))));
    let done = AtomicBool::new(false);
    let waits = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut waits = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                if view.storage(CONTRACT, U256::from(waits.len())).is_ok() {
                    waits.push(start.elapsed());
                }
            }
            waits.sort_unstable();
            waits
        });
        let applied = state.apply(height, &delta);
        done.store(true, Ordering::Relaxed);
        applied.map(|_| reader.join().unwrap_or_default())
    })?;
    let at = |part: usize| waits.get(waits.len() * part / 1000).copied();
    println!(
        "{} reads beside the writer: median {:?}, 99.9 % within {:?}, worst {:?}",
        waits.len(),
        at(500),
        at(999),
        waits.last(),
    );
    Ok(())
}

fn measure_accounts(state: &State, changes: u64) -> Result<(), Box<dyn Error>> {
    let delta = |nonce| {
        let mut delta = StateDelta::default();
        delta.accounts.extend((0..changes).map(|n| AccountDelta {
            address: Address::left_padding_from(&n.to_be_bytes()),
            account: Some(Account { nonce, balance: U256::from(1u64 << 60), ..Account::default() }),
            storage_cleared: StorageCleared::No,
            storage: Vec::new(),
        }));
        delta
    };
    for nonce in 0..2 {
        let delta = delta(nonce);
        let height = state.tip().map_or(Height(0), Height::next);
        let start = Cpu::start()?;
        state.apply(height, &delta)?;
        let each = start.elapsed()?.as_secs_f64() * 1e6 / changes as f64;
        println!("block of {changes} accounts: {each:.2} µs each");
    }
    Ok(())
}

fn measure_snapshot(state: &State) -> Result<(), Box<dyn Error>> {
    let start = Cpu::start()?;
    let mut cut = state.snapshot(state.tip().unwrap_or_default())?;
    let mut chunks = Vec::new();
    while let Some(chunk) = cut.next_chunk(1 << 20)? {
        chunks.push(chunk);
    }
    println!("cut {} chunks of 1 MiB in {:?}", chunks.len(), start.elapsed()?);
    let start = Cpu::start()?;
    let mut loader = SnapshotLoader::new(HistoryLimits::default());
    for chunk in &chunks {
        loader.push(chunk)?;
    }
    let loaded = loader.finish(cut.height(), cut.root())?;
    println!("loaded {} slots in {:?}", loaded.stats().slots, start.elapsed()?);
    Ok(())
}

/// Memory of this process, in bytes.
fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).unwrap_or("0").parse()?;
    Ok(pages * PAGE)
}

/// Processor time of this thread.
struct Cpu(Duration);

impl Cpu {
    fn start() -> Result<Self, Box<dyn Error>> {
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        let nanoseconds = schedstat.split(' ').next().unwrap_or("0").parse()?;
        Ok(Self(Duration::from_nanos(nanoseconds)))
    }

    fn elapsed(&self) -> Result<Duration, Box<dyn Error>> {
        Ok(Self::start()?.0 - self.0)
    }
}
