//! Versions of a state: rename, drop, default, another type, another reducer; and what is refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

use crate::support::*;

/// The first build.
mod v1 {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    pub(crate) struct Draft {
        pub(crate) topic: String,
        pub(crate) mood: Option<String>,
        pub(crate) price: u32,
        #[reduce(append)]
        pub(crate) notes: Vec<String>,
        #[reduce(sum)]
        pub(crate) rounds: u64,
    }
}

/// The second one: `topic` is `title`, `mood` is gone, `language` is new.
mod v2 {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    #[state(version = 2, dropped("mood"))]
    pub(crate) struct Draft {
        #[state(default = "en", since = 2)]
        pub(crate) language: String,
        #[state(renamed_from = "topic", since = 2)]
        pub(crate) title: String,
        #[reduce(sum)]
        pub(crate) rounds: u64,
        pub(crate) price: u32,
        #[reduce(append)]
        pub(crate) notes: Vec<String>,
    }
}

/// The third one: `title` is `heading`, notes have an author and are `remarks`, a price has a currency.
mod v3 {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Price {
        pub(crate) amount: u32,
        pub(crate) currency: String,
    }

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Note {
        pub(crate) text: String,
        pub(crate) by: String,
    }

    #[derive(State, Clone, Debug, Default, PartialEq)]
    #[state(version = 3, dropped("mood"), migrate = upgrade)]
    pub(crate) struct Draft {
        #[reduce(append)]
        #[state(renamed_from = "notes", since = 3)]
        pub(crate) remarks: Vec<Note>,
        #[state(default = "en", since = 2)]
        pub(crate) language: String,
        #[state(renamed_from = "topic", since = 2)]
        #[state(renamed_from = "title", since = 3)]
        pub(crate) heading: String,
        pub(crate) price: Price,
        #[reduce(sum)]
        pub(crate) rounds: u64,
    }

    fn upgrade(mut update: StoredUpdate, from: u32) -> Migrated {
        if from == 2 {
            if let Some(amount) = update.take::<u32>("price")? {
                if amount == 13 {
                    return Err("13 is no price".into());
                }
                update.put("price", &Price { amount, currency: "EUR".to_owned() })?;
            }
            if let Some(notes) = update.take::<Vec<String>>("notes")? {
                let note = |text| Note { text, by: "nobody".to_owned() };
                update.put("notes", &notes.into_iter().map(note).collect::<Vec<_>>())?;
            }
        }
        Ok(update)
    }
}

/// `write → approve → write → … `, three rounds, each of which waits for a person.
macro_rules! graph {
    ($state:ty, |$ctx:ident| $write:expr) => {{
        let mut g = StateGraph::<$state>::new("draft");
        let write = g.func("write", async |$ctx: Ctx<$state>| Ok($write));
        let approve = g.func("approve", async |ctx: Ctx<$state>| {
            ctx.ask::<bool, _>("approval", "good?").await;
            Ok(<$state>::update().rounds(1u64))
        });
        g.start(write);
        g.edge(write, approve);
        let again = |state: &$state| if state.rounds < 3 { Again::Yes } else { Again::No };
        g.branch(approve, again, AgainEdges { yes: write.to().at_most(5), no: To::END });
        g.build().unwrap()
    }};
}

#[derive(Route)]
enum Again {
    Yes,
    No,
}

fn first() -> Graph<v1::Draft> {
    graph!(v1::Draft, |ctx| {
        let note = format!("v1 {}", ctx.state.rounds);
        v1::Draft::update().notes(note).mood("good").price(7u32)
    })
}

fn second() -> Graph<v2::Draft> {
    graph!(v2::Draft, |ctx| v2::Draft::update().notes(format!("v2 {}", ctx.state.rounds)))
}

fn third() -> Graph<v3::Draft> {
    graph!(v3::Draft, |ctx| {
        let by = "v3".to_owned();
        v3::Draft::update().remarks(v3::Note { text: format!("v3 {}", ctx.state.rounds), by })
    })
}

fn begin() -> v1::DraftUpdate {
    v1::Draft::update().topic("Rust").notes("given")
}

/// A thread of the first build that waits for its first answer.
async fn waiting(snapshots: u64) -> MemoryCheckpointer {
    let store = MemoryCheckpointer::new();
    let report = runner(&first(), &store, snapshots).start("t", begin()).await.unwrap();
    assert_eq!(paused(&report)[0].id, "approval@2.0");
    store
}

