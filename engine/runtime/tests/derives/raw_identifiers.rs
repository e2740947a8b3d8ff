//! Fields and variants that are keywords.
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Item {
    r#type: String,
    r#match: Option<u32>,
    #[reduce(append)]
    r#loop: Vec<u8>,
}

#[derive(Route)]
enum Next {
    Match,
    Loop(String),
    #[each]
    Type(Vec<u32>),
    HttpError,
}

#[test]
fn keywords_may_be_fields_and_variants() {
    let mut item = Item::default();
    item.apply(Item::update().r#type("a").r#match(1u32).r#loop(3));
    assert_eq!(item, Item { r#type: "a".into(), r#match: Some(1), r#loop: vec![3] });
    let names: Vec<_> = Item::SCHEMA.channels.iter().map(|channel| channel.name).collect();
    assert_eq!(names, ["type", "match", "loop"]);
    item.apply(Item::update().clear_match());
    assert_eq!(item.r#match, None);
    assert_eq!(Next::VARIANTS, ["Match", "Loop", "Type", "HttpError"]);
    let mut g = StateGraph::<Item>::new("keywords");
    let text = g.func("text", async |_: Ctx<Item, String>| Ok(Item::update()));
    let number = g.func("number", async |_: Ctx<Item, u32>| Ok(Item::update()));
    let first = g.func("first", async |ctx: Ctx<Item>| {
        Ok(match ctx.state.r#loop.len() {
            0 => Next::Match,
            1 => Next::Loop(String::new()),
            2 => Next::Type(vec![1]),
            _ => Next::HttpError,
        })
    });
    g.start(first);
    g.route(
        first,
        NextEdges { r#match: To::END, r#loop: text.to(), r#type: number.to(), http_error: To::END },
    );
    g.end(text);
    g.end(number);
    g.build().unwrap();
}
