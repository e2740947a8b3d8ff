//! What replaces all that a growing field holds is stored beside what is added to it, and goes along with the field.

use std::collections::BTreeSet;

use statewright_engine_runtime::*;

use crate::support::*;

mod v1 {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    pub(crate) struct Draft {
        #[reduce(append)]
        pub(crate) notes: Vec<String>,
        #[reduce(union)]
        pub(crate) tags: BTreeSet<String>,
        #[reduce(sum)]
        pub(crate) rounds: u64,
    }
}

/// `notes` is `remarks`, and `tags` is gone.
mod v2 {
    use super::*;

    #[derive(State, Clone, Debug, Default, PartialEq)]
    #[state(version = 2, dropped("tags"))]
    pub(crate) struct Draft {
        #[reduce(append)]
        #[state(renamed_from = "notes", since = 2)]
        pub(crate) remarks: Vec<String>,
        #[reduce(sum)]
        pub(crate) rounds: u64,
    }
}

/// A node that writes, and one that asks.
macro_rules! graph {
    ($state:ty, $write:expr) => {{
        let mut g = StateGraph::<$state>::new("draft");
        let write = g.func("write", async |_: Ctx<$state>| Ok($write));
        let ask = g.func("ask", async |ctx: Ctx<$state>| {
            ctx.ask::<bool, _>("approval", "good?").await;
            Ok(<$state>::update().rounds(1u64))
        });
        g.start(write);
        g.edge(write, ask);
        g.end(ask);
        g.build().unwrap()
    }};
}

#[tokio::test]
async fn a_field_that_was_overwritten_is_renamed_and_dropped_like_any_other() {
    for snapshots in RARELY_AND_OFTEN {
        let store = MemoryCheckpointer::new();
        let graph = graph!(
            v1::Draft,
            v1::Draft::update()
                .notes("behind")
                .overwrite_notes(["over".to_owned()])
                .tags("y")
                .overwrite_tags(["z".to_owned()])
        );
        let input = v1::Draft::update().notes("given").tags("a");
        let report = runner(&graph, &store, snapshots).start("t", input).await.unwrap();
        assert_eq!(report.state.notes, ["over", "behind"]);
        assert_eq!(paused(&report)[0].id, "approval@2.0");

        let second = graph!(v2::Draft, v2::Draft::update());
        // From its records alone, and from the snapshot that the pause made.
        let records: Vec<Entry> =
            entries(&store).into_iter().filter(|entry| entry.kind == EntryKind::Record).collect();
        let is_whole = records.iter().enumerate().all(|(place, entry)| entry.seq == place as u64 + 1);
        let mut stores = vec![store.clone()];
        if is_whole {
            stores.push(holding(&records).await);
        }
        for store in stores {
            let found = runner(&second, &store, snapshots).load("t").await.unwrap();
            assert_eq!(found.state.remarks, ["over", "behind"]);
            let report = runner(&second, &store, snapshots).answer("t", "approval@2.0", &true).await.unwrap();
            assert_eq!(report.finished().unwrap().remarks, ["over", "behind"]);
        }
    }
}
