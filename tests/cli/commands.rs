//! What the commands do when all is well.

use serde_json::Value;

use crate::support::{Home, SUM, server};

#[test]
fn run_answers_and_the_first_line_names_the_model() {
    let home = Home::new();
    let done = home.run(&["run", SUM]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let first = done.stdout.lines().next().unwrap();
    assert!(first.starts_with("model: offline") && first.contains("OPENAI_API_KEY"), "{first}");
    assert!(done.stdout.contains("33,522"), "{done:?}");
    assert_eq!(done.stderr, "");
}

#[test]
fn quiet_prints_the_answer_and_nothing_else() {
    let server = server("");
    let home = Home::new().served_by(&server);
    let done = home.run(&["run", "-q", "--graph", "classic", SUM]);
    assert_eq!((done.code, done.stdout.trim()), (Some(0), "150 × 223.48 = 33522.0."), "{done:?}");
}

#[test]
fn the_json_object_says_everything_about_a_run() {
    let server = server("");
    let home = Home::new().served_by(&server);
    let object = home.json(0, &["run", "--graph", "classic", "--thread", "t", SUM]);
    assert_eq!(object["outcome"], "finished");
    assert_eq!(
        (&object["thread"], &object["graph"], &object["model"]),
        (&"t".into(), &"classic".into(), &"openai:gpt-4.1-mini".into())
    );
    assert_eq!(object["answer"], "150 × 223.48 = 33522.0.");
    assert_eq!(object["calculation"], "150 × 223.48 = 33522.0");
    assert!(object["usage"]["input_tokens"].as_u64().unwrap() > 0, "{object}");
    assert_eq!(object["resume"], Value::Null);
    let nodes: Vec<&str> =
        object["steps"].as_array().unwrap().iter().map(|s| s["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["orchestrator", "calculator", "writer", "reviewer"]);
    assert!(object["steps"].as_array().unwrap().iter().all(|step| step["ms"].is_u64()), "{object}");
}

#[test]
fn documents_are_cited_with_bytes_that_resolve() {
    let home = Home::new();
    let text = "# Tides\n\nThe engine of the lighthouse turns the lamp with a falling weight every night.\n";
    home.write("docs/lamp.md", text);
    let object = home.json(0, &["run", "How does the engine of the lighthouse turn the lamp?"]);
    let citation = &object["citations"][0];
    let byte = |name: &str| citation[name].as_u64().unwrap() as usize;
    assert_eq!(citation["doc"], "lamp.md", "{object}");
    assert!(text[byte("start")..byte("end")].contains("falling weight"), "{object}");
    assert!(object["answer"].as_str().unwrap().contains("[1]"), "{object}");
}

#[test]
fn runs_are_listed_shown_and_drawn() {
    let server = server("");
    let home = Home::new().served_by(&server);
    let run = home.json(0, &["run", "--graph", "classic", SUM])["run"].as_str().unwrap().to_owned();
    let listed = home.json(0, &["runs", "list"]);
    assert_eq!(listed["runs"][0]["run"], run.as_str());
    assert_eq!(listed["runs"][0]["status"], "finished");
    assert_eq!(listed["runs"][0]["question"], SUM);
    let shown = home.json(0, &["runs", "show", &run[..6]]);
    assert_eq!(shown["answer"], "150 × 223.48 = 33522.0.");
    assert_eq!(shown["steps"][3]["variants"], serde_json::json!(["Accept"]));
    let text = home.run(&["runs", "show", &run]);
    assert!(text.stdout.contains("reviewer") && text.stdout.contains("33522.0"), "{text:?}");
    let drawn = home.run(&["graph", "--run", &run]);
    assert!(drawn.stdout.contains("● reviewer") && drawn.stdout.contains("○ research"), "{drawn:?}");
    let watched = home.run(&["runs", "watch", &run]);
    assert_eq!(watched.code, Some(0), "{watched:?}");
    assert!(watched.stdout.contains("writer"), "{watched:?}");
    let mermaid = home.run(&["graph", "classic", "--format", "mermaid"]);
    assert!(mermaid.stdout.starts_with("flowchart TD"), "{mermaid:?}");
    let dot = home.run(&["graph", "classic", "--format", "dot"]);
    assert!(dot.stdout.starts_with("digraph \"classic\""), "{dot:?}");
}

#[test]
fn a_thread_takes_one_run_after_the_other() {
    let server = server("");
    let home = Home::new().served_by(&server);
    let first = home.json(0, &["run", "--graph", "classic", "--thread", "t", SUM]);
    let second = home.json(0, &["run", "--graph", "classic", "--thread", "t", "What is 2 + 2?"]);
    assert_eq!(second["answer"], "2 + 2 = 4.");
    let first = first["run"].as_str().unwrap();
    let words = home.error("SW-C711", &["resume", first]);
    assert!(words.contains(second["run"].as_str().unwrap()), "{words}");
    let shown = home.run(&["runs", "show", first]);
    assert!(shown.stdout.contains("a later run has gone on"), "{shown:?}");
}

#[test]
fn the_question_comes_from_a_file_and_the_answer_goes_to_one() {
    let server = server("");
    let home = Home::new().served_by(&server);
    home.write("question.txt", format!("{SUM}\n"));
    let done = home.run(&["run", "--graph", "classic", "--input", "question.txt", "-o", "answer.txt"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let answer = std::fs::read_to_string(home.path().join("work/answer.txt")).unwrap();
    assert_eq!(answer, "150 × 223.48 = 33522.0.\n");
}

#[test]
fn every_code_of_the_command_line_has_its_page() {
    let home = Home::new();
    let listed = home.json(0, &["explain"]);
    let codes: Vec<&str> =
        listed["codes"].as_array().unwrap().iter().map(|c| c["code"].as_str().unwrap()).collect();
    for number in (701..=714).chain(740..=744) {
        let code = format!("SW-C{number}");
        assert!(codes.contains(&code.as_str()), "{code} has no page");
        let page = home.run(&["explain", &code.to_lowercase()[3..]]);
        for section in ["What happened", "Why", "What to do", "Example"] {
            assert!(page.stdout.contains(section), "{code} lacks `{section}`: {page:?}");
        }
    }
    assert!(codes.is_sorted(), "{codes:?}");
}

#[test]
fn doctor_finds_nothing_wrong_and_completions_are_printed() {
    let home = Home::new();
    let checks = home.json(0, &["doctor"]);
    assert_eq!(checks["ok"], true, "{checks}");
    let script = home.run(&["completions", "bash"]);
    assert!(script.stdout.contains("_statewright"), "{script:?}");
}

#[test]
fn a_reader_that_goes_away_does_not_fail_a_run() {
    let server = server("");
    let home = Home::new().served_by(&server);
    let mut child = home.spawn(&["run", "--graph", "classic", SUM]);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(home.json(0, &["runs", "list"])["runs"][0]["status"], "finished");
}
