//! The journal of one small run as format version 1 wrote it. These bytes lie on disks: every later build has to read
//! them, and a build that writes others has to give them another version.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright_engine_core::graph::{BranchSpec, Decide, JoinSpec, NodeSpec};
use statewright_engine_core::journal::FORMAT;
use statewright_engine_core::{
    Action, Asking, Decision, Entry, EntryKind, Event, Execution, Failure, FailureKind, Limits, NodeIx,
    Options, Outcome, Payload, Payloads, Plan, Recovery, Seq, Status, Task, Topology, TypedCell, UpdateValue,
    VariantWiring, Wire,
};
use statewright_engine_runtime::State;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[state(version = 3)]
struct Golden {
    title: Option<String>,
    #[reduce(append)]
    notes: Vec<String>,
    #[reduce(sum)]
    tokens: u64,
    #[reduce(max)]
    best: f64,
    #[reduce(append)]
    #[state(ephemeral)]
    fresh: Vec<String>,
}

fn wire(node: u32) -> Wire {
    Wire { node: Some(NodeIx(node)), builder: 1, at_most: None }
}

const END: Wire = Wire { node: None, builder: 0, at_most: None };

/// plan → each search → (left, right) → join ask → again | END, with a bounded way back.
fn plan() -> Arc<Plan> {
    let mut topology = Topology::new("golden", 1, Golden::SCHEMA);
    for name in ["plan", "search", "gather", "left", "right", "ask"] {
        topology.add_node(NodeSpec::new(name.into(), &[]));
    }
    topology.start.push(wire(0));
    let variant = |label, each, wires| VariantWiring { label, each, wires };
    topology.nodes[0].route_variants = &["Search", "Skip"];
    topology.nodes[0].route =
        Some(vec![variant("Search", true, vec![wire(1)]), variant("Skip", false, vec![wire(2)])]);
    topology.nodes[1].edges.push(wire(2));
    topology.nodes[2].edges.extend([wire(3), wire(4)]);
    topology.joins.push(JoinSpec::all(wire(5), [wire(3), wire(4)]));
    let decide = Arc::new(|state: &(dyn std::any::Any + Send + Sync)| {
        let tokens = state.downcast_ref::<Golden>().map_or(0, |state| state.tokens);
        Decision { variant: u16::from(tokens > 10), payloads: Payloads::None }
    });
    let back = Wire { at_most: Some(1), ..wire(2) };
    let variants = vec![variant("Again", false, vec![back]), variant("Enough", false, vec![END])];
    topology.nodes[5].branches.push(BranchSpec { decide: Decide::Route(decide), variants });
    Arc::new(topology.compile().unwrap())
}

