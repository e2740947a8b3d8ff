//! `threads`: looking back, forks, deletion, and what is kept.

use std::time::Duration;

use serde_json::{Value, json};

use crate::control::waiting;
use crate::support::{Home, SUM, Server, server, stalling_server};

/// A home with a finished run of `classic` on each of these threads.
fn used(server: &Server, threads: &[&str]) -> Home {
    let home = Home::new().served_by(server);
    for thread in threads {
        home.json(0, &["run", "--graph", "classic", "--thread", thread, SUM]);
    }
    home
}

/// The entry at which this node comes next.
fn before(home: &Home, thread: &str, node: &str) -> String {
    let history = home.json(0, &["threads", "history", thread]);
    let point =
        history["checkpoints"].as_array().unwrap().iter().find(|point| point["next"] == json!([node]));
    point.unwrap()["entry"].to_string()
}

fn names(listed: &Value) -> Vec<&str> {
    listed["threads"].as_array().unwrap().iter().map(|thread| thread["thread"].as_str().unwrap()).collect()
}

/// The names of all threads, sorted.
fn sorted(home: &Home) -> Vec<String> {
    let listed = home.json(0, &["threads", "list"]);
    let mut names: Vec<String> = names(&listed).into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn threads_are_listed_and_shown_as_they_are_and_as_they_were() {
    let server = server("");
    let home = Home::new().served_by(&server);
    assert_eq!(home.json(0, &["threads", "list"]), json!({ "threads": [] }));
    let run = home.json(0, &["run", "--graph", "classic", "--thread", "t", SUM])["run"].clone();
    let listed = home.json(0, &["threads", "list"]);
    let thread = &listed["threads"][0];
    assert_eq!(
        (&thread["thread"], &thread["status"], &thread["graph"], &thread["run"], &thread["question"]),
        (&json!("t"), &json!("finished"), &json!("classic"), &run, &json!(SUM))
    );
    let changed = thread["changed"].as_str().unwrap();
    assert!(changed.len() == 24 && changed.starts_with("20") && changed.ends_with('Z'), "{changed}");
    let table = home.run(&["threads", "list"]);
    assert!(table.stdout.contains("finished") && table.stdout.contains(" s ago"), "{table:?}");
    assert_eq!(names(&home.json(0, &["threads", "list", "--graph", "research"])), [""; 0]);

    let shown = home.json(0, &["threads", "show", "t"]);
    assert_eq!((&shown["status"], &shown["run"], &shown["origin"]), (&json!("finished"), &run, &Value::Null));
    assert_eq!(shown["state"]["draft"], "150 × 223.48 = 33522.0.");
    assert_eq!(shown["entry"], thread["entries"]);
    let then = home.json(0, &["threads", "show", "t", "--at", &before(&home, "t", "writer")]);
    assert_eq!(
        (&then["state"]["draft"], &then["state"]["calculation"]),
        (&json!(""), &json!("150 × 223.48 = 33522.0"))
    );
    let text = home.run(&["threads", "show", "t"]);
    assert!(text.stdout.contains("draft: \"150 × 223.48 = 33522.0.\""), "{text:?}");
}

#[test]
fn history_tells_what_ended_and_what_came_next_and_diff_what_changed() {
    let server = server("");
    let home = used(&server, &["t"]);
    let history = home.json(0, &["threads", "history", "t"]);
    let points = history["checkpoints"].as_array().unwrap();
    let nodes: Vec<(&Value, &Value)> = points.iter().map(|point| (&point["ended"], &point["next"])).collect();
    let way = ["orchestrator", "calculator", "writer", "reviewer"];
    for (place, node) in way.iter().enumerate() {
        assert_eq!((nodes[place].1, nodes[place + 1].0), (&json!([node]), &json!([node])), "{history}");
    }
    assert_eq!((nodes.len(), nodes[0].0, nodes[4].1), (5, &json!([]), &json!([])));
    assert!(points[0]["at"].as_str().unwrap().ends_with('Z'));
    let table = home.run(&["threads", "history", "t"]);
    assert!(
        table.stdout.contains("orchestrator") && table.stderr.contains("threads fork t --at"),
        "{table:?}"
    );

    let diff = home
        .json(0, &["threads", "diff", "t", &before(&home, "t", "writer"), &before(&home, "t", "reviewer")]);
    let changed: Vec<&str> = diff["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|channel| channel["channel"].as_str().unwrap())
        .collect();
    assert!(changed.contains(&"draft") && !changed.contains(&"calculation"), "{diff}");
    let draft =
        diff["channels"].as_array().unwrap().iter().find(|channel| channel["channel"] == "draft").unwrap();
    assert_eq!((&draft["old"], &draft["new"]), (&json!(""), &json!("150 × 223.48 = 33522.0.")));
    let last = home.json(0, &["threads", "diff", "t", "1"]);
    assert_eq!(last["to"]["entry"], points[4]["entry"], "without a second entry it is the last one");
    let text = home.run(&["threads", "diff", "t", &before(&home, "t", "writer")]);
    assert!(text.stdout.contains("+ \"150 × 223.48 = 33522.0.\""), "{text:?}");
}

#[test]
fn a_fork_with_an_edit_is_a_run_of_its_own_and_outlives_its_origin() {
    let server = server("");
    let home = used(&server, &["t"]);
    let original = home.json(0, &["threads", "show", "t"]);
    let at = before(&home, "t", "writer");
    let edit = "calculation=\"1 + 1 = 2\"";
    let forked = home.json(0, &["threads", "fork", "t", "--at", &at, "--into", "f", "--set", edit]);
    let run = forked["run"].as_str().unwrap();
    assert_eq!((&forked["thread"], &forked["status"]), (&json!("f"), &json!("stopped")));
    assert_eq!(
        (&forked["origin"]["thread"], &forked["state"]["calculation"]),
        (&json!("t"), &json!("1 + 1 = 2"))
    );
    assert_eq!(forked["resume"], format!("statewright resume {run}"));
    assert_ne!(original["run"], run);
    let calls = server.wire.calls();
    let resumed = home.json(0, &["resume", run]);
    assert!(resumed["answer"].as_str().unwrap().contains("1 + 1 = 2"), "{resumed}");
    assert_eq!(server.wire.calls(), calls + 1, "only the writer's call is made again");
    let listed = home.json(0, &["runs", "list"]);
    assert_eq!((&listed["runs"][0]["run"], &listed["runs"][0]["thread"]), (&json!(run), &json!("f")));
    assert_eq!(home.json(0, &["threads", "show", "t"]), original, "the original is as it was");
    let across = home.json(0, &["threads", "diff", "t", &original["entry"].to_string(), "--with", "f"]);
    assert_eq!(across["channels"][0]["channel"], "calculation", "{across}");
    let drawn = home.json(0, &["runs", "show", run]);
    let nodes: Vec<&Value> = drawn["steps"].as_array().unwrap().iter().map(|step| &step["node"]).collect();
    assert_eq!(nodes, ["writer", "reviewer"], "what the fork itself did");

    home.json(0, &["threads", "delete", "t"]);
    let kept = home.json(0, &["threads", "show", "f"]);
    assert_eq!((&kept["status"], &kept["origin"]["thread"]), (&json!("finished"), &json!("t")));

    // Without a name it gets one, and a fork of the end has nothing to go on with.
    let end = home.run(&["threads", "fork", "f", "--at", &kept["entry"].to_string()]);
    assert!(end.stdout.contains("its run is finished") && end.stdout.contains("run --thread"), "{end:?}");
}

#[test]
fn what_cannot_be_forked_or_shown_is_refused_and_nothing_is_made() {
    let server = server("");
    let home = used(&server, &["letter", "other"]);
    let words = home.error("SW-C740", &["threads", "show", "lettr"]);
    assert!(words.contains("did you mean `letter`"), "{words}");
    assert!(home.error("SW-C740", &["threads", "history", "le"]).contains("did you mean `letter`"));
    home.error("SW-C740", &["threads", "diff", "letter", "1", "--with", "nobody"]);
    home.error("SW-C740", &["threads", "delete", "nobody"]);
    let fork = |more: &[&'static str]| [&["threads", "fork", "letter"], more].concat();
    let words = home.error("SW-X212", &fork(&["--at", "999"]));
    assert!(words.contains("it has the entries 1 to"), "{words}");
    home.error("SW-X212", &["threads", "show", "letter", "--at", "999"]);
    home.error("SW-X212", &["threads", "diff", "letter", "0"]);
    let words = home.error("SW-C742", &fork(&["--at", "2", "--set", "drft=\"x\""]));
    assert!(words.contains("did you mean `draft`"), "{words}");
    assert!(
        home.error("SW-C742", &fork(&["--at", "2", "--set", "colour=1"])).contains("use one of: question")
    );
    let words = home.error("SW-C743", &fork(&["--at", "2", "--set", "attempts=many"]));
    assert!(words.contains("`attempts`") && words.contains("u32"), "{words}");
    home.error("SW-C743", &fork(&["--at", "2", "--set", "draft=[1]"]));
    home.error("SW-C713", &fork(&["--at", "2", "--set", "draft"]));
    home.error("SW-X213", &fork(&["--at", "2", "--into", "other"]));
    for args in
        [&["threads", "fork", "letter"][..], &["threads", "prune"], &["threads", "diff", "letter", "x"]]
    {
        assert_eq!(home.run(args).code, Some(2), "{args:?}");
    }
    assert_eq!(sorted(&home), ["letter", "other"], "no fork was made");
}

#[test]
fn a_live_thread_is_not_deleted_and_an_open_one_only_by_force() {
    let server = stalling_server();
    let home = Home::new().served_by(&server);
    let (mut child, run) = waiting(&home, &server, &["--thread", "t"]);
    for args in [&["threads", "delete", "t"][..], &["threads", "delete", "t", "--force"]] {
        home.error("SW-S401", args);
    }
    let pruned = home.json(0, &["threads", "prune", "--keep-last", "0", "--unfinished-too"]);
    assert_eq!((&pruned["deleted"], &pruned["kept"]), (&json!([]), &json!(1)), "{pruned}");
    assert_eq!(child.try_wait().unwrap(), None, "it goes on");
    child.kill().unwrap();
    child.wait().unwrap();
    let words = home.error("SW-C741", &["threads", "delete", "t"]);
    assert!(words.contains("interrupted") && words.contains("--force"), "{words}");
    assert_eq!(names(&home.json(0, &["threads", "list"])), ["t"]);
    assert_eq!(
        home.json(0, &["threads", "delete", "t", "--force"]),
        json!({ "thread": "t", "deleted": true })
    );
    assert_eq!(home.json(0, &["threads", "list"]), json!({ "threads": [] }));
    assert_eq!(home.json(0, &["runs", "list"]), json!({ "runs": [] }), "its runs go with it");
    home.error("SW-C704", &["resume", &run]);
    home.error("SW-C740", &["threads", "delete", "t"]);
    assert_eq!(home.json(0, &["db", "check"])["ok"], true);
}

#[test]
fn prune_keeps_what_a_rule_keeps_and_leaves_open_threads_alone() {
    let server = server("");
    let home = used(&server, &["a", "b", "c"]);
    let stopped = home.run(&["run", "--graph", "classic", "--thread", "open", "--timeout", "0", SUM]);
    assert_eq!(stopped.code, Some(4), "{stopped:?}");
    let days = home.json(0, &["threads", "prune", "--keep-days", "1"]);
    assert_eq!((&days["deleted"], &days["kept"]), (&json!([]), &json!(4)));
    let prune = ["threads", "prune", "--keep-last", "1"];
    let planned = home.json(0, &[&prune[..], &["--dry-run"]].concat());
    assert_eq!(
        (&planned["deleted"], &planned["dry_run"]),
        (&json!(["a", "b"]), &json!(true)),
        "oldest first"
    );
    assert_eq!(names(&home.json(0, &["threads", "list"])).len(), 4, "a dry run deletes nothing");
    let said = home.run(&[&prune[..], &["--dry-run"]].concat());
    assert!(said.stdout.contains("2 would be deleted, 2 stay"), "{said:?}");
    let done = home.json(0, &prune);
    assert_eq!((&done["deleted"], &done["kept"]), (&json!(["a", "b"]), &json!(2)));
    assert_eq!(sorted(&home), ["c", "open"]);
    let all = home.json(0, &["threads", "prune", "--keep-last", "0", "--unfinished-too"]);
    assert_eq!(all["kept"], 0, "{all}");
    home.json(0, &["db", "vacuum"]);
    assert_eq!(home.json(0, &["db", "check"])["threads"], json!([]), "no row is left behind");
}

/// Another program may have run it, or somebody may have cleaned up too much: the journal speaks for itself.
#[test]
fn a_thread_without_a_row_in_the_table_of_runs_is_listed_shown_and_deleted() {
    let server = server("");
    let home = used(&server, &["t"]);
    crate::upkeep::sql(&home.database(), "DELETE FROM runs");
    let listed = home.json(0, &["threads", "list"]);
    let thread = &listed["threads"][0];
    assert_eq!(
        (&thread["status"], &thread["graph"], &thread["run"]),
        (&json!("finished"), &json!("classic"), &Value::Null)
    );
    assert!(thread["changed_ms"].as_u64().unwrap() > Duration::from_secs(1_000_000_000).as_millis() as u64);
    assert_eq!(home.json(0, &["threads", "show", "t"])["graph"], "classic");
    let fork = home.json(0, &["threads", "fork", "t", "--at", &before(&home, "t", "writer")]);
    home.json(0, &["resume", fork["run"].as_str().unwrap()]);
    home.json(0, &["threads", "delete", "t"]);
}

/// Every command of the guide, in its order, as a shell runs it. What a run is called is chance, so the names are those of
/// this run of it.
#[test]
fn the_commands_of_the_guide_are_real() {
    let guide = include_str!("../../docs/guides/time-travel.md");
    let home = Home::new();
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_statewright")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let called = |output: &str| output.split_once(", as run ").map(|(_, rest)| rest[..12].to_owned());
    let in_guide = called(guide).unwrap();
    let (mut in_fact, mut commands) = (String::new(), 0);
    let mut lines = guide.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut shown = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && !line.starts_with("```")) {
            shown.push(line.replace(&in_guide, &in_fact));
        }
        let mut shell = home.command(&[]);
        let environment: Vec<_> =
            shell.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        let work = shell.get_current_dir().unwrap().to_owned();
        shell = std::process::Command::new("sh");
        shell.args(["-c", &command.replace(&in_guide, &in_fact)]).current_dir(work).env("PATH", &path);
        for (name, value) in environment {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let output = shell.output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {said}");
        if let Some(run) = called(&said) {
            in_fact = run;
            shown = shown.into_iter().map(|line| line.replace(&in_guide, &in_fact)).collect();
        }
        // Times, and what depends on them, are of the moment.
        let is_steady =
            |line: &&String| !line.contains(" ms") && !line.contains(" ago") && !line.contains(", run ");
        for line in shown.iter().filter(is_steady).filter(|line| !line.is_empty()) {
            assert!(said.contains(line.as_str()), "{command} does not say `{line}`: {said}");
        }
        commands += 1;
    }
    assert_eq!(commands, 9);
}
