use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

async fn bad(_ctx: Ctx<Chat>) -> Result<ChatUpdate, NodeError> {
    let text = std::rc::Rc::new(String::new());
    tokio::task::yield_now().await;
    Ok(Chat::update().answer(text.as_str()))
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    g.func("bad", bad);
}
