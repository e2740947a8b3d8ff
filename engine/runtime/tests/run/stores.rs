//! What a runner asks of a store: nothing that depends on an entry happens before the entry is acknowledged, and a
//! store that fails stops the run with a typed error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::*;
use futures_util::future::BoxFuture;
use statewright_engine_core::Entry;
use statewright_engine_runtime::*;
use tokio::sync::oneshot;

type Pending = Arc<Mutex<Vec<oneshot::Sender<Result<(), StoreError>>>>>;

/// Keeps entries in memory, and acknowledges them only when the test does, or fails from the n-th on.
#[derive(Clone, Default)]
struct Scripted {
    memory: MemoryCheckpointer,
    pending: Pending,
    holds_back: bool,
    appended: Arc<AtomicUsize>,
    fails_from: Option<usize>,
}

struct ScriptedJournal {
    store: Scripted,
    inner: Box<dyn Journal>,
}

impl Checkpointer for Scripted {
    fn open<'a>(
        &'a self,
        thread: &'a ThreadId,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Box<dyn Journal>, StoreError>> {
        Box::pin(async move {
            let inner = self.memory.open(thread, durability).await?;
            Ok(Box::new(ScriptedJournal { store: self.clone(), inner }) as Box<dyn Journal>)
        })
    }

    fn latest_snapshot<'a>(
        &'a self,
        thread: &'a ThreadId,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.memory.latest_snapshot(thread)
    }

    fn entries<'a>(
        &'a self,
        thread: &'a ThreadId,
        ranges: &'a [(Seq, Seq)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.memory.entries(thread, ranges)
    }
}

impl Journal for ScriptedJournal {
    fn append(&mut self, entry: Entry) -> Ack {
        let number = self.store.appended.fetch_add(1, Ordering::SeqCst);
        if self.store.fails_from.is_some_and(|from| number >= from) {
            return Ack::ready(Err(StoreError::Full { message: "no room".into() }));
        }
        let ack = self.inner.append(entry);
        if !self.store.holds_back {
            return ack;
        }
        let (sender, receiver) = oneshot::channel();
        self.store.pending.lock().unwrap().push(sender);
        Ack::pending(receiver)
    }
}

fn graph(witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let nodes = ["a", "b", "c", "d"].map(|name| {
        let witness = witness.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            witness.saw(name);
            async move { Ok(ran(&ctx)) }
        })
    });
    let [a, b, c, d] = nodes;
    g.start(a);
    g.edge(a, b);
    g.edge(a, c);
    g.join((b, c), d);
    g.end(d);
    g.build().unwrap()
}

#[tokio::test]
async fn no_node_begins_before_what_it_depends_on_is_acknowledged() {
    let (witness, store) = (Witness::default(), Scripted { holds_back: true, ..Scripted::default() });
    let runner = graph(&witness).runner().checkpointer(store.clone());
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    let task = tokio::spawn(run.into_future());
    let mut acknowledged = 0;
    while !task.is_finished() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let all = store.memory.all(&ThreadId::new("t"));
        let durable = finished(&all[..acknowledged]);
        let (a, b, c, d) = (witness.count("a"), witness.count("b"), witness.count("c"), witness.count("d"));
        assert!(a == 0 || acknowledged > 0, "the run must be stored before its first node");
        assert!(b + c == 0 || durable >= 1, "siblings after `a`");
        assert!(b == c, "siblings do not wait for each other's entries");
        assert!(d == 0 || durable >= 3, "the join after both");
        let next = {
            let mut pending = store.pending.lock().unwrap();
            if pending.is_empty() { None } else { Some(pending.remove(0)) }
        };
        if let Some(next) = next {
            acknowledged += 1;
            next.send(Ok(())).unwrap();
        }
    }
    expect_finished(&task.await.unwrap().unwrap());
    assert_eq!(witness.take().len(), 4);
    let mut told = 0;
    while let Some(event) = events.next().await {
        told += usize::from(matches!(event, RunEvent::NodeFinished { .. }));
    }
    assert_eq!(told, 4);
}

#[tokio::test]
async fn no_outcome_is_told_before_it_is_acknowledged() {
    let (witness, store) = (Witness::default(), Scripted { holds_back: true, ..Scripted::default() });
    let runner = graph(&witness).runner().checkpointer(store.clone());
    let task = tokio::spawn(runner.start("t", Log::update()).into_future());
    loop {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut pending = store.pending.lock().unwrap();
        let last = witness.count("d") == 1 && pending.len() == 1;
        if last {
            break;
        }
        assert!(!pending.is_empty(), "stuck after {}", store.appended.load(Ordering::SeqCst));
        pending.remove(0).send(Ok(())).unwrap();
    }
    assert!(!task.is_finished(), "the end is not stored yet");
    store.pending.lock().unwrap().remove(0).send(Ok(())).unwrap();
    expect_finished(&within(task).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_store_that_is_full_stops_the_run_and_loses_nothing_that_was_acknowledged() {
    let whole = Scripted::default();
    expect_finished(
        &graph(&Witness::default())
            .runner()
            .checkpointer(whole.clone())
            .start("t", Log::update())
            .await
            .unwrap(),
    );
    for from in 0..whole.appended.load(Ordering::SeqCst) {
        let (witness, store) =
            (Witness::default(), Scripted { fails_from: Some(from), ..Scripted::default() });
        let error = within(graph(&witness).runner().checkpointer(store.clone()).start("t", Log::update()))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "SW-S403", "from {from}: {error}");
        let kept = store.memory.all(&ThreadId::new("t"));
        assert_eq!(kept.len(), from);
        // Room again: the same memory behind a store that works.
        witness.take();
        let runner = graph(&witness).runner().checkpointer(store.memory.clone());
        let report =
            if from == 0 { runner.start("t", Log::update()).await } else { runner.resume("t").await };
        let report = report.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.trace, ["a", "b", "c", "d"]);
        assert_eq!(witness.take().len(), 4 - finished(&kept), "from {from}");
    }
}

