//! The rules without a model: what a question needs, and what is wrong with a draft.

use proptest::prelude::*;
use statewright_graphs::evidence::{Blame, Computed, Evidence, Finding, review};
use statewright_graphs::prompts::Source;
use statewright_graphs::question::{Plan, expression};
use statewright_nodes_context::Citation;
use statewright_nodes_tools::calculator::evaluate;

#[test]
fn plans() {
    for (question, expected) in [
        ("What is 150 × 223.48?", Plan::Calculate),
        ("150x2", Plan::Calculate),
        ("2+2=?", Plan::Calculate),
        ("Is 2 + 2 = 5?", Plan::Calculate),
        ("Please calculate 15% of 80.", Plan::Calculate),
        ("How much is the square root of 16?", Plan::Calculate),
        ("What is 25 times 4?", Plan::Calculate),
        ("What is the product of 3 and 4?", Plan::Calculate),
        ("What is 150 × × 2?", Plan::Calculate),
        ("In 2024, what is 3 + 4?", Plan::Calculate),
        ("(3 + 4) × 2", Plan::Calculate),
        ("What is $150 × 2?", Plan::Calculate),
        ("How does the engine resume after a crash?", Plan::Research),
        ("Was version 1.2-3 released before 2024-05-01?", Plan::Research),
        ("What happened on 2024-05-01 at 10:30?", Plan::Research),
        ("Is 192.168.0.1 a private address?", Plan::Research),
        ("What happened in 2019-2021?", Plan::Research),
        ("What changed between 1.2.3 and 1.2.4?", Plan::Research),
        ("What is GPT-4?", Plan::Research),
        ("Is support given 24/7?", Plan::Research),
        ("How many times does it retry a call?", Plan::Research),
        ("What is the sum type of the error?", Plan::Research),
        ("What does SW-X201 mean?", Plan::Research),
        ("How does the engine resume after a crash, and what is 2 + 2?", Plan::Both),
        ("What is 12 * 12 and who wrote the journal?", Plan::Both),
        ("What is 3 times the record limit?", Plan::ResearchThenCalculate),
        ("What is the frontier limit divided by 4?", Plan::ResearchThenCalculate),
        ("What is 20 percent of the record limit?", Plan::ResearchThenCalculate),
        ("What is the square root of the frontier limit?", Plan::ResearchThenCalculate),
        ("What is 150 × 2 × the record limit?", Plan::ResearchThenCalculate),
        ("What is 150 × 2 plus 10?", Plan::Calculate),
        ("Hello!", Plan::Neither),
        ("Thanks, good night", Plan::Neither),
        ("What is it?", Plan::Neither),
        ("   ?!", Plan::Neither),
        ("", Plan::Neither),
    ] {
        assert_eq!(Plan::of(question), expected, "{question}");
    }
}

#[test]
fn expressions_in_signs_are_read_without_a_model() {
    for (question, expected) in [
        ("What is 150 × 223.48?", Some(Ok("150 × 223.48"))),
        ("What is 1,000 / 8, exactly?", Some(Ok("1,000 / 8"))),
        ("Compute (3 + 4) × 2.", Some(Ok("(3 + 4) × 2"))),
        ("It is simple (see 3 + 4).", Some(Ok("3 + 4"))),
        ("What is – 3 + 4 – worth?", Some(Ok("3 + 4"))),
        ("What is -3 + 4?", Some(Ok("-3 + 4"))),
        ("What is 8 x 4?", Some(Ok("8 x 4"))),
        ("What is 150 × × 2?", Some(Err("SW-N302"))),
        ("What is (3 + 4?", Some(Err("SW-N302"))),
        ("What is 12,34 + 1?", Some(Err("SW-N304"))),
        ("What is 15% of 80?", None),
        ("What is 150 × 2 plus 10?", None),
        ("What is the square root of 9 + 7?", None),
        ("What is 2 + 2, and what is 3 + 3?", None),
        ("What is $150 × 2?", None),
        ("What are 3 apples × 2?", None),
        ("What is 150 × 2 × the price?", None),
        ("What is 150 × the price?", None),
        ("What is 200 + 10%?", None),
        ("What is 2^10?", None),
        ("What is 25 times 4?", None),
        ("Was version 1.2-3 released before 2024-05-01?", None),
    ] {
        let found = expression(question);
        let found = found.as_ref().map(|found| found.as_ref().map_err(|error| error.code()).copied());
        assert_eq!(found, expected, "{question}");
    }
}

fn source(text: &str) -> Source {
    Source { citation: Citation::new("guides/limits.md", 0, text, "Limits > Records"), text: text.to_owned() }
}

