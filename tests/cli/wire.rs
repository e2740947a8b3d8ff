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

#[test]
fn the_other_provider_answers_alike_and_its_key_is_kept_nowhere() {
    let server = server("529,ok,drop");
    let home = Home::new()
        .env("ANTHROPIC_BASE_URL", server.url.clone())
        .env("ANTHROPIC_API_KEY", "sk-ant-very-secret")
        .env("STATEWRIGHT_RETRY_BASE_MS", "1");
    let done = home.run(&["run", "--graph", "classic", SUM]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.starts_with("model: claude-sonnet-4-5 at http://127.0.0.1"), "{done:?}");
    assert!(done.stdout.contains("150 × 223.48 = 33522.0."), "{done:?}");
    let requests = server.wire.requests();
    assert_eq!((requests.len(), requests[0].path.as_str()), (4, "/v1/messages"));
    assert_eq!(requests[0].authorization.as_deref(), Some("sk-ant-very-secret"));
    assert!(!format!("{done:?}").contains("very-secret"), "{done:?}");
    let database = std::fs::read(home.database()).unwrap();
    assert!(!database.windows(11).any(|bytes| bytes == b"very-secret"), "the key is in the database");
}

#[test]
fn a_refused_key_is_named_by_its_own_provider() {
    let server = server("401");
    let home = Home::new().env("ANTHROPIC_BASE_URL", server.url).env("ANTHROPIC_API_KEY", "k-e-y");
    let words = home.error("SW-P502", &["run", "--graph", "classic", SUM]);
    assert!(words.contains("ANTHROPIC_API_KEY") && !words.contains("OPENAI"), "{words}");
}

#[test]
fn a_chain_of_models_goes_on_when_one_is_not_there() {
    let (first, second) = (server("404,404,404,404"), server(""));
    let home = Home::new().served_by(&first).env("ANTHROPIC_BASE_URL", second.url.clone());
    let done = home.run(&["run", "--graph", "classic", "--model", "openai:gone,anthropic:there", SUM]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.starts_with("model: gone at http://"), "{done:?}");
    assert!(done.stdout.contains(", then there at http://"), "{done:?}");
    assert!(first.wire.calls() > 0 && second.wire.calls() > 0);
    assert_eq!(home.json(0, &["runs", "list"])["runs"][0]["status"], "finished");
}

#[test]
fn a_model_that_is_not_allowed_is_not_asked() {
    let server = server("");
    let home = Home::new().served_by(&server).env("STATEWRIGHT_ALLOWED_MODELS", "gpt-4.1-mini, qwen*");
    home.error("SW-P514", &["run", "--model", "openai:gpt-5", SUM]);
    assert_eq!(server.wire.calls(), 0);
    assert_eq!(home.run(&["run", "--graph", "classic", "--model", "openai:qwen3:8b", SUM]).code, Some(0));
}

#[test]
fn doctor_tells_of_both_providers() {
    let server = server("");
    let home = Home::new().served_by(&server).env("ANTHROPIC_API_KEY", "sk-ant-very-secret");
    let checks = home.json(0, &["doctor"]);
    let words = |name: &str| {
        let list = checks["checks"].as_array().unwrap();
        list.iter().find(|check| check["name"] == name).unwrap()["message"].as_str().unwrap().to_owned()
    };
    assert!(words("model").contains("accepts connections"), "{checks}");
    assert!(words("openai").contains("without a key"), "{checks}");
    assert!(
        words("anthropic").contains("claude-sonnet-4-5 at https://api.anthropic.com, with a key"),
        "{checks}"
    );
    assert!(!checks.to_string().contains("very-secret"), "{checks}");
}
