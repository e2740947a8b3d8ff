//! The `react` pipeline, and the agent loop in a node of the engine: its steps, questions, effects and budgets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{WithDocs, Words, docs_folder, offline, run, scripted};
use serde_json::json;
use statewright_engine_runtime::{
    Budget, Ctx, Graph, MemoryCheckpointer, NodeError, Outcome, Settlement, State, StateGraph,
};
use statewright_graphs::host::{CtxHost, classify_host_errors};
use statewright_graphs::{Pipeline, ReactState, react};
use statewright_nodes_models::{Reply, Scripted};
use statewright_nodes_ports::{ModelError, SideEffect, Tool, ToolCall, Usage};
use statewright_nodes_tools::agent::{AgentInput, AgentLoop};
use statewright_nodes_tools::{NoArguments, ToolCx, Toolbox, function};

fn calls(name: &str, arguments: &str) -> Reply {
    let call =
        ToolCall { id: format!("c-{arguments}"), name: name.to_owned(), arguments: arguments.to_owned() };
    Reply::tool_calls([call]).with_usage(Usage { input_tokens: 50, output_tokens: 5, ..Usage::default() })
}

#[tokio::test]
async fn the_offline_agent_computes_with_its_tool() {
    let ran = run(&react(&offline()).unwrap(), "What is 150 × 223.48?").await;
    let report = ran.report();
    assert_eq!(report.answer, "150 × 223.48 = 33,522.");
    assert_eq!(report.calculation.as_deref(), Some("150 × 223.48 = 33,522"));
    assert_eq!((ran.path().as_str(), ran.shown()), ("agent", report.answer));
    let kinds: Vec<_> = ran.items.iter().map(|item| &*item.kind).filter(|kind| *kind != "token").collect();
    assert_eq!(kinds, ["usage", "tool_call", "tool_result", "usage"]);
}

#[tokio::test]
async fn the_offline_agent_searches_and_cites_what_resolves() {
    let graph = react(&offline().with_docs()).unwrap();
    let ran = run(&graph, "How does the engine resume after a crash, and what is 15 percent of 80?").await;
    let report = ran.report();
    assert!(report.answer.starts_with("15 ÷ 100 × 80 = 12") && report.answer.contains("[1]"), "{report:?}");
    assert!(!report.citations.is_empty());
    for citation in &report.citations {
        citation.resolve(&docs_folder()).unwrap();
    }
    assert_eq!(ran.shown(), report.answer, "the streamed text has the numbers of the answer");
}

#[tokio::test]
async fn the_next_question_on_a_thread_is_asked_in_the_same_conversation() {
    let model = Arc::new(Scripted::new([
        calls("calculator", "{\"expression\": \"2 + 2\"}"),
        Reply::text("4."),
        Reply::text("I said 4."),
    ]));
    let graph = react(&scripted(&model)).unwrap();
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    runner.start("t", ReactState::ask("What is 2 + 2?")).await.unwrap();
    let second = runner.start("t", ReactState::ask("What did you say?")).await.unwrap();
    assert_eq!(second.state.answer, "I said 4.");
    assert_eq!(second.state.calculation, None, "the calculation was the first run's");
    assert_eq!(second.state.messages.len(), 6);
    let sent: Vec<_> =
        model.requests()[2].messages.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(sent[1..], ["What is 2 + 2?", "", "", "4.", "What did you say?"]);
}

#[tokio::test]
async fn an_agent_that_goes_in_circles_ends_with_a_code() {
    let again = || calls("calculator", "{\"expression\": \"2 + 2\"}");
    let model = Arc::new(Scripted::new((0..6).map(|_| again())));
    let report = run(&react(&scripted(&model)).unwrap(), "?").await.report();
    assert!(report.notes[0].starts_with("SW-N396"), "{report:?}");
    assert_eq!((model.calls(), report.usage.total_tokens()), (5, 275));
}

/// A graph of one agent with one tool.
#[derive(State, Clone, Debug, Default, PartialEq)]
struct Errand {
    answer: String,
}

fn errand(model: &Arc<Scripted>, tool: Arc<dyn Tool>) -> Graph<Errand> {
    let toolbox = Toolbox::new([tool]).unwrap();
    let agent = AgentLoop::new(model.clone(), Arc::new(Words)).toolbox(toolbox);
    let mut g = StateGraph::<Errand>::new("errand");
    let node = g.func("agent", move |ctx: Ctx<Errand>| {
        let agent = agent.clone();
        async move {
            let output = agent.run(&CtxHost::new(&ctx), AgentInput::new("Do it.")).await?;
            Ok::<_, NodeError>(Errand::update().answer(output.text))
        }
    });
    g.start(node);
    g.end(node);
    g.classify(classify_host_errors);
    g.build().unwrap()
}

