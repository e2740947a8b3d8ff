//! Model endpoints that misbehave, over real connections.

use crate::support::{Home, SUM, server};

#[test]
fn an_answer_over_the_wire_with_a_rate_limit_and_a_broken_stream_on_the_way() {
    let server = server("429:0,ok,drop");
    let home = Home::new().served_by(&server).env("OPENAI_API_KEY", "sk-very-secret");
    let done = home.run(&["run", "--graph", "classic", SUM]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.starts_with("model: gpt-4.1-mini at http://127.0.0.1"), "{done:?}");
    assert!(done.stdout.contains("150 × 223.48 = 33522.0."), "{done:?}");
    assert_eq!(server.wire.calls(), 4, "the limit and the break are each one call more");
    assert_eq!(server.wire.requests()[0].authorization.as_deref(), Some("Bearer sk-very-secret"));
    assert!(!format!("{done:?}").contains("very-secret"), "{done:?}");
    let database = std::fs::read(home.database()).unwrap();
    assert!(!database.windows(11).any(|bytes| bytes == b"very-secret"), "the key is in the database");
}

#[test]
fn a_refused_key_stops_at_once_and_the_run_goes_on_once_it_is_mended() {
    let server = server("401");
    let home = Home::new().served_by(&server).env("OPENAI_API_KEY", "sk-very-secret");
    let words = home.error("SW-P502", &["run", "--graph", "classic", SUM]);
    assert!(words.contains("OPENAI_API_KEY") && words.contains("statewright resume"), "{words}");
    assert!(!words.contains("very-secret"), "{words}");
    assert_eq!(server.wire.calls(), 1, "a refused key is not tried again");
    let listed = home.json(0, &["runs", "list"]);
    assert_eq!(listed["runs"][0]["status"], "failed");
    let run = listed["runs"][0]["run"].as_str().unwrap();
    let object = home.json(0, &["resume", run]);
    assert_eq!(object["answer"], "150 × 223.48 = 33522.0.");
}

#[test]
fn a_dead_endpoint_is_tried_and_then_named() {
    // Nothing listens where a server has just been.
    let url = server("").url;
    let home = Home::new().env("OPENAI_BASE_URL", url).env("STATEWRIGHT_RETRY_BASE_MS", "1");
    let words = home.error("SW-P506", &["run", "--graph", "classic", SUM]);
    assert!(words.contains("OPENAI_BASE_URL"), "{words}");
    assert!(home.error("SW-P506", &["run", "--graph", "classic", "--thread", "t", SUM]).contains("resume"));
    let checks = home.json(1, &["doctor"]);
    assert_eq!(checks["ok"], false, "{checks}");
}

#[test]
fn an_endpoint_that_speaks_something_else() {
    let server = server("html");
    let home = Home::new().served_by(&server);
    home.error("SW-P507", &["run", "--graph", "classic", SUM]);
}

#[test]
fn the_model_is_the_one_that_was_asked_for_also_after_a_resume() {
    let server = server("500,500,500,500,500");
    let home = Home::new().served_by(&server);
    home.error("SW-P504", &["run", "--graph", "classic", "--model", "openai:ofline", SUM]);
    let run = home.json(0, &["runs", "list"])["runs"][0]["run"].as_str().unwrap().to_owned();
    home.json(0, &["resume", &run]);
    assert!(server.wire.requests().iter().all(|request| request.body["model"] == "ofline"));
}
