//! What came out of a run: after a drive, and from the journal for `runs show`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use statewright_engine_core::{StepView, ThreadView};
use statewright_engine_runtime::{Failure, Interrupt, Outcome, Plan, RunId, ThreadId, read_entries};
use statewright_engine_sql::{RunRow, SqlStore};
use statewright_graphs::Report;

use super::args::OneRun;
use super::drive::Stop;
use super::live::View;
use super::output::{Failed, human, shortened};
use super::{Exit, Shell, home, session, spending, standing};
use crate::error::CliError;

/// Everything about a drive that is worth showing.
pub(crate) struct Shown<'a> {
    pub(crate) row: &'a RunRow,
    pub(crate) plan: &'a Plan,
    pub(crate) stop: &'a Stop,
    pub(crate) model: &'a str,
    pub(crate) warnings: &'a [(&'static str, String)],
    pub(crate) elapsed: Duration,
}

/// Shows how a drive ended, and gives the exit code and the JSON object.
pub(crate) fn outcome(shell: &Shell<'_>, shown: &Shown<'_>, view: &View<'_>) -> (Exit, Value) {
    let mut object = object(shell, shown, view);
    let (exit, ended) = match shown.stop {
        Stop::Abandoned => (Exit::Resumable, None),
        Stop::Ended(ended) => (exit_of(&ended.outcome), Some(ended)),
    };
    if let Some(Outcome::Failed(failures)) = ended.map(|ended| &ended.outcome) {
        return (failures_of(shell, shown, failures, &mut object), object);
    }
    if shell.out.json {
        shell.out.object(&object);
        return (exit, object);
    }
    let Some(ended) = ended else {
        let words = "stopped: the time was up; what was running begins again with its node";
        resumable(shell, shown.row, words);
        return (exit, object);
    };
    match &ended.outcome {
        Outcome::Finished => finished(shell, shown, &ended.report, view.shown()),
        Outcome::Paused(questions) => paused(shell, shown, questions),
        Outcome::Exhausted(_) | Outcome::BudgetExceeded(_) | Outcome::Drained | Outcome::PausedAt(_) => {
            resumable(shell, shown.row, &ended.words);
        }
        Outcome::Compensated { left, .. } if !left.is_empty() => resumable(shell, shown.row, &ended.words),
        Outcome::Cancelled | Outcome::Compensated { .. } | Outcome::Failed(_) => {
            shell.out.line(&format!("run {}: {}", shown.row.run, ended.words));
        }
    }
    (exit, object)
}

fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Finished => Exit::Finished,
        Outcome::Paused(_) => Exit::Paused,
        Outcome::Exhausted(_) | Outcome::BudgetExceeded(_) | Outcome::Drained | Outcome::PausedAt(_) => {
            Exit::Resumable
        }
        Outcome::Failed(_) | Outcome::Compensated { .. } | Outcome::Cancelled => Exit::Error,
    }
}

/// The object of `run`, `resume` and `answer`; its fields are listed in `docs/guides/json.md`.
fn object(shell: &Shell<'_>, shown: &Shown<'_>, view: &View<'_>) -> Value {
    let row = shown.row;
    let (word, report, interrupts) = match shown.stop {
        Stop::Abandoned => (standing::STOPPED, Report::default(), Vec::new()),
        Stop::Ended(ended) => {
            let questions =
                if let Outcome::Paused(questions) = &ended.outcome { questions.as_slice() } else { &[] };
            let interrupts =
                questions.iter().map(|question| standing::interrupt(shown.plan, question)).collect();
            (standing::word(&ended.outcome), ended.report.clone(), interrupts)
        }
    };
    let mut object = json!({
        "run": row.run,
        "thread": row.thread,
        "graph": row.graph,
        "model": shown.model,
        "question": row.label,
        "outcome": word,
        "interrupts": interrupts,
        "resume": standing::is_resumable(word).then(|| format!("{} resume {}", shell.program, row.run)),
        "steps": view.trace.json(),
        "elapsed_ms": shown.elapsed.as_millis(),
        "warnings": shown.warnings.iter().map(|(code, message)| json!({ "code": code, "message": message })).collect::<Vec<_>>(),
    });
    merge(&mut object, &report);
    object
}

/// The fields of a report stand beside the others.
fn merge(object: &mut Value, report: &Report) {
    if let (Some(object), Ok(Value::Object(report))) = (object.as_object_mut(), serde_json::to_value(report))
    {
        object.extend(report);
    }
}

