//! 100,000 frames with an open guard and with none: the difference is the guard's cost.

use std::time::Duration;

use cloister_benches::frames::{FRAMES, guarded, unguarded};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn frame_guard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame guard");
    group.sample_size(20);
    group.throughput(Throughput::Elements(u64::from(FRAMES)));
    for (name, run) in [("open guard", guarded as fn() -> _), ("none", unguarded)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| run().expect("the frames run")).sum::<Duration>());
        });
    }
    group.finish();
}

criterion_group!(benches, frame_guard);
criterion_main!(benches);
