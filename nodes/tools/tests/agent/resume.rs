//! A loop that dies at any of its steps goes on there, and pays for nothing twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use statewright_nodes_models::Reply;
use statewright_nodes_ports::{ErrorClass, ModelError, SideEffect, item};

use crate::host::{Acting, Death, Host, Log, Say, agent, call, double, results, scripted, told};

/// Nine answers with a call each, and then the tenth.
fn ten_iterations() -> Arc<Acting> {
    Acting::new(|request| match results(request) {
        9 => Say::Text("Done."),
        n => Say::Calls(vec![call(&format!("c{n}"), "double", &format!("{{\"n\": {n}}}"))]),
    })
}

fn times(keys: &[String]) -> BTreeMap<&str, usize> {
    keys.iter().fold(BTreeMap::new(), |mut times, key| {
        *times.entry(key.as_str()).or_default() += 1;
        times
    })
}

#[test]
fn a_death_at_any_step_repeats_no_kept_call() {
    let log = Log::default();
    let whole =
        Host::default().end(&agent(ten_iterations(), [double("double", SideEffect::Read, &log)]), "?");
    assert_eq!((whole.iterations, whole.spent.model_calls, whole.spent.tool_calls), (10, 10, 9));
    // Ten model calls and nine calls of tools.
    for step in 1..=19 {
        for death in [Death::Before(step), Death::After(step)] {
            let (host, model, log) = (Host::default(), ten_iterations(), Log::default());
            let agent = agent(model.clone(), [double("double", SideEffect::Read, &log)]);
            *host.death.lock().unwrap() = Some(death);
            assert!(host.run(&agent, "?").is_none(), "{death:?}");
            let kept = host.steps();
            let again = host.end(&agent, "?");
            assert_eq!((&again.text, &again.messages), (&whole.text, &whole.messages), "{death:?}");
            let keys = model.keys.lock().unwrap().clone();
            let twice: Vec<_> =
                times(&keys).into_iter().filter(|(_, times)| *times > 1).map(|(key, _)| key).collect();
            let lost = usize::from(matches!(death, Death::After(step) if step % 2 == 1));
            assert_eq!(twice.len(), lost, "{death:?}: only what was not kept is called again: {twice:?}");
            assert!(
                twice.iter().all(|key| !kept.iter().any(|step| *key == format!("key/{step}"))),
                "{death:?}"
            );
            let repeated = log.lock().unwrap().len() - 9;
            assert_eq!(
                repeated,
                usize::from(matches!(death, Death::After(step) if step % 2 == 0)),
                "{death:?}"
            );
        }
    }
}

#[test]
fn an_effect_that_nobody_saw_end_is_told_and_not_repeated() {
    let model = || {
        Acting::new(|request| match results(request) {
            0 => Say::Calls(vec![call("c", "pay", "{\"n\": 7}")]),
            _ => Say::Text("I do not know whether it was paid."),
        })
    };
    let (host, log) = (Host::default(), Log::default());
    let agent = agent(model(), [double("pay", SideEffect::External, &log)]);
    *host.death.lock().unwrap() = Some(Death::After(2));
    assert!(host.run(&agent, "Pay 7.").is_none());
    let output = host.end(&agent, "Pay 7.");
    assert_eq!(*log.lock().unwrap(), ["pay(7) key/tool#0.0"], "it is paid once");
    let told = told(&output);
    assert!(told[0].0 && told[0].1.contains("may have happened"), "{told:?}");
    assert_eq!(output.text, "I do not know whether it was paid.");
}

#[test]
fn a_model_that_tries_an_unknown_effect_again_needs_an_approval() {
    let model = Acting::new(|request| match results(request) {
        n @ 0..2 => Say::Calls(vec![call(&format!("c{n}"), "pay", "{\"n\": 7}")]),
        _ => Say::Text("Done."),
    });
    let (host, log) = (Host::default(), Log::default());
    let agent = agent(model, [double("pay", SideEffect::External, &log)]);
    *host.death.lock().unwrap() = Some(Death::After(2));
    assert!(host.run(&agent, "Pay 7.").is_none());
    assert!(host.run(&agent, "Pay 7.").is_none(), "it rests until somebody decides");
    assert!(host.asked.lock().unwrap()["approve#1.0"]["why"].as_str().unwrap().contains("may have happened"));
    host.answer("approve#1.0", json!({"deny": "it went through"}));
    let output = host.end(&agent, "Pay 7.");
    assert_eq!(log.lock().unwrap().len(), 1);
    assert!(told(&output)[1].1.contains("it went through"));
}

#[test]
fn what_is_streamed_and_settled() {
    let log = Log::default();
    let model = Acting::new(|request| match results(request) {
        0 => Say::Calls(vec![call("c", "double", "{\"n\": 4}")]),
        _ => Say::Text("Eight."),
    });
    let host = Host::default();
    host.end(&agent(model, [double("double", SideEffect::Read, &log)]), "What is twice 4?");
    let items = host.items.lock().unwrap();
    let kinds: Vec<_> = items.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [item::USAGE, item::TOOL_CALL, item::TOOL_RESULT, item::TOKEN, item::USAGE]);
    assert_eq!((&items[2].1["content"], &items[3].1), (&json!("8"), &json!("Eight.")));
    assert_eq!(host.steps(), ["model#0", "model#1", "tool#0.0"]);
    let reserved = host.reserved.lock().unwrap();
    assert_eq!(reserved["model#0"][0], ("calls".to_owned(), 1));
    assert!(reserved["model#0"][1].1 > 4_096, "the answer at its longest and the prompt: {reserved:?}");
    assert_eq!(host.spent.lock().unwrap()["model#0"], [("calls", 1), ("tokens", 110)]);
}

#[test]
fn a_stream_that_breaks_is_begun_again_and_says_so() {
    use statewright_nodes_ports::{ChatDelta, FinishReason};
    let broken = ModelError::Transport { detail: "it broke".to_owned() };
    let model = scripted([
        Reply::deltas([Ok(ChatDelta::Text("Fo".to_owned())), Err(broken.clone())]),
        Reply::deltas([Ok(ChatDelta::Text("Four.".to_owned())), Ok(ChatDelta::Finish(FinishReason::Stop))]),
        Reply::error(broken),
    ]);
    let host = Host::default();
    assert_eq!(host.end(&agent(model.clone(), []), "?").text, "Four.");
    let kinds: Vec<_> = host.items.lock().unwrap().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [item::TOKEN, item::ATTEMPT_RESET, item::TOKEN, item::USAGE]);
    let keys: Vec<_> = model.requests().into_iter().map(|request| request.idempotency_key).collect();
    assert_eq!(keys[0], keys[1], "the repeated call is recognisable");

    let error = Host::default().run(&agent(model, []), "?").unwrap().unwrap_err();
    assert_eq!((error.code(), error.class()), ("SW-P506", ErrorClass::Transient));
}
