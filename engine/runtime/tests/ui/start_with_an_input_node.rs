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

async fn search(ctx: Ctx<Chat, Query>) -> Result<ChatUpdate, NodeError> {
    Ok(Chat::update().messages(ctx.input.0))
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    let search = g.func("search", search);
    g.start(search);
}
