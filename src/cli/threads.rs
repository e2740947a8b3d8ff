//! `threads`: what happened on a thread, forks of it, and its end. Which threads need not be kept is decided in `prune`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use statewright_engine_core::journal;
use statewright_engine_runtime::{
    Change, ChannelDiff, Checkpointer, Interrupt, Outcome, Plan, Seq, Status, StoreError, ThreadId,
    random_id, read_entries,
};
use statewright_engine_sql::{RunFilter, RunRow, SqlStore};

use super::args::threads::{
    DeleteArgs, DiffArgs, ForkArgs, OneThread, ThreadListArgs, ThreadShowArgs, ThreadsCommand,
};
use super::output::shortened;
use super::when::{rfc3339, since};
use super::{Exit, Shell, home, prune, runs, session, standing};
use crate::error::{CliError, nearest};
use crate::pipeline::OpenGraph;
use crate::time_travel::{Look, Place};

/// How many threads are read at once.
const PAGE: u32 = 1_000;
/// How many runs of one thread are looked through for the one that it stands in.
const RUNS_MAX: u32 = 100;

pub(crate) async fn threads(shell: &Shell<'_>, command: ThreadsCommand) -> Result<Exit, CliError> {
    match command {
        ThreadsCommand::List(args) => list(shell, &args).await,
        ThreadsCommand::Show(args) => show(shell, &args).await,
        ThreadsCommand::History(args) => history(shell, &args).await,
        ThreadsCommand::Diff(args) => diff(shell, &args).await,
        ThreadsCommand::Fork(args) => fork(shell, args).await,
        ThreadsCommand::Delete(args) => delete(shell, &args).await,
        ThreadsCommand::Prune(args) => prune::prune(shell, &args).await,
    }
}

/// A thread as it is listed.
pub(crate) struct Listed {
    pub(crate) thread: ThreadId,
    pub(crate) entries: Seq,
    /// The run that it stands in, if it is in the table of runs.
    pub(crate) row: Option<RunRow>,
    pub(crate) graph: Option<String>,
    pub(crate) changed_ms: u64,
}

