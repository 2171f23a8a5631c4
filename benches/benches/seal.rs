//! Padding and sealing a block's record.

use std::hint::black_box;

use alloy_primitives::B256;
use cloister_crypto::simulation::SeededEntropy;
use cloister_keys::{BlockAad, Epoch, LedgerKeys, PlatformKey, draw_incarnation, draw_nonce};
use cloister_primitives::Height;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn seal(criterion: &mut Criterion) {
    let mut entropy = SeededEntropy::new(1);
    let platform = PlatformKey::generate(&mut entropy);
    let keys = LedgerKeys::derive(&platform, 31337, B256::ZERO, Epoch::default());
    let incarnation = draw_incarnation(&mut entropy);
    let aad = BlockAad { height: Height(1), incarnation, parent_hash: B256::ZERO };
    let mut group = criterion.benchmark_group("seal");
    for kib in [1, 64, 512] {
        let record = vec![7u8; kib << 10];
        group.throughput(Throughput::Bytes(record.len() as u64));
        group.bench_function(format!("a block of {kib} KiB"), |bencher| {
            bencher.iter(|| {
                let nonce = draw_nonce(&mut entropy);
                let sealed = keys.seal_block(nonce, &aad, black_box(record.clone()));
                black_box(sealed).expect("a record of an allowed size")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal);
criterion_main!(benches);
