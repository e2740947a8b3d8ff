//! A part of what the example `fuzz_documents` does for as long as one likes.

#[path = "../examples/fuzz_documents/made_up.rs"]
mod made_up;
#[path = "../examples/fuzz_documents/target.rs"]
mod target;

use target::{Tally, Target};

#[test]
fn documents_that_are_made_up_become_graphs_that_survive_a_kill_or_are_refused_with_codes_and_places() {
    let target = Target::new().unwrap_or_else(|words| panic!("{words}"));
    let mut tally = Tally::default();
    for seed in 0..3_000 {
        target.play(seed, &mut tally).unwrap_or_else(|words| panic!("{words}"));
    }
    let Tally { documents, refused, graphs, finished, taken_up } = tally;
    assert_eq!(documents, refused + graphs, "{tally:?}");
    assert!(refused > 500 && graphs > 200 && finished > 100 && taken_up > 50, "{tally:?}");
}