/// All threads that have entries, the one that changed last first.
pub(crate) async fn listed(store: &SqlStore, graph: Option<&str>) -> Result<Vec<Listed>, CliError> {
    let mut rows = HashMap::new();
    // The newest first, so that the first one of a thread is the one that it stands in.
    for row in store.runs(&RunFilter::default(), u32::MAX).await? {
        if has_begun(&row) {
            rows.entry(row.thread.clone()).or_insert(row);
        }
    }
    let mut found: Vec<Listed> = Vec::new();
    let mut after: Option<ThreadId> = None;
    loop {
        let page = store.list(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (thread, entries) in page {
            let row = rows.remove(&thread);
            let (graph, changed_ms) = match &row {
                Some(row) => (Some(row.graph.clone()), row.updated_ms),
                None => without_row(store, &thread, entries).await,
            };
            found.push(Listed { thread, entries, row, graph, changed_ms });
        }
    }
    found.retain(|listed| graph.is_none() || listed.graph.as_deref() == graph);
    found.sort_by_key(|listed| std::cmp::Reverse(listed.changed_ms));
    Ok(found)
}

/// A row of a start that was refused, or of which nothing was stored, says nothing about its thread.
fn has_begun(row: &RunRow) -> bool {
    ![standing::REFUSED, standing::VOID].contains(&row.status.as_str())
}

/// What the journal says of a thread that another program runs: its graph, and when it last changed.
async fn without_row(store: &SqlStore, thread: &ThreadId, last: Seq) -> (Option<String>, u64) {
    // What cannot be read is no reason to leave the thread out.
    let ends = read_entries(store, thread, &[(1, 1), (last, last)]).await.unwrap_or_default();
    let graph = ends.first().and_then(journal::graph_name);
    // Of what age nobody can say is not old.
    let changed_ms = ends.last().and_then(journal::written_ms).unwrap_or_else(session::now_ms);
    (graph, changed_ms)
}

/// The word for how a listed thread stands; nothing if this program cannot say.
pub(crate) async fn word(
    shell: &Shell<'_>,
    store: &SqlStore,
    listed: &Listed,
) -> Result<Option<String>, CliError> {
    if let Some(row) = &listed.row {
        return Ok(Some(runs::status(shell, store, row).await?));
    }
    let named = |name: &String| shell.app.graphs().find(|graph| graph.name() == name);
    let Some(graph) = listed.graph.as_ref().and_then(named) else { return Ok(None) };
    // A list shows what it can: one journal that cannot be read must not hide the others.
    let look = session::open_to_read(graph)?.look(shared(store), listed.thread.clone(), None).await;
    let Ok(look) = look else { return Ok(None) };
    let is_driven = store.is_driven(&listed.thread).await?;
    Ok(Some(if is_driven { standing::RUNNING } else { standing::idle_word(&look.status) }.to_owned()))
}

async fn list(shell: &Shell<'_>, args: &ThreadListArgs) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let mut found = listed(&store, args.graph.as_deref()).await?;
    found.truncate(args.limit as usize);
    let mut words = Vec::with_capacity(found.len());
    for listed in &found {
        words.push(word(shell, &store, listed).await?);
    }
    if shell.out.json {
        let threads: Vec<Value> =
            found.iter().zip(&words).map(|(listed, word)| listed_json(listed, word)).collect();
        shell.out.object(&json!({ "threads": threads }));
        return Ok(Exit::Finished);
    }
    if found.is_empty() {
        shell.out.line(&format!("no threads yet; begin one with: {} run \"…\"", shell.program));
        return Ok(Exit::Finished);
    }
    let now = session::now_ms();
    let rows: Vec<Vec<String>> = found
        .iter()
        .zip(&words)
        .map(|(listed, word)| {
            vec![
                shortened(listed.thread.as_str(), 40),
                word.clone().unwrap_or_else(|| "unknown".to_owned()),
                since(now, listed.changed_ms),
                listed.entries.to_string(),
                listed.graph.clone().unwrap_or_default(),
                listed.row.as_ref().map_or_else(String::new, |row| shortened(&row.label, 60)),
            ]
        })
        .collect();
    shell.out.table(&["thread", "status", "changed", "entries", "graph", "question"], &rows);
    Ok(Exit::Finished)
}

fn listed_json(listed: &Listed, word: &Option<String>) -> Value {
    json!({
        "thread": listed.thread, "status": word, "graph": listed.graph, "entries": listed.entries,
        "run": listed.row.as_ref().map(|row| &row.run), "question": listed.row.as_ref().map(|row| &row.label),
        "changed": rfc3339(listed.changed_ms), "changed_ms": listed.changed_ms,
    })
}

/// A thread with the graph that can read it.
pub(crate) struct Found {
    pub(crate) thread: ThreadId,
    graph: Arc<dyn OpenGraph>,
    graph_name: String,
    /// The run that it stands in, if it is in the table of runs.
    row: Option<RunRow>,
}

async fn find(shell: &Shell<'_>, store: &SqlStore, given: &str) -> Result<Found, CliError> {
    let thread = ThreadId::from(given);
    let filter = RunFilter { thread: Some(thread.clone()), ..RunFilter::default() };
    let row = store.runs(&filter, RUNS_MAX).await?.into_iter().find(has_begun);
    let first = Checkpointer::entries(store, &thread, &[(1, 1)]).await?;
    let Some(first) = first.first() else { return Err(unknown(store, given).await?) };
    let name = row.as_ref().map(|row| row.graph.clone()).or_else(|| journal::graph_name(first));
    let known = shell.app.graphs().find(|graph| Some(graph.name()) == name.as_deref());
    let graph =
        known.ok_or_else(|| CliError::ForeignThread { thread: given.to_owned(), graph: name.clone() })?;
    Ok(Found { thread, graph: session::open_to_read(graph)?, graph_name: graph.name().to_owned(), row })
}

async fn unknown(store: &SqlStore, given: &str) -> Result<CliError, CliError> {
    let known: Vec<String> =
        store.list(None, PAGE).await?.into_iter().map(|(thread, _)| thread.to_string()).collect();
    // Who writes the beginning of a name means the whole.
    let whole = known.iter().find(|name| !given.is_empty() && name.starts_with(given)).cloned();
    let nearest = whole.or_else(|| nearest(given, known));
    Ok(CliError::UnknownThread { given: given.to_owned(), database: store.place(), nearest })
}

fn shared(store: &SqlStore) -> Arc<dyn Checkpointer> {
    Arc::new(store.clone())
}

async fn show(shell: &Shell<'_>, args: &ThreadShowArgs) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let found = find(shell, &store, &args.thread.thread).await?;
    let look = found.graph.look(shared(&store), found.thread.clone(), args.at).await?;
    let word = stood(&store, &found, &look, args.at.is_some()).await?;
    let plan = found.graph.plan();
    if shell.out.json {
        let questions: Vec<Value> =
            look.interrupts.iter().map(|interrupt| standing::interrupt(plan, interrupt)).collect();
        shell.out.object(&json!({
            "thread": found.thread, "graph": found.graph_name, "run": look.run, "status": word,
            "entry": look.seq, "superstep": look.superstep, "origin": origin_json(look.origin.as_ref()),
            "interrupts": questions, "unknown_effects": look.unknown_effects,
            "undelivered": look.undelivered, "state": look.state,
        }));
        return Ok(Exit::Finished);
    }
    let out = &shell.out;
    out.line(&format!("{} {}  {word}", out.bold("thread"), found.thread));
    let run = look.run.as_ref().map_or("none", |run| run.as_str());
    out.line(&format!("{} {}, {} {run}", out.dim("graph"), found.graph_name, out.dim("run")));
    out.line(&format!("{} {}, {} {}", out.dim("entry"), look.seq, out.dim("superstep"), look.superstep));
    if let Some((thread, seq)) = &look.origin {
        out.line(&format!("{} {thread} at entry {seq}", out.dim("forked from")));
    }
    for interrupt in &look.interrupts {
        out.line(&question_line(plan, interrupt));
    }
    for effect in &look.unknown_effects {
        out.line(&format!(
            "unknown outcome: {effect}; settle it with: {} runs settle {run} {effect} VALUE",
            shell.program
        ));
    }
    if !look.undelivered.is_empty() {
        let count = look.undelivered.len();
        out.line(&format!("{count} undelivered; deliver with: {} runs deliver {run}", shell.program));
    }
    out.line("");
    for (field, value) in look.state.as_object().into_iter().flatten() {
        out.line(&format!("{} {}", out.dim(&format!("{field}:")), shortened(&value.to_string(), 2_000)));
    }
    Ok(Exit::Finished)
}

/// The word for how the thread stands. Of the past it is not known who drove it, or why somebody stopped.
async fn stood<'a>(
    store: &SqlStore,
    found: &'a Found,
    look: &Look,
    is_past: bool,
) -> Result<&'a str, CliError> {
    Ok(match (&look.status, &found.row) {
        (Status::Open, _) if is_past => "open",
        _ if !is_past && store.is_driven(&found.thread).await? => standing::RUNNING,
        // A fork that nobody has taken up yet was not interrupted.
        (Status::Open, Some(row)) if row.status == standing::STOPPED => standing::STOPPED,
        (status, _) => standing::idle_word(status),
    })
}

