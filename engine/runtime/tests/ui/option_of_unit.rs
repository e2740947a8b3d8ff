use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    is_done: Option<()>,
    #[reduce(last)]
    seen: (u8, Option<()>),
}

fn main() {}
