//! The process aborts itself before and after its k-th durable commit, for every k; then `resume` must come to the
//! same end as a run that nobody disturbed, and no finished activation may have called the model again.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Done, Home, SUM, server};

/// More than any run here commits.
const COMMITS_MAX: u32 = 40;

#[test]
fn aborted_before_and_after_every_commit_and_resumed() {
    let expected = {
        let server = server("");
        let home = Home::new().served_by(&server);
        let object = home.json(0, &["run", "--graph", "classic", "--thread", "t", SUM]);
        (essence(&home, object["run"].as_str().unwrap()), server.wire.calls())
    };
    for side in ["before", "after"] {
        let ended = (1..=COMMITS_MAX).find(|commit| crash_and_resume(side, *commit, &expected));
        assert!(
            ended.is_some_and(|commits| commits > 4),
            "{side}: a run commits once for each activation: {ended:?}"
        );
    }
}

/// Says whether the run ended before it came to that commit.
fn crash_and_resume(side: &str, commit: u32, (expected, calls): &(Value, usize)) -> bool {
    let place = format!("{side}:{commit}");
    let server = server("");
    let home = Home::new().served_by(&server);
    let mut command = home.command(&["run", "--graph", "classic", "--thread", "t", SUM]);
    let crashed = Done::from(command.env("STATEWRIGHT_FAIL_AT", &place).output().unwrap());
    if crashed.code == Some(0) {
        return true;
    }
    assert_eq!(crashed.code, None, "{place}: it aborts: {crashed:?}");
    let listed = home.json(0, &["runs", "list"]);
    let run = listed["runs"][0]["run"].as_str().unwrap().to_owned();
    let finished: BTreeSet<String> = finished(&home, &run);
    let before = server.wire.requests().len();
    let resumed = home.run(&["resume", &run]);
    let run = match resumed.code {
        Some(0) => run,
        // Nothing had been acknowledged: the thread is free for a start.
        Some(1) if resumed.stderr.contains("SW-C712") => {
            assert_eq!(place, "before:1");
            home.json(0, &["run", "--graph", "classic", "--thread", "t", SUM])["run"]
                .as_str()
                .unwrap()
                .to_owned()
        }
        // The last commit was stored, and only the word about it is missing.
        Some(1) if resumed.stderr.contains("SW-X202") => run,
        _ => panic!("{place}: {resumed:?}"),
    };
    assert_eq!(essence(&home, &run), *expected, "{place}");
    assert_eq!(home.json(0, &["runs", "list"])["runs"][0]["status"], "finished", "{place}");
    for request in &server.wire.requests()[before..] {
        let key = request.idempotency_key.as_deref().unwrap();
        let activation = key.split('/').nth(1).unwrap();
        assert!(!finished.contains(activation), "{place}: {key} was finished and ran again");
    }
    let repeated = server.wire.calls() - calls;
    assert!(repeated <= 1, "{place}: at most the call whose end was not stored is repeated, not {repeated}");
    false
}

/// The activations that are stored as finished.
fn finished(home: &Home, run: &str) -> BTreeSet<String> {
    let shown = home.json(0, &["runs", "show", run]);
    let steps = shown["steps"].as_array().unwrap();
    steps.iter().map(|step| step["activation"].as_str().unwrap().to_owned()).collect()
}

/// What must not depend on crashes.
fn essence(home: &Home, run: &str) -> Value {
    let mut shown = home.json(0, &["runs", "show", run]);
    let object = shown.as_object_mut().unwrap();
    for name in ["run", "created_ms", "updated_ms", "detail"] {
        object.remove(name);
    }
    for step in object["steps"].as_array_mut().unwrap() {
        for name in ["ms", "at_ms", "attempt"] {
            step.as_object_mut().unwrap().remove(name);
        }
    }
    shown
}
