//! `db`: what an operator does with the database as a whole.

use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use statewright_engine_core::journal::{self, FrameError};
use statewright_engine_core::{Entry, Seq, ThreadId};
use statewright_engine_runtime::{CacheLimits, Checkpointer, ResultCache, StoreError};
use statewright_engine_sql::SqlStore;

use super::args::DbCommand;
use super::{Exit, Shell, home, session};
use crate::error::CliError;

/// How many entries are read at once. Beyond what is damaged they are read one by one.
const CHUNK: Seq = 256;

/// Something that cannot be read as it was written.
struct Problem {
    seq: Seq,
    code: &'static str,
    message: String,
}

/// What is left of a thread.
struct Examined {
    thread: ThreadId,
    last: Seq,
    /// Everything up to here is sound.
    sound_to: Seq,
    /// How many entries are whole and sealed, so that nobody can say what is in them without the key.
    sealed: u64,
    problems: Vec<Problem>,
}

pub(crate) async fn db(shell: &Shell<'_>, command: DbCommand) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    match command {
        DbCommand::Check => check(shell, &store).await,
        DbCommand::Backup { file } => backup(shell, &store, &file).await,
        DbCommand::Vacuum => vacuum(shell, &store).await,
        DbCommand::Migrate => Ok(super::migrate::report(shell, &store)),
    }
}

async fn check(shell: &Shell<'_>, store: &SqlStore) -> Result<Exit, CliError> {
    // Damage that ends a query is a finding too, and no reason to say nothing about the rest.
    let structure = store.integrity().await.unwrap_or_else(|error| vec![error.to_string()]);
    let mut threads = Vec::new();
    for (thread, last) in store.threads().await? {
        threads.push(examine(store, thread, last).await);
    }
    let ok = structure.is_empty() && threads.iter().all(|thread| thread.problems.is_empty());
    if shell.out.json {
        let threads: Vec<Value> = threads.iter().map(as_json).collect();
        let database = store.place();
        shell
            .out
            .object(&json!({ "database": database, "ok": ok, "structure": structure, "threads": threads }));
    } else {
        print(shell, store, &structure, &threads);
    }
    Ok(if ok { Exit::Finished } else { Exit::Error })
}

/// What was found in one thread.
#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
    sealed: u64,
}

impl Findings {
    fn problem(&mut self, seq: Seq, code: &'static str, message: String) {
        self.problems.push(Problem { seq, code, message });
    }
}

/// Reads every entry of a thread and compares it with its checksum.
async fn examine(store: &SqlStore, thread: ThreadId, last: Seq) -> Examined {
    let mut found = Findings::default();
    for from in (1..=last).step_by(CHUNK as usize) {
        let to = last.min(from + CHUNK - 1);
        match store.entries(&thread, &[(from, to)]).await {
            Ok(entries) => judge(store, &thread, (from, to), &entries, &mut found).await,
            Err(_) => {
                for seq in from..=to {
                    match store.entries(&thread, &[(seq, seq)]).await {
                        Ok(entries) => judge(store, &thread, (seq, seq), &entries, &mut found).await,
                        Err(error) => found.problems.push(unreadable(seq, &error)),
                    }
                }
            }
        }
    }
    let Findings { problems, sealed } = found;
    let sound_to = problems.first().map_or(last, |problem| problem.seq - 1);
    Examined { thread, last, sound_to, sealed, problems }
}

fn unreadable(seq: Seq, error: &StoreError) -> Problem {
    Problem { seq, code: error.code(), message: error.to_string() }
}

/// What is wrong with the entries of a range: those that are missing, and those that are not what was written.
async fn judge(
    store: &SqlStore,
    thread: &ThreadId,
    (from, to): (Seq, Seq),
    entries: &[Entry],
    found: &mut Findings,
) {
    let mut entries = entries.iter().peekable();
    for seq in from..=to {
        let Some(entry) = entries.next_if(|entry| entry.seq == seq) else {
            found.problem(seq, "SW-S410", "the entry is missing".to_owned());
            continue;
        };
        match whole(store, thread, entry).await {
            Ok(()) => {}
            Err(FrameError::Sealed) => found.sealed += 1,
            Err(error) => found.problem(seq, error.code(), error.to_string()),
        }
    }
}

