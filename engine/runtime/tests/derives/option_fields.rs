//! Option fields take plain values and can be cleared.
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chat {
    answer: Option<String>,
    #[reduce(min)]
    best: Option<u32>,
    #[reduce(last)]
    seen: Option<u64>,
    nested: Option<Option<u8>>,
}

#[test]
fn option_fields_take_values_and_can_be_cleared() {
    let mut chat = Chat::default();
    chat.apply(Chat::update().answer("yes").best(3u32).seen(7u64));
    assert_eq!(chat.answer.as_deref(), Some("yes"));
    assert_eq!((chat.best, chat.seen), (Some(3), Some(7)));
    chat.apply(Chat::update());
    assert_eq!(chat.answer.as_deref(), Some("yes"), "an update that says nothing changes nothing");
    chat.apply(Chat::update().nested(Some(3)).best(9u32));
    assert_eq!((chat.nested, chat.best), (Some(Some(3)), Some(3)));
    chat.apply(Chat::update().nested(None));
    assert_eq!(chat.nested, Some(None));
    chat.apply(Chat::update().clear_nested().clear_answer().clear_seen());
    assert_eq!((chat.answer, chat.seen, chat.nested), (None, None, None));
}
