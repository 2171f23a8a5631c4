//! A block of 1,000 ERC-20 transfers, with receipts and delta, over 100,000 balances; and the same with rules on the token.

use cloister_benches::chain::Chain;
use cloister_benches::floor::Floor;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use eyre::Result;

type MakeChain = fn(&mut Floor, u64, u64) -> Result<Chain>;

const CHAINS: [(&str, MakeChain); 2] = [
    ("a block of 1,000 ERC-20 transfers", Chain::new),
    ("a block of 1,000 ERC-20 transfers, with rules on the token", Chain::ruled),
];

fn execute(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("execute");
    for (name, make) in CHAINS {
        let mut floor = Floor::new(500, 0).expect("an in-memory chain");
        let chain = make(&mut floor, 500, 100_000).expect("an in-memory chain");
        let candidates = chain.admit(&floor.sign_transfers(1_000)).expect("valid transfers");
        let view = chain.view().expect("the genesis state");
        group.throughput(Throughput::Elements(candidates.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || candidates.clone(),
                |candidates| chain.build(&view, candidates).expect("a full block"),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, execute);
criterion_main!(benches);
