use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

async fn bad(_ctx: Ctx<Chat>) -> Result<ChatUpdate, NodeError> {
    Ok(Chat::update().answer(17))
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    g.func("bad", bad);
}
