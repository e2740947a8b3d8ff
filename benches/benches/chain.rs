//! A chain of 10, 1,000 and 10,000 nodes without a journal and with one in memory, beside the floor; and rings of these
//! sizes, which all take 10,000 steps.

#![expect(clippy::expect_used, reason = "a measurement that cannot begin stops the program")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use statewright_benches::{Counter, chain, plain_loop, ring};
use statewright_engine_runtime::{MemoryCheckpointer, State};

fn benchmark(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("chain");
    for length in [10usize, 1_000, 10_000] {
        group.throughput(Throughput::Elements(length as u64));
        let graph = chain(length).expect("a sound chain");
        group.bench_with_input(BenchmarkId::new("floor", length), &length, |b, length| {
            b.to_async(&runtime).iter(|| plain_loop(*length));
        });
        group.bench_with_input(BenchmarkId::new("none", length), &graph, |b, graph| {
            b.to_async(&runtime).iter(|| async { graph.run(Counter::update()).await.expect("it finishes") });
        });
        group.bench_with_input(BenchmarkId::new("none-1MB-state", length), &graph, |b, graph| {
            let ballast = vec![7u8; 1_000_000];
            b.to_async(&runtime).iter_batched(
                || Counter::update().ballast(ballast.clone()),
                |input| async { graph.run(input).await.expect("it finishes") },
                criterion::BatchSize::LargeInput,
            );
        });
        group.bench_with_input(BenchmarkId::new("memory", length), &graph, |b, graph| {
            b.to_async(&runtime).iter(|| async {
                let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
                runner.start("t", Counter::update()).await.expect("it runs")
            });
        });
    }
    group.finish();
}

/// Graph sizes at the same number of steps.
fn sizes(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("ring");
    group.throughput(Throughput::Elements(10_000));
    for (length, rounds) in [(10usize, 1_000u32), (1_000, 10), (10_000, 1)] {
        let graph = ring(length, rounds).expect("a sound ring");
        group.bench_with_input(BenchmarkId::new("none", length), &graph, |b, graph| {
            b.to_async(&runtime).iter(|| async { graph.run(Counter::update()).await.expect("it finishes") });
        });
        group.bench_with_input(BenchmarkId::new("memory", length), &graph, |b, graph| {
            b.to_async(&runtime).iter(|| async {
                let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
                runner.start("t", Counter::update()).await.expect("it runs")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark, sizes);
criterion_main!(benches);
