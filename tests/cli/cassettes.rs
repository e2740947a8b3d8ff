//! Runs that are recorded and replayed, and the commands about cassettes.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Done, Home, SUM, end, server, stalling_server, until};

const RUN: &[&str] = &["run", "--graph", "classic"];

fn run(more: &[&'static str]) -> Vec<&'static str> {
    [RUN, more].concat()
}

/// A file of the working folder.
fn kept(home: &Home, name: &str) -> String {
    std::fs::read_to_string(home.path().join("work").join(name)).unwrap()
}

#[test]
fn a_recorded_run_is_replayed_without_any_endpoint_and_ends_the_same() {
    let home = Home::new();
    let recorded = {
        let server = server("");
        let mut command = home.command(&run(&["--record", "tape.jsonl", SUM, "--json"]));
        let done = Done::from(command.env("OPENAI_BASE_URL", &server.url).output().unwrap());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(server.wire.calls(), 2);
        serde_json::from_str::<Value>(&done.stdout).unwrap()
    };
    let replayed = home.json(0, &run(&["--replay", "tape.jsonl", SUM]));
    for field in ["answer", "calculation", "usage", "quality", "attempts", "notes"] {
        assert_eq!(replayed[field], recorded[field], "{field}");
    }
    assert_eq!(replayed["model"], "gpt-4.1-mini");
    let prompts = |object: &Value| -> Vec<Value> {
        object["steps"].as_array().unwrap().iter().map(|step| step["prompts"].clone()).collect()
    };
    assert_eq!(prompts(&replayed), prompts(&recorded));
    assert!(prompts(&replayed).iter().any(|versions| versions[0].as_str().is_some_and(|v| v.len() == 12)));

    let plain = home.run(&run(&["--replay", "tape.jsonl", SUM]));
    assert!(plain.stdout.starts_with("model: gpt-4.1-mini, replayed from tape.jsonl"), "{plain:?}");
    let exact = run(&["--replay", "tape.jsonl", "--exact", SUM]);
    assert_eq!(home.json(0, &exact)["answer"], recorded["answer"], "each run begins at the first recording");

    let words = home.error("SW-P540", &run(&["--replay", "tape.jsonl", "What is 150 × 223.49?"]));
    assert!(words.contains("- <question>What is 150 × 223.48?</question>"), "{words}");
    assert!(words.contains("+ <question>What is 150 × 223.49?</question>"), "{words}");
    home.error("SW-P540", &run(&["--replay", "tape.jsonl", "--model", "openai:other", SUM]));
    home.json(0, &run(&["--replay", "tape.jsonl", "--model", "openai:gpt-4.1-mini", SUM]));
}

/// A replay that fails can be taken up with the same cassette once it has what was missing.
#[test]
fn a_run_that_is_taken_up_goes_on_with_its_cassette() {
    let home = Home::new();
    let first = server("ok,500,500,500,500,500");
    let record = |url: &str, args: &[&str]| {
        let mut command = home.command(args);
        command.env("OPENAI_BASE_URL", url).env("STATEWRIGHT_RETRY_BASE_MS", "1");
        Done::from(command.output().unwrap())
    };
    let failed = record(&first.url, &run(&["--record", "tape.jsonl", SUM]));
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_eq!(home.json(0, &["cassette", "verify", "tape.jsonl"])["recordings"], 1);
    let id = home.json(0, &["runs", "list"])["runs"][0]["run"].as_str().unwrap().to_owned();
    let resumed = record(&first.url, &["resume", &id]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.stdout.contains("recorded into"), "{resumed:?}");
    assert_eq!(home.json(0, &["cassette", "verify", "tape.jsonl"])["recordings"], 2);

    let words = home.error("SW-P540", &run(&["--replay", "tape.jsonl", "What is 2 + 2?"]));
    assert!(words.contains("statewright resume"), "{words}");
    let id = home.json(0, &["runs", "list"])["runs"][0]["run"].as_str().unwrap().to_owned();
    let again = home.error("SW-P540", &["resume", &id]);
    assert!(again.contains("tape.jsonl"), "it is not put to a model behind the back of its user: {again}");
    assert_eq!(home.json(0, &["resume", &id, "--model", "offline"])["model"], "offline");
}

#[test]
fn killed_while_it_records_a_run_leaves_a_cassette_with_every_answer_that_was_whole() {
    let home = Home::new();
    let stalling = stalling_server();
    let good = server("");
    let mut command = home.command(&run(&["--record", "tape.jsonl", SUM]));
    let done = Done::from(command.env("OPENAI_BASE_URL", &good.url).output().unwrap());
    assert_eq!(done.code, Some(0), "{done:?}");
    let whole = kept(&home, "tape.jsonl");
    let mut command = home.command(&run(&["--record", "tape.jsonl", SUM]));
    let mut child = command.env("OPENAI_BASE_URL", &stalling.url).stdout(Stdio::null()).spawn().unwrap();
    until("the call", || (stalling.wire.calls() == 1).then_some(()));
    child.kill().unwrap();
    end(child);
    assert_eq!(kept(&home, "tape.jsonl"), whole, "what is not whole is not recorded");
    // As if it had been killed in the middle of a write.
    let line = whole.lines().last().unwrap();
    home.write("tape.jsonl", format!("{whole}{}", &line[..line.len() / 2]));
    let verified = home.run(&["cassette", "verify", "tape.jsonl"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stderr.contains("line 4 of the cassette `tape.jsonl` was cut off"), "{verified:?}");
    let replayed = home.json(0, &run(&["--replay", "tape.jsonl", SUM]));
    assert_eq!(replayed["outcome"], "finished");
    let mut command = home.command(&run(&["--record", "tape.jsonl", SUM]));
    let done = Done::from(command.env("OPENAI_BASE_URL", &good.url).output().unwrap());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(
        home.json(0, &["cassette", "verify", "tape.jsonl"]),
        json!({
            "cassette": "tape.jsonl", "recordings": 4, "requests": 2, "models": ["gpt-4.1-mini"], "cut_off": null,
        })
    );
}

#[test]
fn what_is_no_cassette_or_cannot_be_one_stops_a_run_before_it_costs_anything() {
    let server = server("");
    let home = Home::new().served_by(&server);
    home.write("notes.txt", "My notes");
    home.error("SW-P542", &run(&["--record", "notes.txt", SUM]));
    assert_eq!(kept(&home, "notes.txt"), "My notes");
    home.error("SW-P542", &run(&["--replay", "notes.txt", SUM]));
    home.error("SW-P541", &run(&["--replay", "nowhere.jsonl", SUM]));
    home.error("SW-P541", &run(&["--record", "nowhere/tape.jsonl", SUM]));
    home.write("newer.jsonl", "{\"format\":\"statewright-cassette\",\"version\":9}\n");
    home.error("SW-P543", &["cassette", "show", "newer.jsonl"]);
    home.write("bad.jsonl", "{\"format\":\"statewright-cassette\",\"version\":1}\n{}\n{}\n");
    let words = home.error("SW-P544", &["cassette", "verify", "bad.jsonl"]);
    assert!(words.contains("in line 2"), "{words}");
    assert_eq!(home.run(&run(&["--record", "a", "--replay", "b", SUM])).code, Some(2));
    assert_eq!(home.run(&run(&["--exact", SUM])).code, Some(2));
    assert_eq!(server.wire.calls(), 0);
    assert_eq!(home.json(0, &["runs", "list"])["runs"], json!([]), "nothing was begun");
}

#[test]
fn show_lists_what_was_asked_and_answered_and_with_which_prompt() {
    let home = Home::new();
    home.json(0, &run(&["--model", "offline", "--record", "tape.jsonl", SUM]));
    let shown = home.json(0, &["cassette", "show", "tape.jsonl"]);
    let purposes: Vec<&Value> =
        shown["recordings"].as_array().unwrap().iter().map(|recording| &recording["purpose"]).collect();
    assert_eq!(purposes, ["extract_expression", "write"]);
    let write = &shown["recordings"][1];
    assert_eq!((&write["answer"], &write["model"]), (&json!("150 × 223.48 = 33522.0."), &json!("offline")));
    let table = home.run(&["cassette", "show", "tape.jsonl"]).stdout;
    assert!(table.contains(write["prompt_version"].as_str().unwrap()), "{table}");
    assert!(table.contains("150 × 223.48 = 33522.0."), "{table}");
}

/// A second program runs on the recording, as one in any other language would.
#[test]
fn a_served_cassette_is_an_endpoint_for_other_programs() {
    let home = Home::new();
    let recorded = home.json(0, &run(&["--model", "offline", "--record", "tape.jsonl", SUM]));
    let mut serving =
        home.command(&["cassette", "serve", "tape.jsonl", "-q"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    let mut stdout = BufReader::new(serving.stdout.take().unwrap());
    stdout.read_line(&mut url).unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let client = Home::new().env("OPENAI_BASE_URL", url.trim()).env("OPENAI_MODEL", "offline");
    let answered = client.json(0, &run(&["--model", "openai:offline", SUM]));
    assert_eq!(answered["answer"], recorded["answer"]);
    assert_eq!(answered["usage"], recorded["usage"]);
    let words = client.error("SW-P504", &run(&["--model", "openai:offline", "What is 2 + 2?"]));
    assert!(words.contains("HTTP 404") && words.contains("SW-P540"), "{words}");
    serving.kill().unwrap();
    serving.wait().unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn a_folder_of_prompts_takes_the_place_of_the_graphs_own() {
    let home = Home::new();
    home.write("own/classic-write.md", "---\ndescription: ours\n---\nSay it in verse.\n");
    let own = ["--model", "offline", "--prompts", "own", "--record", "own.jsonl", SUM];
    home.json(0, &run(&own));
    home.json(0, &run(&["--model", "offline", "--record", "plain.jsonl", SUM]));
    let (own, plain) = (kept(&home, "own.jsonl"), kept(&home, "plain.jsonl"));
    assert!(own.contains("Say it in verse.") && !plain.contains("verse"), "{own}");
    let versions = |name: &str| -> Vec<Value> {
        let shown = home.json(0, &["cassette", "show", name]);
        shown["recordings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|recording| recording["prompt_version"].clone())
            .collect()
    };
    let (own, plain) = (versions("own.jsonl"), versions("plain.jsonl"));
    assert_eq!(own[0], plain[0], "a prompt that is not overridden stays");
    assert_ne!(own[1], plain[1]);
    home.write("own/clasic-write.md", "Typo.");
    home.error("SW-N344", &run(&["--model", "offline", "--prompts", "own", SUM]));
    home.error("SW-N340", &run(&["--model", "offline", "--prompts", "nowhere", SUM]));
}
