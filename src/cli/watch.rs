//! `runs watch`: follows a run that another process drives, by reading its journal.

use std::time::Duration;

use statewright_engine_core::ThreadView;
use statewright_engine_runtime::Outcome;

use super::args::OneRun;
use super::output::human;
use super::show::{entries, step_row};
use super::{Exit, Shell, home, session, show, standing};
use crate::error::CliError;

/// How often the journal is read.
const POLL: Duration = Duration::from_millis(200);
/// How long a run may take from its row to its first record.
const BEGIN_MS: u64 = 1_000;

/// Until nobody drives the run any more.
pub(crate) async fn watch(shell: &Shell<'_>, args: &OneRun) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let row = session::find_run(&store, &args.run).await?;
    let graph = session::open_to_read(session::graph_of(shell, &row)?)?;
    let (mut seen, mut shown) = (Vec::new(), 0);
    loop {
        // Asked before the journal is read: what was written before the end is then surely read.
        let now = session::find_run(&store, row.run.as_str()).await?;
        let word = standing::of_row(&store, &now).await?;
        let from = seen.last().map_or(1, |entry: &statewright_engine_core::Entry| entry.seq + 1);
        let fresh = entries(&store, &row.thread, from).await?;
        if !fresh.is_empty() {
            seen.extend(fresh);
            let view = ThreadView::read(graph.plan(), &seen)?;
            let steps: Vec<_> = view.steps.iter().filter(|step| step.run == row.run).collect();
            for step in steps.iter().skip(shown).filter(|_| !shell.out.json) {
                let cells = step_row(step);
                let took = human(Duration::from_millis(step.at_ms.saturating_sub(step.scheduled_ms)));
                let rest = [cells[4].as_str(), cells[5].as_str()].join("  ");
                shell.out.line(format!("{}  {took}  {rest}", cells[1]).trim_end());
            }
            shown = steps.len();
        }
        // Between its row and its first record a run looks as if nobody drove it.
        let is_new = session::now_ms().saturating_sub(row.created_ms) < BEGIN_MS;
        if word != standing::RUNNING && !(word == standing::INTERRUPTED && is_new) {
            return end(shell, args, &word).await;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn end(shell: &Shell<'_>, args: &OneRun, word: &str) -> Result<Exit, CliError> {
    if shell.out.json {
        show::show(shell, args).await?;
    } else {
        shell.out.line(&format!("run {}: {word}", args.run));
    }
    let is = |outcome: &Outcome| standing::word(outcome) == word;
    Ok(if is(&Outcome::Finished) {
        Exit::Finished
    } else if word == "paused" {
        Exit::Paused
    } else if matches!(word, "failed" | standing::CANCELLED | standing::REFUSED) {
        Exit::Error
    } else {
        Exit::Resumable
    })
}
