use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

struct Raw;

async fn bad(ctx: Ctx<Chat>) -> Result<ChatUpdate, NodeError> {
    let _answer: Raw = ctx.ask("approve", "really?").await;
    Ok(Chat::update())
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    g.func("bad", bad);
}
