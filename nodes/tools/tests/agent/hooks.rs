//! Hooks look on, and stand between the loop and a call.

use std::sync::{Arc, Mutex};

use serde_json::json;
use statewright_nodes_ports::{BoxFuture, ChatRequest, SideEffect, ToolResult};
use statewright_nodes_tools::agent::{AgentInput, AgentOutput, Hooks, Stopped, ToolUse, Verdict};

use crate::host::{Acting, Death, Host, Log, Say, agent, call, double, results, told};

/// Notes what it sees, and decides as it is told.
#[derive(Clone)]
struct Watcher {
    seen: Arc<Mutex<Vec<String>>>,
    of_model: Verdict,
    of_tool: Verdict,
}

impl Watcher {
    fn new(of_model: Verdict, of_tool: Verdict) -> Self {
        Self { seen: Arc::default(), of_model, of_tool }
    }

    fn note(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().join(" ")
    }
}

impl Hooks for Watcher {
    fn run_start<'a>(&'a self, _input: &'a AgentInput) -> BoxFuture<'a, ()> {
        self.note("start");
        Box::pin(async {})
    }

    fn before_model<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Verdict> {
        self.note(format!("model({})", request.messages.len()));
        Box::pin(async { self.of_model.clone() })
    }

    fn before_tool<'a>(&'a self, call: ToolUse<'a>) -> BoxFuture<'a, Verdict> {
        self.note(format!("tool({} {})", call.tool, call.arguments["n"]));
        Box::pin(async { self.of_tool.clone() })
    }

    fn after_tool<'a>(&'a self, _call: ToolUse<'a>, mut result: ToolResult) -> BoxFuture<'a, ToolResult> {
        self.note("after");
        result.content = format!("<{}>", result.content);
        Box::pin(async { result })
    }

    fn run_end<'a>(&'a self, _output: &'a AgentOutput) -> BoxFuture<'a, ()> {
        self.note("end");
        Box::pin(async {})
    }
}

fn doubling() -> Arc<Acting> {
    Acting::new(|request| match results(request) {
        0 => Say::Calls(vec![call("c", "double", "{\"n\": 4}")]),
        _ => Say::Text("Eight."),
    })
}

#[test]
fn hooks_see_a_run_in_order_and_may_change_results() {
    let (watcher, log) = (Watcher::new(Verdict::Allow, Verdict::Allow), Log::default());
    let agent = agent(doubling(), [double("double", SideEffect::Read, &log)]).hooks(watcher.clone());
    let output = Host::default().end(&agent, "?");
    assert_eq!(watcher.seen(), "start model(1) tool(double 4) after model(3) end");
    assert_eq!(told(&output), [(false, "<8>".to_owned())]);
}

#[test]
fn a_hook_may_deny_or_replace_a_call() {
    for (verdict, expected) in [
        (Verdict::Deny("not today".to_owned()), (true, "This call is not allowed: not today".to_owned())),
        (Verdict::Instead("7".to_owned()), (false, "7".to_owned())),
    ] {
        let log = Log::default();
        let agent = agent(doubling(), [double("double", SideEffect::Read, &log)]);
        let output = Host::default().end(&agent.hooks(Watcher::new(Verdict::Allow, verdict)), "?");
        assert_eq!((told(&output), log.lock().unwrap().len()), (vec![expected], 0));
    }
}

#[test]
fn a_hook_may_stop_or_replace_the_model() {
    let model = doubling();
    let denied = Watcher::new(Verdict::Deny("no money".to_owned()), Verdict::Allow);
    let output = Host::default().end(&agent(model.clone(), []).hooks(denied), "?");
    assert_eq!(output.stopped, Some(Stopped::Denied("no money".to_owned())));
    let replaced = Watcher::new(Verdict::Instead("From a cache.".to_owned()), Verdict::Allow);
    let output = Host::default().end(&agent(model.clone(), []).hooks(replaced), "?");
    assert_eq!((output.text.as_str(), output.messages.len()), ("From a cache.", 2));
    assert_eq!(model.keys.lock().unwrap().len(), 0);
}

#[test]
fn a_hook_may_hand_the_decision_to_a_person() {
    let (host, log) = (Host::default(), Log::default());
    let watcher = Watcher::new(Verdict::Allow, Verdict::Ask("it is late".to_owned()));
    let agent = agent(doubling(), [double("double", SideEffect::Read, &log)]).hooks(watcher);
    assert!(host.run(&agent, "?").is_none());
    assert_eq!(host.asked.lock().unwrap()["approve#0.0"]["why"], json!("it is late"));
    host.answer("approve#0.0", json!("approve"));
    assert_eq!(host.end(&agent, "?").text, "Eight.");
}

#[test]
fn a_verdict_is_kept_like_any_other_step() {
    let (host, log) = (Host::default(), Log::default());
    let tools = || [double("double", SideEffect::Read, &log)];
    *host.death.lock().unwrap() = Some(Death::Before(4));
    let first = agent(doubling(), tools()).hooks(Watcher::new(Verdict::Allow, Verdict::Allow));
    assert!(host.run(&first, "?").is_none(), "it dies before the tool is called");
    let changed = Watcher::new(Verdict::Allow, Verdict::Deny("changed its mind".to_owned()));
    let output = host.end(&agent(doubling(), tools()).hooks(changed.clone()), "?");
    assert_eq!(told(&output), [(false, "<8>".to_owned())]);
    assert!(!changed.seen().contains("tool("), "{}", changed.seen());
}