fn finished(shell: &Shell<'_>, shown: &Shown<'_>, report: &Report, draft: &str) {
    let out = &shell.out;
    if draft.trim() != report.answer.trim() {
        out.line(&format!("\n{}\n", report.answer.trim()));
    }
    if out.quiet {
        return;
    }
    details(shell, report);
    let (row, usage) = (shown.row, &report.usage);
    let thread = if row.thread.as_str() == row.run.as_str() {
        String::new()
    } else {
        format!(", thread {}", row.thread)
    };
    out.line(&out.dim(&format!(
        "{} tokens ({} in, {} out), {}, run {}{thread}",
        usage.total_tokens(),
        usage.input_tokens,
        usage.output_tokens,
        human(shown.elapsed),
        row.run
    )));
}

/// Citations, calculation, quality and notes.
pub(crate) fn details(shell: &Shell<'_>, report: &Report) {
    let out = &shell.out;
    if !report.citations.is_empty() {
        out.line(&out.bold("sources"));
        for (place, citation) in report.citations.iter().enumerate() {
            out.line(&format!("  [{}] {citation}  {}", place + 1, out.dim(&citation.heading)));
        }
    }
    if let Some(calculation) = &report.calculation {
        out.line(&format!("{} {calculation}", out.bold("calculation")));
    }
    if let Some(quality) = report.quality {
        let drafts =
            if report.attempts == 1 { "1 draft".to_owned() } else { format!("{} drafts", report.attempts) };
        out.line(&format!("{} {quality:.2}, {drafts}", out.bold("quality")));
    }
    for note in &report.notes {
        out.line(&format!("{} {note}", out.bold("note")));
    }
}

fn paused(shell: &Shell<'_>, shown: &Shown<'_>, questions: &[Interrupt]) {
    let out = &shell.out;
    for question in questions {
        let node = shown.plan.node_name(question.node);
        out.line(&format!("\n`{node}` asks: {}", words(&standing::question(question), &question.name)));
        if let Some(reason) = &question.rejected {
            out.line(&format!("  the last answer did not fit: {reason}"));
        }
        out.line(&format!("  answer with: {} answer {} {} VALUE", shell.program, shown.row.run, question.id));
    }
}

