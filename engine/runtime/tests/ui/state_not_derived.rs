use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Chat {
    answer: String,
}

fn main() {
    let _ = StateGraph::<Chat>::new("chat");
}
