//! Async closures, and functions that capture their dependencies by `Arc`.
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Default, Serialize, Deserialize)]
struct Chat {
    #[reduce(append)]
    messages: Vec<String>,
    answer: Option<String>,
}

#[test]
fn async_closures_and_captures_are_nodes() {
    let mut g = StateGraph::<Chat>::new("chat");
    let key = Arc::new(String::from("key"));
    let plain = g.func("plain", async |ctx: Ctx<Chat>| {
        Ok(Chat::update().answer(format!("{}", ctx.state.messages.len())))
    });
    let captured = g.func("captured", {
        let key = Arc::clone(&key);
        move |_ctx: Ctx<Chat>| {
            let key = Arc::clone(&key);
            async move { Ok(Chat::update().answer(key.as_str())) }
        }
    });
    let converts = g.func("converts", async |ctx: Ctx<Chat>| {
        let number: u32 = ctx.state.answer.as_deref().unwrap_or("1").parse()?;
        Ok(Chat::update().messages(number.to_string()))
    });
    g.start(plain);
    g.edge(plain, captured);
    g.edge(captured, converts);
    g.end(converts);
    g.build().unwrap();
}
