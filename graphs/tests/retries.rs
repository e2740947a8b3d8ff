//! What the reviewer of `research` does with bad drafts, and what happens to calls that break. The model is scripted.

#![expect(clippy::expect_used, reason = "a helper of tests may fail the test")]

mod common;

use std::sync::Arc;

use common::{Ran, WithDocs, run, scripted};
use statewright_engine_runtime::{FailureKind, Outcome};
use statewright_graphs::research::ResearchState;
use statewright_graphs::{Docs, research};
use statewright_nodes_models::{Reply, Scripted};
use statewright_nodes_ports::{ChatDelta, ModelError, Usage, purpose};

const PRODUCT: &str = "What is 150 × 223.48?";
const CRASH: &str = "How does the engine resume after a crash?";

fn write(text: &str) -> Reply {
    Reply::text(text).for_purpose(purpose::WRITE)
}

fn extract(text: &str) -> Reply {
    Reply::text(text).for_purpose(purpose::EXTRACT_EXPRESSION)
}

async fn ask(script: impl IntoIterator<Item = Reply>, question: &str) -> (Ran<ResearchState>, Arc<Scripted>) {
    let model = Arc::new(Scripted::new(script));
    let graph = research(&scripted(&model).with_docs()).expect("a graph without problems");
    (run(&graph, question).await, model)
}

fn last_prompt(model: &Scripted) -> String {
    model.requests().last().expect("a call").last_user_text().into_owned()
}

#[tokio::test]
async fn a_wrong_calculation_is_blamed_on_the_writer_and_repaired() {
    let script = [write("150 × 223.48 = 35,522."), write("That makes 33,522: 150 × 223.48 = 33,522.")];
    let (ran, model) = ask(script, PRODUCT).await;
    assert_eq!(ran.path(), "orchestrator calculator writer reviewer writer reviewer");
    let report = ran.report();
    assert_eq!(report.answer, "That makes 33,522: 150 × 223.48 = 33,522.");
    assert_eq!((report.quality, report.attempts), (Some(1.0), 2));
    assert_eq!(ran.shown(), report.answer);
    let prompt = last_prompt(&model);
    assert!(prompt.contains("<critique>To be mended by the writer: "), "{prompt}");
    assert!(prompt.contains("150 × 223.48 is not 35,522: it is 33,522."), "{prompt}");
}

#[tokio::test]
async fn a_calculation_with_a_number_from_nowhere_is_blamed_on_the_calculator() {
    let script = [
        extract("15 / 100 * 90"),
        write("15 ÷ 100 × 90 = 13.5."),
        extract("15 / 100 * 80"),
        write("15 ÷ 100 × 80 = 12."),
    ];
    let (ran, model) = ask(script, "What is 15 percent of 80?").await;
    assert_eq!(ran.path(), "orchestrator calculator writer reviewer calculator writer reviewer");
    assert_eq!(ran.report().answer, "15 ÷ 100 × 80 = 12.");
    let again = model.requests()[2].last_user_text().into_owned();
    assert!(
        again.contains("To be mended by the calculator: The calculation 15 ÷ 100 × 90 uses 90"),
        "{again}"
    );
}

#[tokio::test]
async fn a_number_that_no_source_has_is_caught() {
    let bad = "After a crash the engine resumes from its journal within 17 seconds. [1]";
    let good = "After a crash the engine resumes from its journal. [1]";
    let (ran, model) = ask([write(bad), write(good)], CRASH).await;
    assert_eq!(ran.report().answer, good);
    assert_eq!(ran.path(), "orchestrator research writer reviewer writer reviewer");
    assert!(last_prompt(&model).contains("The number 17 is in no source"), "{}", last_prompt(&model));
}

#[tokio::test]
async fn the_best_draft_is_kept_when_retries_are_worse() {
    let first = "After a crash the engine resumes from its journal, as Dijkstra proved. [1]";
    let script =
        [write(first), write("I do not know what you mean."), write("No idea. Ask Dijkstra, or 17 others.")];
    let (ran, _) = ask(script, CRASH).await;
    let report = ran.report();
    assert_eq!(report.answer, first);
    assert_eq!((report.quality, report.attempts), (Some(0.65), 3));
    assert_eq!(report.citations.len(), 1);
    assert_eq!(ran.shown(), first, "the best draft is shown again at the end");
    assert_eq!(
        report.notes,
        ["The name Dijkstra is in no source; leave it out or give what the sources say."]
    );
}

#[tokio::test]
async fn an_evasion_cannot_pass() {
    for evasion in [
        "I do not know what you mean.",
        "What do you mean?",
        "Could you say more?",
        "I don't know the engine.",
    ] {
        let (ran, _) = ask([write(evasion), write(evasion)], CRASH).await;
        let report = ran.report();
        assert!(report.quality.is_some_and(|quality| quality < 0.2), "{evasion}: {report:?}");
        assert_eq!(report.attempts, 2, "{evasion}: the same draft again is not tried a third time");
    }
}

