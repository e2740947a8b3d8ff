//! Journals of real runs, damaged in every way that a draw of numbers can think of, and read. What is damaged mostly gets
//! a right checksum, so that it comes past the frame to what reads the records.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use statewright_engine_core::{Event, Execution, Options, Recovery, TypedCell, fill_values, missing_values};
use statewright_engine_runtime::*;
use statewright_engine_testkit::{Rng, Trial, mix};

/// What one reading may allocate at its peak: the journals have a few KiB.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const HEADER_BYTES: usize = 5;
const ACTIONS_MAX: usize = 1_000;

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Any entry; read from the beginning.
    Journal,
    /// Snapshots and what they refer to; read from a snapshot.
    Snapshot,
}

/// What became of the executions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) executions: u64,
    /// Refused with a code.
    pub(crate) refused: u64,
    /// Taken up, because the damage made no difference or another sound journal.
    pub(crate) taken_up: u64,
    /// The most that one execution allocated at a time.
    pub(crate) bytes_peak: u64,
}

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Log {
    #[reduce(append)]
    lines: Vec<String>,
    #[reduce(sum)]
    total: u64,
    #[reduce(max)]
    most: f64,
    word: Option<String>,
    #[state(ephemeral)]
    scratch: String,
}

#[derive(Route)]
enum Spread {
    #[each]
    Parts(Vec<u64>),
    One(String),
}

#[derive(Route)]
enum Judged {
    Again,
    Enough,
}

fn graph() -> Result<Graph<Log>, Problems> {
    let mut g = StateGraph::<Log>::new("fuzz");
    let plan = g.func("plan", async |ctx: Ctx<Log>| {
        let receipt: u64 = ctx.step("look").run(|| async { Ok(7u64) }).await?;
        ctx.outbox("mail", "hello")?;
        let route =
            if ctx.state.total > 8 { Spread::One("x".to_owned()) } else { Spread::Parts(vec![1, 2, 3]) };
        Ok((Log::update().lines("plan").scratch("s").total(receipt), route))
    });
    let part = g.func("part", async |ctx: Ctx<Log, u64>| {
        if ctx.input == 2 && ctx.attempt() == 1 {
            return Err(NodeError::transient("once"));
        }
        let did: String = ctx.effect("do").run(|key| async move { Ok(key) }).await?;
        Ok(Log::update().lines(did).most(ctx.input as f64))
    });
    let one = g.func("one", async |ctx: Ctx<Log, String>| {
        if ctx.input == "x" { Err(NodeError::permanent("for good")) } else { Ok(Log::update()) }
    });
    let mend = g.func("mend", async |ctx: Ctx<Log, NodeFailure>| Ok(Log::update().word(ctx.input.message)));
    let (left, right) =
        (g.func("left", ask), g.func("right", async |_: Ctx<Log>| Ok(Log::update().lines("right"))));
    let meet = g.func("meet", async |_: Ctx<Log>| Ok(Log::update().total(2u64)));
    g.policy(part, RetryPolicy::new().attempts(2).initial(Duration::from_millis(1)));
    g.start(plan);
    g.route(plan, SpreadEdges { parts: part.to(), one: one.to() });
    let both = g.func("both", async |_: Ctx<Log>| Ok(Log::update().lines("both")));
    g.edge(part, both);
    g.edge(both, left.to().and(right));
    g.join((left, right), meet);
    let judge = |state: &Log| if state.total < 30 { Judged::Again } else { Judged::Enough };
    g.branch(meet, judge, JudgedEdges { again: plan.to().at_most(4), enough: To::END });
    g.on_error(one, mend);
    g.end(one);
    g.end(mend);
    g.build()
}

async fn ask(ctx: Ctx<Log>) -> Result<LogUpdate, NodeError> {
    let word: String = ctx.ask("word", "which?").await;
    // Large enough to be stored once.
    Ok(Log::update().lines(word + &"north ".repeat(900)).clear_word())
}