fn question_line(plan: &Plan, interrupt: &Interrupt) -> String {
    format!("waits for the answer to {} of `{}`", interrupt.id, plan.node_name(interrupt.node))
}

fn origin_json(origin: Option<&Place>) -> Value {
    origin.map_or(Value::Null, |(thread, seq)| json!({ "thread": thread, "entry": seq }))
}

async fn history(shell: &Shell<'_>, args: &OneThread) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let found = find(shell, &store, &args.thread).await?;
    let history = found.graph.history(shared(&store), found.thread.clone()).await?;
    let plan = found.graph.plan();
    let names = |nodes: &[statewright_engine_runtime::NodeIx]| -> Vec<String> {
        nodes.iter().map(|node| plan.node_name(*node).to_owned()).collect()
    };
    if shell.out.json {
        let checkpoints: Vec<Value> = history
            .iter()
            .map(|point| {
                json!({
                    "entry": point.seq, "at": rfc3339(point.at_ms), "at_ms": point.at_ms, "run": point.run,
                    "superstep": point.superstep, "ended": names(&point.ended), "next": names(&point.next),
                })
            })
            .collect();
        let object = json!({ "thread": found.thread, "graph": found.graph_name, "checkpoints": checkpoints });
        shell.out.object(&object);
        return Ok(Exit::Finished);
    }
    let now = session::now_ms();
    let rows: Vec<Vec<String>> = history
        .iter()
        .map(|point| {
            vec![
                point.seq.to_string(),
                since(now, point.at_ms),
                point.run.to_string(),
                point.superstep.to_string(),
                names(&point.ended).join(" "),
                names(&point.next).join(" "),
            ]
        })
        .collect();
    shell.out.table(&["entry", "when", "run", "superstep", "ended", "next"], &rows);
    let thread = &found.thread;
    shell.out.note(&format!("a fork begins at an entry: {} threads fork {thread} --at ENTRY", shell.program));
    Ok(Exit::Finished)
}

