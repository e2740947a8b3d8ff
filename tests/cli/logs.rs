//! What is logged: spans with run, thread, node and attempt.

use serde_json::Value;

use crate::support::{Home, SUM, server};

#[test]
fn the_span_tree_of_a_run() {
    let server = server("");
    let home = Home::new().served_by(&server);
    let done = home.run(&[
        "run",
        "--graph",
        "classic",
        "--log",
        "info",
        "--log-format",
        "json",
        "--thread",
        "t",
        SUM,
    ]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines: Vec<Value> = done.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let closed = |name: &str| -> Vec<&Value> {
        let closes = |line: &&Value| line["fields"]["message"] == "close" && line["span"]["name"] == name;
        lines.iter().filter(closes).collect()
    };
    let nodes = closed("node");
    let names: Vec<&str> = nodes.iter().map(|line| line["span"]["node"].as_str().unwrap()).collect();
    assert_eq!(names, ["orchestrator", "calculator", "writer", "reviewer"], "{lines:?}");
    let run = &closed("run")[0]["span"]["run"];
    for line in nodes {
        assert_eq!(
            (&line["span"]["run"], &line["span"]["thread"], &line["span"]["attempt"]),
            (run, &"t".into(), &1.into())
        );
        assert_eq!(line["spans"][0]["name"], "run", "a node's span lies in the run's: {line}");
    }
}

#[test]
fn nothing_is_logged_unless_something_is_odd() {
    let server = server("");
    let home = Home::new().served_by(&server);
    assert_eq!(home.run(&["run", SUM]).stderr, "");
}