/// The journals that are damaged, and the graph that wrote them.
pub(crate) struct Corpus {
    graph: Graph<Log>,
    journals: Vec<Vec<Entry>>,
}

impl Corpus {
    pub(crate) async fn new() -> Result<Self, String> {
        let graph = graph().map_err(|problems| problems.to_string())?;
        let mut journals = Vec::new();
        for snapshot_after_bytes in [0, 200, 1_000, 1 << 20] {
            let limits = Limits { snapshot_after_bytes, ..Limits::default() };
            let trial = Trial::of(&graph, Log::update().lines("in"))
                .answer("word", "north".to_owned())
                .runner(move |runner| {
                    runner.limits(limits).outbox("mail", |_: Delivery<String>| async { Ok(()) })
                });
            let ran = trial.run().await.map_err(|error| error.to_string())?;
            let paused =
                Trial::of(&graph, Log::update()).runner(move |runner| runner.limits(limits)).run().await;
            journals.push(ran.entries);
            journals.push(paused.map_err(|error| error.to_string())?.entries);
        }
        Ok(Self { graph, journals })
    }

    /// Damages and reads once for each seed.
    ///
    /// # Errors
    /// The seed, and what should not have happened.
    pub(crate) fn play(&self, target: Target, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let mut rng = Rng::new(mix(&[seed, target as u64]));
        let entries = self.damaged(&mut rng, target);
        let mut result = Ok(Ok(()));
        let memory = allocation_counter::measure(|| {
            result = catch_unwind(AssertUnwindSafe(|| self.read(&mut rng, target, &entries)));
        });
        tally.executions += 1;
        tally.bytes_peak = tally.bytes_peak.max(memory.bytes_max);
        if memory.bytes_max > BYTES_MAX {
            return Err(format!("seed {seed} of {target:?} allocates {} bytes at a time", memory.bytes_max));
        }
        match result {
            Err(_) => Err(format!("seed {seed} of {target:?} panics")),
            Ok(Ok(())) => {
                tally.taken_up += 1;
                Ok(())
            }
            Ok(Err(code)) if code.starts_with("SW-") && code.len() == 7 => {
                tally.refused += 1;
                Ok(())
            }
            Ok(Err(code)) => {
                Err(format!("seed {seed} of {target:?} is refused by `{code}`, which is no code"))
            }
        }
    }

    fn damaged(&self, rng: &mut Rng, target: Target) -> Vec<Entry> {
        let mut entries = self.journals[rng.below(self.journals.len())].clone();
        for _ in 0..rng.between(1, 3) {
            let wanted = |entry: &Entry| target == Target::Journal || entry.kind == EntryKind::Snapshot;
            let places: Vec<usize> = (0..entries.len()).filter(|place| wanted(&entries[*place])).collect();
            let Some(place) = places.get(rng.below(places.len())).copied() else { continue };
            match rng.below(20) {
                0 => drop(entries.remove(place)),
                1 => entries.truncate(place),
                2 => {
                    let other = rng.below(entries.len());
                    let bytes = entries[other].bytes.clone();
                    entries[place].bytes = bytes;
                }
                3 => entries[place].seq = [0, 1, u64::MAX, u64::MAX >> 1, rng.draw()][rng.below(5)],
                _ => {
                    let donor = self.donor(rng);
                    damage(rng, &mut entries[place].bytes, &donor);
                }
            }
        }
        entries
    }

    fn donor(&self, rng: &mut Rng) -> Vec<u8> {
        let journal = &self.journals[rng.below(self.journals.len())];
        journal[rng.below(journal.len())].bytes.clone()
    }