async fn diff(shell: &Shell<'_>, args: &DiffArgs) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let found = find(shell, &store, &args.thread.thread).await?;
    let other = match &args.with {
        Some(other) => find(shell, &store, other).await?.thread,
        None => found.thread.clone(),
    };
    let to = match args.to {
        Some(to) => to,
        None => found.graph.look(shared(&store), other.clone(), None).await?.seq,
    };
    let (old, new) = ((found.thread.clone(), args.from), (other, to));
    let diff = found.graph.diff(shared(&store), old.clone(), new.clone()).await?;
    if shell.out.json {
        let place = |place: &Place| origin_json(Some(place));
        shell.out.object(&json!({ "from": place(&old), "to": place(&new), "channels": diff }));
        return Ok(Exit::Finished);
    }
    if diff.is_empty() {
        shell.out.line("nothing differs");
    }
    for differs in &diff {
        shell.out.line(&diff_line(shell, differs));
    }
    Ok(Exit::Finished)
}

fn diff_line(shell: &Shell<'_>, differs: &ChannelDiff) -> String {
    let style = || shell.out.style();
    let gone = |value: &Value| {
        style().red().apply_to(format!("− {}", shortened(&value.to_string(), 500))).to_string()
    };
    let come = |value: &Value| {
        style().green().apply_to(format!("+ {}", shortened(&value.to_string(), 500))).to_string()
    };
    let lines = match &differs.change {
        Change::Value { old, new } => vec![gone(old), come(new)],
        Change::Tail { added } => vec![come(added)],
        Change::Members { added, removed } => {
            removed.iter().map(gone).chain(added.iter().map(come)).collect()
        }
    };
    format!("{}\n  {}", shell.out.bold(differs.channel), lines.join("\n  "))
}

async fn fork(shell: &Shell<'_>, args: ForkArgs) -> Result<Exit, CliError> {
    let fields = fields(&args.set)?;
    let store = home::store(&shell.global).await?;
    let found = find(shell, &store, &args.thread.thread).await?;
    let into = args.into.map_or_else(|| ThreadId::new(random_id()), ThreadId::from);
    let from = (found.thread.clone(), args.at);
    let forked = found.graph.fork(shared(&store), from, into.clone(), fields).await?;
    let word = match forked.status {
        // Nobody drives it, and it can be taken up.
        Status::Open => standing::STOPPED,
        ref status => standing::idle_word(status),
    };
    record(&store, &found, &args.at, &into, &forked, word).await?;
    let run = forked.run.as_ref().map_or_else(String::new, ToString::to_string);
    let next = standing::is_resumable(word).then(|| format!("{} resume {run}", shell.program));
    if shell.out.json {
        shell.out.object(&json!({
            "thread": into, "run": run, "status": word, "origin": { "thread": found.thread, "entry": args.at },
            "state": forked.state, "resume": next,
        }));
        return Ok(Exit::Finished);
    }
    shell
        .out
        .line(&format!("thread {into} is a fork of {} at entry {}, as run {run}", found.thread, args.at));
    for interrupt in &forked.interrupts {
        shell.out.line(&format!("answer with: {} answer {run} {} VALUE", shell.program, interrupt.id));
    }
    match next {
        Some(next) => shell.out.line(&format!("go on with: {next}")),
        None => shell.out.line(&format!(
            "its run is {word}; begin another one with: {} run --thread {into} \"…\"",
            shell.program
        )),
    }
    Ok(Exit::Finished)
}

