use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

struct Writer;

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    g.node("writer", Writer);
}
