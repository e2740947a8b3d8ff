//! Bytes that nobody meant to write: an entry is read as what was written, or refused. Nothing here may panic.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::graph::NodeSpec;
use statewright_engine_core::journal::{
    self, Body, Crashed, Crossing, FORMAT, FrameError, Record, SnapshotBody,
};
use statewright_engine_core::{
    Action, Asking, Channel, EdgeIx, EffectClass, Entry, EntryKind, Event, Execution, Failure, FailureKind,
    NodeIx, Options, Outcome, Plan, Recovery, Reducer, Retry, RetryPolicy, Seq, State, StateSchema,
    StepState, StoredStep, StoredUndo, Task, Topology, TypedCell, UndoEnd, UndoTask, Update, UpdateValue,
    Wire, Wish, Write,
};

/// A state without the derive macros, which this crate does not depend on.
#[derive(Clone, Debug, Default, PartialEq)]
struct Mini {
    log: Vec<u64>,
    title: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MiniUpdate {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    log: Vec<u64>,
    #[serde(default, skip_serializing_if = "Write::is_keep")]
    title: Write<Option<String>>,
}

impl Update for MiniUpdate {
    fn is_empty(&self) -> bool {
        self.log.is_empty() && self.title.is_keep()
    }
    fn written(&self, visit: &mut dyn FnMut(usize)) {
        if !self.log.is_empty() {
            visit(0);
        }
        if !self.title.is_keep() {
            visit(1);
        }
    }
    fn retain(&mut self, keep: &dyn Fn(usize) -> bool) {
        if !keep(0) {
            self.log.clear();
        }
        if !keep(1) {
            self.title = Write::Keep;
        }
    }
}

impl State for Mini {
    type Update = MiniUpdate;
    const SCHEMA: &'static StateSchema = &StateSchema {
        name: "Mini",
        version: 1,
        channels: &[
            Channel { name: "log", reducer: Reducer::Append, ephemeral: false, reset_on_run: false },
            Channel { name: "title", reducer: Reducer::Replace, ephemeral: false, reset_on_run: true },
        ],
    };
    fn apply(&mut self, update: MiniUpdate) {
        self.log.extend(update.log);
        if let Write::Set(title) = update.title {
            self.title = title;
        }
    }
    fn to_update(&self) -> MiniUpdate {
        MiniUpdate { log: self.log.clone(), title: Write::Set(self.title.clone()) }
    }
    fn restore(&mut self, image: MiniUpdate, keep: &dyn Fn(usize) -> bool) {
        if keep(0) {
            self.log = image.log;
        }
        if let (true, Write::Set(title)) = (keep(1), image.title) {
            self.title = title;
        }
    }
    fn begin_superstep(&mut self) {}
    fn begin_run(&mut self) {
        self.title = None;
    }
}

fn plan() -> Arc<Plan> {
    let mut topology = Topology::new("mini", 1, Mini::SCHEMA);
    let wire = |node, at_most| Wire { node: Some(NodeIx(node)), builder: 1, at_most };
    let end = Wire { node: None, builder: 0, at_most: None };
    for name in ["first", "left", "right", "rescue"] {
        topology.add_node(NodeSpec::new(name.into(), &[]));
    }
    topology.start.push(wire(0, None));
    topology.nodes[0].edges.extend([wire(1, None), wire(2, None)]);
    topology.nodes[1].edges.push(end);
    topology.nodes[2].edges.extend([wire(0, Some(1)), end]);
    topology.nodes[3].edges.push(end);
    topology.nodes[1].policy = RetryPolicy::new().attempts(2).into();
    topology.nodes[1].on_error.push(wire(3, None));
    Arc::new(topology.compile().unwrap())
}

fn new_cell() -> Box<TypedCell<Mini>> {
    Box::new(TypedCell::new())
}

