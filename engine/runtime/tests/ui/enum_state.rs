use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
enum Chat {
    #[default]
    Empty,
    Answered(String),
}

fn main() {}
