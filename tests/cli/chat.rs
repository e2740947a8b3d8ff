//! `chat`: turns on a thread, commands, Ctrl-C, and what is left over from before.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::support::{Done, Home, end, server, until};

/// Says these lines and then nothing more.
fn say(home: &Home, args: &[&str], lines: &[&str]) -> Done {
    let (child, mut input) = open(home, args);
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    end(child)
}

/// A conversation that is kept open.
fn open(home: &Home, args: &[&str]) -> (Child, ChildStdin) {
    let mut command = home.command(&[&["chat"], args].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take().unwrap();
    (child, input)
}

fn statuses(home: &Home) -> Vec<Value> {
    let listed = home.json(0, &["runs", "list"]);
    listed["runs"].as_array().unwrap().iter().map(|run| run["status"].clone()).collect()
}

fn messages(home: &Home, thread: &str) -> usize {
    home.json(0, &["threads", "show", thread])["state"]["messages"].as_array().unwrap().len()
}

#[test]
fn each_line_is_a_turn_of_one_conversation() {
    let home = Home::new();
    let done = say(&home, &["--thread", "t", "-q"], &["What is 2 + 2?", "", "What is 3 × 3?"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stdout, "2 + 2 = 4.\n3 × 3 = 9.\n", "plain lines, and no word more");
    // A question, a call, its result and an answer, twice.
    assert_eq!(messages(&home, "t"), 8);
    let done = say(&home, &["--thread", "t", "-q"], &["What is 4 × 4?"]);
    assert_eq!(
        (done.stdout.as_str(), messages(&home, "t")),
        ("4 × 4 = 16.\n", 12),
        "a later program goes on"
    );
}

#[test]
fn commands_show_change_and_fork_the_thread() {
    let home = Home::new();
    let lines = [
        "/help",
        "/thread",
        "What is 2 + 2?",
        "/fork",
        "What is 3 × 3?",
        "/thread other",
        "/thread",
        "/quit",
        "?",
    ];
    let done = say(&home, &["--thread", "t", "-q"], &lines);
    assert_eq!(done.code, Some(0), "{done:?}");
    let said: Vec<&str> = done.stdout.lines().collect();
    assert!(
        done.stdout.starts_with("/help") && said.contains(&"t") && said.last() == Some(&"other"),
        "{done:?}"
    );
    let forked = said
        .iter()
        .find_map(|line| line.strip_prefix("thread ")?.split_once(", forked from t at entry "))
        .unwrap();
    assert_eq!((messages(&home, "t"), messages(&home, forked.0)), (4, 8), "the original stays as it was");

    let done = say(&home, &["-q"], &["/frok"]);
    assert!(
        done.code == Some(1) && done.stderr.contains("SW-C760") && done.stderr.contains("/help"),
        "{done:?}"
    );
    assert_eq!(home.json(1, &["chat"])["error"]["code"], "SW-C713");
}

#[test]
fn ctrl_c_ends_the_turn_and_not_the_program() {
    let server = server("stall");
    let home = Home::new().served_by(&server);
    let (mut child, mut input) = open(&home, &["--thread", "t", "-q"]);
    writeln!(input, "What is 2 + 2?").unwrap();
    until("the call", || (server.wire.calls() == 1).then_some(()));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    writeln!(input, "What is 3 × 3?").unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "3 × 3 = 9.\n");
    drop(input);
    assert_eq!(end(child).code, Some(0));
    assert_eq!(statuses(&home), ["finished", "cancelled"]);
    assert_eq!(messages(&home, "t"), 4, "nothing of the cancelled turn is in the conversation");
}

#[test]
fn a_turn_that_was_killed_is_taken_up_first() {
    let server = server("ok,stall");
    let home = Home::new().served_by(&server);
    let (mut child, mut input) = open(&home, &["--thread", "t", "-q"]);
    writeln!(input, "What is 2 + 2?").unwrap();
    until("the second call", || (server.wire.calls() == 2).then_some(()));
    child.kill().unwrap();
    end(child);
    let done = say(&home, &["--thread", "t", "-q"], &["What is 3 × 3?"]);
    assert_eq!(done.stdout, "2 + 2 = 4.\n3 × 3 = 9.\n", "{done:?}");
    assert_eq!(server.wire.calls(), 5, "the first call of the killed turn is not made again");
    assert_eq!(statuses(&home), ["finished", "finished"]);
}

#[test]
fn a_turn_that_failed_can_be_taken_up_or_given_up() {
    for (next, answers) in [("/retry", "2 + 2 = 4.\n"), ("What is 3 × 3?", "3 × 3 = 9.\n")] {
        let server = server("401");
        let home = Home::new().served_by(&server);
        let done = say(&home, &["--thread", "t", "-q"], &["What is 2 + 2?", next]);
        assert!(done.stderr.contains("SW-P502") && done.stderr.contains("/retry"), "{done:?}");
        assert_eq!(
            (done.stdout.as_str(), done.code),
            (answers, Some(1)),
            "a failure nobody saw is told by the exit code"
        );
    }
}

#[test]
fn bad_lines_are_told_and_the_conversation_goes_on() {
    let home = Home::new();
    let (child, mut input) = open(&home, &["-q"]);
    input.write_all(b"\xff\xfe\nWhat is 2 + 2?\n").unwrap();
    drop(input);
    let done = end(child);
    assert!(done.stderr.contains("SW-C708") && done.stderr.contains("UTF-8"), "{done:?}");
    assert_eq!((done.stdout.as_str(), done.code), ("2 + 2 = 4.\n", Some(1)));
}
