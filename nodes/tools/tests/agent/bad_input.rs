//! What models and tools do wrong comes back to the model, bounded, and ends nothing that can go on.

use std::collections::BTreeMap;

use serde_json::Value;
use statewright_nodes_models::Reply;
use statewright_nodes_ports::{ChatDelta, FinishReason, SideEffect};
use statewright_nodes_tools::agent::{AgentInput, Compaction, Stopped};

use crate::host::{Acting, Host, Log, Say, agent, call, double, gives, results, scripted, told};

/// One answer with this call, and then a text.
fn once(name: &'static str, arguments: &'static str) -> std::sync::Arc<Acting> {
    Acting::new(move |request| match results(request) {
        0 => Say::Calls(vec![call("c", name, arguments)]),
        _ => Say::Text("I see."),
    })
}

#[test]
fn an_unknown_tool_is_told_with_what_there_is() {
    let log = Log::default();
    let output =
        Host::default().end(&agent(once("dubble", "{}"), [double("double", SideEffect::Read, &log)]), "?");
    let told = told(&output);
    assert!(
        told[0].0 && told[0].1.contains("SW-N352") && told[0].1.contains("did you mean `double`"),
        "{told:?}"
    );
    assert_eq!((output.text.as_str(), log.lock().unwrap().len()), ("I see.", 0));
}

#[test]
fn arguments_that_miss_the_schema_are_told_with_what_was_expected() {
    for (arguments, code, words) in [
        ("{\"n\": \"seven\"}", "SW-N354", "`n`"),
        ("{}", "SW-N354", "n"),
        ("{\"n\": ", "SW-N353", "JSON"),
        ("[1]", "SW-N353", "object"),
    ] {
        let log = Log::default();
        let output = Host::default()
            .end(&agent(once("double", arguments), [double("double", SideEffect::Read, &log)]), "?");
        let told = told(&output);
        assert!(told[0].0 && told[0].1.contains(code) && told[0].1.contains(words), "{arguments}: {told:?}");
        assert_eq!(log.lock().unwrap().len(), 0);
    }
}

#[test]
fn a_tool_that_fails_or_breaks_down_is_told() {
    let fails = gives("broken", || Err("the disk is full".to_owned()));
    let breaks = gives("breaks", || panic!("a mistake of the tool's author"));
    let output = Host::default().end(&agent(once("broken", "{}"), [fails]), "?");
    assert!(told(&output)[0].0 && told(&output)[0].1.contains("the disk is full"), "{output:?}");
    let output = Host::default().end(&agent(once("breaks", "{}"), [breaks]), "?");
    assert!(told(&output)[0].0 && told(&output)[0].1.contains("SW-N402"), "{output:?}");
    assert_eq!(output.text, "I see.");
}

#[test]
fn a_model_that_repeats_one_call_for_ever_is_bounded() {
    let log = Log::default();
    let model = Acting::new(|_| Say::Calls(vec![call("c", "double", "{\"n\": 1}")]));
    let output = Host::default().end(&agent(model.clone(), [double("double", SideEffect::Read, &log)]), "?");
    assert_eq!(output.stopped, Some(Stopped::Repeats { tool: "double".to_owned() }));
    assert_eq!((model.keys.lock().unwrap().len(), log.lock().unwrap().len()), (5, 3));
    assert_eq!(told(&output).len(), 5, "each call has its result: {output:?}");
}

#[test]
fn a_result_of_200_megabytes_is_cut() {
    let huge = gives("huge", || Ok("x".repeat(200 * 1024 * 1024 - 3) + "end"));
    let host = Host::default();
    let output = host.end(&agent(once("huge", "{}"), [huge]).result_bytes(4_096), "?");
    let told = told(&output);
    assert!(!told[0].0 && told[0].1.len() <= 4_096 && told[0].1.ends_with("end"), "{}", told[0].1.len());
    assert!(told[0].1.contains("bytes are left out here"));
    let kept: BTreeMap<String, (Value, Option<Value>)> = host.kept.lock().unwrap().clone();
    assert!(kept["tool#0.0"].1.as_ref().unwrap().to_string().len() < 5_000, "it is not kept either");
}

#[test]
fn an_empty_answer_is_asked_for_once_more() {
    let empty = || Reply::deltas([Ok(ChatDelta::Finish(FinishReason::Stop))]);
    let model = scripted([empty(), Reply::text("Four.")]);
    let host = Host::default();
    assert_eq!(host.end(&agent(model.clone(), []), "?").text, "Four.");
    let keys: Vec<_> = model.requests().into_iter().map(|request| request.idempotency_key).collect();
    assert_ne!(keys[0], keys[1], "a server that knows the key would only repeat itself");
    let error = Host::default().run(&agent(scripted([empty(), empty()]), []), "?").unwrap().unwrap_err();
    assert_eq!(error.code(), "SW-P508");
}

#[test]
fn an_answer_that_is_cut_off_says_so() {
    let cut = |text: &str| {
        Reply::deltas([Ok(ChatDelta::Text(text.to_owned())), Ok(ChatDelta::Finish(FinishReason::Length))])
    };
    let output = Host::default().end(&agent(scripted([cut("Four, and")]), []), "?");
    assert_eq!((output.text.as_str(), output.finish), ("Four, and", Some(FinishReason::Length)));
}

#[test]
fn a_question_that_does_not_fit_the_window_is_refused_before_it_is_paid_for() {
    let model = scripted([Reply::text("Hm.")]);
    let agent = agent(model.clone(), []).output_tokens(100).window(300, Compaction::Drop);
    let error = Host::default().run(&agent, &"word ".repeat(500)).unwrap().unwrap_err();
    assert_eq!((error.code(), model.calls()), ("SW-N390", 0));
}

#[tokio::test]
async fn a_long_history_is_compacted_by_a_summary_that_is_kept() {
    use statewright_nodes_ports::Message;
    let model = scripted([Reply::text("They spoke of words."), Reply::text("Yes."), Reply::text("Again.")]);
    let agent = agent(model.clone(), []).output_tokens(100).window(600, Compaction::Summarise);
    let turn = |n: u32| [Message::user(format!("{n} {}", "word ".repeat(100))), Message::assistant("Well.")];
    let history: Vec<Message> = (0..5).flat_map(turn).collect();
    let host = Host::default();
    let input = AgentInput { history, question: "Do you remember?".to_owned() };
    let output = agent.run(&host, input).await.unwrap();
    assert_eq!((output.text.as_str(), output.spent.model_calls), ("Yes.", 2));
    assert_eq!(host.steps(), ["model#0", "summary#0"]);
    let sent = &model.requests()[1].messages;
    assert!(
        sent[0].text().contains("A summary of 6 earlier messages")
            && sent[0].text().contains("They spoke of words.")
    );
    assert_eq!(sent.last().unwrap().text(), "Do you remember?");
    let shown: Vec<_> =
        host.items.lock().unwrap().iter().filter(|(kind, _)| *kind == "token").cloned().collect();
    assert!(
        !shown.iter().any(|(_, text)| text.as_str().unwrap().contains("They")),
        "a summary is not streamed"
    );
}
