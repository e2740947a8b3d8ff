//! The outbox: delivered once the superstep is durable, again after a crash, with the same id, in order.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::support::*;
use serde::{Deserialize, Serialize};
use statewright_engine_core::journal::{Body, SnapshotBody, decode};
use statewright_engine_runtime::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Mail {
    to: String,
    text: String,
}

#[derive(Clone, Default)]
struct Post {
    delivered: Arc<Mutex<Vec<Delivery<Mail>>>>,
    closed: Arc<AtomicBool>,
}

impl Post {
    fn runner(&self, graph: &Graph<Log>) -> Runner<Log> {
        let post = self.clone();
        graph.runner().outbox("mail", move |mail: Delivery<Mail>| {
            let post = post.clone();
            async move {
                // Not at once, so that a drive has to wait for it.
                tokio::task::yield_now().await;
                post.delivered.lock().unwrap().push(mail);
                if post.closed.load(SeqCst) {
                    Err(NodeError::transient("the post is closed"))
                } else {
                    Ok(())
                }
            }
        })
    }

    fn texts(&self) -> Vec<String> {
        self.delivered.lock().unwrap().iter().map(|mail| mail.payload.text.clone()).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.delivered.lock().unwrap().iter().map(|mail| mail.id.clone()).collect()
    }
}

/// `first` posts two mails, `second` one; both say so in the state.
fn posting(witness: &Witness) -> Graph<Log> {
    let mut g = builder();
    let nodes = [("first", 2), ("second", 1)].map(|(name, count)| {
        let witness = witness.clone();
        g.func(name, move |ctx: Ctx<Log>| {
            let witness = witness.clone();
            async move {
                for number in 0..count {
                    let text = format!("{name} {number}");
                    ctx.outbox("mail", &Mail { to: "you".to_owned(), text })?;
                }
                witness.saw(name);
                Ok(ran(&ctx))
            }
        })
    });
    chain(&mut g, &nodes);
    g.build().unwrap()
}

const ALL: [&str; 3] = ["first 0", "first 1", "second 0"];

#[tokio::test]
async fn items_are_delivered_in_order_before_the_run_is_over() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    for durability in [Durability::Power, Durability::Exit] {
        let post = Post::default();
        let runner = post.runner(&posting(&witness)).checkpointer(store.clone()).durability(durability);
        let report = within(runner.start("t", Log::update())).await.unwrap();
        expect_finished(&report);
        assert_eq!((post.texts(), report.undelivered), (ALL.map(str::to_owned).to_vec(), Vec::new()));
        assert!(within(runner.load("t")).await.unwrap().undelivered.is_empty());
    }
    let post = Post::default();
    expect_finished(&within(post.runner(&posting(&witness)).start("t", Log::update())).await.unwrap());
    assert_eq!(post.texts(), ALL, "without a store, too");
}