/// A journal with every kind of record and with snapshots.
fn journal() -> Vec<Entry> {
    let mut execution = Execution::new(plan(), new_cell(), Options::default());
    let input = MiniUpdate { log: vec![1], title: Write::Set(Some("t".to_owned())) };
    execution.handle(1, Event::Start { run: "r".into(), input: UpdateValue::live(input) }).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    let (mut executions, mut tried) = (0, 0);
    loop {
        let Some(action) = execution.poll_action() else { panic!("the run does not end: {execution:?}") };
        match action {
            Action::Nested { .. } => unreachable!("no graph stands inside this one"),
            Action::Persist(entry) => {
                execution.handle(2, Event::Persisted { seq: entry.seq }).unwrap();
                entries.push(entry);
            }
            Action::Run(Task { activation, attempt, node, answers, .. }) => {
                executions += 1;
                let event = match (executions, node.0) {
                    (1, _) => {
                        let failure = Failure::new("T-1", FailureKind::Transient, "no");
                        Event::Failed { activation, attempt, failure: Box::new(failure), draw: 0 }
                    }
                    // Asked to come back, tried again, then handed to the error handler.
                    (_, 1) if answers.is_some() && tried < 3 => {
                        tried += 1;
                        let mut failure = Failure::new("T-2", FailureKind::Transient, "busy");
                        failure.retry_after_ms = (tried == 1).then_some(9);
                        Event::Failed { activation, attempt, failure: Box::new(failure), draw: 7 }
                    }
                    (_, 1) if answers.is_none() => {
                        let amounts = [("calls".to_owned(), 1)].into();
                        let wish =
                            Wish { activation, attempt, number: 1, amounts, of_step: false, begins: None };
                        execution.handle(3, Event::Reserve(Box::new(wish))).unwrap();
                        for (name, state) in
                            [("s", StepState::Finished(vec![7].into())), ("e", StepState::Started)]
                        {
                            let undo = StoredUndo { kind: "u".to_owned(), payload: vec![0xc0].into() };
                            let undo = (name == "s").then(|| Box::new(undo));
                            let (input, class) = (Some(vec![1; 16].into()), EffectClass::AtMostOnce);
                            let step = StoredStep {
                                name: name.to_owned(),
                                input,
                                class,
                                per_attempt: false,
                                state,
                                undo,
                            };
                            execution
                                .handle(3, Event::Stepped { activation, attempt, step: Box::new(step) })
                                .unwrap();
                        }
                        let asking = |name: &str| Asking {
                            name: name.to_owned(),
                            question: vec![0xc0],
                            expiry: Some((1000, vec![0xc0])),
                            ladder: None,
                        };
                        Event::Asked { activation, attempt, questions: vec![asking("q"), asking("r")] }
                    }
                    _ => {
                        let update = MiniUpdate { log: vec![executions, 7], title: Write::Keep };
                        Event::Finished {
                            activation,
                            attempt,
                            update: UpdateValue::live(update),
                            decision: None,
                        }
                    }
                };
                execution.handle(3, event).unwrap();
            }
            Action::Stop(Outcome::Cancelled) if execution.run().is_some_and(|run| run.as_str() == "r2") => {
                return entries;
            }
            Action::Undo(task) => {
                let UndoTask { id, attempt, .. } = *task;
                let end = UndoEnd { id, attempt, failure: None, draw: 0 };
                execution.handle(6, Event::UndoEnded(Box::new(end))).unwrap();
            }
            Action::Stop(Outcome::Cancelled | Outcome::Compensated { .. }) => {
                execution.handle(6, Event::Start { run: "r2".into(), input: UpdateValue::Empty }).unwrap();
                execution.handle(7, Event::Cancel).unwrap();
            }
            // The loop has no other way out.
            Action::Stop(Outcome::Exhausted(_)) if entries.len() > 20 => {
                execution.handle(5, Event::Cancel).unwrap();
            }
            Action::Stop(_) => {
                for effect in execution.unknown_effects() {
                    execution.handle(4, Event::Settled { effect, value: Some(vec![9]) }).unwrap();
                }
                for interrupt in execution.interrupts() {
                    let value = vec![0xc3];
                    execution.handle(4, Event::Answered { interrupt: interrupt.id, value }).unwrap();
                }
                execution.handle(5, Event::Resume).unwrap();
            }
            Action::SetTimer { at_ms } => execution.handle(at_ms, Event::TimerFired).unwrap(),
            Action::Abandon(_)
            | Action::Emit(_)
            | Action::StepKept(_)
            | Action::Reserved(_)
            | Action::Deliver(_) => {}
        }
    }
}

fn read(entry: &Entry) -> Result<(), FrameError> {
    match entry.kind {
        EntryKind::Record => journal::decode::<Record>(&entry.bytes).map(drop),
        EntryKind::Snapshot => journal::decode::<SnapshotBody>(&entry.bytes).map(drop),
    }
}

