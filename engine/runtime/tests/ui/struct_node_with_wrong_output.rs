use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

struct Writer;

impl Node<Chat> for Writer {
    type In = ();
    type Out = String;

    async fn run(&self, _ctx: Ctx<Chat>) -> Result<String, NodeError> {
        Ok("hello".to_owned())
    }
}

fn main() {}
