//! A run as text that is the same each time, and the file that it is compared with.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use statewright_engine_core::StepView;
use statewright_engine_runtime::{EdgeIx, Outcome, State};

use super::Ran;

/// If set to 1, files are written instead of compared.
const UPDATE: &str = "STATEWRIGHT_UPDATE_GOLDEN";

pub(super) fn of<S: State>(ran: &Ran<S>) -> String {
    let plan = &ran.plan;
    let mut text = format!("graph {}\n", plan.name);
    let mut steps: Vec<&StepView> = ran.view.steps.iter().collect();
    // In the order of merging: which of two parallel nodes is faster must not show.
    steps.sort_by_key(|step| (step.activation.superstep, step.activation.index, step.seq));
    for step in steps {
        let _ = write!(text, "{} {}", step.activation, plan.node_name(step.node));
        let _ = match (&step.failure, &step.asked) {
            (Some(failure), _) => write!(text, ": failed, {}: {}", failure.code, failure.message),
            (None, Some(question)) => write!(text, ": asked {question}"),
            (None, None) => write!(text, ": finished"),
        };
        for variant in &step.variants {
            let _ = write!(text, " -{variant}→");
        }
        text.push('\n');
        if !step.update.is_empty() {
            let _ = writeln!(text, "    wrote {}", stored(&step.update));
        }
    }
    for (place, taken) in ran.view.overlay(plan, None).taken.iter().enumerate() {
        let _ = writeln!(text, "edge {}: {taken}", plan.describe_edge(EdgeIx(place as u32)));
    }
    let _ = writeln!(text, "outcome {}", outcome(&ran.outcome));
    let _ = writeln!(text, "state {}", value(&ran.state.to_update()));
    text
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished => "finished".to_owned(),
        Outcome::Paused(questions) => {
            let ids: Vec<&str> = questions.iter().map(|question| question.id.as_str()).collect();
            format!("paused at {}", ids.join(", "))
        }
        Outcome::Failed(failures) => {
            let codes: Vec<&str> = failures.iter().map(|(_, failure)| failure.code.as_str()).collect();
            format!("failed with {}", codes.join(", "))
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

fn stored(bytes: &[u8]) -> String {
    match rmp_serde::from_slice::<Value>(bytes) {
        Ok(value) => canonical(&value),
        // Bytes are no JSON.
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

fn value(update: &impl Serialize) -> String {
    rmp_serde::to_vec_named(update).map_or_else(|error| error.to_string(), |bytes| stored(&bytes))
}

/// JSON with its keys in order: whether `serde_json` keeps another one depends on features of other crates.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields: Vec<String> =
                fields.into_iter().map(|(name, value)| format!("{name:?}: {}", canonical(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[track_caller]
pub(super) fn compare(text: &str, file: &str) {
    // Cargo sets the folder when it runs a test.
    let path = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join(file);
    let shown = path.display();
    if std::env::var(UPDATE).is_ok_and(|value| value == "1") {
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = folder.and_then(|()| std::fs::write(&path, text)) {
            panic!("{shown} cannot be written: {error}");
        }
        return;
    }
    let kept = match std::fs::read_to_string(&path) {
        Ok(kept) => kept,
        Err(error) => panic!("{shown} cannot be read: {error}; run the test with {UPDATE}=1 to write it"),
    };
    if kept == text {
        return;
    }
    let lines = kept.lines().zip(text.lines());
    let place = lines.take_while(|(kept, now)| kept == now).count();
    let line = |text: &str| text.lines().nth(place).unwrap_or("(nothing more)").to_owned();
    panic!(
        "the run differs from {shown} in line {}:\n  kept: {}\n  now:  {}\nif that is right, run the test with {UPDATE}=1",
        place + 1,
        line(&kept),
        line(text)
    );
}
