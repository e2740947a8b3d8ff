//! Option fields take plain values or options, and can be cleared.
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

fn keep_the_longer(field: &mut Option<String>, value: Option<String>) {
    if value.as_ref().map(String::len) > field.as_ref().map(String::len) {
        *field = value;
    }
}

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chat {
    answer: Option<String>,
    #[reduce(min)]
    best: Option<u32>,
    #[reduce(last)]
    seen: Option<u64>,
    #[reduce(with = keep_the_longer)]
    longest: Option<String>,
    r#type: std::option::Option<u8>,
    pairs: Vec<(Option<u8>, Option<Vec<()>>)>,
}

#[test]
fn option_fields_take_values_and_can_be_cleared() {
    let mut chat = Chat::default();
    chat.apply(Chat::update().answer("yes").best(3u32).seen(7u64).r#type(1));
    assert_eq!(chat.answer.as_deref(), Some("yes"));
    assert_eq!((chat.best, chat.seen, chat.r#type), (Some(3), Some(7), Some(1)));
    chat.apply(Chat::update());
    assert_eq!(chat.answer.as_deref(), Some("yes"), "an update that says nothing changes nothing");
    chat.apply(Chat::update().best(9u32));
    assert_eq!(chat.best, Some(3));
    chat.apply(Chat::update().clear_answer().clear_seen().clear_type());
    assert_eq!((chat.answer, chat.seen, chat.r#type), (None, None, None));
}

#[test]
fn option_fields_take_options_as_they_are() {
    let mut chat = Chat::default();
    chat.apply(Chat::update().maybe_answer(Some("yes".to_owned())).maybe_seen(Some(7)).maybe_type(Some(1)));
    assert_eq!((chat.answer.as_deref(), chat.seen, chat.r#type), (Some("yes"), Some(7), Some(1)));
    chat.apply(Chat::update().maybe_answer(None).maybe_type(None));
    assert_eq!((chat.answer.as_deref(), chat.seen, chat.r#type), (None, Some(7), None));
    let empty = Chat::update().maybe_answer(None);
    assert!(!Update::is_empty(&empty), "to write `None` is to write");
}

#[test]
fn an_option_is_folded_by_the_reducer_of_its_field() {
    let mut chat = Chat::default();
    chat.apply(Chat::update().maybe_best(Some(5)).maybe_longest(Some("long".to_owned())));
    chat.apply(Chat::update().maybe_best(None).maybe_longest(None));
    assert_eq!(
        (chat.best, chat.longest.as_deref()),
        (Some(5), Some("long")),
        "nothing loses against something"
    );
    chat.apply(Chat::update().maybe_best(Some(2)).maybe_best(None).maybe_longest(Some("longer".to_owned())));
    assert_eq!((chat.best, chat.longest.as_deref()), (Some(2), Some("longer")));
}
