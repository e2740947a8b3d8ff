//! `check-runs`: reads every stored run that is under way as a resume by this build would, and says which of them go on, which
//! are migrated on the way, and which are in the way of a deployment. Nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use statewright_engine_runtime::{Compatibility, ThreadCheck};
use statewright_engine_sql::{RunFilter, RunRow, SqlStore};

use super::args::CheckRunsArgs;
use super::{Exit, Shell, home, session, standing};
use crate::error::CliError;
use crate::pipeline::OpenGraph;

/// A run that is under way.
struct Checked {
    row: RunRow,
    status: String,
    compatibility: Compatibility,
}

/// The graphs of the program that stored runs belong to, each opened once; or why one cannot be.
type Graphs = BTreeMap<String, Result<Arc<dyn OpenGraph>, Compatibility>>;

pub(crate) async fn check_runs(shell: &Shell<'_>, args: &CheckRunsArgs) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let filter = RunFilter { status: None, graph: args.graph.clone(), thread: None };
    let mut graphs = Graphs::new();
    let mut checked = Vec::new();
    for row in store.runs(&filter, u32::MAX).await? {
        let status = standing::of_row(&store, &row).await?;
        if standing::is_resumable(&status) || status == standing::RUNNING {
            checked.extend(check(shell, &store, &mut graphs, row, status).await?);
        }
    }
    let count = |word: &str| checked.iter().filter(|run| run.compatibility.name() == word).count();
    let (safe, migratable, blocked) = (count("safe"), count("migratable"), count("blocked"));
    if shell.out.json {
        let runs: Vec<Value> = checked.iter().map(as_json).collect();
        shell.out.object(&json!({
            "database": store.place(), "safe": safe, "migratable": migratable, "blocked": blocked, "runs": runs,
        }));
    } else {
        print(shell, &checked);
        let place = store.place();
        shell.out.line(&format!("{safe} safe, {migratable} migratable, {blocked} blocked in {place}"));
    }
    Ok(if blocked > 0 { Exit::Blocked } else { Exit::Finished })
}

/// What this build makes of a run; nothing if its thread says that it is over, or was never begun.
async fn check(
    shell: &Shell<'_>,
    store: &SqlStore,
    graphs: &mut Graphs,
    row: RunRow,
    status: String,
) -> Result<Option<Checked>, CliError> {
    let graph = graphs.entry(row.graph.clone()).or_insert_with(|| {
        let opened = session::graph_of(shell, &row).and_then(session::open_to_read);
        opened.map_err(|error| Compatibility::Blocked {
            code: error.code().to_owned(),
            reason: error.to_string(),
        })
    });
    let compatibility = match graph {
        Err(blocked) => blocked.clone(),
        Ok(graph) => {
            let found = graph.check(Arc::new(store.clone()), row.thread.clone()).await?;
            let ThreadCheck { run, in_flight, compatibility } = found;
            if !in_flight || run.is_some_and(|run| run != row.run) {
                return Ok(None);
            }
            compatibility
        }
    };
    Ok(Some(Checked { row, status, compatibility }))
}

/// The code and the words behind a verdict.
fn reason(compatibility: &Compatibility) -> (Option<&str>, &str) {
    match compatibility {
        Compatibility::Safe => (None, ""),
        Compatibility::Migratable { differences } => (None, differences),
        Compatibility::Blocked { code, reason } => (Some(code), reason),
    }
}

fn as_json(checked: &Checked) -> Value {
    let Checked { row, status, compatibility } = checked;
    let (code, reason) = reason(compatibility);
    json!({
        "run": row.run, "thread": row.thread, "graph": row.graph, "question": row.label, "status": status,
        "compatibility": compatibility.name(), "code": code, "reason": reason,
    })
}

fn print(shell: &Shell<'_>, checked: &[Checked]) {
    if checked.is_empty() {
        return;
    }
    let cells = |Checked { row, status, compatibility }: &Checked| {
        let words = match reason(compatibility) {
            (Some(code), reason) => format!("[{code}] {reason}"),
            (None, reason) => reason.to_owned(),
        };
        let verdict = compatibility.name().to_owned();
        vec![row.run.to_string(), status.clone(), row.graph.clone(), verdict, words]
    };
    let rows: Vec<Vec<String>> = checked.iter().map(cells).collect();
    shell.out.table(&["run", "status", "graph", "this build", "why"], &rows);
}
