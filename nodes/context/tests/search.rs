//! What a search finds first, and what fits into a budget.

#![expect(clippy::expect_used, reason = "a helper of a test fails the test")]

use proptest::prelude::*;
use statewright_nodes_context::bm25::{Bm25, Entry};
use statewright_nodes_context::corpus::Corpus;
use statewright_nodes_context::pack::{DropReason, RETRIEVED_TOKENS, pack};
use statewright_nodes_context::tokens::Cl100k;
use statewright_nodes_context::{Citation, DocsIndex, Passage, chunk};
use statewright_nodes_ports::TokenCounter;
use std::sync::Arc;

const RECOVERY: &str = "# Recovery\n\nWhen a process crashes, the engine reads the journal and resumes the run. \
    Finished activations are not executed again.\n\n## Locks\n\nOne thread has one driver. An advisory lock is taken.\n";
const CALCULATOR: &str = "# Calculator\n\nThe calculator multiplies and divides exact decimals. \
    An error such as SW-N302 names the column.\n";
const GRAPH: &str = "# Graphs\n\nA StateGraph is built from nodes and edges; the engine checks it at build. \
    The engine is a pure state machine.\n";

fn index(files: &[(&str, &str)]) -> DocsIndex {
    let mut corpus = Corpus::default();
    for (name, text) in files {
        corpus.chunks.extend(chunk::chunks(&Arc::from(*name), text));
    }
    DocsIndex::new(corpus)
}

#[test]
fn questions_find_their_passage_first() {
    let index = index(&[("calculator.md", CALCULATOR), ("graphs.md", GRAPH), ("reliability.md", RECOVERY)]);
    for (question, doc, word) in [
        ("How does the engine resume after a crash?", "reliability.md", "journal"),
        ("What happens when it crashed?", "reliability.md", "journal"),
        ("Who takes the lock of a thread?", "reliability.md", "advisory"),
        ("What is SW-N302?", "calculator.md", "SW-N302"),
        ("state graph edges", "graphs.md", "StateGraph"),
        ("multiplying a decimal", "calculator.md", "decimals"),
        ("reliability", "reliability.md", ""),
    ] {
        let passages = index.search(question, 3);
        let first = passages.first().map(|p| (p.citation.doc.as_str(), p.text.contains(word)));
        assert_eq!(first, Some((doc, true)), "{question}");
    }
    for question in ["", "?", "How does it?", "What is 150 × 223.48?", "zebra"] {
        assert_eq!(index.search(question, 3), [], "{question}");
    }
    assert_eq!(index.search("engine", 0), []);
}

#[test]
fn a_repetition_is_found_once() {
    let copy = RECOVERY.replace("resumes the run", "resumes your run");
    let index = index(&[("a.md", RECOVERY), ("b.md", &copy), ("c.md", GRAPH)]);
    let found: Vec<_> = index.search("engine journal", 5).into_iter().map(|p| p.citation.doc).collect();
    assert_eq!(found, ["a.md", "c.md"]);
}

