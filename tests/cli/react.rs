//! `run --graph react`, offline, over the wire, and killed in each of its iterations.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use statewright::nodes::models::wire::{Behaviour, WireOptions};
use statewright::nodes::ports::{
    BoxFuture, ChatDelta, ChatModel, ChatRequest, ChatStream, FinishReason, Message, ModelError, ModelId,
};

use crate::support::{Done, Home, SUM, Server, end, serve, server, until};

#[test]
fn the_agent_answers_offline_and_over_the_wire() {
    let object = Home::new().json(0, &["run", "--graph", "react", "--model", "offline", SUM]);
    let answer = "150 × 223.48 = 33,522.";
    assert_eq!(
        (&object["answer"], &object["calculation"]),
        (&json!(answer), &json!("150 × 223.48 = 33,522"))
    );
    let server = server("");
    let object = Home::new().served_by(&server).json(0, &["run", "--graph", "react", SUM]);
    assert_eq!((&object["answer"], server.wire.calls()), (&json!(answer), 2));
    assert_eq!(server.wire.requests()[0].body["tools"][0]["function"]["name"], "calculator");
}

#[test]
fn the_agent_cites_the_documents() {
    let home = Home::new();
    home.write(
        "docs/lighthouse.md",
        "# Lighthouse\n\nThe lighthouse keeper paints the tower every seven years.\n",
    );
    let object =
        home.json(0, &["run", "--graph", "react", "How often does the lighthouse keeper paint the tower?"]);
    assert!(object["answer"].as_str().unwrap().contains("every seven years. [1]"), "{object}");
    assert_eq!(object["citations"][0]["doc"], "lighthouse.md");
}

/// Asks for nine calculations, one after the other, and then answers. What it says follows from the conversation alone, so
/// a repeated call is answered as the first one was.
struct TenIterations(ModelId);

impl ChatModel for TenIterations {
    fn id(&self) -> &ModelId {
        &self.0
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        let done = request.messages.iter().flat_map(Message::tool_results).count();
        let deltas = if done == 9 {
            vec![ChatDelta::Text("All nine are done.".to_owned()), ChatDelta::Finish(FinishReason::Stop)]
        } else {
            let arguments = json!({ "expression": format!("{done} + 1") }).to_string();
            let (id, name) = (Some(format!("call_{done}")), Some("calculator".to_owned()));
            vec![
                ChatDelta::ToolCall { index: 0, id, name, arguments },
                ChatDelta::Finish(FinishReason::ToolCalls),
            ]
        };
        let stream: ChatStream = Box::pin(futures_util::stream::iter(deltas.into_iter().map(Ok)));
        Box::pin(async move { Ok(stream) })
    }
}

fn ten_iterations(script: Vec<Behaviour>) -> Server {
    let model = TenIterations(ModelId::new("ten").unwrap());
    serve(WireOptions { model: Some(Arc::new(model)), piece_bytes: 4096, ..WireOptions::scripted(script) })
}

const ARGS: &[&str] = &["run", "--graph", "react", "--thread", "t", "Add one nine times."];

/// How often each call was made, by its idempotency key.
fn by_key(server: &Server) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in server.wire.requests() {
        *times.entry(request.idempotency_key.unwrap()).or_default() += 1;
    }
    times
}

fn state(home: &Home) -> Value {
    home.json(0, &["threads", "show", "t"])["state"].clone()
}

#[test]
fn killed_in_each_of_ten_iterations_it_pays_for_no_call_twice() {
    let whole = {
        let server = ten_iterations(Vec::new());
        let home = Home::new().served_by(&server);
        assert_eq!(home.json(0, ARGS)["answer"], "All nine are done.");
        assert_eq!(server.wire.calls(), 10);
        state(&home)
    };
    for iteration in 1..=10 {
        // The answer of this iteration begins and does not come to its end, so nobody is charged for it.
        let mut script = vec![Behaviour::Answer; iteration - 1];
        script.push(Behaviour::Stall);
        let server = ten_iterations(script);
        let home = Home::new().served_by(&server);
        let mut child = home.spawn(ARGS);
        until("the call of the iteration", || (server.wire.calls() == iteration).then_some(()));
        child.kill().unwrap();
        end(child);
        let run = home.json(0, &["runs", "list"])["runs"][0]["run"].as_str().unwrap().to_owned();
        assert_eq!(home.json(0, &["resume", &run])["answer"], "All nine are done.", "{iteration}");
        let times = by_key(&server);
        assert_eq!((times.len(), server.wire.calls()), (10, 11), "{iteration}: {times:?}");
        let stalled = server.wire.requests()[iteration - 1].idempotency_key.clone().unwrap();
        assert_eq!(times[&stalled], 2, "{iteration}: only the call that was not answered is made again");
        assert_eq!(state(&home), whole, "{iteration}");
    }
}

#[test]
fn aborted_after_every_commit_it_repeats_nothing() {
    aborted("after", 0);
}

#[test]
fn aborted_before_every_commit_it_repeats_only_what_was_not_stored() {
    aborted("before", 1);
}

/// The process aborts itself at each of its commits in turn, and another one takes the run up.
fn aborted(side: &str, repeated_max: usize) {
    let mut commits = 0;
    loop {
        commits += 1;
        let server = ten_iterations(Vec::new());
        let home = Home::new().served_by(&server);
        let place = format!("{side}:{commits}");
        let crashed = Done::from(home.command(ARGS).env("STATEWRIGHT_FAIL_AT", &place).output().unwrap());
        if crashed.code == Some(0) {
            break;
        }
        let run = home.json(0, &["runs", "list"])["runs"][0]["run"].as_str().unwrap().to_owned();
        let resumed = home.run(&["resume", &run]);
        let is_over = resumed.stderr.contains("SW-X202");
        if resumed.stderr.contains("SW-C712") {
            assert_eq!(home.run(ARGS).code, Some(0), "{place}");
        } else {
            assert!(resumed.code == Some(0) || is_over, "{place}: {resumed:?}");
        }
        assert_eq!(state(&home)["answer"], "All nine are done.", "{place}");
        let times = by_key(&server);
        let repeated: usize = times.values().map(|times| times - 1).sum();
        assert!(times.len() == 10 && repeated <= repeated_max, "{place}: {times:?}");
    }
    // A reservation, an answer and a result of each iteration, and the beginning and end of the run.
    assert!(commits > 28, "{side}: {commits}");
}