#[test]
fn findings() {
    let sources =
        [source("The SQLite journal was written by Jensen Huang in 1993. It holds 10,000 records of 8 MiB.")];
    let unknown = |number: &str| Finding::UnknownNumber { number: number.to_owned() };
    let stranger = |name: &str| Finding::UnknownName { name: name.to_owned() };
    let wrong = |expression: &str, claimed: &str, right: &str| Finding::WrongCalculation {
        expression: expression.to_owned(),
        claimed: claimed.to_owned(),
        right: right.to_owned(),
    };
    for (draft, expected) in [
        ("The journal holds 10,000 records. [1]", vec![]),
        ("The journal holds 10000 records, that is ten thousand. [1]", vec![]),
        ("Jensen Huang wrote it in 1993. [1]", vec![]),
        ("However, SQLite's journal holds records. [1]", vec![]),
        ("It holds 10,000 records of 8 MiB: 10,000 × 8 = 80,000 MiB. [1]", vec![]),
        ("The journal holds 10,000 records for €10,000, or £8 or ¥8. [1]", vec![]),
        ("1. The journal holds records. [1]\n2. It was written in 1993. [1]", vec![]),
        ("The journal holds 20,000 records. [1]", vec![unknown("20,000")]),
        ("Version 1.2.3 of the journal holds records. [1]", vec![unknown("1.2.3")]),
        ("The journal was written by Linus Torvalds. [1]", vec![stranger("Linus"), stranger("Torvalds")]),
        ("Linus Torvalds wrote the journal. [1]", vec![stranger("Linus"), stranger("Torvalds")]),
        ("PostgreSQL holds the journal. [1]", vec![stranger("PostgreSQL")]),
        ("10,000 × 8 = 90,000 in the journal. [1]", vec![wrong("10,000 × 8", "90,000", "it is 80,000")]),
        ("Bananas are yellow.", vec![Finding::OffTopic, Finding::NoCitations]),
        ("The journal holds records.", vec![Finding::NoCitations]),
        ("The given documents do not answer this question.", vec![Finding::NoAnswer]),
    ] {
        let evidence = Evidence {
            question: "How much does the journal hold?",
            plan: Plan::Research,
            sources: &sources,
            computed: None,
            cited: usize::from(draft.contains("[1]")),
            dangling: &[],
            can_search_wider: false,
        };
        let review = review(draft, &evidence);
        assert_eq!(review.findings, expected, "{draft}");
        assert_eq!(review.score >= 0.7, expected.is_empty(), "{draft}: {}", review.score);
    }
}

#[test]
fn findings_about_a_calculation() {
    let computed = Computed::from(evaluate("10 / 3").unwrap());
    for (draft, passes) in [
        ("10 ÷ 3 ≈ 3.33333333333.", true),
        ("It is 3.33.", true),
        ("About 3.3, since 10 / 3 = 3.33.", true),
        ("It is 3.", false),
        ("It is 3.34.", false),
        ("It is 10 and 3.", false),
        ("10 / 3 = 3.5", false),
    ] {
        let evidence = Evidence {
            question: "What is 10 / 3?",
            plan: Plan::Calculate,
            sources: &[],
            computed: Some(&computed),
            cited: 0,
            dangling: &[],
            can_search_wider: false,
        };
        let review = review(draft, &evidence);
        assert_eq!(review.score >= 0.7, passes, "{draft}: {review:?}");
        assert_eq!(review.blamed, (!passes).then_some(Blame::Writer), "{draft}");
        assert_eq!(review.critique().is_empty(), passes, "{draft}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_rules(question in "\\PC{0,60}", draft in "\\PC{0,80}", cited in 0_usize..3) {
        let sources = [source(&draft)];
        let evidence = Evidence {
            question: &question,
            plan: Plan::of(&question),
            sources: &sources[..cited.min(1)],
            computed: None,
            cited,
            dangling: &[],
            can_search_wider: true,
        };
        let review = review(&draft, &evidence);
        prop_assert!((0.0..=1.0).contains(&review.score));
        prop_assert_eq!(review.findings.is_empty(), review.score == 1.0);
        prop_assert_eq!(review.blamed.is_none(), review.findings.is_empty());
    }

    #[test]
    fn arithmetic_like_text_breaks_nothing(question in "[0-9x×÷+*/().,% -]{0,40}( of [a-z]{3,5}[?])?") {
        let plan = Plan::of(&question);
        if let Some(Ok(found)) = expression(&question) {
            prop_assert!(evaluate(found).is_ok());
            prop_assert!(plan.calculates());
        }
    }

    #[test]
    fn whole_sums_are_found_in_prose(a in 0_u32..100_000, b in 0_u32..100_000) {
        let question = format!("Tell me, what is {a} + {b}?");
        let wanted = format!("{a} + {b}");
        prop_assert_eq!(expression(&question), Some(Ok(wanted.as_str())));
        prop_assert_eq!(Plan::of(&question), Plan::Calculate);
    }
}