#[tokio::test]
async fn after_a_crash_at_any_entry_each_item_is_delivered_with_the_id_that_it_had() {
    let (witness, store, post) = (Witness::default(), MemoryCheckpointer::new(), Post::default());
    let runner = post.runner(&posting(&witness)).checkpointer(store.clone());
    expect_finished(&within(runner.start("t", Log::update())).await.unwrap());
    let (all, ids) = (entries(&store), post.ids());
    let mut distinct = ids.clone();
    distinct.dedup();
    assert_eq!((distinct.len(), ids[0].len()), (3, 32));
    for cut in 1..=all.len() {
        let marked =
            records(&all[..cut]).iter().filter(|body| matches!(body, Body::Delivered { .. })).count();
        for snapshot_after_bytes in [1, u64::MAX] {
            let after = Post::default();
            let limits = Limits { snapshot_after_bytes, ..Limits::default() };
            let store = crashed_after(&all[..cut]).await;
            let runner = after.runner(&posting(&witness)).checkpointer(store).limits(limits);
            let status = runner.load("t").await.unwrap().status;
            let report = if status == Status::Open {
                within(runner.resume("t")).await.unwrap()
            } else {
                within(runner.deliver("t")).await.unwrap()
            };
            expect_finished(&report);
            assert_eq!(after.ids(), ids[marked..], "what was not marked, after {cut} entries");
            assert!(report.undelivered.is_empty());
        }
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_delivered_stays_and_comes_again() {
    let (witness, store, post) = (Witness::default(), MemoryCheckpointer::new(), Post::default());
    post.closed.store(true, SeqCst);
    let runner = post.runner(&posting(&witness)).checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.undelivered, ["1.0#0", "1.0#1", "2.0#0"]);
    assert_eq!(post.texts(), ALL, "once in a drive, however many supersteps follow");
    // Elsewhere, without a handler, and at last with one.
    let elsewhere = posting(&witness).runner().checkpointer(crashed_after(&entries(&store)).await);
    assert_eq!(within(elsewhere.deliver("t")).await.unwrap().undelivered.len(), 3);
    post.closed.store(false, SeqCst);
    let tried = post.ids();
    let report = within(runner.deliver("t")).await.unwrap();
    assert_eq!((report.outcome, report.undelivered.len()), (Outcome::Finished, 0));
    let ids = post.ids();
    let mut again = ids[tried.len()..].to_vec();
    again.dedup();
    assert!(again.len() == 3 && again.iter().all(|id| tried.contains(id)), "{ids:?}");
    assert_eq!(witness.count("first"), 1, "nothing is run");
    within(runner.deliver("t")).await.unwrap();
    assert_eq!(post.ids().len(), ids.len(), "what is delivered is not delivered again");
}

/// A handler that never comes back keeps nobody from ending the drive of a run that is over.
#[tokio::test]
async fn a_cancel_while_the_last_items_are_delivered_ends_the_drive_as_finished() {
    let witness = Witness::default();
    let begun = Arc::new(tokio::sync::Notify::new());
    let told = begun.clone();
    let runner = posting(&witness).runner().checkpointer(MemoryCheckpointer::new()).outbox(
        "mail",
        move |_: Delivery<Mail>| {
            told.notify_one();
            std::future::pending::<Result<(), NodeError>>()
        },
    );
    let run = runner.start("t", Log::update());
    let control = run.control();
    let (report, ()) = within(async {
        tokio::join!(run, async {
            begun.notified().await;
            while witness.count("second") == 0 {
                tokio::task::yield_now().await;
            }
            // The last commit is in, and only the outbox keeps the drive.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            control.cancel();
        })
    })
    .await;
    let report = report.unwrap();
    expect_finished(&report);
    assert_eq!(report.undelivered.len(), 3);
    assert_eq!(runner.load("t").await.unwrap().status, Status::Stopped(Outcome::Finished));
}

/// Delivering is an errand: the thread stands afterwards where it stood.
#[tokio::test]
async fn delivering_on_a_crashed_thread_leaves_it_open() {
    let witness = Witness::default();
    let store = MemoryCheckpointer::new();
    within(posting(&witness).runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    let all = entries(&store);
    let first = all.iter().position(|entry| finished(std::slice::from_ref(entry)) == 1).unwrap();
    let (post, crashed) = (Post::default(), crashed_after(&all[..=first]).await);
    let runner = post.runner(&posting(&witness)).checkpointer(crashed);
    assert_eq!(runner.load("t").await.unwrap().status, Status::Open);
    let report = within(runner.deliver("t")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Drained);
    assert_eq!(post.texts(), ALL[..2]);
    assert_eq!(runner.load("t").await.unwrap().status, Status::Open, "nobody stopped it at a safe point");
    expect_finished(&within(runner.resume("t")).await.unwrap());
}

#[tokio::test]
async fn an_update_and_posts_that_do_not_fit_into_one_record_fail_the_node() {
    let mut g = builder();
    let big = g.func("big", async |ctx: Ctx<Log>| {
        let text = "x".repeat(5 << 20);
        ctx.outbox("mail", &Mail { to: "you".to_owned(), text: text.clone() })?;
        Ok(ran(&ctx).text(text))
    });
    chain(&mut g, &[big]);
    let graph = g.build().unwrap();
    let report = within(graph.runner().checkpointer(MemoryCheckpointer::new()).start("t", Log::update()))
        .await
        .unwrap();
    let (node, failure) = failure(&report, &graph);
    assert_eq!((node.as_deref(), failure.code.as_str()), (Some("big"), "SW-S412"), "{failure}");
}

#[tokio::test]
async fn what_a_failed_execution_posted_is_not_delivered() {
    let (post, broken) = (Post::default(), Arc::new(AtomicBool::new(true)));
    let flag = broken.clone();
    let mut g = builder();
    let only = g.func("only", move |ctx: Ctx<Log>| {
        let broken = flag.load(SeqCst);
        async move {
            let text = format!("broken: {broken}");
            ctx.outbox("mail", &Mail { to: "you".to_owned(), text })?;
            if broken { Err(NodeError::transient("broken")) } else { Ok(ran(&ctx)) }
        }
    });
    chain(&mut g, &[only]);
    let runner = post.runner(&g.build().unwrap()).checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update())).await.unwrap();
    assert!(post.texts().is_empty());
    broken.store(false, SeqCst);
    expect_finished(&within(runner.resume("t")).await.unwrap());
    assert_eq!(post.texts(), ["broken: false"]);
}

