use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Query(String);

#[derive(Route)]
enum Planned {
    Search(Query),
    Answer,
}

async fn plan(_ctx: Ctx<Chat>) -> Result<Planned, NodeError> {
    Ok(Planned::Answer)
}

async fn search(ctx: Ctx<Chat, Query>) -> Result<ChatUpdate, NodeError> {
    Ok(Chat::update().messages(ctx.input.0))
}

async fn answer(_ctx: Ctx<Chat>) -> Result<ChatUpdate, NodeError> {
    Ok(Chat::update().answer("yes"))
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    let plan = g.func("plan", plan);
    let search = g.func("search", search);
    let answer = g.func("answer", answer);
    g.route(plan, PlannedEdges { serach: search.to(), answer: answer.to() });
}
