//! The test server: its program, its log and its script words.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Arc,
};

use statewright_nodes_models::{OpenAi, OpenAiConfig, Pacing, wire::Behaviour};
use statewright_nodes_ports::{ChatModel, ChatRequest, Message, ModelId};

#[test]
fn script_words_round_trip() {
    for word in [
        "ok",
        "429",
        "429:7",
        "401",
        "drop",
        "cut",
        "close",
        "error:rate_limit_error",
        "empty",
        "html",
        "malformed",
        "stall",
        "slow:5",
    ] {
        assert_eq!(word.parse::<Behaviour>().unwrap().to_string(), word);
    }
    for word in ["", "okay", "42", "1000", "slow", "slow:x", "drop:1"] {
        let error = word.parse::<Behaviour>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{word}` is no behaviour; use ok")), "{error}");
    }
}

#[tokio::test]
async fn the_program_plays_its_script_and_writes_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let mut program = Command::new(env!("CARGO_BIN_EXE_wire-server"))
        .args(["--script", "429:0,drop", "--port", "0", "--log"])
        .arg(&log)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut base_url = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut base_url).unwrap();

    let config = OpenAiConfig::new(base_url.trim(), ModelId::new("m").unwrap());
    let pacing = Pacing { sleep: Arc::new(|_| Box::pin(std::future::ready(()))), chance: Arc::new(|| 0.5) };
    let model = OpenAi::with_pacing(config, pacing).unwrap();
    let request = ChatRequest {
        idempotency_key: Some("k".to_owned()),
        ..ChatRequest::new([Message::user("<question>2 × 3</question><calculation>2 * 3 = 6</calculation>")])
    };
    let broken = model.complete(request.clone()).await;
    let whole = model.complete(request).await;
    program.kill().unwrap();
    program.wait().unwrap();

    assert_eq!(broken.unwrap_err().code(), "SW-P506");
    assert_eq!(whole.unwrap().text, "2 × 3 = 6.");
    let lines = std::fs::read_to_string(&log).unwrap();
    let behaviours: Vec<String> = lines
        .lines()
        .map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(entry["idempotency_key"], "k");
            entry["behaviour"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(behaviours, ["429:0", "drop", "ok"]);
}

#[test]
fn the_program_refuses_what_it_does_not_know() {
    for arguments in [&["--script", "429,nonsense"][..], &["--port", "x"], &["--port"], &["--what", "1"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_wire-server")).args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && message.contains("usage: wire-server"),
            "{arguments:?}: {message}"
        );
    }
}
