//! The typed API end to end: one graph with every kind of edge, in memory.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
struct Draft {
    topic: String,
    #[reduce(append)]
    notes: Vec<String>,
    text: Option<String>,
    #[reduce(sum)]
    tokens: u64,
    #[reduce(max)]
    revision: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Query {
    text: String,
}

#[derive(Route)]
enum Planned {
    #[each]
    Search(Vec<Query>),
    Write,
}

#[derive(Route)]
enum Reviewed {
    Again,
    Accept,
}

async fn plan(ctx: Ctx<Draft>) -> Result<(DraftUpdate, Planned), NodeError> {
    let update = Draft::update().tokens(10);
    if ctx.state.topic.is_empty() {
        return Ok((update, Planned::Write));
    }
    let queries =
        ["history", "numbers", "critics"].map(|word| Query { text: format!("{} {word}", ctx.state.topic) });
    Ok((update, Planned::Search(queries.into())))
}

async fn search(ctx: Ctx<Draft, Query>) -> Result<DraftUpdate, NodeError> {
    Ok(Draft::update().notes(format!("about {}", ctx.input.text)).tokens(5))
}

struct Writer;

impl Node<Draft> for Writer {
    type In = ();
    type Out = DraftUpdate;

    async fn run(&self, ctx: Ctx<Draft>) -> Result<DraftUpdate, NodeError> {
        Ok(Draft::update().text(format!("{} notes", ctx.state.notes.len())).revision(ctx.state.revision + 1))
    }
}

async fn approve(ctx: Ctx<Draft>) -> Result<DraftUpdate, NodeError> {
    let word: String = ctx.ask("approve", &ctx.state.text).await;
    Ok(Draft::update().notes(word))
}

fn graph() -> Graph<Draft> {
    let mut g = StateGraph::<Draft>::new("draft");
    let plan = g.func("plan", plan);
    let search = g.func("search", search);
    let write = g.node("write", Writer);
    let approve = g.func("approve", approve);
    g.start(plan);
    g.route(plan, PlannedEdges { search: search.to(), write: write.to() });
    g.edge(search, write);
    g.branch(
        write,
        |state: &Draft| if state.revision < 2 { Reviewed::Again } else { Reviewed::Accept },
        ReviewedEdges { again: write.to().at_most(3), accept: approve.to() },
    );
    g.end(approve);
    g.build().unwrap()
}

#[tokio::test]
async fn pauses_and_goes_on_after_an_answer() {
    let store = MemoryCheckpointer::new();
    let runner = graph().runner().checkpointer(store.clone());
    let report = runner.start("t", Draft::update().topic("Rust")).await.unwrap();
    let Outcome::Paused(questions) = &report.outcome else { panic!("{}", report.describe()) };
    assert_eq!(report.state.tokens, 25);
    assert_eq!(report.state.notes, ["about Rust history", "about Rust numbers", "about Rust critics"]);
    // Another process: everything comes from the store.
    let runner = graph().runner().checkpointer(store.clone());
    let again = runner.start("t", Draft::update()).await.unwrap_err();
    assert_eq!(again.code(), "SW-X201", "{again}");
    let wrong = runner.answer("t", "nobody@1.0", &"yes").await.unwrap_err();
    assert_eq!(wrong.code(), "SW-X203", "{wrong}");
    let rejected = runner.answer("t", questions[0].id.clone(), &17).await.unwrap();
    let Outcome::Paused(open) = &rejected.outcome else { panic!("{}", rejected.describe()) };
    assert!(open[0].rejected.as_ref().is_some_and(|why| why.contains("expected a string")), "{open:?}");
    let done = runner.answer("t", questions[0].id.clone(), &"yes").await.unwrap();
    assert_eq!(done.outcome, Outcome::Finished, "{}", done.describe());
    assert_eq!(done.state.notes.last().map(String::as_str), Some("yes"));
    assert_eq!((done.state.revision, done.state.text.as_deref()), (2, Some("3 notes")));
    let twice = runner.resume("t").await.unwrap_err();
    assert_eq!(twice.code(), "SW-X202", "{twice}");
}

#[tokio::test]
async fn events_tell_what_happened_in_order() {
    let runner = graph().runner();
    let mut run = runner.start("t", Draft::update());
    let mut events = run.events();
    run.await.unwrap();
    let mut trace = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            RunEvent::NodeStarted { node, .. } => {
                trace.push(format!("+{}", runner.graph().plan().node_name(node)));
            }
            RunEvent::NodeFinished { node, .. } => {
                trace.push(format!("-{}", runner.graph().plan().node_name(node)));
            }
            RunEvent::Asked(question) => trace.push(format!("?{}", question.name)),
            _ => {}
        }
    }
    assert_eq!(trace.join(" "), "+plan -plan +write -write +write -write +approve ?approve");
}
