use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

async fn answer(_ctx: Ctx<Chat>) -> Result<ChatUpdate, NodeError> {
    Ok(Chat::update().answer("yes"))
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    let answer = g.func("answer", answer);
    g.branch(answer, |chat: &Chat| chat.answer.is_some(), ());
}