/// A question as a person reads it: a text as it is, a value as JSON, nothing at all by its name.
pub(crate) fn words(question: &Value, name: &str) -> String {
    match question {
        Value::Null => name.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn resumable(shell: &Shell<'_>, row: &RunRow, words: &str) {
    shell.out.line(&format!("\n{words}\n  go on with: {} resume {}", shell.program, row.run));
}

fn failures_of(
    shell: &Shell<'_>,
    shown: &Shown<'_>,
    failures: &[(Option<statewright_engine_runtime::NodeIx>, Failure)],
    object: &mut Value,
) -> Exit {
    let help = format!("to try again what failed: {} resume {}", shell.program, shown.row.run);
    for (place, (node, failure)) in failures.iter().enumerate() {
        let message = format!("`{}` failed: {failure}", shown.plan.name_of(*node, "the superstep"));
        let failed = Failed { code: &failure.code, message, help: Some(help.clone()) };
        if !shell.out.json {
            shell.out.failure(&failed, Value::Null);
        } else if place == 0 {
            shell.out.failure(&failed, std::mem::take(object));
        }
    }
    Exit::Error
}

/// An error that stopped a drive, with what can be done about the run.
pub(crate) fn failed<'a>(shell: &Shell<'_>, row: &RunRow, error: &'a CliError) -> Failed<'a> {
    use statewright_engine_runtime::{RunError, StoreError};
    let (program, run) = (&shell.program, &row.run);
    let help = match error {
        CliError::Run(RunError::Refused(statewright_engine_core::Refused::RunOpen { run })) => {
            Some(format!("{program} resume {run}"))
        }
        CliError::Run(RunError::Store(StoreError::Busy { .. })) => {
            Some(format!("{program} runs watch {run}"))
        }
        CliError::Run(RunError::Store(_)) => {
            Some(format!("what was stored is safe; go on with: {program} resume {run}"))
        }
        _ => None,
    };
    Failed { code: error.code(), message: error.to_string(), help }
}

/// All entries of a thread.
pub(crate) async fn entries(
    store: &SqlStore,
    thread: &ThreadId,
    from: u64,
) -> Result<Vec<statewright_engine_core::Entry>, CliError> {
    Ok(read_entries(store, thread, &[(from, u64::MAX >> 1)]).await?)
}

/// `runs show`.
pub(crate) async fn show(shell: &Shell<'_>, args: &OneRun) -> Result<Exit, CliError> {
    let store = home::store(&shell.global).await?;
    let row = session::find_run(&store, &args.run).await?;
    let graph = session::open_to_read(session::graph_of(shell, &row)?)?;
    let found = graph.load(Arc::new(store.clone()), row.thread.clone()).await?;
    let view = ThreadView::read(graph.plan(), &entries(&store, &row.thread, 1).await?)?;
    let steps: Vec<&StepView> = view.steps.iter().filter(|step| step.run == row.run).collect();
    // The state is the thread's; it is this run's as long as no later one has gone on.
    let is_current = found.run.as_ref() == Some(&row.run);
    let word = standing::of_row(&store, &row).await?;
    let word = standing::corrected(word, &row, &found);
    let report = is_current.then_some(&found.report);
    let interrupts: &[Interrupt] = if is_current { &found.interrupts } else { &[] };
    if shell.out.json {
        let mut object = json!({
            "run": row.run, "thread": row.thread, "graph": row.graph, "question": row.label, "meta": row.meta,
            "status": word, "detail": row.detail, "created_ms": row.created_ms, "updated_ms": row.updated_ms,
            "steps": steps.iter().map(|step| step_json(step)).collect::<Vec<_>>(),
            "interrupts": interrupts.iter().map(|i| standing::interrupt(graph.plan(), i)).collect::<Vec<_>>(),
            "resume": resume_hint(shell, &word, &row.run),
            "spending": if is_current { spending::json(&view.spending) } else { json!([]) },
        });
        if let Some(report) = report {
            merge(&mut object, report);
        }
        shell.out.object(&object);
        return Ok(Exit::Finished);
    }
    let out = &shell.out;
    out.line(&format!("{} {}  {word}", out.bold("run"), row.run));
    out.line(&format!("{} {}, {} {}", out.dim("graph"), row.graph, out.dim("thread"), row.thread));
    out.line(&format!("{} {}\n", out.dim("question"), shortened(&row.label, 200)));
    let rows: Vec<Vec<String>> = steps.iter().map(|step| step_row(step)).collect();
    out.table(&["step", "node", "attempt", "time", "took", "failed"], &rows);
    if is_current {
        spending::table(out, &view.spending);
    }
    match report.filter(|report| !report.answer.is_empty()) {
        Some(report) => {
            out.line(&format!("\n{}\n", report.answer.trim()));
            details(shell, report);
        }
        None if !is_current && found.run.is_some() => out.line("\na later run has gone on with the thread"),
        None => {}
    }
    for question in interrupts {
        out.line(&format!("waits for: {} answer {} {} VALUE", shell.program, row.run, question.id));
    }
    if let Some(detail) = row.detail.as_deref().filter(|_| word != standing::FINISHED) {
        out.line(&format!("\n{detail}"));
    }
    if let Some(hint) = resume_hint(shell, &word, &row.run) {
        out.line(&format!("go on with: {hint}"));
    }
    Ok(Exit::Finished)
}

pub(crate) fn resume_hint(shell: &Shell<'_>, word: &str, run: &RunId) -> Option<String> {
    standing::is_resumable(word).then(|| format!("{} resume {run}", shell.program))
}

fn step_json(step: &StepView) -> Value {
    json!({
        "activation": step.activation.to_string(),
        "node": step.name,
        "attempt": step.attempt,
        "ms": step.at_ms.saturating_sub(step.scheduled_ms),
        "at_ms": step.at_ms,
        "variants": step.variants,
        "asked": step.asked,
        "cached": step.cached,
        "failure": step.failure,
    })
}

/// A line of a table: what a step did.
pub(crate) fn step_row(step: &StepView) -> Vec<String> {
    let what = match (&step.failure, &step.asked) {
        (Some(failure), _) => format!("{}: {}", failure.code, shortened(&failure.message, 60)),
        (None, Some(question)) => format!("asks `{question}`"),
        (None, None) if step.cached => "cached".to_owned(),
        (None, None) => String::new(),
    };
    vec![
        step.activation.to_string(),
        step.name.to_string(),
        step.attempt.to_string(),
        human(Duration::from_millis(step.at_ms.saturating_sub(step.scheduled_ms))),
        step.variants.join(", "),
        what,
    ]
}
