use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

fn longest(a: String, b: String) -> String {
    if a.len() >= b.len() { a } else { b }
}

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(with = longest)]
    answer: String,
}

fn main() {}
