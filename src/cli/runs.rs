//! `runs list`, `runs cancel` and `runs deliver`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use statewright_engine_runtime::{Durability, Handlers, Outcome};
use statewright_engine_sql::{RunFilter, RunRow, SqlStore};

use super::args::{ListArgs, OneRun};
use super::output::shortened;
use super::when::since;
use super::{Exit, Shell, drive, home, run, session, standing};
use crate::error::CliError;
use crate::pipeline::{Ended, Intent, Job, OpenGraph};

/// How long `cancel` waits until the process that drives the run has recorded it.
const CANCEL_WAIT: Duration = Duration::from_secs(3);
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// `runs list`.
pub(crate) async fn list(shell: &Shell<'_>, args: &ListArgs) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let filter =
        RunFilter { status: None, graph: args.graph.clone(), thread: args.thread.as_deref().map(Into::into) };
    let rows = store.runs(&filter, args.limit).await?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in rows {
        listed.push((status(shell, &store, &row).await?, row));
    }
    if shell.out.json {
        let runs: Vec<_> = listed
            .iter()
            .map(|(word, row)| {
                json!({
                    "run": row.run, "thread": row.thread, "graph": row.graph, "question": row.label, "status": word,
                    "detail": row.detail, "created_ms": row.created_ms, "updated_ms": row.updated_ms,
                })
            })
            .collect();
        shell.out.object(&json!({ "runs": runs }));
        return Ok(Exit::Finished);
    }
    if listed.is_empty() {
        shell.out.line(&format!("no runs yet; begin one with: {} run \"…\"", shell.program));
        return Ok(Exit::Finished);
    }
    let now = session::now_ms();
    let cells = |(word, row): &(String, RunRow)| {
        let begun = since(now, row.created_ms);
        vec![row.run.to_string(), word.clone(), begun, row.graph.clone(), shortened(&row.label, 60)]
    };
    shell.out.table(
        &["run", "status", "begun", "graph", "question"],
        &listed.iter().map(cells).collect::<Vec<_>>(),
    );
    if let Some((_, row)) = listed.iter().find(|(word, _)| word == standing::INTERRUPTED) {
        shell.out.note(&format!("an interrupted run goes on with: {} resume {}", shell.program, row.run));
    }
    Ok(Exit::Finished)
}

/// The word for a row; only one that seems to be interrupted has its journal read.
pub(crate) async fn status(shell: &Shell<'_>, store: &SqlStore, row: &RunRow) -> Result<String, CliError> {
    let word = standing::of_row(store, row).await?;
    if word != standing::INTERRUPTED {
        return Ok(word);
    }
    let Ok(graph) = session::graph_of(shell, row) else { return Ok(word) };
    // A list shows what it can: one journal that cannot be read must not hide the other runs.
    match session::open_to_read(graph)?.load(Arc::new(store.clone()), row.thread.clone()).await {
        Ok(found) => Ok(standing::corrected(word, row, &found)),
        Err(_) => Ok(word),
    }
}

/// `runs cancel`.
pub(crate) async fn cancel(shell: &Shell<'_>, args: &OneRun) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let row = session::find_run(&store, &args.run).await?;
    let graph = session::open_to_read(session::graph_of(shell, &row)?)?;
    let found = graph.load(Arc::new(store.clone()), row.thread.clone()).await?;
    run::check_current(&row, &found)?;
    let word = match cancel_idle(&store, &*graph, &row).await {
        Err(error) if drive::is_busy(&error) => cancel_live(&store, &row).await?,
        word => word?,
    };
    if shell.out.json {
        shell.out.object(&json!({ "run": row.run, "thread": row.thread, "status": word }));
    } else if word == standing::RUNNING {
        shell.out.line(&format!("run {} was asked to end; its process has not answered yet", row.run));
    } else {
        shell.out.line(&format!("run {}: {word}", row.run));
    }
    Ok(if matches!(word.as_str(), standing::CANCELLED | standing::COMPENSATED) {
        Exit::Finished
    } else {
        Exit::Error
    })
}

/// Nobody drives it: this process takes it and records the end.
async fn cancel_idle(store: &SqlStore, graph: &dyn OpenGraph, row: &RunRow) -> Result<String, CliError> {
    let ended = errand(store, graph, row, Intent::Cancel, Handlers::new()).await?;
    let word = standing::word(&ended.outcome);
    if matches!(&ended.outcome, Outcome::Cancelled | Outcome::Compensated { .. }) {
        store.update_run(&row.run, word, None, session::now_ms()).await?;
    }
    Ok(word.to_owned())
}

/// A drive that runs no node.
async fn errand(
    store: &SqlStore,
    graph: &dyn OpenGraph,
    row: &RunRow,
    intent: Intent,
    handlers: Handlers,
) -> Result<Ended, CliError> {
    let job = Job {
        thread: row.thread.clone(),
        durability: Durability::Power,
        intent,
        handlers,
        pauses: Default::default(),
        budget: Default::default(),
        results: None,
    };
    Ok(graph.drive(Arc::new(store.clone()), job).end.await?)
}

/// `runs deliver`.
pub(crate) async fn deliver(shell: &Shell<'_>, args: &OneRun) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let row = session::find_run(&store, &args.run).await?;
    let graph = session::open_to_read(session::graph_of(shell, &row)?)?;
    let found = graph.look(Arc::new(store.clone()), row.thread.clone(), None).await?;
    let waited = found.undelivered.len();
    let ended = errand(&store, &*graph, &row, Intent::Deliver, shell.app.handlers()).await?;
    let (left, delivered) = (&ended.undelivered, waited.saturating_sub(ended.undelivered.len()));
    if shell.out.json {
        let object = json!({
            "run": row.run, "thread": row.thread, "delivered": delivered, "undelivered": left,
        });
        shell.out.object(&object);
    } else {
        shell.out.line(&format!("run {}: {delivered} items delivered, {} left", row.run, left.len()));
        if !left.is_empty() {
            shell.out.note(
                "what is left has no handler in this program, or its handler failed: --log warn says why",
            );
        }
    }
    Ok(if left.is_empty() { Exit::Finished } else { Exit::Error })
}

/// Another process drives it: that one has to end it.
async fn cancel_live(store: &SqlStore, row: &RunRow) -> Result<String, CliError> {
    store.request_cancel(&row.run).await?;
    let deadline = tokio::time::Instant::now() + CANCEL_WAIT;
    loop {
        let now = session::find_run(store, row.run.as_str()).await?;
        if now.status != standing::RUNNING && now.updated_ms > row.updated_ms
            || tokio::time::Instant::now() > deadline
        {
            return Ok(now.status);
        }
        tokio::time::sleep(CANCEL_POLL).await;
    }
}
