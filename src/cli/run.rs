//! `run`, `resume` and `answer`: one drive each, recorded before it begins and when it has stopped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use statewright_engine_core::Refused;
use statewright_engine_runtime::{Durability, Outcome, RunError, RunId, Status, ThreadId, random_id};
use statewright_engine_sql::{RunRow, SqlStore};

use super::args::threads::SettleArgs;
use super::args::{AnswerArgs, DriveArgs, ResumeArgs, RunArgs, ServiceArgs};
use super::drive::{self, Stop};
use super::live::View;
use super::session::{self, Equipment, Meta};
use super::{Exit, Shell, cassette, home, redaction, show, standing};
use crate::error::CliError;
use crate::pipeline::{Intent, Job, OpenGraph, Standing};

/// The longest question that is read, in bytes.
const QUESTION_BYTES_MAX: u64 = 1024 * 1024;
/// How often a held thread is tried again, for the case that somebody only looked at it.
const BUSY_RETRIES: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// A run that is about to be driven.
struct Prepared {
    store: SqlStore,
    graph: Arc<dyn OpenGraph>,
    equipment: Equipment,
    row: RunRow,
    job: Job,
    began: Instant,
}

/// `run`.
pub(crate) async fn run(shell: &Shell<'_>, args: RunArgs) -> Result<Exit, CliError> {
    let began = Instant::now();
    let question = question(args.question, args.input.as_deref())?;
    check_output(args.drive.output.as_deref())?;
    let graph = session::graph_named(shell, args.graph.as_deref())?;
    let model = cassette::model(shell, args.services.model.as_deref(), &args.drive.tape)?;
    let equipped = session::equip(model, &args.services);
    let (store, equipment) = tokio::try_join!(home::store(&shell.global), equipped)?;
    let opened = graph.open(&equipment.services)?;
    let durability = Durability::from(args.durability);
    let run = RunId::new(random_id());
    let thread = args.thread.as_deref().map_or_else(|| ThreadId::new(run.as_str()), ThreadId::from);
    if args.thread.is_some() {
        refuse_open_thread(&*opened, &store, &thread).await?;
    }
    let meta = Meta {
        model: Some(equipment.model.name.clone()),
        docs: equipment.docs.clone(),
        durability: Some(durability.name().to_owned()),
        prompts: cassette::kept(args.services.prompts.as_ref()),
        record: cassette::kept(args.drive.tape.record.as_ref()),
        replay: cassette::kept(args.drive.tape.replay.as_ref()),
    };
    let now = session::now_ms();
    let row = RunRow {
        run: run.clone(),
        thread: thread.clone(),
        graph: graph.name().to_owned(),
        label: question.clone(),
        meta: json!(meta),
        status: standing::RUNNING.to_owned(),
        created_ms: now,
        updated_ms: now,
        detail: None,
    };
    redaction::asked(&row.label, shell.global.log_content);
    // Before the first step: a run that nobody can find would be lost.
    store.record_run(row.clone()).await?;
    let intent = Intent::Start { run, question };
    let pauses = [args.drive.pause_before.clone(), args.drive.pause_after.clone()];
    let budget = args.drive.budget();
    let results = args.drive.results(&store);
    let job = Job { thread, durability, intent, handlers: shell.app.handlers(), pauses, budget, results };
    go(shell, Prepared { store, graph: opened, equipment, row, job, began }, &args.drive).await
}

/// `resume`.
pub(crate) async fn resume(shell: &Shell<'_>, args: ResumeArgs) -> Result<Exit, CliError> {
    again(shell, &args.run, args.services, Intent::Resume, &args.drive).await
}

/// `answer`.
pub(crate) async fn answer(shell: &Shell<'_>, args: AnswerArgs) -> Result<Exit, CliError> {
    let value = serde_json::from_str(&args.value).unwrap_or_else(|_| json!(args.value));
    again(shell, &args.run, args.services, Intent::Answer { id: args.id, value }, &args.drive).await
}

/// `runs settle`.
pub(crate) async fn settle(shell: &Shell<'_>, args: SettleArgs) -> Result<Exit, CliError> {
    let value = args.value.map(|value| serde_json::from_str(&value).unwrap_or_else(|_| json!(value)));
    let intent = Intent::Settle { effect: args.effect, value };
    again(shell, &args.run.run, args.services, intent, &args.drive).await
}

