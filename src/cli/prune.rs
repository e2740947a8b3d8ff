//! `threads prune`: deletes what need not be kept. A thread goes only if its journal itself says that its run is over.
//! Results of nodes whose time is over go, too.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use statewright_engine_runtime::{Age, CacheLimits, Checkpointer, ResultCache, Retention, Seq, StoreError};
use statewright_engine_sql::SqlStore;

use super::args::threads::PruneArgs;
use super::threads::{Listed, is_over, listed, word};
use super::{Exit, Shell, home, session, standing};
use crate::error::CliError;

const DAY: Duration = Duration::from_secs(86_400);

/// What became of a thread that a rule lets go.
enum Fate {
    Deleted,
    /// It stays, for this reason.
    Stays(String),
}

pub(crate) async fn prune(shell: &Shell<'_>, args: &PruneArgs) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let found = listed(&store, args.graph.as_deref()).await?;
    let mut ages = Vec::with_capacity(found.len());
    for listed in &found {
        let word = word(shell, &store, listed).await?;
        let is_over = matches!(word.as_deref(), Some(standing::FINISHED | standing::CANCELLED));
        ages.push(Age { changed_ms: listed.changed_ms, is_over });
    }
    let (mut deleted, mut stay) = (Vec::new(), Vec::new());
    for place in retention(args).expired(session::now_ms(), &ages) {
        let listed = &found[place];
        match fate(shell, &store, listed, args).await? {
            Fate::Deleted => deleted.push(listed),
            Fate::Stays(why) => stay.push((listed, why)),
        }
    }
    if !args.dry_run {
        store.results(CacheLimits::default()).expire(session::now_ms()).await?;
    }
    let kept = found.len() - deleted.len();
    if shell.out.json {
        let gone: Vec<&str> = deleted.iter().map(|listed| listed.thread.as_str()).collect();
        let skipped = |(listed, why): &(&Listed, String)| json!({ "thread": listed.thread, "reason": why });
        let skipped: Vec<Value> = stay.iter().map(skipped).collect();
        let object = json!({ "dry_run": args.dry_run, "deleted": gone, "kept": kept, "skipped": skipped });
        shell.out.object(&object);
        return Ok(Exit::Finished);
    }
    let verb = if args.dry_run { "would delete" } else { "deleted" };
    for listed in &deleted {
        shell.out.line(&format!("{verb} {}  {} entries", listed.thread, listed.entries));
    }
    for (listed, why) in &stay {
        shell.out.note(&format!("{} stays: {why}", listed.thread));
    }
    let verb = if args.dry_run { "would be deleted" } else { "deleted" };
    shell.out.line(&format!("{} {verb}, {kept} stay", deleted.len()));
    if !deleted.is_empty() && !args.dry_run {
        shell.out.note(&format!("{} db vacuum gives their space back", shell.program));
    }
    Ok(Exit::Finished)
}

fn retention(args: &PruneArgs) -> Retention {
    let mut retention = Retention::new();
    if let Some(days) = args.keep_days {
        retention = retention.keep_for(DAY * days);
    }
    if let Some(threads) = args.keep_last {
        retention = retention.keep_last(threads as usize);
    }
    if args.unfinished_too { retention.unfinished_too() } else { retention }
}

/// The table of runs may be behind the journal, so that is asked before anything is deleted, and what it says holds as
/// long as no entry has come since.
async fn fate(
    shell: &Shell<'_>,
    store: &SqlStore,
    listed: &Listed,
    args: &PruneArgs,
) -> Result<Fate, CliError> {
    let at = match last_entry(shell, store, listed, args).await? {
        Ok(at) => at,
        Err(why) => return Ok(Fate::Stays(why)),
    };
    if store.is_driven(&listed.thread).await? {
        return Ok(Fate::Stays("it is being driven".to_owned()));
    }
    if args.dry_run {
        return Ok(Fate::Deleted);
    }
    match store.delete(&listed.thread, Some(at)).await {
        Ok(_) => Ok(Fate::Deleted),
        Err(error @ (StoreError::Busy { .. } | StoreError::Moved { .. })) => {
            Ok(Fate::Stays(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The entry as of which the thread may go, or why it may not.
async fn last_entry(
    shell: &Shell<'_>,
    store: &SqlStore,
    listed: &Listed,
    args: &PruneArgs,
) -> Result<Result<Seq, String>, CliError> {
    let known = shell.app.graphs().find(|graph| Some(graph.name()) == listed.graph.as_deref());
    let Some(graph) = known else {
        return Ok(Err("this program does not have its graph".to_owned()));
    };
    let reader = session::open_to_read(graph)?;
    let store: Arc<dyn Checkpointer> = Arc::new(store.clone());
    Ok(match reader.look(store, listed.thread.clone(), None).await {
        Ok(look) if is_over(&look.status) || args.unfinished_too => Ok(look.seq),
        Ok(look) => Err(format!("its run is {}", standing::idle_word(&look.status))),
        Err(error) => Err(format!("it cannot be read [{}]", error.code())),
    })
}
