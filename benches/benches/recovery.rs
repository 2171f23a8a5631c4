//! From raw bytes to a transaction with its sender.

use std::hint::black_box;

use cloister_benches::floor::Floor;
use cloister_execution::recover;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn recovery(criterion: &mut Criterion) {
    let floor = Floor::new(10, 0).expect("an in-memory chain");
    let raw = floor.sign_transfers(100);
    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Elements(raw.len() as u64));
    group.bench_function("decode, hash and recover 100 transfers", |bencher| {
        bencher.iter(|| {
            for bytes in &raw {
                black_box(recover(black_box(bytes), 128 << 10)).expect("a valid transfer");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, recovery);
criterion_main!(benches);