/// Takes a stored run up.
async fn again(
    shell: &Shell<'_>,
    given: &str,
    services: ServiceArgs,
    intent: Intent,
    args: &DriveArgs,
) -> Result<Exit, CliError> {
    let began = Instant::now();
    check_output(args.output.as_deref())?;
    let store = home::store(&shell.global).await?;
    let row = session::find_run(&store, given).await?;
    let graph = session::graph_of(shell, &row)?;
    // What cannot be taken up is refused before a model or a document is looked at.
    let reader = session::open_to_read(graph)?;
    let found = reader.load(Arc::new(store.clone()), row.thread.clone()).await?;
    check_current(&row, &found)?;
    settle_row(&store, &row, &found).await?;
    let meta = Meta::of(&row);
    let durability = meta.durability.as_deref().and_then(|level| level.parse().ok()).unwrap_or_default();
    let tape = cassette::again(&args.tape, services.model.as_deref(), &meta);
    let services = session::again(services, &meta);
    let model = cassette::model(shell, services.model.as_deref(), &tape)?;
    let equipment = session::equip(model, &services).await?;
    let graph = graph.open(&equipment.services)?;
    let pauses = [args.pause_before.clone(), args.pause_after.clone()];
    let (thread, budget, results) = (row.thread.clone(), args.budget(), args.results(&store));
    let job = Job { thread, durability, intent, handlers: shell.app.handlers(), pauses, budget, results };
    go(shell, Prepared { store, graph, equipment, row, job, began }, args).await
}

/// Drives, records how it ended, and shows what came out.
async fn go(shell: &Shell<'_>, prepared: Prepared, args: &DriveArgs) -> Result<Exit, CliError> {
    let Prepared { store, graph, equipment, row, job, began } = prepared;
    let mut view = View::new(&shell.out, graph.plan().clone());
    let docs = equipment.services.docs;
    if let Some(docs) = docs.clone() {
        // Nodes run meanwhile; a search waits until it is done.
        tokio::spawn(async move { docs.prepare().await });
    }
    let stop = drive_or_wait(shell, &store, &*graph, &row, &job, &mut view, args.timeout).await;
    let stop = match stop {
        Ok(stop) => stop,
        Err(error) => {
            note_refusal(&store, &row, &job, &error).await;
            return Ok(shell.out.failure(
                &show::failed(shell, &row, &error),
                json!({ "run": row.run, "thread": row.thread }),
            ));
        }
    };
    let (status, detail) = match &stop {
        Stop::Ended(ended) => {
            let word = standing::word(&ended.outcome);
            (word, (!matches!(ended.outcome, Outcome::Finished)).then_some(ended.words.as_str()))
        }
        Stop::Abandoned => (standing::STOPPED, Some("the time was up before the running nodes had finished")),
    };
    if let Err(error) = store.update_run(&row.run, status, detail, session::now_ms()).await {
        // What came out is in the journal; only the list does not know yet.
        shell.out.warning(error.code(), &error.to_string());
    }
    let warnings = match (&docs, &stop) {
        // What no node searched has nothing to say about the answer, and nobody waits until it is read.
        (Some(docs), Stop::Ended(_)) if docs.is_wanted() => session::left_out(shell, docs).await,
        // Whoever set a time limit does not wait for documents after it.
        _ => Vec::new(),
    };
    let shown = show::Shown {
        row: &row,
        plan: graph.plan(),
        stop: &stop,
        model: &equipment.model.name,
        warnings: &warnings,
        elapsed: began.elapsed(),
    };
    let (exit, object) = show::outcome(shell, &shown, &view);
    if let (Some(path), Stop::Ended(ended)) = (&args.output, &stop) {
        let text = if shell.out.json {
            format!("{object:#}\n")
        } else {
            format!("{}\n", ended.report.answer.trim_end())
        };
        write(path, &text)?;
    }
    Ok(exit)
}

