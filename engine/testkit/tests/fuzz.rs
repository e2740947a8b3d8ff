//! A part of what the example `fuzz` does for as long as one likes.

#[path = "../examples/fuzz/target.rs"]
mod target;

use target::{Corpus, Tally, Target};

#[tokio::test]
async fn damaged_journals_and_snapshots_are_refused_with_a_code_and_nothing_panics_or_swells() {
    let corpus = Corpus::new().await.unwrap();
    for target in [Target::Journal, Target::Snapshot] {
        let mut tally = Tally::default();
        for seed in 0..20_000 {
            corpus.play(target, seed, &mut tally).unwrap_or_else(|words| panic!("{words}"));
        }
        assert_eq!(tally.executions, 20_000);
        assert!(tally.refused > 10_000 && tally.taken_up > 100, "{tally:?}");
        assert!(tally.bytes_peak < 4 * 1024 * 1024, "{tally:?}");
    }
}