#[tokio::test]
async fn rename_drop_and_default_are_derived_while_a_thread_waits() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(snapshots).await;
        let second = runner(&second(), &store, snapshots);
        let found = second.load("t").await.unwrap();
        let notes = vec!["given".to_owned(), "v1 0".to_owned()];
        let expected = v2::Draft { language: "en".into(), title: "Rust".into(), rounds: 0, price: 7, notes };
        assert_eq!(*found.state, expected);
        assert_eq!(found.interrupts[0].id, "approval@2.0", "the question is the one that was asked");
        let report = second.answer("t", "approval@2.0", &true).await.unwrap();
        assert_eq!(report.state.notes, ["given", "v1 0", "v2 1"]);
        assert_eq!((report.state.title.as_str(), report.state.rounds), ("Rust", 1));
    }
}

#[tokio::test]
async fn a_field_of_another_type_goes_through_a_function_while_a_thread_waits() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(snapshots).await;
        let third = runner(&third(), &store, snapshots);
        let report = third.answer("t", "approval@2.0", &true).await.unwrap();
        let texts: Vec<_> = report.state.remarks.iter().map(|n| (n.text.as_str(), n.by.as_str())).collect();
        assert_eq!(texts, [("given", "nobody"), ("v1 0", "nobody"), ("v3 1", "v3")]);
        assert_eq!(report.state.price, v3::Price { amount: 7, currency: "EUR".to_owned() });
        assert_eq!((report.state.heading.as_str(), report.state.language.as_str()), ("Rust", "en"));
    }
}

#[tokio::test]
async fn a_journal_with_entries_of_three_versions() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(snapshots).await;
        let report = runner(&second(), &store, snapshots).answer("t", "approval@2.0", &true).await.unwrap();
        assert_eq!(paused(&report)[0].id, "approval@4.0");
        let third = runner(&third(), &store, snapshots);
        let report = third.answer("t", "approval@4.0", &true).await.unwrap();
        assert_eq!(paused(&report)[0].id, "approval@6.0");
        let report = third.answer("t", "approval@6.0", &true).await.unwrap();
        let state = report.finished().unwrap();
        let texts: Vec<_> = state.remarks.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(texts, ["given", "v1 0", "v2 1", "v3 2"]);
        assert_eq!(state.rounds, 3);

        // From any prefix, on any base: the third build reads what all three wrote, and goes on to the same end.
        let all = entries(&store);
        for end in 1..=all.len() {
            let found = third_on(&holding(&all[..end]).await, snapshots).load("t").await.unwrap();
            let at = third.state_at("t", end as u64).await.unwrap();
            assert_eq!((&at.state, at.superstep), (&found.state, found.superstep), "behind entry {end}");
        }
        let history = third.history("t").await.unwrap();
        assert_eq!(history.len(), 7, "{history:?}");
        let fork = third.fork("t", history[3].seq, "f", v3::Draft::update().heading("Go")).await.unwrap();
        assert_eq!((fork.state.heading.as_str(), fork.state.remarks.len()), ("Go", 3));

        let view = ThreadView::read(third.graph().plan(), &all).unwrap();
        let done: Vec<_> = view.steps.iter().filter(|step| step.asked.is_none()).map(|s| &*s.name).collect();
        assert_eq!(done, ["write", "approve", "write", "approve", "write", "approve"]);

        // A finished thread takes another run.
        let report = third.start("t", v3::Draft::update().heading("more")).await.unwrap();
        assert_eq!(report.state.remarks.len(), 5);
    }
}

fn third_on(store: &MemoryCheckpointer, snapshots: u64) -> Runner<v3::Draft> {
    runner(&third(), store, snapshots)
}

#[tokio::test]
async fn a_migration_that_fails_half_way_loses_nothing() {
    for snapshots in RARELY_AND_OFTEN {
        let store = MemoryCheckpointer::new();
        let old = runner(&stubborn(), &store, snapshots);
        old.start("t", begin()).await.unwrap();
        let kept = entries(&store);
        let third = third_on(&store, snapshots);
        for error in [
            third.load("t").await.unwrap_err(),
            third.answer("t", "approval@2.0", &true).await.unwrap_err(),
            third.start("t", v3::Draft::update()).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), "SW-X264", "{error}");
            assert!(error.to_string().contains("from version 1 to 3: 13 is no price"), "{error}");
        }
        assert_eq!(entries(&store), kept, "nothing was written");
        let report = old.answer("t", "approval@2.0", &true).await.unwrap();
        assert_eq!(paused(&report)[0].id, "approval@4.0", "the old build goes on");
    }
}

/// A first build whose price no later one takes.
fn stubborn() -> Graph<v1::Draft> {
    graph!(v1::Draft, |ctx| v1::Draft::update().notes(format!("v1 {}", ctx.state.rounds)).price(13u32))
}

