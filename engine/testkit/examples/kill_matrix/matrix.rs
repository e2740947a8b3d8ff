//! Kills a process with SIGKILL at a chosen place, takes its run up again, and counts what was repeated and what was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use statewright_engine_runtime::{Checkpointer, Durability, Outcome, Runner, Status, ThreadId};
use statewright_engine_sql::{SqliteOptions, SqliteStore};

#[path = "finished.rs"]
mod finished;
#[path = "graphs.rs"]
mod graphs;

pub(crate) use graphs::GRAPHS;
use graphs::{Trip, Witness, graph};

const THREAD: &str = "t";
const SIGKILL: i32 = 9;
/// More than any run here writes.
const PLACES_MAX: u64 = 200;

/// Where a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Just before its n-th commit.
    Before(u64),
    /// Just after its n-th commit, before anybody knows of it.
    After(u64),
    /// Between two commits: when a node has written the n-th line of the witness.
    Within(u64),
}

/// What was found of one graph at one level.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// How many processes were killed.
    pub(crate) kills: usize,
    /// Activations that were stored as finished and were executed again.
    pub(crate) finished_repeated: usize,
    /// Effects that took place more than once.
    pub(crate) effects_repeated: usize,
    /// Runs that had begun and were not there any more, or ended in another state.
    pub(crate) runs_lost: usize,
    /// Executions that had come to their end and were done again, since that was not stored.
    pub(crate) done_again: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Counts) {
        self.kills += other.kills;
        self.finished_repeated += other.finished_repeated;
        self.effects_repeated += other.effects_repeated;
        self.runs_lost += other.runs_lost;
        self.done_again += other.done_again;
    }
}

/// What a child is told by its environment.
fn child_of(graph: &str, level: Durability, folder: &Path, place: Place, command: &mut Command) {
    command.env("MATRIX_GRAPH", graph).env("MATRIX_LEVEL", level.name()).env("MATRIX_FOLDER", folder);
    command.env("STATEWRIGHT_FAIL_BY", "kill");
    match place {
        Place::Before(commit) => command.env("STATEWRIGHT_FAIL_AT", format!("before:{commit}")),
        Place::After(commit) => command.env("STATEWRIGHT_FAIL_AT", format!("after:{commit}")),
        Place::Within(line) => command.env("MATRIX_KILL_AT", line.to_string()),
    };
}

/// The program of the child; `None` if this process is none.
pub(crate) async fn child() -> Option<Result<(), String>> {
    let name = std::env::var("MATRIX_GRAPH").ok()?;
    let level = std::env::var("MATRIX_LEVEL").ok()?.parse().ok()?;
    let folder = PathBuf::from(std::env::var_os("MATRIX_FOLDER")?);
    let kill_at = std::env::var("MATRIX_KILL_AT").ok().and_then(|line| line.parse().ok());
    let witness = Witness::new(folder.join("witness"), kill_at);
    Some(match Process::open(&name, level, &folder, &witness).await {
        Ok(process) => process.to_the_end().await.map(drop),
        Err(error) => Err(error),
    })
}

/// One process at work on a database.
struct Process {
    runner: Runner<Trip>,
    store: SqliteStore,
}

impl Process {
    async fn open(name: &str, level: Durability, folder: &Path, witness: &Witness) -> Result<Self, String> {
        let opened = SqliteStore::open(folder.join("store.db"), SqliteOptions::default()).await;
        let store = opened.map_err(|error| error.to_string())?;
        let graph = graph(name, witness).map_err(|problems| problems.to_string())?;
        Ok(Self { runner: graph.runner().checkpointer(store.clone()).durability(level), store })
    }

    /// Starts or resumes, and answers whatever is asked.
    async fn to_the_end(&self) -> Result<Trip, String> {
        for _ in 0..20 {
            let stand = self.runner.load(THREAD).await.map_err(|error| error.to_string())?;
            let drive = match (&stand.status, stand.interrupts.first()) {
                (Status::Stopped(Outcome::Finished), _) => return Ok(Trip::clone(&stand.state)),
                (Status::Empty, _) => self.runner.start(THREAD, Trip::default_update()),
                (_, Some(question)) => self.runner.answer(THREAD, question.id.clone(), "north"),
                (_, None) => self.runner.resume(THREAD),
            };
            drive.await.map_err(|error| error.to_string())?;
        }
        Err("the run does not come to its end".to_owned())
    }

    /// Whether there is a run, and the activations that are stored as finished.
    async fn stored(&self) -> Result<(bool, BTreeSet<String>), String> {
        let entries = self.store.entries(&ThreadId::new(THREAD), &[(1, u64::MAX >> 1)]).await;
        let entries = entries.map_err(|error| error.to_string())?;
        let finished = finished::of(&entries)?;
        let keys = finished.into_iter().map(|activation| format!("{THREAD}/{activation}"));
        Ok((!entries.is_empty(), keys.collect()))
    }
}

impl Trip {
    fn default_update() -> <Self as statewright_engine_runtime::State>::Update {
        Default::default()
    }
}

/// Kills at every `step`-th place, beginning with the first. `program` makes the child.
pub(crate) async fn cell(
    name: &str,
    level: Durability,
    step: usize,
    program: &dyn Fn() -> Command,
) -> Result<Counts, String> {
    let wanted = {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let witness = Witness::new(folder.path().join("witness"), None);
        Process::open(name, level, folder.path(), &witness).await?.to_the_end().await?
    };
    let mut counts = Counts::default();
    for place in [Place::Before, Place::After, Place::Within] {
        for number in (1..PLACES_MAX).step_by(step) {
            let place = place(number);
            match kill(name, level, place, program, &wanted).await {
                Ok(Some(one)) => counts.add(one),
                Ok(None) => break,
                Err(error) => return Err(format!("{name} at {}, {place:?}: {error}", level.name())),
            }
        }
    }
    Ok(counts)
}

/// One kill and what becomes of it; `None` if the run ended before it came to that place.
async fn kill(
    name: &str,
    level: Durability,
    place: Place,
    program: &dyn Fn() -> Command,
    wanted: &Trip,
) -> Result<Option<Counts>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = program();
    child_of(name, level, folder.path(), place, &mut command);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(None);
    }
    if output.status.signal() != Some(SIGKILL) {
        return Err(format!("the child ends with {:?}: {output:?}", output.status));
    }
    let witness = Witness::new(folder.path().join("witness"), None);
    let before = witness.lines();
    let process = Process::open(name, level, folder.path(), &witness).await?;
    let (there, finished) = process.stored().await?;
    let state = process.to_the_end().await?;
    let all = witness.lines();
    let after = &all[before.len()..];
    let of = |lines: &[String], what: &str| -> Vec<String> {
        lines.iter().filter_map(|line| line.strip_prefix(what)).map(str::to_owned).collect()
    };
    let ended: BTreeSet<String> = of(&before, "end ").into_iter().collect();
    let again = of(after, "begin ");
    let mut effects: BTreeMap<String, usize> = BTreeMap::new();
    for key in of(&all, "did ") {
        *effects.entry(key).or_default() += 1;
    }
    let begun = before.iter().any(|line| line.starts_with("begin "));
    Ok(Some(Counts {
        kills: 1,
        finished_repeated: again.iter().filter(|activation| finished.contains(*activation)).count(),
        effects_repeated: effects.values().filter(|count| **count > 1).count(),
        runs_lost: usize::from(begun && !there || state != *wanted),
        done_again: again.iter().filter(|activation| ended.contains(*activation)).count(),
    }))
}
