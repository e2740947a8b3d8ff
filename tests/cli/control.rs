//! Stopping runs: by the keyboard, by the clock, from other processes; and two processes that want the same run.

use std::process::{Child, Command};

use serde_json::Value;

use crate::support::{Done, Home, SUM, Server, end, server, stalling_server, until};

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A run that waits for its model, which has begun to answer.
pub(crate) fn waiting(home: &Home, server: &Server, args: &[&str]) -> (Child, String) {
    let child = home.spawn(&[&["run", "--graph", "classic"], args, &[SUM]].concat());
    until("the call", || (server.wire.calls() > 0).then_some(()));
    (child, newest(home))
}

fn newest(home: &Home) -> String {
    home.json(0, &["runs", "list"])["runs"][0]["run"].as_str().unwrap().to_owned()
}

fn status(home: &Home) -> Value {
    home.json(0, &["runs", "list"])["runs"][0]["status"].clone()
}

#[test]
fn the_first_ctrl_c_stops_at_the_next_safe_point_and_resume_goes_on() {
    // Every piece of the first answer takes its time, so that the signal comes before its end.
    let server = server("slow:20");
    let home = Home::new().served_by(&server);
    let (child, run) = waiting(&home, &server, &[]);
    signal(&child, "-INT");
    let done = end(child);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains(&format!("statewright resume {run}")), "{done:?}");
    assert_eq!(status(&home), "stopped");
    assert_eq!(server.wire.calls(), 1, "what ran was finished, and nothing else was begun");
    let object = home.json(0, &["resume", &run]);
    assert_eq!(object["answer"], "150 × 223.48 = 33522.0.");
    assert_eq!(server.wire.calls(), 2, "only the writer's call was left");
}

#[test]
fn the_second_ctrl_c_leaves_at_once_and_nothing_is_lost() {
    let server = stalling_server();
    let home = Home::new().served_by(&server);
    let (mut child, run) = waiting(&home, &server, &[]);
    let mut stderr = child.stderr.take().unwrap();
    signal(&child, "-INT");
    // The first one was heard once its line is out.
    let mut heard = Vec::new();
    until("the first signal", || {
        let mut byte = [0];
        std::io::Read::read_exact(&mut stderr, &mut byte).unwrap();
        heard.push(byte[0]);
        String::from_utf8_lossy(&heard).contains("resume").then_some(())
    });
    signal(&child, "-INT");
    let done = end(child);
    assert_eq!(done.code, Some(130), "{done:?}");
    assert_eq!(status(&home), "interrupted");
    let shown = home.json(0, &["runs", "show", &run]);
    assert_eq!(shown["steps"][0]["node"], "orchestrator", "what had finished is there: {shown}");
    let hint = home.run(&["runs", "list"]);
    assert!(hint.stderr.contains(&format!("statewright resume {run}")), "{hint:?}");
}

#[test]
fn a_timeout_leaves_a_run_that_can_be_resumed() {
    let server = stalling_server();
    let home = Home::new().served_by(&server);
    let done = home.run(&["run", "--graph", "classic", "--timeout", "50ms", SUM]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stdout.contains("statewright resume"), "{done:?}");
    assert_eq!(status(&home), "stopped");
}

#[test]
fn a_live_run_is_cancelled_from_another_process() {
    let server = stalling_server();
    let home = Home::new().served_by(&server);
    let (child, run) = waiting(&home, &server, &["--json"]);
    assert_eq!(status(&home), "running");
    let cancelled = home.json(0, &["runs", "cancel", &run]);
    assert_eq!(cancelled["status"], "cancelled");
    let done = end(child);
    assert_eq!(done.code, Some(1), "{done:?}");
    let object: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(object["outcome"], "cancelled");
    home.error("SW-X202", &["resume", &run]);
    home.error("SW-X202", &["runs", "cancel", &run]);
}

#[test]
fn a_run_that_nobody_drives_is_cancelled_at_once() {
    let server = stalling_server();
    let home = Home::new().served_by(&server);
    let (mut child, run) = waiting(&home, &server, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status(&home), "interrupted");
    let cancelled = home.json(0, &["runs", "cancel", &run]);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(status(&home), "cancelled");
}

#[test]
fn of_two_processes_that_want_one_run_the_second_is_told_before_it_calls_a_model() {
    let server = stalling_server();
    let home = Home::new().served_by(&server);
    let (mut first, run) = waiting(&home, &server, &["--thread", "t"]);
    let calls = server.wire.calls();
    let words = home.error("SW-S401", &["resume", &run]);
    assert!(words.contains("another process"), "{words}");
    home.error("SW-X201", &["run", "--graph", "classic", "--thread", "t", SUM]);
    assert_eq!(server.wire.calls(), calls, "nobody paid for a call that could not be used");
    assert_eq!(status(&home), "running", "and the first one goes on");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_run_that_was_taken_up_again_runs_again() {
    let server = stalling_server();
    let home = Home::new().served_by(&server);
    home.run(&["run", "--graph", "classic", "--timeout", "1ms", SUM]);
    assert_eq!(status(&home), "stopped");
    let mut child = home.spawn(&["resume", &newest(&home)]);
    until("the resume", || (status(&home) == "running").then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status(&home), "interrupted");
}

#[test]
fn of_two_that_resume_at_the_same_time_one_finishes_and_the_other_is_refused() {
    let server = server("401,slow:10");
    let home = Home::new().served_by(&server);
    home.error("SW-P502", &["run", "--graph", "classic", SUM]);
    let run = newest(&home);
    let both: Vec<Done> = [0, 1].map(|_| home.spawn(&["resume", &run])).into_iter().map(end).collect();
    let codes: Vec<_> = both.iter().map(|done| done.code).collect();
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{both:?}");
    let refused = both.iter().find(|done| done.code == Some(1)).unwrap();
    assert!(refused.stderr.contains("SW-S401") || refused.stderr.contains("SW-X202"), "{refused:?}");
    assert_eq!(server.wire.calls(), 3, "the call that failed, and each call once");
    assert_eq!(status(&home), "finished");
}

#[test]
fn watch_follows_a_run_of_another_process_to_its_end() {
    let server = server("slow:5");
    let home = Home::new().served_by(&server);
    let (child, run) = waiting(&home, &server, &[]);
    let watched = home.run(&["runs", "watch", &run]);
    assert_eq!(watched.code, Some(0), "{watched:?}");
    for node in ["orchestrator", "calculator", "writer", "reviewer"] {
        assert!(watched.stdout.contains(node), "{node}: {watched:?}");
    }
    assert_eq!(end(child).code, Some(0));
}

#[test]
fn a_run_pauses_where_it_is_told_to_and_a_resume_goes_past_it() {
    let home = Home::new();
    let object = home.json(4, &["run", "--pause-before", "writer", SUM]);
    assert_eq!(object["outcome"], "paused");
    assert_eq!(object["interrupts"], serde_json::json!([]), "nobody is asked anything");
    let run = object["run"].as_str().unwrap();
    let shown = home.json(0, &["runs", "show", run]);
    assert_eq!(
        (&shown["status"], &shown["detail"]),
        (&"paused".into(), &"paused before `writer`; resume it to go on".into())
    );
    assert_eq!(home.json(0, &["resume", run])["outcome"], "finished");
    let wrong = home.json(1, &["run", "--pause-after", "nowhere", SUM]);
    assert_eq!(wrong["error"]["code"], "SW-X270");
}
