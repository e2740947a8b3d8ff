use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    answer: Option<Option<String>>,
    #[reduce(append)]
    votes: Vec<std::option::Option<Option<bool>>>,
}

fn main() {}
