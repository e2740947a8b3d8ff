//! Ten thousand whole histories.

use statewright_engine_testkit::{History, simulate};

#[test]
fn ten_thousand_histories_keep_every_promise() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let histories = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || all((first..10_000).step_by(threads as usize))))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<History>>()
    });
    // A simulator that no longer crashes, pauses or snapshots would pass without proving anything.
    let total = |count: fn(&History) -> usize| histories.iter().map(count).sum::<usize>();
    assert_eq!(histories.len(), 10_000);
    assert!(total(|h| h.crashes) > 5_000, "too few crashes");
    assert!(total(|h| h.snapshots) > 10_000, "too few snapshots");
    assert!(total(|h| h.cut) > 10_000, "too few values were stored once: {}", total(|h| h.cut));
    assert!(total(|h| h.prefixes) > 5_000, "too few prefixes were compared");
    assert!(total(|h| h.cancels) > 100, "too few runs were cancelled");
    assert!(total(|h| h.executions) > 50_000, "too few executions");
    assert!(total(|h| h.handled) > 500, "too few error handlers ran");
    assert!(total(|h| h.looped) > 500, "too few crash loops");
    assert!(total(|h| h.retries) > 3_000, "too few attempts were tried again: {}", total(|h| h.retries));
    assert!(total(|h| h.kept) > 20_000, "too few steps");
    assert!(total(|h| h.replayed) > 2_000, "too few steps were kept over an execution");
    assert!(total(|h| h.unknown) > 100, "too few effects of unknown outcome: {}", total(|h| h.unknown));
    assert!(total(|h| h.paused) > 500, "too few pauses: {}", total(|h| h.paused));
    assert!(total(|h| h.escalated) > 100, "too few questions climbed: {}", total(|h| h.escalated));
    assert!(total(|h| h.together) > 500, "too few questions at once: {}", total(|h| h.together));
    assert!(total(|h| h.faults.expired) > 50, "too few answers too late: {}", total(|h| h.faults.expired));
    assert!(total(|h| h.delivered) > 5_000, "too few deliveries: {}", total(|h| h.delivered));
    assert!(total(|h| h.faults.total()) > 100_000, "too few faults: {}", total(|h| h.faults.total()));
    assert!(total(|h| h.undone) > 100, "too few effects were undone: {}", total(|h| h.undone));
    assert!(total(|h| h.reserved) > 5_000, "too few reservations: {}", total(|h| h.reserved));
    assert!(total(|h| h.exceeded) > 500, "too few budgets were used up: {}", total(|h| h.exceeded));
    assert!(total(|h| h.settled) > 200, "too few effects were settled");
}

fn all(seeds: impl Iterator<Item = u64>) -> Vec<History> {
    seeds.map(|seed| simulate(seed).unwrap_or_else(|violation| panic!("{violation}"))).collect()
}

/// Each of them once broke a promise, or came to no end.
#[test]
fn histories_that_once_broke_a_promise_keep_it() {
    for seed in [30_029, 68_816, 91_142, 98_241] {
        simulate(seed).unwrap_or_else(|violation| panic!("{violation}"));
    }
}
