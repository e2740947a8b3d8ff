//! Answers of a given form: checked, repaired once, and never taken when they do not fit.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use statewright_nodes_models::{Reply, Scripted};
use statewright_nodes_ports::{ChatRequest, Message, Usage};
use statewright_nodes_tools::structured::{AnswerForm, Structured, ask, ask_value};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Verdict {
    /// From 0 to 10.
    #[schemars(range(max = 10))]
    score: u8,
    reasons: Vec<String>,
}

/// As a route is written: ways out with and without something to carry.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
enum Way {
    Done,
    Search(Vec<Query>),
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Query {
    words: String,
}

fn request() -> ChatRequest {
    ChatRequest { idempotency_key: Some("k".into()), ..ChatRequest::new([Message::user("Judge this.")]) }
}

fn usage(tokens: u64) -> Usage {
    Usage { input_tokens: tokens, ..Usage::default() }
}

#[tokio::test]
async fn an_answer_that_fits_is_a_value_after_one_call() {
    let model = Scripted::new([Reply::text(r#"{"score": 7, "reasons": ["short"]}"#).with_usage(usage(5))]);
    let answer: Structured<Verdict> = ask(&model, request(), "verdict").await.unwrap();
    let value = Verdict { score: 7, reasons: vec!["short".into()] };
    assert_eq!(answer, Structured { value, usage: Some(usage(5)), was_repaired: false });
    let output = model.requests()[0].output.clone().unwrap();
    assert_eq!(
        (output.name.as_str(), &output.schema["properties"]["score"]["maximum"]),
        ("verdict", &json!(10))
    );
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_repaired_once_with_what_is_wrong() {
    for (wrong, says) in [
        ("It is fine, I think.", "it is not JSON"),
        (r#"{"score": 11, "reasons": []}"#, "`score`: expected a number ≤ 10, found 11"),
        (r#"{"score": 3}"#, "`reasons`"),
    ] {
        let good = r#"{"score": 3, "reasons": []}"#;
        let model =
            Scripted::new([Reply::text(wrong).with_usage(usage(5)), Reply::text(good).with_usage(usage(7))]);
        let answer: Structured<Verdict> = ask(&model, request(), "verdict").await.unwrap();
        assert_eq!((answer.value.score, answer.usage, answer.was_repaired), (3, Some(usage(12)), true));
        let second = &model.requests()[1];
        assert_eq!((second.messages.len(), second.idempotency_key.as_deref()), (3, Some("k/repair")));
        assert_eq!(second.messages[1].text(), wrong);
        assert!(second.last_user_text().contains(says), "{}", second.last_user_text());
    }
}

#[tokio::test]
async fn a_second_answer_that_does_not_fit_is_an_error() {
    let model = Scripted::new([Reply::text("no"), Reply::text("still no"), Reply::text("never asked for")]);
    let error = ask::<Verdict>(&model, request(), "verdict").await.unwrap_err();
    assert_eq!((error.code(), model.calls()), ("SW-P515", 2));
    assert!(error.to_string().contains("`verdict`"), "{error}");
}

#[tokio::test]
async fn a_model_picks_a_variant() {
    for (text, expected) in [
        (r#"{"answer": "Done"}"#, Way::Done),
        (r#"{"answer": {"Search": [{"words": "a"}]}}"#, Way::Search(vec![Query { words: "a".into() }])),
    ] {
        let model = Scripted::new([Reply::text(text)]);
        let answer: Structured<Way> = ask(&model, request(), "way").await.unwrap();
        assert_eq!(answer.value, expected);
        let schema = model.requests()[0].output.clone().unwrap().schema;
        assert_eq!(schema["type"], "object", "providers want an object");
        assert!(schema["$defs"]["Query"].is_object(), "{schema}");
    }
    let unknown = Reply::text(r#"{"answer": "Dine"}"#);
    let model = Scripted::new([unknown.clone(), unknown]);
    assert_eq!(ask::<Way>(&model, request(), "way").await.unwrap_err().code(), "SW-P515");
}

#[tokio::test]
async fn a_schema_alone_is_enough() {
    let form = AnswerForm::new("list", json!({"type": "array", "items": {"type": "integer"}}));
    let model = Scripted::new([Reply::text("```\n{\"answer\": [1, 2]}\n```")]);
    assert_eq!(ask_value(&model, request(), &form).await.unwrap().value, json!([1, 2]));
}