#[tokio::test]
async fn a_state_of_a_later_build_is_refused() {
    let store = waiting(u64::MAX).await;
    let second = runner(&second(), &store, u64::MAX);
    second.answer("t", "approval@2.0", &true).await.unwrap();
    let before = entries(&store);
    let first = runner(&first(), &store, u64::MAX);
    let error = first.answer("t", "approval@4.0", &true).await.unwrap_err();
    assert_eq!(error.code(), "SW-X261", "{error}");
    assert!(
        error.to_string().contains("version 2 of the state `Draft`, and this program has version 1"),
        "{error}"
    );
    assert_eq!(entries(&store), before);
    assert_eq!(first.state_at("t", 3).await.unwrap().state.topic, "Rust", "its own past it can read");
}

/// The second build by somebody who declared nothing.
mod careless {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    #[state(version = 2)]
    pub(crate) struct Draft {
        pub(crate) title: String,
        #[reduce(sum)]
        pub(crate) price: u32,
        #[reduce(append)]
        pub(crate) notes: Vec<String>,
        #[reduce(sum)]
        pub(crate) rounds: u64,
    }
}

#[tokio::test]
async fn what_is_not_declared_is_refused_with_everything_that_differs() {
    let store = waiting(u64::MAX).await;
    let before = entries(&store);
    let graph = graph!(careless::Draft, |_ctx| careless::Draft::update());
    let error = runner(&graph, &store, u64::MAX).resume("t").await.unwrap_err();
    assert_eq!(error.code(), "SW-X262", "{error}");
    for words in [
        "the field `topic` is gone (declare `#[state(renamed_from = \"topic\", since = N)]`",
        "the field `mood` is gone",
        "the field `price` was folded by replace and is folded by sum",
        "finish it once with the build that wrote it",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(entries(&store), before);
}

/// Another reducer, as was declared.
mod refolded {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    #[state(version = 2, dropped("mood"))]
    pub(crate) struct Draft {
        pub(crate) topic: String,
        #[reduce(max)]
        #[state(reducer_changed, since = 2)]
        pub(crate) price: u32,
        #[reduce(union)]
        #[state(reducer_changed, since = 2)]
        pub(crate) notes: BTreeSet<String>,
        #[reduce(sum)]
        pub(crate) rounds: u64,
    }
}

#[tokio::test]
async fn a_declared_reducer_folds_what_was_stored_before() {
    for snapshots in RARELY_AND_OFTEN {
        let store = MemoryCheckpointer::new();
        runner(&first(), &store, snapshots).start("t", begin().notes("given")).await.unwrap();
        let graph = graph!(refolded::Draft, |_ctx| refolded::Draft::update().price(3u32).notes("v1 0"));
        let report = runner(&graph, &store, snapshots).answer("t", "approval@2.0", &true).await.unwrap();
        assert_eq!(report.state.price, 7);
        assert_eq!(report.state.notes, ["given", "v1 0"].map(str::to_owned).into());
        let again = runner(&graph, &store, snapshots).load("t").await.unwrap();
        assert_eq!(again.state, report.state);
    }
}

/// A field that was held by value grows now, and one that grew is held by value.
mod turned {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    #[state(version = 2, dropped("mood"), migrate = lists)]
    pub(crate) struct Draft {
        #[reduce(append)]
        #[state(reducer_changed, since = 2)]
        pub(crate) topic: Vec<String>,
        pub(crate) price: u32,
        #[reduce(last)]
        #[state(reducer_changed, since = 2)]
        pub(crate) notes: String,
        #[reduce(sum)]
        pub(crate) rounds: u64,
    }

    fn lists(mut update: StoredUpdate, _from: u32) -> Migrated {
        if let Some(topic) = update.take::<String>("topic")? {
            update.put("topic", &[topic])?;
        }
        if let Some(notes) = update.take::<Vec<String>>("notes")? {
            update.put("notes", &notes.concat())?;
        }
        Ok(update)
    }
}

#[tokio::test]
async fn a_field_may_begin_to_grow_or_cease_to() {
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(snapshots).await;
        let graph =
            graph!(turned::Draft, |ctx| turned::Draft::update().topic(format!("{}", ctx.state.rounds)));
        let turned = runner(&graph, &store, snapshots);
        let report = turned.answer("t", "approval@2.0", &true).await.unwrap();
        assert_eq!(report.state.topic, ["Rust", "1"]);
        assert_eq!(report.state.notes, "v1 0");
        assert_eq!(turned.load("t").await.unwrap().state, report.state);
    }
}

/// At the level that stores ends of drives only.
#[tokio::test]
async fn threads_of_the_level_exit_migrate_too() {
    let store = MemoryCheckpointer::new();
    let first = first().runner().checkpointer(store.clone()).durability(Durability::Exit);
    first.start("t", begin()).await.unwrap();
    let third = third().runner().checkpointer(store.clone()).durability(Durability::Exit);
    let report = third.answer("t", "approval@2.0", &true).await.unwrap();
    assert_eq!((report.state.heading.as_str(), report.state.remarks.len()), ("Rust", 3));
    assert_eq!(third.load("t").await.unwrap().state, report.state);
}
