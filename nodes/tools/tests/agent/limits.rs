//! Limits, time, money, and which calls are made at once.

use std::sync::Arc;
use std::time::Duration;

use statewright_nodes_ports::{SideEffect, ToolChoice};
use statewright_nodes_tools::agent::{Limits, Stopped};
use statewright_nodes_tools::{NoArguments, ToolCx, function};
use tokio::sync::Barrier;

use crate::host::{Acting, Host, Log, Say, agent, call, double, results, told};

#[test]
fn the_last_iteration_is_asked_for_without_tools() {
    let log = Log::default();
    let model = Acting::new(|request| match request.tool_choice {
        ToolChoice::None => Say::Text("As far as I can say: 12."),
        _ => Say::Calls(vec![call("c", "double", &format!("{{\"n\": {}}}", results(request)))]),
    });
    let limits = Limits { iterations: 4, ..Limits::default() };
    let output =
        Host::default().end(&agent(model, [double("double", SideEffect::Read, &log)]).limits(limits), "?");
    assert_eq!((output.stopped, output.iterations), (Some(Stopped::Iterations(4)), 4));
    assert_eq!((output.text.as_str(), log.lock().unwrap().len()), ("As far as I can say: 12.", 3));
}

#[test]
fn money_is_reserved_and_settled_where_a_price_is_known() {
    let model = Acting::new(|_| Say::Text("Yes."));
    let host = Host::default();
    let agent = agent(model, []).prices(Arc::new(|_, usage| Some(3 * usage.total_tokens())));
    let output = host.end(&agent, "?");
    assert_eq!(output.spent.nanodollars, Some(330));
    assert_eq!(host.spent.lock().unwrap()["model#0"], [("calls", 1), ("tokens", 110), ("nanodollars", 330)]);
    let reserved = host.reserved.lock().unwrap()["model#0"].clone();
    assert_eq!((reserved[2].0.as_str(), reserved[2].1), ("nanodollars", 3 * reserved[1].1));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_too_long_is_given_up_and_ends_the_loop() {
    let model = Acting::new(|request| match results(request) {
        0 => Say::Calls(vec![call("c", "sleep", "{}")]),
        _ => Say::Text("Never said."),
    });
    let sleep = |_: NoArguments, _: ToolCx| async {
        std::future::pending::<()>().await;
        String::new()
    };
    let tool = function("sleep", "Sleeps.", SideEffect::Read, sleep).shared();
    let limits = Limits { wall_time: Some(Duration::from_secs(60)), ..Limits::default() };
    let host = Host::default();
    let agent = agent(model, [tool]).limits(limits);
    let output = agent.run(&host, statewright_nodes_tools::agent::AgentInput::new("?")).await.unwrap();
    assert_eq!(output.stopped, Some(Stopped::WallTime(60_000)));
    assert!(told(&output)[0].1.contains("SW-N395"), "{output:?}");
    assert!(output.spent.ms >= 60_000, "the time is kept, so that a crash does not give it back");
}

#[tokio::test]
async fn calls_that_only_look_are_made_at_once() {
    let barrier = Arc::new(Barrier::new(3));
    let model = Acting::new(|request| match results(request) {
        0 => Say::Calls((0..3).map(|n| call(&format!("c{n}"), "meet", "{}")).collect()),
        _ => Say::Text("They met."),
    });
    let meet = move |_: NoArguments, _: ToolCx| {
        let barrier = barrier.clone();
        async move {
            // Nobody passes before all are there.
            barrier.wait().await;
            "met"
        }
    };
    let tool = function("meet", "Waits for the others.", SideEffect::Read, meet).shared();
    let host = Host::default();
    let agent = agent(model, [tool]);
    let output = agent.run(&host, statewright_nodes_tools::agent::AgentInput::new("?")).await.unwrap();
    assert_eq!((output.text.as_str(), told(&output).len()), ("They met.", 3));
}

#[test]
fn calls_that_change_something_are_made_in_order() {
    let log = Log::default();
    let model = Acting::new(|request| match results(request) {
        0 => {
            Say::Calls((0..3).map(|n| call(&format!("c{n}"), "write", &format!("{{\"n\": {n}}}"))).collect())
        }
        _ => Say::Text("Done."),
    });
    Host::default().end(&agent(model, [double("write", SideEffect::Write, &log)]), "?");
    let expected = ["write(0) key/tool#0.0", "write(1) key/tool#0.1", "write(2) key/tool#0.2"];
    assert_eq!(*log.lock().unwrap(), expected);
}