#[tokio::test]
async fn citations_are_demanded_and_must_resolve() {
    let good = "After a crash the engine resumes from its journal. [1]";
    for (bad, critique) in [
        ("After a crash the engine resumes from its journal.", "cites no source"),
        (
            "After a crash the engine resumes from its journal. [1][7]",
            "The citation [7] is of no given source",
        ),
    ] {
        let (ran, model) = ask([write(bad), write(good)], CRASH).await;
        assert_eq!(ran.report().answer, good);
        assert!(last_prompt(&model).contains(critique), "{}", last_prompt(&model));
    }
}

#[tokio::test]
async fn a_search_that_found_too_little_is_blamed_and_widened() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let text = format!(
            "# Note {number}\n\nThe gadget of room {number} has the colour c{number}tone and it works.\n"
        );
        std::fs::write(folder.path().join(format!("n{number:02}.md")), text).unwrap();
    }
    let no_answer = "The given documents do not answer this question.";
    let model = Arc::new(Scripted::new([write(no_answer), write("The gadget works. [9]")]));
    let docs = Some(Docs::open(folder.path()).unwrap());
    let services = statewright_graphs::Services { docs, ..scripted(&model) };
    let ran = run(&research(&services).unwrap(), "Which gadget works?").await;
    assert_eq!(ran.path(), "orchestrator research writer reviewer research writer reviewer");
    let sources = |at: usize| model.requests()[at].last_user_text().matches("<source ").count();
    assert_eq!((sources(0), sources(1)), (6, 12));
    let report = ran.report();
    assert_eq!(report.answer, "The gadget works. [1]", "the ninth source is the first that is cited");
    assert_eq!(report.citations.len(), 1);
    assert!(report.citations[0].resolve(folder.path()).unwrap().contains("gadget"));
}

fn broken(error: ModelError) -> Reply {
    let begun = ["150 × ", "223"].map(|text| Ok(ChatDelta::Text(text.to_owned())));
    Reply::deltas(begun.into_iter().chain([Err(error)])).for_purpose(purpose::WRITE)
}

fn dropped() -> ModelError {
    ModelError::Transport { detail: "the connection was closed".to_owned() }
}

#[tokio::test]
async fn a_stream_that_breaks_is_started_anew_and_viewers_are_told() {
    let usage = Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() };
    let whole = write("150 × 223.48 = 33,522.").with_usage(usage);
    let (ran, model) = ask([broken(dropped()), broken(dropped()), whole], PRODUCT).await;
    let report = ran.report();
    assert_eq!(report.answer, "150 × 223.48 = 33,522.");
    assert_eq!((report.usage, report.attempts), (usage, 1));
    assert_eq!(ran.shown(), report.answer);
    let resets: Vec<_> = ran.items.iter().filter(|item| &*item.kind == "attempt_reset").collect();
    assert_eq!(resets.iter().map(|item| item.payload.as_u64()).collect::<Vec<_>>(), [Some(2), Some(3)]);
    let keys: Vec<_> = model.requests().into_iter().map(|request| request.idempotency_key).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0].as_ref().is_some_and(|key| key.starts_with("t/") && key.ends_with("/write")), "{keys:?}");
    assert!(keys.iter().all(|key| *key == keys[0]), "repeated work has one key: {keys:?}");
}

#[tokio::test]
async fn what_repeating_cannot_mend_fails_the_node() {
    let refused = ModelError::Reported {
        message: "no".to_owned(),
        class: statewright_nodes_ports::ErrorClass::Permanent,
    };
    for (script, calls, kind, code) in [
        (
            vec![broken(dropped()), broken(dropped()), broken(dropped())],
            3,
            FailureKind::Transient,
            dropped().code(),
        ),
        // Before the first piece of text the adapter has tried again already.
        (vec![Reply::error(dropped())], 1, FailureKind::Transient, dropped().code()),
        (vec![broken(refused.clone())], 1, FailureKind::Permanent, refused.code()),
    ] {
        let (ran, model) = ask(script, PRODUCT).await;
        let Outcome::Failed(failures) = &ran.end.outcome else { panic!("{}", ran.end.describe()) };
        assert_eq!((failures[0].1.kind, failures[0].1.code.as_str(), model.calls()), (kind, code, calls));
    }
}

#[tokio::test]
async fn tokens_that_a_provider_does_not_report_are_counted() {
    let (ran, _) = ask([write("150 × 223.48 = 33,522.")], PRODUCT).await;
    let usage = ran.report().usage;
    assert!(usage.input_tokens > 20, "{usage:?}");
    assert_eq!(usage.output_tokens, 5);
}