#[tokio::test]
async fn items_wait_until_their_superstep_is_over_and_snapshots_refer_to_them() {
    let post = Post::default();
    let mut g = builder();
    let posts = g.func("posts", async |ctx: Ctx<Log>| {
        ctx.outbox("mail", &Mail { to: "you".to_owned(), text: "x".repeat(50_000) })?;
        Ok(ran(&ctx))
    });
    let asks = g.func("asks", async |ctx: Ctx<Log>| {
        let _: u32 = ctx.ask("go on", "?").await;
        Ok(ran(&ctx))
    });
    let last = node(&mut g, "last");
    g.start(posts);
    g.start(asks);
    g.join((posts, asks), last);
    g.end(last);
    let store = MemoryCheckpointer::new();
    let runner = post.runner(&g.build().unwrap()).checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let id = questions(&report)[0].id.clone();
    assert!(post.texts().is_empty(), "its superstep is not over");
    let all = entries(&store);
    let snapshot: SnapshotBody = decode(&all.last().unwrap().bytes).unwrap();
    assert!(
        snapshot.slots.iter().all(|slot| slot.posts.is_empty()) && all.last().unwrap().bytes.len() < 5_000
    );
    expect_finished(&within(runner.answer("t", id, &1u32)).await.unwrap());
    assert_eq!(post.texts().len(), 1);
}

#[tokio::test]
async fn a_handler_that_panics_or_cannot_read_an_item_harms_nobody_else() {
    let post = Post::default();
    let mut g = builder();
    let only = g.func("only", async |ctx: Ctx<Log>| {
        ctx.outbox("panics", &1)?;
        ctx.outbox("mail", &"not a mail")?;
        ctx.outbox("mail", &Mail { to: "you".to_owned(), text: "good".to_owned() })?;
        Ok(ran(&ctx))
    });
    chain(&mut g, &[only]);
    let panics = |_: Delivery<u32>| -> std::future::Ready<Result<(), NodeError>> { panic!("oh") };
    let runner = post.runner(&g.build().unwrap()).outbox("panics", panics);
    let report = within(runner.start("t", Log::update())).await.unwrap();
    expect_finished(&report);
    assert_eq!(
        (post.texts(), report.undelivered),
        (vec!["good".to_owned()], vec!["1.0#0".to_owned(), "1.0#1".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_comes_back_is_given_up_and_holds_up_no_other() {
    let post = Post::default();
    let mut g = builder();
    let only = g.func("only", async |ctx: Ctx<Log>| {
        ctx.outbox("slow", &1)?;
        ctx.outbox("mail", &Mail { to: "you".to_owned(), text: "good".to_owned() })?;
        Ok(ran(&ctx))
    });
    chain(&mut g, &[only]);
    let graph = g.build().unwrap();
    let slow = |_: Delivery<u32>| std::future::pending::<Result<(), NodeError>>();
    for (limit, took) in [(None, 60), (Some(5), 5)] {
        let mut runner = post.runner(&graph).checkpointer(MemoryCheckpointer::new()).outbox("slow", slow);
        if let Some(limit) = limit {
            runner = runner.outbox_timeout(std::time::Duration::from_secs(limit));
        }
        let began = tokio::time::Instant::now();
        let report = runner.start("t", Log::update()).await.unwrap();
        expect_finished(&report);
        assert_eq!((began.elapsed().as_secs(), report.undelivered), (took, vec!["1.0#0".to_owned()]));
    }
    assert_eq!(post.texts(), ["good", "good"]);
}

#[tokio::test]
async fn a_thread_has_no_more_open_items_than_its_limit() {
    let post = Post::default();
    post.closed.store(true, SeqCst);
    let limits = Limits { outbox: 2, ..Limits::default() };
    let graph = posting(&Witness::default());
    let store = MemoryCheckpointer::new();
    let runner = post.runner(&graph).checkpointer(store.clone()).limits(limits);
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let (node, told) = failure(&report, &graph);
    assert_eq!((node.as_deref(), told.code.as_str()), (Some("second"), "SW-X248"));
    assert_eq!((told.kind, report.undelivered.len()), (FailureKind::Transient, 2), "{told}");
    post.closed.store(false, SeqCst);
    assert!(within(runner.deliver("t")).await.unwrap().undelivered.is_empty());
    expect_finished(&within(runner.resume("t")).await.unwrap());
    assert!(runner.load("t").await.unwrap().undelivered.is_empty());

    // More in one go than there may ever be is no matter of deliveries.
    let runner = post.runner(&graph).limits(Limits { outbox: 1, ..limits });
    let (node, told) = failure(&within(runner.start("t", Log::update())).await.unwrap(), &graph);
    assert_eq!((node.as_deref(), told.kind), (Some("first"), FailureKind::Permanent));
}