/// Frames a body with the right checksum, whatever the body is.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend(crc32fast::hash(body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Recovers, and if that is possible takes the thread up: whatever the entries say, nothing may panic.
fn take_up(snapshot: Option<&Entry>, entries: &[Entry]) {
    let Ok(recovery) = Recovery::new(plan(), new_cell(), Options::default(), snapshot) else { return };
    let needs = recovery.needs();
    let needed = |entry: &&Entry| needs.iter().any(|(from, to)| (*from..=*to).contains(&entry.seq));
    let referenced: Vec<Entry> = entries.iter().filter(needed).cloned().collect();
    let from = recovery.tail_from();
    let tail: Vec<Entry> = entries.iter().filter(|entry| entry.seq >= from).cloned().collect();
    let Ok(mut execution) = recovery.finish(&referenced, &tail) else { return };
    let _ = (execution.status(), execution.interrupts(), execution.state());
    let _ = execution.handle(1, Event::Resume);
    for _ in 0..200 {
        let event = match execution.poll_action() {
            Some(Action::Persist(entry)) => Event::Persisted { seq: entry.seq },
            Some(Action::Run(Task { activation, attempt, .. })) => {
                Event::Finished { activation, attempt, update: UpdateValue::Empty, decision: None }
            }
            Some(Action::Stop(_) | Action::Nested { .. }) | None => return,
            Some(
                Action::Abandon(_)
                | Action::Emit(_)
                | Action::StepKept(_)
                | Action::Reserved(_)
                | Action::Undo(_)
                | Action::Deliver(_)
                | Action::SetTimer { .. },
            ) => continue,
        };
        let _ = execution.handle(1, event);
    }
}

#[test]
fn the_journal_that_is_damaged_below_is_sound() {
    let entries = journal();
    let snapshots = entries.iter().filter(|entry| entry.kind == EntryKind::Snapshot).count();
    assert!(entries.len() > 15 && snapshots > 2, "{} entries, {snapshots} snapshots", entries.len());
    assert!(entries.iter().all(|entry| read(entry).is_ok()));
    let said = |what: fn(&Body) -> bool| {
        let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
        records.map(|entry| journal::decode::<Record>(&entry.bytes).unwrap().body).any(|body| what(&body))
    };
    assert!(said(|body| matches!(body, Body::Failed { retry: Some(Retry { asked_ms: Some(_), .. }), .. })));
    assert!(said(|body| matches!(body, Body::Failed { retry: Some(Retry { asked_ms: None, .. }), .. })));
    assert!(said(|body| matches!(body, Body::Failed { handled: true, .. })));
    assert!(said(|body| matches!(body, Body::Budget(_))));
    assert!(said(|body| matches!(body, Body::Undo(_))));
}

#[test]
fn every_truncation_of_an_entry_is_refused() {
    for entry in journal() {
        for length in 0..entry.bytes.len() {
            let cut = Entry { bytes: entry.bytes[..length].to_vec(), ..entry.clone() };
            assert!(
                read(&cut).is_err(),
                "entry {} is read although only {length} bytes of it are left",
                entry.seq
            );
        }
    }
}

#[test]
fn every_flipped_bit_of_an_entry_is_refused() {
    for entry in journal() {
        for bit in 0..entry.bytes.len() * 8 {
            let mut flipped = entry.clone();
            flipped.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "entry {} is read although bit {bit} is flipped", entry.seq);
        }
    }
}

#[test]
fn missing_and_misplaced_entries_are_refused() {
    let entries = journal();
    let finish = |tail: &[Entry]| {
        Recovery::new(plan(), new_cell(), Options::default(), None).unwrap().finish(&[], tail).map(drop)
    };
    finish(&entries).unwrap();
    for place in 0..entries.len() - 1 {
        let mut gap = entries.clone();
        gap.remove(place);
        assert_eq!(finish(&gap).unwrap_err().code(), "SW-S413", "without entry {}", place + 1);
        let mut swapped = entries.clone();
        swapped.swap(place, place + 1);
        assert_eq!(
            finish(&swapped).unwrap_err().code(),
            "SW-S413",
            "entries {} and {} swapped",
            place + 1,
            place + 2
        );
    }
}