    /// Reads the journal as a view and as an execution, and takes that up.
    fn read(&self, rng: &mut Rng, target: Target, stored: &[Entry]) -> Result<(), &'static str> {
        missing_values(stored).map_err(|error| error.code())?;
        let (mut entries, mut sorted) = (stored.to_vec(), stored.to_vec());
        sorted.sort_by_key(|entry| entry.seq);
        fill_values(&mut entries, &sorted).map_err(|error| error.code())?;
        let entries = &entries[..];
        let view = ThreadView::read(self.graph.plan(), entries);
        if let Ok(view) = &view {
            let _ = view.overlay(self.graph.plan(), None);
        }
        let snapshots: Vec<&Entry> =
            entries.iter().filter(|entry| entry.kind == EntryKind::Snapshot).collect();
        let snapshot = match target {
            Target::Journal => None,
            Target::Snapshot => snapshots.get(rng.below(snapshots.len())).copied(),
        };
        let cell = Box::new(TypedCell::<Log>::new());
        let plan = self.graph.plan().clone();
        let recovery =
            Recovery::new(plan, cell, Options::default(), snapshot).map_err(|error| error.code())?;
        let needs = recovery.needs();
        let needed = |entry: &&Entry| needs.iter().any(|(from, to)| (*from..=*to).contains(&entry.seq));
        let referenced: Vec<Entry> = entries.iter().filter(needed).cloned().collect();
        let tail: Vec<Entry> =
            entries.iter().filter(|entry| entry.seq >= recovery.tail_from()).cloned().collect();
        let mut execution = recovery.finish(&referenced, &tail).map_err(|error| error.code())?;
        let event = if rng.chance(800) { Event::Resume } else { Event::Cancel };
        take_up(&mut execution, event)
    }
}

fn take_up(execution: &mut Execution, event: Event) -> Result<(), &'static str> {
    let _ = (execution.interrupts(), execution.unknown_effects(), execution.status());
    execution.handle(1_700_000_000_000, event).map_err(|refused| refused.code())?;
    for _ in 0..ACTIONS_MAX {
        let Some(action) = execution.poll_action() else { break };
        if let statewright_engine_core::Action::Persist(entry) = action {
            execution.handle(0, Event::Persisted { seq: entry.seq }).map_err(|refused| refused.code())?;
        }
    }
    Ok(())
}

/// Changes bytes: flips, cuts, splices, lengths and extreme numbers; nine of ten times the checksum is made to fit.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, donor: &[u8]) {
    if bytes.len() <= HEADER_BYTES {
        return;
    }
    for _ in 0..rng.between(1, 4) {
        let place = rng.between(HEADER_BYTES, bytes.len().saturating_sub(1).max(HEADER_BYTES));
        if place >= bytes.len() {
            break;
        }
        match rng.below(9) {
            0 => bytes[place] ^= 1 << rng.below(8),
            1 => bytes[place] = rng.draw() as u8,
            2 => bytes.truncate(place),
            3 => bytes.insert(place, rng.draw() as u8),
            4 => drop(bytes.drain(place..(place + rng.between(1, 40)).min(bytes.len()))),
            5 => {
                let from = rng.below(donor.len());
                let piece = donor[from..(from + rng.between(1, 60)).min(donor.len())].to_vec();
                bytes.splice(place..place, piece);
            }
            // A list, a map, a text or bytes that say they go on for gigabytes.
            6 => {
                let marker = [0xdd, 0xdf, 0xdb, 0xc6][rng.below(4)];
                bytes.splice(place..place, [marker, 0xff, 0xff, 0xff, 0xf0]);
            }
            7 => {
                let extreme = [u64::MAX, u64::MAX >> 1, u64::from(u32::MAX), 1 << 53][rng.below(4)];
                bytes.splice(place..=place, std::iter::once(0xcf).chain(extreme.to_be_bytes()));
            }
            _ => {
                let (a, b) = (bytes[place], rng.between(HEADER_BYTES, bytes.len() - 1));
                bytes[place] = std::mem::replace(&mut bytes[b], a);
            }
        }
    }
    if rng.chance(900) && bytes.len() >= HEADER_BYTES {
        let checksum = crc32fast::hash(&bytes[HEADER_BYTES..]);
        bytes[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }
}
