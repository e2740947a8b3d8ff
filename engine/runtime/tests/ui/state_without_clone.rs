use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Default, Serialize, Deserialize)]
struct Chat {
    answer: String,
}

fn main() {}
