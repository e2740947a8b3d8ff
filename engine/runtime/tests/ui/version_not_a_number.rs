use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
#[state(version = "two")]
struct Chat {
    answer: String,
}

fn main() {}
