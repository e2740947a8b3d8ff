//! The `research` pipeline with the offline model: exact paths, answers and citations.

mod common;

use common::{WithDocs, docs_folder, offline, run};
use statewright_engine_runtime::{FailureKind, Outcome};
use statewright_graphs::{Pipeline, ResearchState, research};

const CRASH: &str = "After a crash the engine resumes from its journal: it loads the last snapshot, replays the \
    updates behind it, and runs only the activations that had not finished. [1]";
const NO_ANSWER: &str = "The given documents do not answer this question.";

#[tokio::test]
async fn questions_take_their_path_and_get_their_answer() {
    let graph = research(&offline().with_docs()).unwrap();
    let both = format!("2 + 2 = 4. {CRASH}");
    let parallel = "orchestrator research calculator writer reviewer";
    for (question, path, answer, quality) in [
        ("What is 150 × 223.48?", "orchestrator calculator writer reviewer", "150 × 223.48 = 33,522.", 1.0),
        ("What is 15% of 80?", "orchestrator calculator writer reviewer", "15 ÷ 100 × 80 = 12.", 1.0),
        ("What is 150 × 2 plus 10?", "orchestrator calculator writer reviewer", "150 × 2 + 10 = 310.", 1.0),
        ("What is $150 × 2?", "orchestrator calculator writer reviewer", "150 × 2 = 300.", 1.0),
        ("How does the engine resume after a crash?", "orchestrator research writer reviewer", CRASH, 1.0),
        ("How does the engine resume after a crash, and what is 2 + 2?", parallel, &both, 1.0),
        (
            "Was version 1.2-3 released before 2024-05-01?",
            "orchestrator research writer reviewer",
            "The release 1.2.0 raised the limit; version 1.2-3 was packaged on 2024-04-20. [1]",
            1.0,
        ),
        ("What is the capital of France?", "orchestrator research writer reviewer", NO_ANSWER, 0.2),
        ("Hello!", "orchestrator writer reviewer", NO_ANSWER, 0.2),
        ("", "orchestrator writer reviewer", NO_ANSWER, 0.2),
    ] {
        let ran = run(&graph, question).await;
        let report = ran.report();
        assert_eq!(ran.path(), path, "{question}");
        assert_eq!(report.answer, answer, "{question}");
        assert_eq!(report.quality, Some(quality), "{question}");
        assert_eq!(ran.shown(), answer, "{question}: a viewer shows what is answered");
        assert_eq!(report.attempts, 1, "{question}");
        assert_eq!(report.notes.is_empty(), quality > 0.7, "{question}: {:?}", report.notes);
        let highest = report.citations.len();
        assert_eq!(answer.contains("[1]"), highest == 1, "{question}");
        for citation in &report.citations {
            let text = citation.resolve(&docs_folder()).unwrap();
            assert!(!text.is_empty(), "{question}");
        }
    }
}

#[tokio::test]
async fn without_documents_nothing_is_made_up() {
    let graph = research(&offline()).unwrap();
    let ran = run(&graph, "Who founded Nvidia?").await;
    let report = ran.report();
    assert_eq!(report.answer, NO_ANSWER);
    assert_eq!(report.usage.total_tokens(), 0, "no model is asked to write from nothing");
    assert_eq!(report.notes[0], "No documents were given, so nothing could be looked up.");

    let ran = run(&graph, "How does the engine resume, and what is 2 + 2?").await;
    let report = ran.report();
    assert_eq!((report.answer.as_str(), report.quality), ("2 + 2 = 4.", Some(0.5)), "{report:?}");
    assert_eq!(report.calculation.as_deref(), Some("2 + 2 = 4"));
}

#[tokio::test]
async fn a_calculation_that_needs_a_found_number_follows_the_search() {
    let ran =
        run(&research(&offline().with_docs()).unwrap(), "What is 3 times the record limit in MiB?").await;
    assert!(ran.path().starts_with("orchestrator research calculator writer reviewer"), "{}", ran.path());
    // The offline model reads expressions only from questions, so this one stays open, and the reader is told.
    let report = ran.report();
    assert_eq!(report.quality, Some(0.4));
    assert_eq!(report.notes, ["The question asks for a calculation and none was done."]);

    let ran = run(&research(&offline()).unwrap(), "What is 3 times the record limit in MiB?").await;
    assert_eq!(ran.path(), "orchestrator research calculator writer reviewer");
    assert_eq!(ran.report().answer, NO_ANSWER);
}

#[tokio::test]
async fn mistakes_in_the_question_fail_with_the_calculators_code_and_a_caret() {
    let graph = research(&offline().with_docs()).unwrap();
    for (question, code, words) in [
        ("What is 150 × × 2?", "SW-N302", "150 × × 2\n        ^"),
        ("150 × × 2", "SW-N302", "150 × × 2\n        ^"),
        ("What is 150 ×?", "SW-N302", "150 ×"),
        ("What is 1/0?", "SW-N305", "1/0\n   ^"),
        ("2 ** 10 ** 10", "SW-N306", "exponent"),
        ("How much is 2^10^10?", "SW-N306", "exponent"),
    ] {
        let ran = run(&graph, question).await;
        let Outcome::Failed(failures) = &ran.end.outcome else {
            panic!("{question}: {}", ran.end.describe())
        };
        let [(_, failure)] = &failures[..] else { panic!("{question}: {failures:?}") };
        assert_eq!((failure.code.as_str(), failure.kind), (code, FailureKind::Permanent), "{question}");
        assert!(failure.message.contains(words), "{question}: {}", failure.message);
        assert_eq!(ran.end.state.report().quality, None, "{question}");
    }
}

#[tokio::test]
async fn a_thread_starts_anew_with_each_question() {
    let store = statewright_engine_runtime::MemoryCheckpointer::new();
    let runner = research(&offline().with_docs()).unwrap().runner().checkpointer(store);
    let first =
        runner.start("t", ResearchState::ask("Who founded Nvidia, and what is 2 + 2?")).await.unwrap();
    let second = runner.start("t", ResearchState::ask("What is 150 × 223.48?")).await.unwrap();
    assert_ne!(first.state.report(), second.state.report());
    let alone = research(&offline().with_docs())
        .unwrap()
        .run(ResearchState::ask("What is 150 × 223.48?"))
        .await
        .unwrap();
    assert_eq!(second.state.report(), alone.report());
}
