//! Prices: exact, of known models only, and files with mistakes are refused by line and field.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use statewright_nodes_models::{Money, Prices};
use statewright_nodes_ports::{ModelId, Usage};

fn id(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

#[test]
fn cached_and_written_tokens_have_prices_of_their_own() {
    let usage = Usage {
        input_tokens: 1_000,
        cached_input_tokens: 600,
        cache_write_tokens: 300,
        output_tokens: 10,
        reasoning_tokens: 4,
    };
    let cost = Prices::shipped().cost(&id("claude-haiku-4-5"), &usage).unwrap();
    assert_eq!(cost, Money::from_nano_dollars(100 * 1_000 + 600 * 100 + 300 * 1_250 + 10 * 5_000));
    assert_eq!(cost.to_string(), "$0.000585");
}

#[test]
fn an_unknown_model_has_no_price_and_nothing_used_costs_nothing() {
    let prices = Prices::shipped();
    let one = Usage { input_tokens: 1, ..Usage::default() };
    for unknown in ["gpt-4.1-mini-2025-04-14", "gpt-4.1-min", "GPT-4.1-mini", "offline"] {
        assert_eq!(prices.cost(&id(unknown), &one), None, "{unknown}");
    }
    assert_eq!(prices.cost(&id("gpt-4.1-mini"), &Usage::default()), Some(Money::default()));
    assert_eq!(prices.dated(), "2025-11-30");
}

#[test]
fn fractions_of_a_nano_dollar_are_rounded_up_and_nothing_overflows() {
    let text = r#"{"models": {"m": {"input": "0.0005", "output": "999999.999999"}}}"#;
    let prices = Prices::shipped().with_text("p", text).unwrap();
    let cost = |input_tokens, output_tokens| {
        prices
            .cost(&id("m"), &Usage { input_tokens, output_tokens, ..Usage::default() })
            .unwrap()
            .nano_dollars()
    };
    assert_eq!((cost(1, 0), cost(2, 0), cost(3, 0)), (1, 1, 2));
    assert_eq!(cost(u64::MAX, u64::MAX), u64::MAX);
}

#[test]
fn a_file_of_your_own_wins_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    std::fs::write(
        &file,
        r#"{"dated": "2026-10-01", "models": {"gpt-4.1": {"input": "1", "output": "2.5"}}}"#,
    )
    .unwrap();
    let prices = Prices::shipped().with_file(&file).unwrap();
    let million = Usage { input_tokens: 1_000_000, cached_input_tokens: 500_000, ..Usage::default() };
    assert_eq!(prices.cost(&id("gpt-4.1"), &million).unwrap().to_string(), "$1.00");
    assert!(prices.cost(&id("gpt-5"), &million).is_some());
    assert_eq!(prices.dated(), "2026-10-01");
    assert_eq!(Prices::shipped().with_file(&folder.path().join("none")).unwrap_err().code(), "SW-P517");
}

#[test]
fn a_price_file_with_a_typo_is_refused_by_line_and_field() {
    let file = |field: &str| {
        format!(
            "{{\n  \"models\": {{\n    \"m\": {{\n      {field}\n      \"output\": \"1.60\"\n    }}\n  }}\n}}"
        )
    };
    for (field, line, names) in [
        (r#""inptu": "0.40","#, "line 4:", "unknown field `inptu`, expected one of `input`"),
        (r#""input": 0.40,"#, "line 4:", r#""input": 0.40,"#),
        (r#""input": "0,40","#, "line 4:", r#""input": "0,40","#),
        (r#""input": "-1","#, "line 4:", r#""input": "-1","#),
        (r#""input": "1e3","#, "line 4:", "1e3"),
        (r#""input": "0.40""#, "line 5:", "expected `,`"),
        (r#""cached_input": "0.40","#, "line 6:", "missing field `input`"),
        (r#""input": "1", "input": "2","#, "line 4:", "duplicate field `input`"),
    ] {
        let error = Prices::shipped().with_text("mine.json", &file(field)).unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("mine.json") && words.contains(line) && words.contains(names),
            "{field}: {words}"
        );
        assert_eq!(error.code(), "SW-P517");
    }
    let twice = r#"{"models": {"m": {"input": "1", "output": "1"}, "m": {"input": "2", "output": "2"}}}"#;
    assert!(
        Prices::shipped().with_text("p", twice).unwrap_err().to_string().contains("`m` stands here twice")
    );
    assert!(
        Prices::shipped().with_text("p", r#"{"modles": {}}"#).unwrap_err().to_string().contains("`modles`")
    );
}
