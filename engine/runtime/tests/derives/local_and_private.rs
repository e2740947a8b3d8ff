//! A state and a route inside a function, with private and partly visible fields, attributes and comments.
use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

mod inner {
    use super::*;

    #[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
    #[state(version = 3)]
    pub(crate) struct Chat {
        pub(crate) answer: String,
        /// Nobody else sees it.
        #[serde(default)]
        hidden: u32,
        #[state(ephemeral)]
        scratch: Vec<String>,
        #[state(reset = run)]
        #[reduce(sum)]
        attempts: u32,
    }

    pub(crate) fn hidden(chat: &mut Chat) -> u32 {
        chat.apply(Chat::update().hidden(3u32).scratch(vec!["a".to_owned()]).attempts(2u32));
        chat.hidden + chat.scratch.len() as u32 + chat.attempts
    }
}

#[test]
fn states_and_routes_may_be_local_and_private() {
    #[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
    struct Local {
        number: i64,
    }
    #[derive(Route)]
    enum Only {
        Way,
    }
    let mut g = StateGraph::<Local>::new("local");
    let node = g.func("node", async |_: Ctx<Local>| Ok((Local::update().number(1), Only::Way)));
    g.start(node);
    g.route(node, OnlyEdges { way: To::END });
    g.build().unwrap();
    assert_eq!(inner::hidden(&mut inner::Chat::default()), 6);
    assert_eq!(<inner::Chat as State>::SCHEMA.version, 3);
    let channels = <inner::Chat as State>::SCHEMA.channels;
    assert!(channels[2].ephemeral && channels[3].reset_on_run);
}
