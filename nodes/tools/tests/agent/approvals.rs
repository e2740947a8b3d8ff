//! Calls that cannot be taken back wait for a person, who may allow, refuse or mend them.

use serde_json::json;
use statewright_nodes_ports::{SideEffect, ToolCall};
use statewright_nodes_tools::agent::Approvals;

use crate::host::{Acting, Host, Log, Say, agent, call, double, results, told};

fn sends(calls: Vec<ToolCall>) -> std::sync::Arc<Acting> {
    let asked = calls.len();
    Acting::new(
        move |request| if results(request) < asked { Say::Calls(calls.clone()) } else { Say::Text("Done.") },
    )
}

#[test]
fn an_irreversible_tool_asks_by_default() {
    for (answer, called, is_error, words) in [
        (json!("approve"), vec!["send(7) key/tool#0.0"], false, "14"),
        (json!(true), vec!["send(7) key/tool#0.0"], false, "14"),
        (json!("deny"), vec![], true, "did not approve"),
        (json!({"deny": "too much"}), vec![], true, "too much"),
        (json!({"edit": {"n": 5}}), vec!["send(5) key/tool#0.0"], false, "10"),
    ] {
        let (host, log) = (Host::default(), Log::default());
        let agent = agent(
            sends(vec![call("c", "send", "{\"n\": 7}")]),
            [double("send", SideEffect::Irreversible, &log)],
        );
        assert!(host.run(&agent, "?").is_none(), "it rests");
        assert_eq!(log.lock().unwrap().len(), 0);
        let question = host.asked.lock().unwrap()["approve#0.0"].clone();
        assert_eq!((&question["approve"], &question["arguments"]), (&json!("send"), &json!({"n": 7})));
        host.answer("approve#0.0", answer.clone());
        let output = host.end(&agent, "?");
        assert_eq!(*log.lock().unwrap(), called, "{answer}");
        let told = told(&output);
        assert!(told[0].0 == is_error && told[0].1.contains(words), "{answer}: {told:?}");
    }
}

#[test]
fn an_answer_that_means_nothing_is_asked_for_again_with_what_is_wrong() {
    for (answer, words) in [
        (json!("perhaps"), "perhaps"),
        (json!(7), "answer with"),
        (json!({"edit": {"n": "five"}}), "`n`"),
        (json!({"edit": {"n": 5}, "deny": "no"}), "answer with"),
    ] {
        let (host, log) = (Host::default(), Log::default());
        let agent = agent(
            sends(vec![call("c", "send", "{\"n\": 7}")]),
            [double("send", SideEffect::Irreversible, &log)],
        );
        host.answer("approve#0.0", answer.clone());
        assert!(host.run(&agent, "?").is_none(), "{answer}");
        let asked = host.asked.lock().unwrap()["approve#0.0/2"].clone();
        assert!(asked["problem"].as_str().unwrap().contains(words), "{answer}: {asked}");
        host.answer("approve#0.0/2", json!("yes"));
        host.end(&agent, "?");
        assert_eq!(*log.lock().unwrap(), ["send(7) key/tool#0.0"]);
    }
}

#[test]
fn all_calls_of_an_answer_are_asked_about_before_any_is_made() {
    let calls = vec![
        call("a", "look", "{\"n\": 1}"),
        call("b", "send", "{\"n\": 2}"),
        call("c", "send", "{\"n\": 3}"),
    ];
    let (host, log) = (Host::default(), Log::default());
    let tools = [double("look", SideEffect::Read, &log), double("send", SideEffect::Irreversible, &log)];
    let agent = agent(sends(calls), tools);
    assert!(host.run(&agent, "?").is_none());
    let asked: Vec<String> = host.asked.lock().unwrap().keys().cloned().collect();
    assert_eq!(
        (asked, log.lock().unwrap().len()),
        (vec!["approve#0.1".to_owned(), "approve#0.2".to_owned()], 0)
    );
    host.answer("approve#0.1", json!("deny"));
    host.answer("approve#0.2", json!("approve"));
    host.end(&agent, "?");
    assert_eq!(*log.lock().unwrap(), ["look(1) key/tool#0.0", "send(3) key/tool#0.2"], "in order");
}

#[test]
fn which_tools_ask_can_be_chosen() {
    for (approvals, side_effect, asks) in [
        (Approvals::default(), SideEffect::External, false),
        (Approvals::From(SideEffect::External), SideEffect::External, true),
        (Approvals::From(SideEffect::Write), SideEffect::Read, false),
        (Approvals::None, SideEffect::Irreversible, false),
    ] {
        let (host, log) = (Host::default(), Log::default());
        let model = sends(vec![call("c", "tool", "{\"n\": 7}")]);
        let agent = agent(model, [double("tool", side_effect, &log)]).approvals(approvals);
        assert_eq!(host.run(&agent, "?").is_none(), asks, "{approvals:?} {side_effect:?}");
    }
}
