use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Serialize, Deserialize)]
struct Chat {
    answer: String,
}

fn main() {}
