//! Agents as tools: a conversation of their own, the tools that they are left, and no more budget than there is.

use std::sync::Arc;

use serde_json::json;
use statewright_nodes_ports::{Role, SideEffect};
use statewright_nodes_tools::agent::{AgentLoop, Limits, Subagent};

use crate::host::{Acting, Death, Host, Log, Say, agent, call, double, results, told};

/// The outer agent hands on; an agent that knows itself as `inner` doubles.
fn delegating() -> Arc<Acting> {
    Acting::new(|request| {
        let is_inner =
            request.messages[0].role == Role::System && request.messages[0].text().contains("inner");
        match (is_inner, results(request)) {
            (false, 0) => Say::Calls(vec![call("o", "worker", "{\"task\": \"Double 4.\"}")]),
            (false, _) => Say::Text("It says eight."),
            (true, 0) => Say::Calls(vec![call("i", "double", "{\"n\": 4}")]),
            (true, _) => Say::Text("Eight."),
        }
    })
}

fn with_worker(model: Arc<Acting>, log: &Log, worker: Subagent) -> AgentLoop {
    let tools = [double("double", SideEffect::Read, log), double("send", SideEffect::Irreversible, log)];
    agent(model, tools).subagent(worker).unwrap()
}

fn worker() -> Subagent {
    Subagent::new("worker", "Doubles numbers.", "You are the inner agent.")
}

#[test]
fn a_task_is_done_in_a_conversation_of_its_own_with_fewer_tools() {
    let (host, model, log) = (Host::default(), delegating(), Log::default());
    let output = host.end(&with_worker(model.clone(), &log, worker().tools(&["double"])), "What is twice 4?");
    assert_eq!((output.text.as_str(), told(&output)), ("It says eight.", vec![(false, "Eight.".to_owned())]));
    assert_eq!(
        host.steps(),
        ["model#0", "model#1", "tool#0.0/model#0", "tool#0.0/model#1", "tool#0.0/tool#0.0"]
    );
    assert_eq!((output.spent.model_calls, output.spent.tool_calls, output.iterations), (4, 2, 2));
    assert_eq!(output.spent.usage.total_tokens(), 440, "what was spent inside counts outside");
    let requests = model.requests.lock().unwrap();
    let inner: Vec<_> = requests[1].messages.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(inner, ["You are the inner agent.", "Double 4."]);
    let tools: Vec<_> = requests[1].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(tools, ["double"]);
    let tokens: Vec<_> =
        host.items.lock().unwrap().iter().filter(|(kind, _)| *kind == "token").cloned().collect();
    assert_eq!(tokens, [("token", json!("It says eight."))], "what is said inside is not streamed");
}

#[test]
fn a_death_inside_repeats_nothing_that_is_kept() {
    for step in 1..=5 {
        let (host, model, log) = (Host::default(), delegating(), Log::default());
        let agent = with_worker(model.clone(), &log, worker());
        *host.death.lock().unwrap() = Some(Death::Before(step));
        assert!(host.run(&agent, "?").is_none(), "{step}");
        assert_eq!(host.end(&agent, "?").text, "It says eight.");
        assert_eq!((model.keys.lock().unwrap().len(), log.lock().unwrap().len()), (4, 1), "{step}");
    }
}

#[test]
fn what_an_agent_inside_may_not_do_alone_asks_under_the_name_of_its_call() {
    let model = Acting::new(|request| {
        let is_inner = request.messages[0].text().contains("inner");
        match (is_inner, results(request)) {
            (false, 0) => Say::Calls(vec![call("o", "worker", "{\"task\": \"Send 4.\"}")]),
            (true, 0) => Say::Calls(vec![call("i", "send", "{\"n\": 4}")]),
            _ => Say::Text("Sent."),
        }
    });
    let (host, log) = (Host::default(), Log::default());
    let agent = with_worker(model, &log, worker());
    assert!(host.run(&agent, "?").is_none());
    host.answer("tool#0.0/approve#0.0", json!("approve"));
    assert_eq!(host.end(&agent, "?").text, "Sent.");
    assert_eq!(*log.lock().unwrap(), ["send(4) key/tool#0.0/tool#0.0"]);
}

#[test]
fn agents_that_hand_on_for_ever_are_bounded_in_depth() {
    let model = Acting::new(|request| {
        let offered = request.tools.iter().any(|tool| tool.name == "worker");
        match (offered, results(request)) {
            (true, 0) => Say::Calls(vec![call("o", "worker", "{\"task\": \"Hand it on.\"}")]),
            _ => Say::Text("Here it ends."),
        }
    });
    let (host, log) = (Host::default(), Log::default());
    host.end(&with_worker(model.clone(), &log, worker()), "?");
    let deepest = host.steps().iter().map(|step| step.matches('/').count()).max();
    assert_eq!(deepest, Some(3));
    assert_eq!(model.keys.lock().unwrap().len(), 7, "each of three asks twice, the deepest once");
}

#[test]
fn an_agent_inside_has_no_more_than_what_is_left() {
    let model = Acting::new(|request| {
        let is_inner = request.messages[0].text().contains("inner");
        match (is_inner, results(request)) {
            (false, 0) => Say::Calls(vec![call("o", "worker", "{\"task\": \"Go on for ever.\"}")]),
            (false, _) => Say::Text("It was stopped."),
            (true, n) => Say::Calls(vec![call("i", "double", &format!("{{\"n\": {n}}}"))]),
        }
    });
    let log = Log::default();
    for (outer, inner, code) in [
        (Limits { tokens: Some(500), ..Limits::default() }, Limits::default(), "SW-N393"),
        (Limits::default(), Limits { iterations: 3, ..Limits::default() }, "SW-N391"),
        (Limits { tool_calls: 4, ..Limits::default() }, Limits::default(), "SW-N392"),
    ] {
        let agent = with_worker(model.clone(), &log, worker().limits(inner)).limits(outer);
        let output = Host::default().end(&agent, "?");
        let told = told(&output);
        assert!(told[0].0 && told[0].1.contains(code), "{code}: {told:?}");
    }
}