/// Numbers at their ends, in otherwise sound entries.
#[test]
fn extreme_numbers_never_panic() {
    let entries = journal();
    let forge: [fn(&mut SnapshotBody); 6] = [
        |body| body.superstep = u64::MAX,
        |body| body.slots.iter_mut().for_each(|slot| slot.attempts = u32::MAX),
        |body| body.crossings = vec![Crossing { edge: EdgeIx(4), count: u32::MAX }],
        |body| body.references.iter_mut().for_each(|list| list.ranges = vec![(0, u64::MAX)]),
        |body| body.references.iter_mut().for_each(|list| list.ranges = vec![(u64::MAX, u64::MAX), (3, 1)]),
        |body| body.exhausted = Some(EdgeIx(u32::MAX)),
    ];
    for forge in forge {
        for place in (0..entries.len()).filter(|place| entries[*place].kind == EntryKind::Snapshot) {
            let mut entries = entries[..=place].to_vec();
            let mut body: SnapshotBody = journal::decode(&entries[place].bytes).unwrap();
            forge(&mut body);
            entries[place].bytes = journal::encode(&body).unwrap();
            take_up(Some(&entries[place]), &entries);
        }
    }
    let forge: [fn(&mut Body); 5] = [
        |body| {
            if let Body::Opened(opened) = body {
                opened.commit.superstep = u64::MAX;
                opened.commit.crossings = vec![Crossing { edge: EdgeIx(4), count: u32::MAX }];
            }
        },
        |body| {
            if let Body::Finished { commit: Some(commit), .. } = body {
                commit.superstep = u64::MAX;
            }
        },
        |body| {
            if let Body::Failed { attempt, .. } | Body::Finished { attempt, .. } = body {
                *attempt = u32::MAX;
            }
        },
        |body| {
            if let Body::Failed { retry, .. } = body {
                *retry = Some(Retry { at_ms: u64::MAX, asked_ms: Some(u64::MAX) });
            }
        },
        |body| {
            if let Body::Resumed { crashed, .. } = body {
                let crash = Crashed { index: 9, count: u32::MAX, failure: None, handled: true };
                crashed.push(crash);
            }
        },
    ];
    for forge in forge {
        for place in (0..entries.len()).filter(|place| entries[*place].kind == EntryKind::Record) {
            let mut entries = entries[..=place].to_vec();
            let mut record: Record = journal::decode(&entries[place].bytes).unwrap();
            forge(&mut record.body);
            entries[place].bytes = journal::encode(&record).unwrap();
            take_up(None, &entries);
        }
    }
}

fn seqs() -> impl Strategy<Value = Seq> {
    prop_oneof![4 => 0..40u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1), 1 => any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // A checksum of 32 bits is not hit by accident.
        prop_assert!(journal::decode::<Record>(&bytes).is_err());
        prop_assert!(journal::decode::<SnapshotBody>(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bodies_with_a_right_checksum_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = journal::decode::<Record>(&framed(&body));
        let _ = journal::decode::<SnapshotBody>(&framed(&body));
    }

    /// Somebody wrote other bytes into the database and repaired the checksums.
    #[test]
    fn forged_entries_never_panic(
        forgeries in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
        from_snapshot in any::<prop::sample::Index>(),
    ) {
        let mut entries = journal();
        for (entry, byte, value) in forgeries {
            let place = entry.index(entries.len());
            let mut body = entries[place].bytes[5..].to_vec();
            let place_in_body = byte.index(body.len());
            body[place_in_body] = value;
            entries[place].bytes = framed(&body);
        }
        take_up(None, &entries);
        let snapshots: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == EntryKind::Snapshot).collect();
        take_up(Some(snapshots[from_snapshot.index(snapshots.len())]), &entries);
    }

    #[test]
    fn entries_at_absurd_positions_never_panic(
        moved in prop::collection::vec((any::<prop::sample::Index>(), seqs()), 1..4),
        from_snapshot in any::<prop::sample::Index>(),
    ) {
        let mut entries = journal();
        for (entry, seq) in moved {
            let place = entry.index(entries.len());
            entries[place].seq = seq;
        }
        take_up(None, &entries);
        let snapshots: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == EntryKind::Snapshot).collect();
        take_up(Some(snapshots[from_snapshot.index(snapshots.len())]), &entries);
        entries.sort_by_key(|entry| entry.seq);
        take_up(None, &entries);
    }

    #[test]
    fn any_two_journals_shuffled_together_never_panic(
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
    ) {
        let entries = journal();
        let picked = places.iter().enumerate();
        let shuffled: Vec<Entry> = picked
            .map(|(seq, place)| Entry { seq: seq as Seq + 1, ..entries[place.index(entries.len())].clone() })
            .collect();
        take_up(None, &shuffled);
    }

    #[test]
    fn a_write_round_trips(value in any::<Option<i64>>(), kept in any::<bool>()) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Holder {
            #[serde(default, skip_serializing_if = "Write::is_keep")]
            field: Write<Option<i64>>,
        }
        let holder = Holder { field: if kept { Write::Keep } else { Write::Set(value) } };
        let bytes = rmp_serde::to_vec_named(&holder).unwrap();
        prop_assert_eq!(&rmp_serde::from_slice::<Holder>(&bytes).unwrap(), &holder);
        let text = serde_json::to_string(&holder).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Holder>(&text).unwrap(), &holder);
    }
}
