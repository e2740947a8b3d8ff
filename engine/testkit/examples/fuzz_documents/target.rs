//! What is done with a document that was made up: it is built, run and killed, and each of it is judged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use statewright_engine_runtime::*;
use statewright_engine_testkit::{Rng, mix};

use super::made_up;

/// What one run may execute.
const EXECUTIONS_MAX: usize = 20_000;

/// What became of the documents.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) documents: u64,
    /// Refused, each problem with a code and a place.
    pub(crate) refused: u64,
    /// Built.
    pub(crate) graphs: u64,
    /// Runs that finished.
    pub(crate) finished: u64,
    /// Runs that were killed, taken up, and ended as they would have.
    pub(crate) taken_up: u64,
}

/// The code that documents name, and a runtime whose clock stands still.
pub(crate) struct Target {
    code: NodeRegistry,
    runtime: tokio::runtime::Runtime,
}

impl Target {
    pub(crate) fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let code = NodeRegistry::new()
            .func("write", async |ctx: Ctx<DynState, Value>| Ok(written(&ctx)))
            .func("fail", async |ctx: Ctx<DynState, Value>| match ctx.attempt() {
                1 => Err(NodeError::transient("once")),
                _ => Ok(written(&ctx)),
            })
            .func("route", async |ctx: Ctx<DynState, Value>| {
                let command = DynCommand::new(written(&ctx));
                Ok(match ctx.activation().superstep % 4 {
                    0 => command.route("out"),
                    1 => command.route_each("on", vec![json!(1), json!("a")]),
                    2 => command.route_with("on", json!({ "k": 1 })),
                    _ => command.route("on"),
                })
            });
        Ok(Self { code, runtime: runtime.map_err(|error| error.to_string())? })
    }

    /// Makes up a document for the seed, and does everything with it.
    ///
    /// # Errors
    /// The seed, and what should not have happened.
    pub(crate) fn play(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let mut rng = Rng::new(mix(&[seed, 77]));
        let document = made_up::document(&mut rng);
        tally.documents += 1;
        let played = catch_unwind(AssertUnwindSafe(|| self.judge(&document, &mut rng, tally)));
        let wrong = match played {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(wrong)) => wrong,
            Err(_) => "it panics".to_owned(),
        };
        Err(format!("seed {seed}: {wrong}\n{document:#}"))
    }

    fn judge(&self, document: &Value, rng: &mut Rng, tally: &mut Tally) -> Result<(), String> {
        let built = GraphDocument::read(document).and_then(|read| read.build(&self.code));
        let graph = match built {
            Ok(graph) => graph,
            Err(problems) => {
                tally.refused += 1;
                return coded(document, &problems);
            }
        };
        tally.graphs += 1;
        self.runtime.block_on(run_and_kill(&graph, rng, tally))
    }
}

/// Writes one of the fields, in a way that mostly fits. The same in every execution of the activation.
fn written(ctx: &Ctx<DynState, Value>) -> DynUpdate {
    let number = ctx.activation().superstep as usize + ctx.activation().index as usize;
    let fields = State::schema(&*ctx.state).channels;
    let Some(field) = fields.get(number % fields.len().max(1)) else { return DynUpdate::new() };
    let values = match field.name {
        "word" => [json!(number % 3), json!("a"), json!(null)],
        "items" => [json!([1, 2]), json!([]), json!(["a"])],
        _ if field.reducer.is_referenced() => {
            [json!([{ "k": number }]), json!([]), json!([{ "k": 1, "v": number }])]
        }
        _ => [json!(number), json!(1.5), json!(-1)],
    };
    DynUpdate::new().set(field.name, values[number % 3].clone())
}

/// Every problem has a code of a graph, words, and a place whose owner is there.
fn coded(document: &Value, problems: &DocumentProblems) -> Result<(), String> {
    if problems.iter().next().is_none() {
        return Err("it is refused for no reason".to_owned());
    }
    let is_wrong = |problem: &&DocumentProblem| {
        let is_code = problem.code.starts_with("SW-G1") && problem.code.len() == 7;
        !is_code || problem.message.is_empty() || !stands(document, &problem.place)
    };
    match problems.iter().find(is_wrong) {
        Some(problem) => Err(format!("it is refused by {problem:?}")),
        None => Ok(()),
    }
}

/// Whether there is something at a place, or its last member is what is missing.
fn stands(document: &Value, place: &str) -> bool {
    let owner = place.rsplit_once('.').map_or("", |(owner, _)| owner);
    let mut at = document;
    for part in owner.split('.').filter(|part| !part.is_empty()) {
        let mut words = part.split(['[', ']']).filter(|word| !word.is_empty());
        let named = words.next().and_then(|name| at.get(name));
        let found = words.try_fold(named, |at, number| Some(at?.get(number.parse::<usize>().ok()?)));
        let Some(Some(found)) = found else { return false };
        at = found;
    }
    true
}

async fn run_and_kill(graph: &Graph<DynState>, rng: &mut Rng, tally: &mut Tally) -> Result<(), String> {
    let limits = Limits { frontier: 40, ..Limits::default() };
    // Every loop has a bound, so a run comes to an end.
    let (control, executions) = (Arc::new(OnceLock::<RunControl>::new()), AtomicUsize::new(0));
    let stop = control.clone();
    let graph = graph.watch(move |_, _, _| {
        if executions.fetch_add(1, Ordering::Relaxed) == EXECUTIONS_MAX
            && let Some(control) = stop.get()
        {
            control.cancel();
        }
    });
    let began = tokio::time::Instant::now();
    let clock: Clock = Arc::new(move || 1_000 + began.elapsed().as_millis() as u64);
    let runner =
        |store: MemoryCheckpointer| graph.runner().limits(limits).checkpointer(store).clock(clock.clone());
    let (store, thread) = (MemoryCheckpointer::new(), ThreadId::new("t"));
    let run = runner(store.clone()).start("t", DynUpdate::new());
    drop(control.set(run.control()));
    let Ok(report) = run.await else { return Ok(()) };
    if report.outcome == Outcome::Cancelled {
        return Err(format!("it does not end within {EXECUTIONS_MAX} executions of nodes"));
    }
    let stored =
        runner(store.clone()).load("t").await.map_err(|error| format!("it cannot be read: {error}"))?;
    if stored.state != report.state {
        return Err(format!("it is stored as {:?} and was {:?}", stored.state, report.state));
    }
    if report.outcome != Outcome::Finished {
        return Ok(());
    }
    tally.finished += 1;
    let entries = store.all(&thread);
    let cut = rng.between(1, entries.len());
    let left = MemoryCheckpointer::new();
    let mut journal = left.open(&thread, Durability::Power).await.map_err(|error| error.to_string())?;
    for entry in &entries[..cut] {
        journal.append(entry.clone()).await.map_err(|error| error.to_string())?;
    }
    drop(journal);
    let found = runner(left.clone()).load("t").await.map_err(|error| format!("cut at {cut}: {error}"))?;
    if found.status == Status::Stopped(Outcome::Finished) {
        return Ok(());
    }
    let resumed = runner(left).resume("t").await.map_err(|error| format!("cut at {cut}: {error}"))?;
    if resumed.outcome != Outcome::Finished || resumed.state != report.state {
        let (words, state) = (resumed.describe(), &resumed.state);
        return Err(format!("cut at {cut} it ended: {words} with {state:?}, not {:?}", report.state));
    }
    tally.taken_up += 1;
    Ok(())
}
