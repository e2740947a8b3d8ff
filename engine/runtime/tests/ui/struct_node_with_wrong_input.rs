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

struct Searcher;

impl Node<Chat> for Searcher {
    type In = Query;
    type Out = ChatUpdate;

    async fn run(&self, _ctx: Ctx<Chat>) -> Result<ChatUpdate, NodeError> {
        Ok(Chat::update())
    }
}

fn main() {}
