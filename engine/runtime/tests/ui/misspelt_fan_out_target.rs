use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
}

#[derive(Route)]
enum Planned {
    #[each]
    Search(Vec<String>),
}

async fn plan(_ctx: Ctx<Chat>) -> Result<Planned, NodeError> {
    Ok(Planned::Search(vec!["one".to_owned(), "two".to_owned()]))
}

async fn search(ctx: Ctx<Chat, String>) -> Result<ChatUpdate, NodeError> {
    Ok(Chat::update().messages(ctx.input))
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    let plan = g.func("plan", plan);
    let search = g.func("search", search);
    g.route(plan, PlannedEdges { search: serach.to() });
    g.end(search);
}
