//! Bad input of every kind ends in one clear error with its code, and stores nothing that cannot be used.

use statewright::engine::sql::RunRow;
use statewright::prelude::{SqliteOptions, SqliteStore};

use crate::support::{Home, SUM, server};

#[test]
fn an_empty_question_is_refused() {
    let home = Home::new();
    for question in ["", "  \n\t "] {
        home.error("SW-C701", &["run", question]);
    }
    let empty = home.write("empty.txt", "\n");
    home.error("SW-C701", &["run", "--input", empty.to_str().unwrap()]);
    assert!(!home.database().exists(), "nothing is made for a question that was not asked");
}

#[test]
fn an_unreadable_question_is_refused() {
    let home = Home::new();
    assert!(home.error("SW-C708", &["run", "--input", "nowhere.txt"]).contains("nowhere.txt"));
    home.write("latin1.txt", b"caf\xe9");
    assert!(home.error("SW-C708", &["run", "--input", "latin1.txt"]).contains("offset 3"));
}

#[test]
fn a_malformed_calculation_is_an_error_with_its_place() {
    let home = Home::new();
    let done = home.run(&["run", "150 × × 2"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("error[SW-N30"), "{done:?}");
    assert!(done.stderr.contains("150 × × 2"), "{done:?}");
}

#[test]
fn names_that_are_slightly_wrong_get_a_suggestion() {
    let home = Home::new();
    assert!(home.error("SW-C702", &["run", "--graph", "reserch", SUM]).contains("did you mean `research`?"));
    assert!(home.error("SW-C702", &["graph", "clasic"]).contains("did you mean `classic`?"));
    assert!(home.error("SW-C703", &["run", "--model", "ofline", SUM]).contains("did you mean `offline`?"));
    assert!(home.error("SW-C703", &["run", "--model", "gpt-9", SUM]).contains("use one of: offline"));
    assert!(home.error("SW-P510", &["run", "--model", "openai:gpt-9", SUM]).contains("OPENAI_API_KEY"));
    assert!(home.error("SW-P501", &["run", "--model", "openai:g p t", SUM]).contains("g p t"));
    assert!(home.error("SW-C706", &["explain", "SW-C7O1"]).contains("did you mean `SW-C7"));
    // With an endpoint, a slip is still no model of its own.
    let home = Home::new().env("OPENAI_BASE_URL", "http://127.0.0.1:9/v1");
    assert!(home.error("SW-C703", &["run", "--model", "Ofline", SUM]).contains("did you mean `offline`?"));
}

#[test]
fn an_unknown_run_gets_a_suggestion_and_an_ambiguous_one_a_list() {
    let home = Home::new();
    home.error("SW-C704", &["resume", "nobody"]);
    let row = |run: &str| RunRow {
        run: run.into(),
        thread: run.into(),
        graph: "gone".to_owned(),
        label: SUM.to_owned(),
        meta: serde_json::json!({}),
        status: "finished".to_owned(),
        created_ms: 1,
        updated_ms: 1,
        detail: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(home.database(), SqliteOptions::default()).await.unwrap();
        for run in ["7f3zk1m0c9aa", "7kq02ssd8v1x", "9b1c07ftk2ee"] {
            store.record_run(row(run)).await.unwrap();
        }
    });
    assert!(
        home.error("SW-C704", &["runs", "show", "9b1c07ftk2e3"]).contains("did you mean `9b1c07ftk2ee`?")
    );
    assert!(home.error("SW-C705", &["runs", "cancel", "7"]).contains("7f3zk1m0c9aa, 7kq02ssd8v1x"));
    assert!(home.error("SW-C710", &["resume", "9b"]).contains("`gone`"));
    assert_eq!(home.json(0, &["runs", "list"])["runs"].as_array().unwrap().len(), 3);
}

#[test]
fn documents_that_cannot_be_searched() {
    let server = server("");
    let home = Home::new().served_by(&server);
    assert!(home.error("SW-N310", &["run", "--docs", "nowhere", SUM]).contains("nowhere"));
    home.write("empty/readme.txt", "no Markdown");
    home.error("SW-N316", &["run", "--docs", "empty", SUM]);
    assert_eq!(home.json(0, &["runs", "list"])["runs"], serde_json::json!([]), "nothing was begun");
    // A bad file among good ones is named, and the rest is used.
    home.write("mixed/good.md", "# Good\n\nThis file can be read.\n");
    home.write("mixed/bad.md", b"# Bad\n\ncaf\xe9\n");
    let search = "Who is the current chair of the Good company?";
    let done = home.run(&["run", "--graph", "classic", "--docs", "mixed", search]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("warning[SW-N311]") && done.stderr.contains("bad.md"), "{done:?}");
    let object = home.json(0, &["run", "--graph", "classic", "--docs", "mixed", search]);
    assert_eq!(object["warnings"][0]["code"], "SW-N311", "{object}");
    let object = home.json(0, &["run", "--graph", "classic", "--docs", "mixed", SUM]);
    assert_eq!(object["warnings"], serde_json::json!([]), "what nobody searched is nobody's trouble");
}

#[test]
fn an_answer_that_could_not_be_written_is_refused_before_the_run() {
    let home = Home::new();
    home.error("SW-C709", &["run", "-o", "nowhere/answer.md", SUM]);
    home.error("SW-C709", &["run", "-o", ".", SUM]);
    assert!(!home.database().exists());
}

#[test]
fn wrong_usage_exits_with_2() {
    let home = Home::new();
    for args in [
        &["run"][..],
        &["fly"],
        &["run", SUM, "--timeout", "soon"],
        &["run", SUM, "--durability", "eternal"],
        &["run", SUM, "--input", "file"],
        &["run", SUM, "--log", "loud=very"],
        &["graph", "--format", "png"],
        &["runs", "list", "-n", "0"],
    ] {
        let done = home.run(args);
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert!(!done.stderr.is_empty() && done.stdout.is_empty(), "{args:?}: {done:?}");
    }
}

#[test]
fn errors_are_objects_where_json_is_asked_for() {
    let home = Home::new();
    let object = home.json(1, &["run", "--graph", "reserch", SUM]);
    assert_eq!(object["error"]["code"], "SW-C702");
    assert!(object["error"]["message"].as_str().unwrap().contains("did you mean"));
    assert_eq!(object["error"]["see"], "statewright explain SW-C702");
}

#[test]
fn a_graph_that_is_not_the_runs_is_refused() {
    let server = server("");
    let home = Home::new().served_by(&server);
    let run = home.json(0, &["run", "--graph", "classic", SUM])["run"].as_str().unwrap().to_owned();
    home.error("SW-C713", &["graph", "research", "--run", &run]);
}