/// A look at a thread holds it for a moment; that must not fail a run.
async fn drive_or_wait(
    shell: &Shell<'_>,
    store: &SqlStore,
    graph: &dyn OpenGraph,
    row: &RunRow,
    job: &Job,
    view: &mut View<'_>,
    timeout: Option<Duration>,
) -> Result<Stop, CliError> {
    let mut retries = 0;
    loop {
        let drive = graph.drive(Arc::new(store.clone()), job.clone());
        match drive::drive(shell, store, row, drive, view, timeout).await {
            Err(error) if drive::is_busy(&error) && retries < BUSY_RETRIES => {
                retries += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            stop => return stop,
        }
    }
}

/// A start that was refused leaves a row that nobody can resume; it must not look as if it could be.
async fn note_refusal(store: &SqlStore, row: &RunRow, job: &Job, error: &CliError) {
    let refused = drive::is_busy(error) || matches!(error, CliError::Run(RunError::Refused(_)));
    if refused && matches!(job.intent, Intent::Start { .. }) {
        let words = error.to_string();
        // The refusal itself is what the user has to hear.
        drop(store.update_run(&row.run, standing::REFUSED, Some(&words), session::now_ms()).await);
    }
}

/// Before anything is recorded: a thread with an open run takes no other.
async fn refuse_open_thread(
    graph: &dyn OpenGraph,
    store: &SqlStore,
    thread: &ThreadId,
) -> Result<(), CliError> {
    let found = graph.load(Arc::new(store.clone()), thread.clone()).await?;
    match (found.status, found.run) {
        (Status::Stopped(Outcome::Compensated { left, .. }), _) if left.is_empty() => Ok(()),
        (Status::Empty | Status::Stopped(Outcome::Finished | Outcome::Cancelled), _) | (_, None) => Ok(()),
        (_, Some(run)) => Err(RunError::Refused(Refused::RunOpen { run }).into()),
    }
}

/// The row names a run; its thread may hold another one by now, or none yet.
pub(crate) fn check_current(row: &RunRow, found: &Standing) -> Result<(), CliError> {
    match &found.run {
        Some(run) if *run == row.run => Ok(()),
        None => Err(CliError::NeverBegan { run: row.run.to_string() }),
        Some(_) if row.status == standing::RUNNING => Err(CliError::NeverBegan { run: row.run.to_string() }),
        Some(later) => Err(CliError::NotTheLastRun {
            run: row.run.to_string(),
            thread: row.thread.to_string(),
            later: Some(later.to_string()),
        }),
    }
}

/// A process that died after the end of a run and before it could say so leaves a row that is behind.
async fn settle_row(store: &SqlStore, row: &RunRow, found: &Standing) -> Result<(), CliError> {
    if row.status == standing::RUNNING
        && let Status::Stopped(
            outcome @ (Outcome::Finished | Outcome::Cancelled | Outcome::Compensated { .. }),
        ) = &found.status
    {
        store.update_run(&row.run, standing::word(outcome), None, session::now_ms()).await?;
    }
    Ok(())
}

fn question(given: Option<String>, input: Option<&Path>) -> Result<String, CliError> {
    let question = match input {
        None => given.unwrap_or_default(),
        Some(path) => {
            let failed = |reason: String| CliError::Input { path: path.to_owned(), reason };
            let mut bytes = Vec::new();
            let read = if path == Path::new("-") {
                std::io::stdin().lock().take(QUESTION_BYTES_MAX + 1).read_to_end(&mut bytes)
            } else {
                File::open(path).and_then(|file| file.take(QUESTION_BYTES_MAX + 1).read_to_end(&mut bytes))
            };
            if read.map_err(|error| failed(error.to_string()))? as u64 > QUESTION_BYTES_MAX {
                return Err(failed(format!("it is longer than {QUESTION_BYTES_MAX} bytes")));
            }
            String::from_utf8(bytes).map_err(|error| {
                failed(format!("the byte at offset {} is not UTF-8", error.utf8_error().valid_up_to()))
            })?
        }
    };
    let question = question.trim();
    if question.is_empty() { Err(CliError::EmptyQuestion) } else { Ok(question.to_owned()) }
}

/// Found out before a model is paid for, not after.
fn check_output(path: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    let existed = path.symlink_metadata().is_ok();
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    opened.map_err(|error| CliError::Output { path: path.to_owned(), reason: error.to_string() })?;
    if !existed {
        // What is not there yet appears when there is an answer.
        drop(std::fs::remove_file(path));
    }
    Ok(())
}

fn write(path: &PathBuf, text: &str) -> Result<(), CliError> {
    let written = File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| CliError::Output { path: path.clone(), reason: error.to_string() })
}
