//! Applying a block's delta and computing the new root, at a million slots.

use std::time::{Duration, Instant};

use cloister_benches::resident::Resident;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn root_update(criterion: &mut Criterion) {
    let mut resident = Resident::build(1_000_000).expect("a state in memory");
    let mut group = criterion.benchmark_group("root update");
    group.sample_size(10);
    // Counts over everything: the same change twice would be no change.
    let mut round = 0;
    for changed in [2_000, 50_000] {
        group.throughput(Throughput::Elements(changed));
        group.bench_function(format!("{changed} of 1,000,000 slots"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    round += 1;
                    let delta = resident.change(changed, round);
                    let start = Instant::now();
                    resident.apply(&delta).expect("a canonical delta");
                    total += start.elapsed();
                }
                total
            });
        });
    }
    group.finish();
}

criterion_group!(benches, root_update);
criterion_main!(benches);