/// The fork's run is listed, with what the original was begun with.
async fn record(
    store: &SqlStore,
    found: &Found,
    at: &Seq,
    into: &ThreadId,
    forked: &Look,
    word: &str,
) -> Result<(), CliError> {
    let Some(run) = forked.run.clone() else { return Ok(()) };
    let now = session::now_ms();
    let row = RunRow {
        run,
        thread: into.clone(),
        graph: found.graph_name.clone(),
        label: found.row.as_ref().map_or_else(String::new, |row| row.label.clone()),
        meta: found.row.as_ref().map_or_else(|| json!({}), |row| row.meta.clone()),
        status: word.to_owned(),
        created_ms: now,
        updated_ms: now,
        detail: Some(format!("forked from {} at entry {at}", found.thread)),
    };
    Ok(store.record_run(row).await?)
}

/// `FIELD=VALUE` as an object.
fn fields(set: &[String]) -> Result<Map<String, Value>, CliError> {
    let mut fields = Map::new();
    for given in set {
        let Some((field, value)) = given.split_once('=').filter(|(field, _)| !field.trim().is_empty()) else {
            let words =
                format!("`--set {given}` sets nothing; write --set FIELD=VALUE, with the value as JSON");
            return Err(CliError::Usage(words));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        if fields.insert(field.trim().to_owned(), value).is_some() {
            return Err(CliError::Usage(format!(
                "`--set {}` is given twice; set each field once",
                field.trim()
            )));
        }
    }
    Ok(fields)
}

async fn delete(shell: &Shell<'_>, args: &DeleteArgs) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let given = &args.thread.thread;
    let thread = ThreadId::from(given.as_str());
    if store.is_driven(&thread).await? {
        return Err(StoreError::Busy { thread }.into());
    }
    let mut at = None;
    if !args.force {
        at = over_at(shell, &store, given).await?;
    }
    if !store.delete(&thread, at).await? {
        return Err(unknown(&store, given).await?);
    }
    if shell.out.json {
        shell.out.object(&json!({ "thread": thread, "deleted": true }));
    } else {
        shell
            .out
            .line(&format!("thread {thread} is deleted; {} db vacuum gives its space back", shell.program));
    }
    Ok(Exit::Finished)
}

/// The last entry of a thread whose run is over; nothing if only rows of runs are left of it.
async fn over_at(shell: &Shell<'_>, store: &SqlStore, given: &str) -> Result<Option<Seq>, CliError> {
    let found = match find(shell, store, given).await {
        Ok(found) => found,
        Err(error @ CliError::UnknownThread { .. }) => {
            let filter = RunFilter { thread: Some(given.into()), ..RunFilter::default() };
            let rows = store.runs(&filter, 1).await?;
            return if rows.is_empty() { Err(error) } else { Ok(None) };
        }
        Err(error) => return Err(error),
    };
    let look = found.graph.look(shared(store), found.thread.clone(), None).await?;
    if is_over(&look.status) {
        return Ok(Some(look.seq));
    }
    Err(CliError::ThreadOpen { thread: given.to_owned(), status: standing::idle_word(&look.status) })
}

/// Whether nothing of the last run is left to do.
pub(crate) fn is_over(status: &Status) -> bool {
    matches!(status, Status::Stopped(Outcome::Finished | Outcome::Cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_json_or_else_text() {
        let set = |set: &[&str]| fields(&set.iter().map(|given| (*given).to_owned()).collect::<Vec<_>>());
        let cases = [("a=1", json!(1)), ("a=\"1\"", json!("1")), ("a=b=c", json!("b=c")), ("a=", json!(""))];
        for (given, value) in cases {
            assert_eq!(set(&[given]).unwrap().get("a"), Some(&value), "{given}");
        }
        for wrong in [&["a"][..], &["=1"], &["a=1", "a=2"]] {
            assert_eq!(set(wrong).unwrap_err().code(), "SW-C713", "{wrong:?}");
        }
    }
}
