//! Drives one run to its stop: the select loop between its events, the keyboard, the clock and other processes.
//! What the outcome means is decided by the caller.

use std::time::Duration;

use statewright_engine_runtime::{RunError, RunEvent, RunId};
use statewright_engine_sql::{RunRow, SqlStore};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::Instrument;

use super::live::View;
use super::signals::Signals;
use super::{Exit, Shell, redaction, session, standing};
use crate::error::CliError;
use crate::pipeline::{Drive, Ended};

/// How often the driver looks whether another process asked for the end of the run.
const CANCEL_POLL: Duration = Duration::from_millis(200);
/// How long running nodes may go on after a deadline, before they are dropped.
const GRACE: Duration = Duration::from_secs(2);
/// A timer that is not set.
const NEVER: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);

/// How a drive stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The engine says how.
    Ended(Box<Ended>),
    /// Nodes did not finish in time after the deadline; what they did is void, everything before it is stored.
    Abandoned,
}

/// Drives until the run stops.
pub(crate) async fn drive(
    shell: &Shell<'_>,
    store: &SqlStore,
    row: &RunRow,
    drive: Drive,
    view: &mut View<'_>,
    timeout: Option<Duration>,
) -> Result<Stop, CliError> {
    let Drive { mut events, control, end } = drive;
    let run = &row.run;
    let mut signals = Signals::listen()?;
    let mut task = tokio::spawn(end.instrument(tracing::info_span!("run", %run)));
    let mut poll = interval(CANCEL_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let now = Instant::now();
    let deadline = sleep_until(now + timeout.unwrap_or(NEVER));
    let grace = sleep_until(now + NEVER);
    tokio::pin!(deadline, grace);
    let (mut is_open, mut is_asked, mut is_late) = (true, false, false);
    let joined = loop {
        tokio::select! {
            // What people and clocks want comes before a flood of events.
            biased;
            () = signals.next() => {
                interrupt(shell, view, run, is_asked);
                is_asked = true;
                control.drain();
            }
            () = &mut deadline, if !is_late => {
                is_late = true;
                control.drain();
                grace.as_mut().reset(Instant::now() + GRACE);
            }
            () = &mut grace, if is_late => {
                task.abort();
                // Once it is gone, so is its hold on the thread.
                drop(task.await);
                view.end();
                return Ok(Stop::Abandoned);
            }
            _ = poll.tick() => {
                // A store that cannot be read right now will make itself heard by the run itself.
                if store.cancel_requested(run).await.unwrap_or(false) {
                    control.cancel();
                }
            }
            event = events.next(), if is_open => match event {
                Some(event) => {
                    note_opened(store, row, &event).await;
                    show(shell, view, &event);
                }
                None => is_open = false,
            },
            joined = &mut task => break joined,
        }
    };
    while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
        show(shell, view, &event);
    }
    view.end();
    match joined {
        Ok(ended) => Ok(Stop::Ended(Box::new(ended?))),
        // Panics of nodes and reducers end inside the driver, so this is one of the driver itself.
        Err(error) => Err(CliError::System { what: "the driver", reason: error.to_string() }),
    }
}

/// The first Ctrl-C says how to go on; the second leaves at once, since everything acknowledged is stored.
fn interrupt(shell: &Shell<'_>, view: &mut View<'_>, run: &RunId, again: bool) {
    if again {
        view.end();
        std::process::exit(Exit::Interrupted as i32);
    }
    shell.out.note(&format!(
        "\nstopping at the next safe point (Ctrl-C again leaves at once); go on with: {} resume {run}",
        shell.program
    ));
}

/// From its opening on the thread is held. A list that is behind for a while is no reason to stop.
async fn note_opened(store: &SqlStore, row: &RunRow, event: &RunEvent) {
    match event {
        RunEvent::Opened { resumed: true, .. } => {
            drop(store.update_run(&row.run, standing::RUNNING, None, session::now_ms()).await);
        }
        // A deletion of the thread just before took the row along, and a run that nobody can find would be lost.
        RunEvent::Opened { resumed: false, .. } if matches!(store.thread_of(&row.run).await, Ok(None)) => {
            drop(store.record_run(row.clone()).await);
        }
        _ => {}
    }
}

fn show(shell: &Shell<'_>, view: &mut View<'_>, event: &RunEvent) {
    redaction::event(event, shell.global.log_content);
    view.event(event);
}

/// Whether the thread is held by somebody else, perhaps only for the moment that a look at it takes.
pub(crate) fn is_busy(error: &CliError) -> bool {
    matches!(error, CliError::Run(RunError::Store(statewright_engine_runtime::StoreError::Busy { .. })))
}
