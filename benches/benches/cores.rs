//! Branches that compute, on one core and on several: the second is to take the time of the first divided by the cores.

#![expect(clippy::expect_used, reason = "a measurement that cannot begin stops the program")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{Ctx, Graph, Problems, Route, State, StateGraph};

/// Branches of one run.
const BRANCHES: u64 = 16;

#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    #[reduce(sum)]
    total: u64,
}

#[derive(Route)]
enum Spread {
    #[each]
    Numbers(Vec<u64>),
}

/// About five milliseconds of arithmetic that never yields.
fn compute(seed: u64) -> u64 {
    (0..5_000_000).fold(seed, |x, _| {
        std::hint::black_box(
            x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407),
        )
    })
}

fn graph() -> Result<Graph<Sum>, Problems> {
    let mut g = StateGraph::<Sum>::new("cores");
    let plan = g.func("plan", async |_: Ctx<Sum>| Ok(Spread::Numbers((0..BRANCHES).collect())));
    let work = g.func("work", async |ctx: Ctx<Sum, u64>| Ok(Sum::update().total(compute(ctx.input) & 1)));
    g.start(plan);
    g.route(plan, SpreadEdges { numbers: work.to() });
    g.end(work);
    g.build()
}

fn benchmark(c: &mut Criterion) {
    let graph = graph().expect("a sound graph");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut group = c.benchmark_group("cores");
    group.sample_size(20).throughput(Throughput::Elements(BRANCHES));
    for threads in [1, cores] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build();
        let runtime = runtime.expect("a runtime");
        group.bench_with_input(BenchmarkId::new("compute", threads), &graph, |b, graph| {
            b.to_async(&runtime).iter(|| async {
                // On the pool, so that the driver's own thread computes nothing.
                let graph = graph.clone();
                let run = tokio::spawn(async move { graph.run(Sum::update()).await });
                run.await.expect("no panic").expect("it finishes")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
