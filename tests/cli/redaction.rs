//! A canary in the environment and a marker in the question: where they may be found, and where never.

use crate::support::{Done, Home, serve, server};
use statewright::nodes::models::wire::{Behaviour, WireOptions};

const CANARY: &str = "canary-5d1f0c9a77e34b";
const MARKER: &str = "zanzibarite";

/// Everything that the program left behind in its home, as bytes.
fn left_behind(home: &Home) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                bytes.extend(std::fs::read(path).unwrap());
            }
        }
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn run(home: &Home, url: &str, more: &[&str]) -> Done {
    let question = format!("What is 150 × 223.48 of {MARKER}?");
    let args = ["run", "--graph", "classic", "--json", "--record", "tape.jsonl", "--log", "trace", &question];
    let mut command = home.command(&[&args, more].concat());
    command.env("OPENAI_BASE_URL", url).env("STATEWRIGHT_RETRY_BASE_MS", "1");
    command.env("OPENAI_API_KEY", format!("sk-{CANARY}")).env("SEARCH_TOKEN", format!("{CANARY}-too"));
    Done::from(command.output().unwrap())
}

#[test]
fn a_secret_of_the_environment_is_nowhere_and_the_question_is_in_no_log() {
    for format in ["text", "json"] {
        let server = server("429:0,drop,ok");
        let home = Home::new();
        let done = run(&home, &server.url, &["--log-format", format]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(
            done.stderr.contains("node_finished") && done.stderr.contains("statewright.prompt.version"),
            "{done:?}"
        );
        assert!(!done.stderr.contains(MARKER), "content in the log by default: {}", done.stderr);
        assert!(!done.stderr.contains("33522.0"), "an answer in the log by default: {}", done.stderr);
        assert!(!format!("{done:?}").contains("5d1f0c9a"), "a secret in the output: {done:?}");
        let left = left_behind(&home);
        assert!(holds(&left, MARKER), "the journal and the cassette hold the question");
        assert!(!holds(&left, "5d1f0c9a"), "a secret in the journal or the cassette");
    }
}

#[test]
fn content_is_in_the_log_only_by_opt_in_and_secrets_never() {
    let by_environment = Home::new().env("STATEWRIGHT_LOG_CONTENT", "1");
    for (home, more) in [(Home::new(), &["--log-content"][..]), (by_environment, &[])] {
        let server = server("");
        let done = run(&home, &server.url, more);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stderr.contains(MARKER) && done.stderr.contains("33522.0"), "{done:?}");
        assert!(!done.stderr.contains("5d1f0c9a"), "{done:?}");
    }
}

/// A model that says the secret: a careless prompt had put it in.
#[test]
fn a_secret_that_a_model_says_is_in_no_log_and_no_cassette() {
    let text = format!("The key is sk-{CANARY} and 150 × 223.48.");
    let server = serve(WireOptions { afterwards: Behaviour::Text(text), ..WireOptions::default() });
    let home = Home::new();
    let done = run(&home, &server.url, &["--log-content"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.stderr.contains("5d1f0c9a"), "{}", done.stderr);
    let tape = std::fs::read(home.path().join("work/tape.jsonl")).unwrap();
    assert!(!holds(&tape, "5d1f0c9a"));
}

#[test]
fn an_error_is_logged_by_its_code_and_in_full_only_by_opt_in() {
    let home = Home::new();
    let args = ["run", "--log", "debug", "--model", "offline", "What is 7 / 0 of zanzibarite?"];
    let done = home.run(&args);
    assert_eq!(done.code, Some(1), "{done:?}");
    let log: Vec<&str> = done.stderr.lines().filter(|line| line.contains("statewright")).collect();
    let failed = log.iter().find(|line| line.contains("a node failed")).unwrap_or_else(|| panic!("{done:?}"));
    assert!(failed.contains("code=SW-N3"), "{failed}");
    let before_the_error = done.stderr.split("error[").next().unwrap();
    assert!(!before_the_error.contains("7 / 0"), "{before_the_error}");
    let done = home.run(&[&args[..], &["--log-content"]].concat());
    assert!(done.stderr.split("error[").next().unwrap().contains("7 / 0"), "{done:?}");
}