/// Whether an entry is what was written, and the values that it leaves out are where it says.
async fn whole(store: &SqlStore, thread: &ThreadId, entry: &Entry) -> Result<(), FrameError> {
    let sources = journal::sources(entry.seq, &entry.bytes)?;
    let ranges: Vec<(Seq, Seq)> = sources.into_iter().map(|seq| (seq, seq)).collect();
    // One that cannot be read is a finding of its own; what it should hold is missing here.
    let held = match ranges.as_slice() {
        [] => Vec::new(),
        ranges => store.entries(thread, ranges).await.unwrap_or_default(),
    };
    let source = |seq| held.iter().find(|held| held.seq == seq).map(|held| held.bytes.as_slice());
    let filled = journal::fill(entry.seq, &entry.bytes, source)?;
    journal::decode::<IgnoredAny>(filled.as_deref().unwrap_or(&entry.bytes)).map(drop)
}

fn as_json(examined: &Examined) -> Value {
    let problem =
        |problem: &Problem| json!({ "seq": problem.seq, "code": problem.code, "message": problem.message });
    json!({
        "thread": examined.thread, "entries": examined.last, "sound_to": examined.sound_to,
        "sealed": examined.sealed, "problems": examined.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn print(shell: &Shell<'_>, store: &SqlStore, structure: &[String], threads: &[Examined]) {
    let out = &shell.out;
    for line in structure {
        out.line(&format!("{} {line}", out.style().red().apply_to("✗")));
    }
    let damaged: Vec<&Examined> = threads.iter().filter(|thread| !thread.problems.is_empty()).collect();
    for examined in &damaged {
        out.line(&format!(
            "{} thread {}: entries 1 to {} of {} are sound",
            out.style().red().apply_to("✗"),
            examined.thread,
            examined.sound_to,
            examined.last
        ));
        for problem in &examined.problems {
            out.line(&format!("    entry {}: [{}] {}", problem.seq, problem.code, problem.message));
        }
    }
    let entries: Seq = threads.iter().map(|thread| thread.last).sum();
    let counted = format!("{} threads, {entries} entries in {}", threads.len(), store.place());
    let sealed: u64 = threads.iter().map(|thread| thread.sealed).sum();
    if sealed > 0 {
        out.line(&format!("{sealed} entries are sealed: they are as they were written, and what is in them only the program with the key can check"));
    }
    if structure.is_empty() && damaged.is_empty() {
        out.line(&format!("{} {counted}: all sound", out.style().green().apply_to("✓")));
    } else {
        out.line(&format!("{counted}: {} threads are damaged; restore a backup", damaged.len()));
    }
}

async fn backup(shell: &Shell<'_>, store: &SqlStore, file: &Path) -> Result<Exit, CliError> {
    store.backup(file).await?;
    let bytes = std::fs::metadata(file).map_or(0, |file| file.len());
    if shell.out.json {
        let object = json!({ "database": store.place(), "file": file, "bytes": bytes });
        shell.out.object(&object);
    } else {
        shell.out.line(&format!("{} → {}, {bytes} bytes", store.place(), file.display()));
    }
    Ok(Exit::Finished)
}

async fn vacuum(shell: &Shell<'_>, store: &SqlStore) -> Result<Exit, CliError> {
    let before = store.bytes().await?;
    let expired = store.results(CacheLimits::default()).expire(session::now_ms()).await?;
    store.vacuum().await?;
    let after = store.bytes().await?;
    if shell.out.json {
        let object = json!({
            "database": store.place(), "bytes_before": before, "bytes_after": after, "expired_results": expired,
        });
        shell.out.object(&object);
    } else {
        shell.out.line(&format!("{}: {before} bytes before, {after} after", store.place()));
    }
    Ok(Exit::Finished)
}