/// The run: a failure, a question, an exhausted bound, a second run.
fn record() -> (Vec<Entry>, Golden) {
    let options =
        Options { limits: Limits { snapshot_after_bytes: 600, ..Limits::default() }, ..Options::default() };
    let mut execution = Execution::new(plan(), Box::new(TypedCell::<Golden>::new()), options);
    let mut recorder = Recorder { entries: Vec::new(), now: 1_700_000_000_000, failed: false };
    for run in ["first", "second"] {
        let input = UpdateValue::live(Golden::update().title(run).notes("given"));
        execution.handle(recorder.now, Event::Start { run: run.into(), input }).unwrap();
        loop {
            match recorder.drive(&mut execution) {
                Outcome::Finished => break,
                Outcome::Paused(questions) => {
                    let value = rmp_serde::to_vec_named("yes").unwrap();
                    let interrupt = questions[0].id.clone();
                    execution.handle(recorder.now, Event::Answered { interrupt, value }).unwrap();
                    execution.handle(recorder.now, Event::Resume).unwrap();
                }
                Outcome::Failed(_) | Outcome::Exhausted(_) => {
                    execution.handle(recorder.now, Event::Resume).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let state = execution.state().downcast_ref::<Golden>().unwrap().clone();
    (recorder.entries, state)
}

struct Recorder {
    entries: Vec<Entry>,
    now: u64,
    failed: bool,
}

impl Recorder {
    fn drive(&mut self, execution: &mut Execution) -> Outcome {
        let mut running: Vec<Task> = Vec::new();
        loop {
            while let Some(action) = execution.poll_action() {
                match action {
                    Action::Persist(entry) => {
                        let seq = entry.seq;
                        self.entries.push(entry);
                        execution.handle(self.now, Event::Persisted { seq }).unwrap();
                    }
                    Action::Run(task) => running.push(task),
                    Action::Nested { .. } => unreachable!("no graph stands inside this one"),
                    Action::Abandon(_)
                    | Action::Emit(_)
                    | Action::StepKept(_)
                    | Action::Reserved(_)
                    | Action::Undo(_)
                    | Action::Deliver(_)
                    | Action::SetTimer { .. } => {}
                    Action::Stop(outcome) => return outcome,
                }
            }
            self.now += 7;
            // The last one first: the order in the journal is not the order of merging.
            let event = self.work(running.pop().unwrap());
            execution.handle(self.now, event).unwrap();
        }
    }

    fn work(&mut self, task: Task) -> Event {
        let Task { activation, attempt, .. } = task;
        let state = task.state.downcast::<Golden>().unwrap();
        let mut decision = None;
        let update = match task.node.0 {
            0 => {
                let queries = ["rust", "graphs"].map(|word| Payload::live(word.to_owned()));
                decision = Some(Box::new(Decision { variant: 0, payloads: Payloads::Each(queries.into()) }));
                Golden::update().tokens(1)
            }
            1 => {
                if !std::mem::replace(&mut self.failed, true) {
                    let mut failure = Failure::new("SW-X242", FailureKind::Transient, "the line is dead");
                    failure.details.push("connection reset".to_owned());
                    return Event::Failed { activation, attempt, failure: Box::new(failure), draw: 0 };
                }
                Golden::update()
                    .notes(format!("about {}", task.input.read::<String>().unwrap()))
                    .fresh("one")
                    .tokens(2)
            }
            2 => Golden::update().best(0.5 + state.best),
            3 | 4 => Golden::update().notes(format!("side {}", task.node.0)),
            _ if task.answers.is_none() => {
                let question = rmp_serde::to_vec_named("go on?").unwrap();
                let asking = Asking { name: "go on".to_owned(), question, ..Asking::default() };
                return Event::Asked { activation, attempt, questions: vec![asking] };
            }
            _ => Golden::update().clear_title().tokens(1),
        };
        Event::Finished { activation, attempt, update: UpdateValue::live(update), decision }
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/journal-v{FORMAT}.txt"))
}

/// One line for each entry: position, kind, bytes in hexadecimal.
fn to_text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let kind = if entry.kind == EntryKind::Record { "record" } else { "snapshot" };
        let hex: String = entry.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{} {kind} {hex}", entry.seq).unwrap();
    }
    text
}

fn from_text(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let seq: Seq = words.next().unwrap().parse().unwrap();
        let kind = if words.next() == Some("record") { EntryKind::Record } else { EntryKind::Snapshot };
        let hex = words.next().unwrap().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        Entry { seq, kind, bytes: hex.chunks(2).map(byte).collect() }
    };
    text.lines().map(entry).collect()
}

fn stored() -> Vec<Entry> {
    let path = path();
    if !path.exists() {
        // A recording is for ever: it is written where none is, and never over one. The run that wrote it fails, so
        // that nobody takes it for a proof.
        std::fs::write(&path, to_text(&record().0)).unwrap();
        panic!("there was no recording; {} has been written: look at it, and commit it", path.display());
    }
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    from_text(&text)
}

fn recover(entries: &[Entry], snapshot: Option<&Entry>) -> Execution {
    let cell = Box::new(TypedCell::<Golden>::new());
    let recovery = Recovery::new(plan(), cell, Options::default(), snapshot).unwrap();
    let needed = recovery.needs();
    let needed = |entry: &&Entry| needed.iter().any(|(from, to)| (*from..=*to).contains(&entry.seq));
    let referenced: Vec<Entry> = entries.iter().filter(needed).cloned().collect();
    let tail = &entries[recovery.tail_from() as usize - 1..];
    recovery.finish(&referenced, tail).unwrap()
}

#[test]
fn a_journal_of_format_1_is_still_understood() {
    understood(&stored());
}

/// Tables that do not say what the numbers of edges mean: only the same graph understands them.
#[test]
fn a_journal_without_shapes_is_still_understood() {
    let path = path().with_file_name("journal-v1-without-shapes.txt");
    understood(&from_text(&std::fs::read_to_string(path).unwrap()));
}

fn understood(entries: &[Entry]) {
    assert!(
        entries.iter().any(|entry| entry.kind == EntryKind::Snapshot),
        "the recording covers no snapshot"
    );
    let first = ["given", "about rust", "about graphs", "side 3", "side 4", "side 3", "side 4"];
    // From the beginning, and from every snapshot.
    for snapshot in
        std::iter::once(None).chain(entries.iter().filter(|e| e.kind == EntryKind::Snapshot).map(Some))
    {
        let execution = recover(entries, snapshot);
        assert_eq!(execution.status(), Status::Stopped(Outcome::Finished));
        let state = execution.state().downcast::<Golden>().unwrap();
        assert_eq!(state.notes[..7], first, "from the snapshot {:?}", snapshot.map(|entry| entry.seq));
        assert_eq!((state.title.clone(), state.tokens, state.best), (None, 17, 3.5));
    }
}

#[test]
fn the_same_history_is_written_as_the_same_bytes() {
    let (written, _) = record();
    let (written, stored) = (to_text(&written), to_text(&stored()));
    for (place, (new, old)) in written.lines().zip(stored.lines()).enumerate() {
        assert_eq!(
            new,
            old,
            "entry {} of the golden history is written differently than before: journals on disk have the old bytes. \
             If that is meant, raise `FORMAT`, keep reading the old version, and record a new golden journal beside the old one",
            place + 1
        );
    }
    assert_eq!(
        written.lines().count(),
        stored.lines().count(),
        "the golden history has another number of entries than before"
    );
}