#[tokio::test]
async fn a_store_that_goes_away_is_an_error_and_no_hang() {
    let (witness, store) = (Witness::default(), Scripted { holds_back: true, ..Scripted::default() });
    let runner = graph(&witness).runner().checkpointer(store.clone());
    let task = tokio::spawn(runner.start("t", Log::update()).into_future());
    while store.pending.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    store.pending.lock().unwrap().clear();
    let error = within(task).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "SW-S404", "{error}");
}

#[tokio::test]
async fn the_store_in_memory_refuses_what_is_not_next_and_a_second_driver() {
    let store = MemoryCheckpointer::new();
    expect_finished(
        &graph(&Witness::default())
            .runner()
            .checkpointer(store.clone())
            .start("t", Log::update())
            .await
            .unwrap(),
    );
    let all = entries(&store);
    let thread = ThreadId::new("t");
    let mut journal = store.open(&thread, Durability::Power).await.unwrap();
    let busy = store.open(&thread, Durability::Power).await.err().unwrap();
    assert_eq!((busy.code(), busy), ("SW-S401", StoreError::Busy { thread: thread.clone() }));
    for seq in [0, 1, all.len() as Seq, all.len() as Seq + 2, Seq::MAX] {
        let entry = Entry { seq, ..all[0].clone() };
        assert_eq!(journal.append(entry).await, Err(StoreError::Fenced { thread: thread.clone() }), "{seq}");
    }
    assert_eq!(entries(&store), all);
    drop(journal);
    store.open(&thread, Durability::Power).await.unwrap();
}

#[tokio::test]
async fn a_gap_in_the_journal_is_told() {
    #[derive(Clone)]
    struct Forgetful(MemoryCheckpointer);

    impl Checkpointer for Forgetful {
        fn open<'a>(
            &'a self,
            thread: &'a ThreadId,
            durability: Durability,
        ) -> BoxFuture<'a, Result<Box<dyn Journal>, StoreError>> {
            self.0.open(thread, durability)
        }

        fn latest_snapshot<'a>(
            &'a self,
            thread: &'a ThreadId,
        ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
            self.0.latest_snapshot(thread)
        }

        fn entries<'a>(
            &'a self,
            thread: &'a ThreadId,
            ranges: &'a [(Seq, Seq)],
        ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
            Box::pin(async move {
                let mut found = self.0.entries(thread, ranges).await?;
                found.retain(|entry| entry.seq != 2);
                Ok(found)
            })
        }
    }

    let store = MemoryCheckpointer::new();
    expect_finished(
        &graph(&Witness::default())
            .runner()
            .checkpointer(store.clone())
            .start("t", Log::update())
            .await
            .unwrap(),
    );
    let error =
        graph(&Witness::default()).runner().checkpointer(Forgetful(store)).load("t").await.unwrap_err();
    assert!(error.code().starts_with("SW-") && error.to_string().contains('2'), "{} {error}", error.code());
}

#[tokio::test]
async fn a_step_returns_and_an_effect_begins_only_after_it_is_acknowledged() {
    let (witness, store) = (Witness::default(), Scripted { holds_back: true, ..Scripted::default() });
    let seen = witness.clone();
    let mut g = builder();
    let works = g.func("works", move |ctx: Ctx<Log>| {
        let seen = seen.clone();
        async move {
            ctx.step("step").run(|| async { Ok(()) }).await?;
            seen.saw("step returned");
            let effect = ctx.effect("effect").run(|_| async {
                seen.saw("effect begins");
                Ok(())
            });
            effect.await?;
            seen.saw("effect returned");
            Ok(ran(&ctx))
        }
    });
    chain(&mut g, &[works]);
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    let task = tokio::spawn(runner.start("t", Log::update()).into_future());
    // Opened, the step, the effect's beginning, its end, the end of the node.
    let expected = ["", "", "step returned", "effect begins", "effect returned"];
    for (acknowledged, last) in expected.into_iter().enumerate() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let seen = witness.0.lock().unwrap().last().cloned().unwrap_or_default();
        assert_eq!(seen, last, "after {acknowledged} acknowledgements");
        store.pending.lock().unwrap().remove(0).send(Ok(())).unwrap();
    }
    expect_finished(&within(task).await.unwrap().unwrap());
}
