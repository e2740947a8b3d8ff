//! Graphs inside of graphs when a run is taken up again.

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::Entry;
use statewright_engine_core::journal::{Body, Record, decode};
use statewright_engine_runtime::*;

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Child {
    number: u32,
}

/// Three children run at once; each begins and ends with a node that is witnessed.
fn parent(witness: &Witness) -> Graph<Log> {
    let mut inner = StateGraph::<Child>::new("child");
    let [begins, ends] = ["begins", "ends"].map(|name| {
        let seen = witness.clone();
        inner.func(name, move |ctx: Ctx<Child>| {
            seen.saw(format!("{name} {}", ctx.state.number));
            async move { Ok(Child::update().number(ctx.state.number)) }
        })
    });
    inner.start(begins);
    inner.edge(begins, ends);
    inner.end(ends);
    let inner = inner.build().unwrap();
    let mut g = builder();
    let plan = g.func("plan", async |_: Ctx<Log>| Ok(Spread::Parts(vec![1, 2, 3])));
    let child = g.subgraph(
        "child",
        &inner,
        |_: &Log, number: u32| Child::update().number(number),
        |child: &Child| Log::update().total(u64::from(child.number)).tags(child.number.to_string()),
    );
    let last = node(&mut g, "last");
    g.start(plan);
    g.route(plan, SpreadEdges { parts: child.to(), nothing: To::END });
    g.edge(child, last);
    g.end(last);
    g.build().unwrap()
}

/// How many inner nodes have finished by these entries.
fn inner_ends(entries: &[Entry]) -> usize {
    let inner = records(entries).into_iter().filter_map(|body| match body {
        Body::Nested { entry, .. } => Some(decode::<Record>(&entry).unwrap().body),
        _ => None,
    });
    inner.filter(|body| matches!(body, Body::Finished { .. })).count()
}

/// Killed after every entry: of some children all has finished, of some a part, and of some nothing.
#[tokio::test]
async fn boot_recovery_skips_terminal_children() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    let whole = within(parent(&witness).runner().checkpointer(store.clone()).start("t", Log::update()));
    expect_finished(&whole.await.unwrap());
    let all = entries(&store);
    assert_eq!((witness.take().len(), inner_ends(&all)), (6, 6));
    for length in 1..all.len() {
        let runner = parent(&witness).runner().checkpointer(crashed_after(&all[..length]).await);
        let report = within(runner.resume("t")).await.unwrap();
        expect_finished(&report);
        let state = (report.state.total, report.state.tags.len(), report.state.trace.concat());
        assert_eq!(state, (6, 3, "last".to_owned()), "killed after entry {length}");
        let (ran, had_run) = (witness.take(), inner_ends(&all[..length]));
        assert_eq!(ran.len(), 6 - had_run, "killed after entry {length}: {ran:?}");
    }
}