#[test]
fn headings_count_and_ties_keep_the_order() {
    let heading = ["Deadlines".to_owned()];
    let plain = Entry { text: "one two three", ..Entry::default() };
    let index = Bm25::new([plain, plain, Entry { headings: &heading, ..plain }, Entry::default()]);
    assert_eq!(index.search("deadline", 9, 0.0).iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [2]);
    assert_eq!(index.search("two", 9, 0.0).iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(index.search("two", 2, 0.0).len(), 2);
    assert_eq!(index.search("two", 9, 100.0), []);
    assert_eq!(Bm25::default().search("two", 9, 0.0), []);
}

#[test]
fn the_score_is_the_published_formula() {
    let index = Bm25::new(["cat cat dog", "cat", "fish"].map(|text| Entry { text, ..Entry::default() }));
    // N = 3, n = 2, average length 5/3.
    let idf = (1.0_f32 + 1.5 / 2.5).ln();
    let norm = |length: f32| 1.2 * (0.25 + 0.75 * length / (5.0 / 3.0));
    let expected = [(0, idf * 2.0 * 2.2 / (2.0 + norm(3.0))), (1, idf * 2.2 / (1.0 + norm(1.0)))];
    for hit in index.search("cats", 9, 0.0) {
        let (_, score) = expected.into_iter().find(|(chunk, _)| *chunk == hit.chunk).expect("only these");
        assert!((hit.score - score).abs() < 1e-6, "{hit:?} {score}");
    }
}

/// A passage comes from a search, so it is made by one. A text that is nothing but a heading has none.
fn found(doc: &str, text: &str) -> Option<Passage> {
    let file = format!("{doc}.md");
    index(&[(&file, text)]).search(doc, 1).into_iter().next()
}

fn passage(doc: &str, text: &str) -> Passage {
    found(doc, text).expect("the text names its document")
}

#[test]
fn a_heading_alone_is_no_passage() {
    assert_eq!(found("one", "one heading\n===\n"), None);
    assert_eq!(found("one", "# one heading\n"), None);
    assert_eq!(passage("one", "one heading\n===\none word\n").text.trim(), "one word");
}

#[test]
fn packing_keeps_rank_shortens_once_and_reports() {
    let long = "This sentence has some words. ".repeat(6);
    let passages =
        [passage("one", &long), passage("two", &long), passage("three", &long), passage("four", "Hi.")];
    let whole = Cl100k.count(&passages[0].render());
    let packed = pack(&passages, &Cl100k, whole * 2);
    let docs: Vec<_> = packed.passages.iter().map(|p| p.citation.doc.as_str()).collect();
    assert_eq!(docs, ["one.md", "two.md"]);
    assert!(packed.passages[1].text.ends_with("words.") && packed.passages[1].text.len() < long.len() - 1);
    let reasons: Vec<_> = packed.dropped.iter().map(|d| (d.citation.doc.as_str(), d.reason)).collect();
    assert_eq!(reasons[0], ("two.md", DropReason::Shortened));
    assert!(matches!(reasons[1], ("three.md", DropReason::DoesNotFit { .. })));
    assert_eq!(pack(&passages, &Cl100k, RETRIEVED_TOKENS).dropped, []);
    assert_eq!(pack(&passages, &Cl100k, 0).passages, []);
}

#[test]
fn a_code_block_is_not_shortened() {
    let code = format!("Intro here.\n\n```\n{}```\n", "Call it. Then Wait.\n".repeat(30));
    let packed = pack(&[passage("code", &code)], &Cl100k, 60);
    assert_eq!(packed.passages.first().map(|p| p.text.as_str()), Some("Intro here."));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn packing_never_exceeds_the_budget(
        texts in prop::collection::vec("(p([A-Za-z#`(){}=]{1,8}[ ,.\n]{1,2}){1,60}\n?){1,3}", 0..8),
        budget in 0_usize..400,
    ) {
        let all: Vec<Passage> = texts.iter().filter_map(|text| found("p", &format!("p {text}"))).collect();
        let packed = pack(&all, &Cl100k, budget);
        prop_assert!(Cl100k.count(&packed.text()) <= packed.tokens && packed.tokens <= budget);
        // Every byte is either packed or reported as dropped.
        let bytes = |citation: &Citation| citation.end - citation.start;
        let kept: usize = packed.passages.iter().map(|p| bytes(&p.citation)).sum();
        let dropped: usize = packed.dropped.iter().map(|d| bytes(&d.citation)).sum();
        let given: usize = all.iter().map(|p| bytes(&p.citation)).sum();
        prop_assert!(kept + dropped <= given && kept + dropped + 8 >= given, "white space at one cut at most");
    }

    #[test]
    fn searching_any_text_never_panics(text in "\\PC{0,200}", question in "\\PC{0,60}") {
        let index = index(&[("a.md", &text), ("b.md", RECOVERY)]);
        let passages = index.search(&question, 5);
        prop_assert!(passages.windows(2).all(|pair| pair[0].score >= pair[1].score));
        prop_assert!(passages.iter().all(|p| p.score.is_finite() && !p.text.is_empty()));
    }
}
