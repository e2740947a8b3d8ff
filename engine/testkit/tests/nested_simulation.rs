//! Whole histories of graphs with graphs inside their nodes, up to three deep.

use statewright_engine_testkit::{History, simulate_nested};

#[test]
fn histories_of_graphs_in_graphs_keep_every_promise() {
    const SEEDS: u64 = 1_000;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let histories = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || all((first..SEEDS).step_by(threads as usize))))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<History>>()
    });
    // A simulator that no longer crashes, pauses or goes inside would pass without proving anything.
    let total = |count: fn(&History) -> usize| histories.iter().map(count).sum::<usize>();
    let many = |what: &str, count: fn(&History) -> usize, least: usize| {
        assert!(total(count) > least, "too few {what}: {}", total(count));
    };
    many("inner executions", |h| h.inner, 2500);
    many("crashes", |h| h.crashes, 375);
    many("prefixes", |h| h.prefixes, 500);
    many("retries", |h| h.retries, 125);
    many("steps", |h| h.kept, 1250);
    many("replayed steps", |h| h.replayed, 125);
    many("effects of unknown outcome", |h| h.unknown, 12);
    many("settled effects", |h| h.settled, 12);
    many("pauses", |h| h.paused, 50);
    many("questions at once", |h| h.together, 50);
    many("deliveries", |h| h.delivered, 250);
    many("handled failures", |h| h.handled, 25);
    many("crash loops", |h| h.looped, 12);
    many("cancelled runs", |h| h.cancels, 7);
    many("faults", |h| h.faults.total(), 5000);
}

fn all(seeds: impl Iterator<Item = u64>) -> Vec<History> {
    seeds.map(|seed| simulate_nested(seed).unwrap_or_else(|violation| panic!("{violation}"))).collect()
}
