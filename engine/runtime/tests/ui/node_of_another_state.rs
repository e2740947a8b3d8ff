use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Other {
    number: u32,
}

async fn bad(_ctx: Ctx<Other>) -> Result<OtherUpdate, NodeError> {
    Ok(Other::update().number(1u32))
}

fn main() {
    let mut g = StateGraph::<Chat>::new("chat");
    g.func("bad", bad);
}
