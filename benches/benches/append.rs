//! Appending sealed blocks to the host's store, durably: each iteration is one fsync.

use cloister_boundary::Record;
use cloister_primitives::Height;
use cloister_storage::{BlobStore, Store, StoreOptions};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path(), StoreOptions::default()).expect("a new store");
    let mut next = 0;
    let mut group = criterion.benchmark_group("append");
    group.sample_size(30);
    for (blocks, kib) in [(1, 4), (1, 512), (8, 64)] {
        let bytes = (blocks * kib) << 10;
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(format!("{blocks} blocks of {kib} KiB"), |bencher| {
            bencher.iter_batched(
                || {
                    let first = next;
                    next += blocks;
                    (first..next)
                        .map(|height| Record::Block {
                            height: Height(height),
                            sealed: vec![height as u8; (kib << 10) as usize].into(),
                        })
                        .collect::<Vec<_>>()
                },
                |records| store.append(&records).expect("space on the disk"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
