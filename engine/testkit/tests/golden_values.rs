//! A journal of format 2, in which entries leave out what others hold, recorded once and read for ever: what this build
//! makes of the same history is what lies on disks already.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright_engine_core::graph::NodeSpec;
use statewright_engine_core::journal::CUT_FORMAT;
use statewright_engine_core::{
    Action, Entry, EntryKind, Event, Execution, Limits, NodeIx, Options, Outcome, Plan, Recovery, Seq,
    Status, Topology, TypedCell, UpdateValue, Wire, fill_values,
};
use statewright_engine_runtime::State;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Page {
    text: String,
    #[reduce(append)]
    lines: Vec<String>,
}

/// 150 bytes, of which nothing stands elsewhere.
fn text() -> String {
    (0..50).fold(String::new(), |text, number| format!("{text}{number:03}"))
}

/// one → two → three → END.
fn plan() -> Arc<Plan> {
    let wire = |node| Wire { node: Some(NodeIx(node)), builder: 1, at_most: None };
    let mut topology = Topology::new("pages", 1, Page::SCHEMA);
    for name in ["one", "two", "three"] {
        topology.add_node(NodeSpec::new(name.into(), &[]));
    }
    topology.start.push(wire(0));
    topology.nodes[0].edges.push(wire(1));
    topology.nodes[1].edges.push(wire(2));
    topology.nodes[2].edges.push(Wire { node: None, builder: 0, at_most: None });
    Arc::new(topology.compile().unwrap())
}

fn options() -> Options {
    let limits = Limits { value_bytes: 100, snapshot_after_bytes: 1, ..Limits::default() };
    Options { limits, ..Options::default() }
}

/// The text is written, added as a line, and written again; a snapshot stands behind each superstep.
fn record() -> Vec<Entry> {
    let mut execution = Execution::new(plan(), Box::new(TypedCell::<Page>::new()), options());
    let mut entries = Vec::new();
    execution.handle(1, Event::Start { run: "run".into(), input: UpdateValue::Empty }).unwrap();
    while let Some(action) = execution.poll_action() {
        match action {
            Action::Persist(entry) => {
                execution.handle(1, Event::Persisted { seq: entry.seq }).unwrap();
                entries.push(entry);
            }
            Action::Run(task) => {
                let update = if task.node == NodeIx(1) {
                    Page::update().lines("short").lines(text())
                } else {
                    Page::update().text(text())
                };
                let (activation, attempt) = (task.activation, task.attempt);
                let update = UpdateValue::live(update);
                let event = Event::Finished { activation, attempt, update, decision: None };
                execution.handle(1, event).unwrap();
            }
            _ => {}
        }
    }
    entries
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/journal-v{CUT_FORMAT}.txt"))
}

/// One line for each entry: position, kind, bytes in hexadecimal.
fn to_text(entries: &[Entry]) -> String {
    let mut lines = String::new();
    for entry in entries {
        let kind = if entry.kind == EntryKind::Record { "record" } else { "snapshot" };
        let hex: String = entry.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(lines, "{} {kind} {hex}", entry.seq).unwrap();
    }
    lines
}

fn from_text(lines: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let [seq, kind, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let seq: Seq = seq.parse().unwrap();
        let kind = if kind == "record" { EntryKind::Record } else { EntryKind::Snapshot };
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        Entry { seq, kind, bytes: hex.as_bytes().chunks(2).map(byte).collect() }
    };
    lines.lines().map(entry).collect()
}

fn stored() -> String {
    let path = path();
    if !path.exists() {
        // A recording is for ever: it is written where none is, and never over one. The run that wrote it fails, so
        // that nobody takes it for a proof.
        std::fs::write(&path, to_text(&record())).unwrap();
        panic!("there was no recording; {} has been written: look at it, and commit it", path.display());
    }
    std::fs::read_to_string(&path).unwrap()
}

#[test]
fn a_journal_of_format_2_is_still_understood() {
    let mut entries = from_text(&stored());
    let cut = entries.iter().filter(|entry| entry.bytes[0] == CUT_FORMAT).count();
    let text_of = text().into_bytes();
    let copies = entries.iter().filter(|entry| entry.bytes.windows(150).any(|part| part == text_of)).count();
    assert!(cut >= 3 && copies == 2, "{cut} entries leave something out, {copies} hold the text");
    fill_values(&mut entries, &[]).unwrap();
    let snapshots = entries.iter().filter(|entry| entry.kind == EntryKind::Snapshot).map(Some);
    for snapshot in std::iter::once(None).chain(snapshots) {
        let cell = Box::new(TypedCell::<Page>::new());
        let recovery = Recovery::new(plan(), cell, options(), snapshot).unwrap();
        let needed = recovery.needs();
        let needed = |entry: &&Entry| needed.iter().any(|(from, to)| (*from..=*to).contains(&entry.seq));
        let referenced: Vec<Entry> = entries.iter().filter(needed).cloned().collect();
        let tail = &entries[recovery.tail_from() as usize - 1..];
        let execution = recovery.finish(&referenced, tail).unwrap();
        assert_eq!(execution.status(), Status::Stopped(Outcome::Finished));
        let state = execution.state().downcast::<Page>().unwrap();
        assert_eq!(*state, Page { text: text(), lines: vec!["short".to_owned(), text()] });
    }
}

#[test]
fn the_same_history_is_written_as_the_same_bytes() {
    assert_eq!(
        to_text(&record()),
        stored(),
        "entries with cuts are written differently than before: journals on disk have the old bytes"
    );
}