fn counting(name: &str, side_effect: SideEffect, count: &Arc<AtomicUsize>) -> Arc<dyn Tool> {
    let count = count.clone();
    let call = move |_: NoArguments, _: ToolCx| {
        let count = count.clone();
        async move { format!("call {}", count.fetch_add(1, Ordering::SeqCst) + 1) }
    };
    function(name, "Does something.", side_effect, call).shared()
}

#[tokio::test]
async fn an_approval_is_an_interrupt_of_the_run() {
    let (model, count) =
        (Arc::new(Scripted::new([calls("send", "{}"), Reply::text("Sent.")])), Arc::default());
    let graph = errand(&model, counting("send", SideEffect::Irreversible, &count));
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let paused = runner.start("t", Errand::update()).await.unwrap();
    let Outcome::Paused(questions) = &paused.outcome else { panic!("{}", paused.describe()) };
    assert_eq!((questions[0].name.as_str(), count.load(Ordering::SeqCst)), ("approve#0.0", 0));
    let done = runner.answer("t", questions[0].id.clone(), &json!("approve")).await.unwrap();
    assert_eq!((&done.outcome, done.state.answer.as_str()), (&Outcome::Finished, "Sent."));
    assert_eq!((model.calls(), count.load(Ordering::SeqCst)), (2, 1), "nothing is paid for twice");
}

#[tokio::test]
async fn a_failed_model_call_is_taken_up_where_it_failed() {
    let broken = Reply::error(ModelError::Transport { detail: "nobody answers".to_owned() });
    let (model, count) = (Arc::new(Scripted::new([calls("look", "{}"), broken])), Arc::default());
    let graph = errand(&model, counting("look", SideEffect::Read, &count));
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let failed = runner.start("t", Errand::update()).await.unwrap();
    let Outcome::Failed(failures) = &failed.outcome else { panic!("{}", failed.describe()) };
    assert_eq!(failures[0].1.code, "SW-P506", "{failures:?}");
    model.push(Reply::text("Seen."));
    let done = runner.resume("t").await.unwrap();
    assert_eq!((done.state.answer.as_str(), model.calls(), count.load(Ordering::SeqCst)), ("Seen.", 3, 1));
    let keys: Vec<_> = model.requests().into_iter().map(|request| request.idempotency_key).collect();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[1], keys[2], "the repeated call is recognisable");
}

#[tokio::test]
async fn a_budget_of_calls_is_never_passed_and_the_run_goes_on_with_more() {
    let (model, count) =
        (Arc::new(Scripted::new([calls("look", "{}"), Reply::text("Seen.")])), Arc::default());
    let graph = errand(&model, counting("look", SideEffect::Read, &count));
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let one = Budget::new().limit("calls", 1);
    let stopped = runner.start("t", Errand::update()).run_budget(one).await.unwrap();
    assert!(matches!(stopped.outcome, Outcome::BudgetExceeded(_)), "{}", stopped.describe());
    assert_eq!(model.calls(), 1);
    let two = Budget::new().limit("calls", 2);
    let done = runner.resume("t").run_budget(two).await.unwrap();
    assert_eq!((done.state.answer.as_str(), model.calls(), count.load(Ordering::SeqCst)), ("Seen.", 2, 1));
}

#[tokio::test]
async fn an_effect_whose_end_nobody_saw_is_told_to_the_model() {
    let begun = Arc::new(tokio::sync::Notify::new());
    let (model, told) =
        (Arc::new(Scripted::new([calls("pay", "{}"), Reply::text("Unsure.")])), begun.clone());
    let pay = move |_: NoArguments, _: ToolCx| {
        let told = told.clone();
        async move {
            told.notify_one();
            std::future::pending::<()>().await;
            String::new()
        }
    };
    let graph = errand(&model, function("pay", "Pays.", SideEffect::External, pay).shared());
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    // The process dies while the tool is at work.
    let run = runner.start("t", Errand::update()).into_future();
    tokio::select! {
        _ = run => panic!("the tool never ends"),
        () = begun.notified() => {}
    }
    let done = runner.resume("t").await.unwrap();
    assert_eq!(done.state.answer, "Unsure.");
    let last = &model.requests()[1].messages;
    let result = last.iter().flat_map(|message| message.tool_results()).next().unwrap();
    assert!(result.is_error && result.content.contains("SW-X252"), "{result:?}");
    // Nothing is left to settle once the node has dealt with it.
    assert!(runner.settle("t", "tool#0.0@0.0", Settlement::did_not_take_place()).await.is_err());
}
