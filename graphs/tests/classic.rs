//! The `classic` pipeline: its rules, its rubric, and the number of nodes that it visits.

mod common;

use std::sync::Arc;

use common::{WithDocs, offline, run, scripted};
use statewright_graphs::classic;
use statewright_graphs::classic::{Plan, plan, score_tenths};
use statewright_nodes_models::{Reply, Scripted};
use statewright_nodes_ports::purpose;

#[test]
fn the_rules_plan_as_they_always_did() {
    for (question, expected) in [
        ("What is 150 × 223.48?", Plan::Calculate),
        ("what is 150x2", Plan::Calculate),
        ("how much is it", Plan::Calculate),
        ("what is the sum of these", Plan::Calculate),
        ("Was version 1.2-3 released before 2024-05-01?", Plan::Both),
        ("what is Nvidia worth", Plan::Both),
        ("What are 100 shares of NVDA at the latest price, in total?", Plan::Both),
        ("who is the ceo", Plan::Research),
        ("what do you mean", Plan::Research),
        ("What is 150 × × 2?", Plan::Research),
        ("Hello", Plan::Research),
        ("", Plan::Research),
    ] {
        assert_eq!(plan(question), expected, "{question}");
    }
}

#[test]
fn the_rubric_has_four_scores() {
    for (question, draft, expected) in [
        ("What is the limit?", "", 0),
        ("What is the limit?", "  ", 0),
        ("What is the sum?", "Hm.", 4),
        ("What is the sum?", "It is 7.", 7),
        ("What is the limit?", "The Limit, I think.", 7),
        ("What is the limit?", "The limit is 7.", 10),
    ] {
        assert_eq!(score_tenths(question, draft), expected, "{question} {draft}");
    }
}

#[tokio::test]
async fn a_calculation_prints_as_it_always_did() {
    let ran = run(&classic(&offline()).unwrap(), "What is 150 × 223.48?").await;
    let report = ran.report();
    assert_eq!(report.answer, "150 × 223.48 = 33522.0.");
    assert_eq!(report.calculation.as_deref(), Some("150 × 223.48 = 33522.0"));
    assert_eq!((report.attempts, report.quality), (1, Some(0.7)));
    assert_eq!(ran.shown(), report.answer);
}

#[tokio::test]
async fn nodes_visited_without_and_with_one_forced_retry() {
    // No digit and no word of the question: 0.4.
    let poor = || Reply::text("Hm.").for_purpose(purpose::WRITE);
    let good = || Reply::text("The engine makes 4.").for_purpose(purpose::WRITE);
    let expression = || Reply::text("2 + 2").for_purpose(purpose::EXTRACT_EXPRESSION);
    for (question, first, visits, visits_with_retry) in [
        ("how does the engine work?", "orchestrator research writer reviewer", 4, 7),
        ("what makes 2 + 2?", "orchestrator calculator writer reviewer", 4, 7),
        ("what makes 2 + 2 in the latest engine?", "orchestrator research calculator writer reviewer", 5, 9),
    ] {
        let model = Arc::new(Scripted::new([expression(), good()]));
        let ran = run(&classic(&scripted(&model).with_docs()).unwrap(), question).await;
        assert_eq!((ran.path().as_str(), ran.visited.len()), (first, visits), "{question}");

        // The second draft is as poor as the first: there is no third.
        let model = Arc::new(Scripted::new([expression(), expression(), poor(), poor(), poor()]));
        let ran = run(&classic(&scripted(&model).with_docs()).unwrap(), question).await;
        assert_eq!(ran.visited.len(), visits_with_retry, "{question}: {}", ran.path());
        let report = ran.report();
        assert_eq!((report.attempts, report.quality), (2, Some(0.4)), "{question}");
        assert_eq!(model.calls_for(purpose::WRITE), 2, "{question}");
    }
}

#[tokio::test]
async fn both_prompts_go_out_at_temperature_zero_and_the_search_is_cut() {
    let model =
        Arc::new(Scripted::new([Reply::text("2 + 2"), Reply::text("The latest engine makes 4 [1].")]));
    let ran =
        run(&classic(&scripted(&model).with_docs()).unwrap(), "what makes 2 + 2 in the latest engine?").await;
    assert_eq!(ran.report().citations.len(), 1);
    let requests = model.requests();
    assert!(requests.iter().all(|request| request.temperature == Some(0.0)));
    let question = "<question>what makes 2 + 2 in the latest engine?</question>\n";
    let asked = requests[0].last_user_text().into_owned();
    let search = asked.strip_prefix(question).unwrap();
    assert!(search.contains("journal") && search.chars().count() <= 1_500, "{asked}");
    let asked = requests[1].last_user_text();
    assert!(asked.contains("<calculation>2 + 2 = 4</calculation>"), "{asked}");
}

#[tokio::test]
async fn an_expression_that_the_model_made_up_is_left_out() {
    let model = Arc::new(Scripted::new([Reply::text("two plus two"), Reply::text("It makes 4.")]));
    let ran = run(&classic(&scripted(&model)).unwrap(), "what makes 2 + 2?").await;
    assert_eq!(ran.report().calculation, None);
}
