//! The same program on a database on a server, which the tests start themselves.

use std::process::Stdio;

use serde_json::Value;
use statewright_engine_testkit::PostgresServer;

use crate::support::{Done, Home, SUM, end, server, stalling_server, until};

/// A home whose database is an empty one on a server; `None` where there is no PostgreSQL.
fn home() -> Option<Home> {
    let url = PostgresServer::shared()?.database();
    Some(Home::new().env("STATEWRIGHT_DATABASE", url))
}

#[test]
fn a_run_on_a_server_that_is_killed_resumes_and_repeats_no_finished_node() {
    let Some(home) = home() else { return };
    let undisturbed = server("");
    let expected = {
        let home = Home::new().served_by(&undisturbed);
        home.json(0, &["run", "--graph", "classic", SUM])["answer"].clone()
    };
    // It dies with its third commit made and nobody told.
    let models = server("");
    let home = home.served_by(&models);
    let mut command = home.command(&["run", "--graph", "classic", SUM]);
    let crashed = Done::from(command.env("STATEWRIGHT_FAIL_AT", "after:3").output().unwrap());
    assert_eq!(crashed.code, None, "it aborts: {crashed:?}");
    let listed = home.json(0, &["runs", "list"]);
    assert_eq!(listed["runs"][0]["status"], "interrupted");
    let run = listed["runs"][0]["run"].as_str().unwrap();
    let finished = steps(&home.json(0, &["runs", "show", run]));
    let before = models.wire.requests().len();
    assert_eq!(home.json(0, &["resume", run])["answer"], expected);
    for request in &models.wire.requests()[before..] {
        let key = request.idempotency_key.clone().unwrap();
        let activation = key.split('/').nth(1).unwrap();
        assert!(!finished.iter().any(|done| done == activation), "{key} was finished and ran again");
    }
    assert_eq!(home.json(0, &["runs", "list"])["runs"][0]["status"], "finished");
    assert!(!home.database().exists(), "nothing is stored beside the server");
}

#[test]
fn a_run_on_a_server_is_held_until_its_process_is_killed() {
    let Some(home) = home() else { return };
    let stalling = stalling_server();
    let home = home.served_by(&stalling);
    let mut child = home.command(&["run", "--graph", "classic", "--thread", "t", SUM]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the call of a model", || (stalling.wire.calls() > 0).then_some(()));
    let listed = home.json(0, &["runs", "list"]);
    assert_eq!(listed["runs"][0]["status"], "running");
    let run = listed["runs"][0]["run"].as_str().unwrap();
    home.error("SW-S401", &["resume", run]);
    child.kill().unwrap();
    child.wait().unwrap();
    // At once, without anything to clean up.
    let models = server("");
    let home = home.served_by(&models);
    assert_eq!(home.json(0, &["resume", run])["outcome"], "finished");
}

#[test]
fn doctor_names_the_server_and_no_password() {
    let Some(home) = home() else { return };
    let checks = home.json(0, &["doctor"]);
    let words = message(&checks, "database");
    assert!(words.starts_with("postgres://statewright@") && words.contains("opens, 0 runs"), "{words}");
    let done = end(home.spawn(&["doctor", "--json", "--database", "postgres://me:secret@127.0.0.1:1/runs"]));
    assert_eq!(done.code, Some(1), "{done:?}");
    let checks: Value = serde_json::from_str(&done.stdout).unwrap();
    assert!(message(&checks, "database").contains("postgres://me@127.0.0.1:1/runs"), "{done:?}");
    assert!(!done.stdout.contains("secret") && !done.stderr.contains("secret"), "{done:?}");
}

#[test]
fn a_database_is_named_by_an_option_or_the_environment() {
    let home = Home::new().env("STATEWRIGHT_DATABASE", "from the environment.db");
    home.json(0, &["runs", "list"]);
    assert!(home.path().join("work/from the environment.db").is_file());
    home.json(0, &["runs", "list", "--database", "sqlite:given.db"]);
    assert!(home.path().join("work/given.db").is_file());
    let words = message(&home.json(0, &["doctor", "--database", "given.db"]), "database");
    assert!(words.contains("given.db opens"), "{words}");
    let words = home.error("SW-C713", &["runs", "list", "--database", "mysql://me:secret@host/runs"]);
    assert!(words.contains("postgres://user@host/database") && !words.contains("secret"), "{words}");
    home.error("SW-S437", &["runs", "list", "--database", "postgres://me:secret@host:port/runs"]);
    assert!(!home.database().exists());
}

fn message(checks: &Value, name: &str) -> String {
    let checks = checks["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()["message"].as_str().unwrap().to_owned()
}

fn steps(shown: &Value) -> Vec<String> {
    let steps = shown["steps"].as_array().unwrap();
    steps.iter().map(|step| step["activation"].as_str().unwrap().to_owned()).collect()
}
