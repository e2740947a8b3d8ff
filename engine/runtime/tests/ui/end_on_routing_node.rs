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

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    let plan = g.func("plan", plan);
    g.end(plan);
}
