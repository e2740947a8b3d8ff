//! Steps: done once, found again by name, over crashes, pauses and failures of their node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use crate::support::*;
use statewright_engine_core::journal::{Body, SnapshotBody, StepState, decode};
use statewright_engine_runtime::*;

/// One node with three steps.
fn three_steps(witness: &Witness) -> Graph<Log> {
    let witness = witness.clone();
    let mut g = builder();
    let works = g.func("works", move |ctx: Ctx<Log>| {
        let witness = witness.clone();
        async move {
            let mut total = 0;
            for index in 0..3u64 {
                let seen = witness.clone();
                let step = ctx.step("add").at(index as usize).input(&index);
                total += step
                    .run(|| async move {
                        seen.saw(format!("step {index}"));
                        Ok(10u64.pow(index as u32))
                    })
                    .await?;
            }
            Ok(ran(&ctx).total(total))
        }
    });
    let last = node(&mut g, "last");
    chain(&mut g, &[works, last]);
    g.build().unwrap()
}

#[tokio::test]
async fn after_a_crash_at_any_entry_no_finished_step_is_done_again() {
    let (witness, store) = (Witness::default(), MemoryCheckpointer::new());
    expect_finished(
        &within(three_steps(&witness).runner().checkpointer(store.clone()).start("t", Log::update()))
            .await
            .unwrap(),
    );
    let all = entries(&store);
    assert_eq!(records(&all).iter().filter(|body| matches!(body, Body::Step { .. })).count(), 3);
    for cut in 1..all.len() {
        let kept = records(&all[..cut]).iter().filter(|body| matches!(body, Body::Step { .. })).count();
        // With snapshots after every record, and without any.
        for snapshot_after_bytes in [1, u64::MAX] {
            witness.take();
            let limits = Limits { snapshot_after_bytes, ..Limits::default() };
            let store = crashed_after(&all[..cut]).await;
            let runner = three_steps(&witness).runner().checkpointer(store).limits(limits);
            let report = within(runner.resume("t")).await.unwrap();
            expect_finished(&report);
            assert_eq!((report.state.total, report.state.trace.len()), (111, 2));
            let redone: Vec<String> = (kept..3).map(|index| format!("step {index}")).collect();
            assert_eq!(witness.take(), redone, "after {cut} entries");
        }
    }
}

#[tokio::test]
async fn a_step_survives_a_pause_and_a_failure_and_opts_out_of_the_latter() {
    let (witness, broken) = (Witness::default(), Arc::new(AtomicBool::new(true)));
    let (seen, flag) = (witness.clone(), broken.clone());
    let mut g = builder();
    let works = g.func("works", move |ctx: Ctx<Log>| {
        let (seen, broken) = (seen.clone(), flag.load(SeqCst));
        async move {
            let kept = seen.clone();
            let one = ctx.step("kept").run(|| async move {
                kept.saw("kept");
                Ok(1u64)
            });
            let one = one.await?;
            let tried = seen.clone();
            let two = ctx.step("tried").per_attempt().run(|| async move {
                tried.saw("tried");
                Ok(2u64)
            });
            let two = two.await?;
            let three: u64 = ctx.ask("three", "?").await;
            if broken {
                return Err(NodeError::transient("broken"));
            }
            Ok(ran(&ctx).total(one + two + three))
        }
    });
    chain(&mut g, &[works]);
    let graph = g.build().unwrap();
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(witness.take(), ["kept", "tried"]);
    let report = within(runner.answer("t", questions(&report)[0].id.clone(), &3u64)).await.unwrap();
    assert_eq!(failure(&report, &graph).1.message, "broken");
    assert!(witness.take().is_empty(), "a pause repeats neither");
    broken.store(false, SeqCst);
    // Elsewhere, from the snapshot that the failed drive left, and from the records alone.
    let all = entries(&store);
    let (snapshot, bare) = all.split_last().unwrap();
    assert_eq!(snapshot.kind, EntryKind::Snapshot);
    for entries in [&all[..], bare] {
        let runner = graph.runner().checkpointer(crashed_after(entries).await);
        let report = within(runner.resume("t")).await.unwrap();
        expect_finished(&report);
        assert_eq!(report.state.total, 6);
        assert_eq!(witness.take(), ["tried"], "only what opted out is done for the next attempt");
    }
}

/// A chain of one node, as a graph.
fn one<Fut>(work: impl Fn(Ctx<Log>) -> Fut + Send + Sync + 'static) -> Graph<Log>
where
    Fut: Future<Output = Done> + Send + 'static,
{
    let mut g = builder();
    let only = g.func("only", work);
    chain(&mut g, &[only]);
    g.build().unwrap()
}

#[tokio::test]
async fn steps_are_found_by_name_not_by_order() {
    let turn = Arc::new(AtomicU32::new(0));
    let count = turn.clone();
    let graph = one(move |ctx| {
        let turn = count.fetch_add(1, SeqCst);
        async move {
            let names = if turn == 0 { ["a", "b"] } else { ["b", "a"] };
            let mut words = HashMap::new();
            for name in names {
                let word = ctx.step(name).run(|| async move { Ok(format!("{name} of turn {turn}")) });
                words.insert(name, word.await?);
            }
            if turn == 0 {
                return Err(NodeError::transient("again"));
            }
            Ok(ran(&ctx).text(format!("{}, {}", words["a"], words["b"])))
        }
    });
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update())).await.unwrap();
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!(report.state.text, "a of turn 0, b of turn 0");
}

async fn code_of(graph: &Graph<Log>, resumes: usize) -> Failure {
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    for _ in 0..resumes {
        report = within(runner.resume("t")).await.unwrap();
    }
    failure(&report, graph).1
}

#[tokio::test]
async fn another_input_for_a_kept_step_is_an_error_and_the_order_of_a_map_is_not_another_input() {
    let turn = Arc::new(AtomicU32::new(0));
    let count = turn.clone();
    let graph = one(move |ctx| {
        let turn = count.fetch_add(1, SeqCst);
        async move {
            let numbers = 0..20u32;
            let map: HashMap<u32, u32> = if turn == 0 {
                numbers.map(|n| (n, n)).collect()
            } else {
                numbers.rev().map(|n| (n, n)).collect()
            };
            ctx.step("map").input(&map).run(|| async { Ok(()) }).await?;
            ctx.step("number").input(&turn).run(|| async { Ok(()) }).await?;
            Err(NodeError::transient("again"))
        }
    });
    assert_eq!(code_of(&graph, 0).await.message, "again");
    turn.store(0, SeqCst);
    let failure = code_of(&graph, 1).await;
    assert_eq!(failure.code, "SW-X250", "{failure}");
    assert!(failure.message.contains("`number`"), "{failure}");
}

#[tokio::test]
async fn a_name_that_is_used_twice_is_an_error() {
    let graph = one(async |ctx: Ctx<Log>| {
        ctx.step("same").run(|| async { Ok(1) }).await?;
        ctx.step("same").run(|| async { Ok(2) }).await?;
        Ok(ran(&ctx))
    });
    // On resume the first result is kept, and the mistake is still one.
    for resumes in [0, 1] {
        let failure = code_of(&graph, resumes).await;
        assert_eq!(failure.code, "SW-X251", "{failure}");
        assert!(failure.message.contains("`same`"), "{failure}");
    }
}

#[tokio::test]
async fn more_steps_than_the_limit_are_an_error_that_names_the_first_too_many() {
    let graph = one(async |ctx: Ctx<Log>| {
        for index in 0..1001usize {
            ctx.step("s").at(index).run(|| async move { Ok(index) }).await?;
        }
        Ok(ran(&ctx))
    });
    for resumes in [0, 1] {
        let failure = code_of(&graph, resumes).await;
        assert_eq!(failure.code, "SW-X253", "{failure}");
        assert!(failure.message.contains("`s#1000`") && failure.message.contains("1000 steps"), "{failure}");
    }
}

#[tokio::test]
async fn a_result_of_another_type_is_an_error_and_not_another_value() {
    let turn = Arc::new(AtomicU32::new(0));
    let graph = one(move |ctx| {
        let turn = turn.fetch_add(1, SeqCst);
        async move {
            if turn == 0 {
                ctx.step("s").run(|| async { Ok("word".to_owned()) }).await?;
                return Err(NodeError::transient("again"));
            }
            let number: u64 = ctx.step("s").run(|| async { Ok(1) }).await?;
            Ok(ran(&ctx).total(number))
        }
    });
    let failure = code_of(&graph, 1).await;
    assert_eq!(failure.code, "SW-X254", "{failure}");
}

#[tokio::test]
async fn an_error_in_a_step_is_not_kept() {
    let turn = Arc::new(AtomicU32::new(0));
    let graph = one(move |ctx| {
        let turn = turn.fetch_add(1, SeqCst);
        async move {
            let checked = ctx.step("checked").run(|| async move {
                if turn == 0 { Err(NodeError::transient("not good enough")) } else { Ok(7u64) }
            });
            let checked = checked.await?;
            Ok(ran(&ctx).total(checked))
        }
    });
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let report = within(runner.start("t", Log::update())).await.unwrap();
    assert_eq!(failure(&report, &graph).1.message, "not good enough");
    assert_eq!(within(runner.resume("t")).await.unwrap().finished().unwrap().total, 7);
}

#[tokio::test]
async fn a_question_waits_until_the_steps_at_work_are_kept_and_no_other_begins() {
    let witness = Witness::default();
    let (seen, finish) = (witness.clone(), Arc::new(tokio::sync::Notify::new()));
    let gate = finish.clone();
    let graph = one(move |ctx| {
        let (seen, gate) = (seen.clone(), gate.clone());
        async move {
            let step = ctx.step("slow");
            let next = ctx.step("next");
            let work = async {
                let slow = step.run(|| async {
                    seen.saw("slow begins");
                    gate.notified().await;
                    seen.saw("slow ends");
                    Ok(1u64)
                });
                let slow = slow.await?;
                let next = next.run(|| async {
                    seen.saw("next");
                    Ok(2u64)
                });
                Ok::<u64, NodeError>(slow + next.await?)
            };
            let ask = async {
                let answer: u64 = ctx.ask("number", "?").await;
                answer
            };
            // The question is asked while the step is at work.
            let (sum, answer) = tokio::join!(work, ask);
            Ok(ran(&ctx).total(sum? + answer))
        }
    });
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    let mut run = runner.start("t", Log::update());
    let mut events = run.events();
    let run = tokio::spawn(run.into_future());
    while !matches!(within(events.next()).await.unwrap(), RunEvent::NodeStarted { .. }) {}
    finish.notify_one();
    let report = within(run).await.unwrap().unwrap();
    let id = questions(&report)[0].id.clone();
    assert_eq!(witness.take(), ["slow begins", "slow ends"]);
    let report = within(runner.answer("t", id, &4u64)).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, witness.take()), (7, vec!["next".to_owned()]));
}

#[tokio::test]
async fn steps_that_run_at_once_are_all_kept() {
    let witness = Witness::default();
    let seen = witness.clone();
    let broken = Arc::new(AtomicBool::new(true));
    let flag = broken.clone();
    let graph = one(move |ctx| {
        let (seen, broken) = (seen.clone(), flag.load(SeqCst));
        async move {
            let steps = (0..50usize).map(|index| {
                let seen = seen.clone();
                ctx.step("part").at(index).run(move || async move {
                    seen.saw("part");
                    tokio::task::yield_now().await;
                    Ok(index as u64)
                })
            });
            // From tasks of their own as well as from the node itself.
            let mut tasks = tokio::task::JoinSet::new();
            steps.for_each(|step| drop(tasks.spawn(step)));
            let mut total = 0;
            while let Some(part) = tasks.join_next().await {
                total += part??;
            }
            if broken { Err(NodeError::transient("broken")) } else { Ok(ran(&ctx).total(total)) }
        }
    });
    let runner = graph.runner().checkpointer(MemoryCheckpointer::new());
    within(runner.start("t", Log::update())).await.unwrap();
    broken.store(false, SeqCst);
    let report = within(runner.resume("t")).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, witness.count("part")), (1225, 50));
}

#[tokio::test]
async fn a_task_that_outlives_its_drive_is_told_that_its_step_is_not_kept() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<Result<u64, NodeError>>();
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    let go = Arc::new(tokio::sync::Notify::new());
    let gate = go.clone();
    let graph = one(move |ctx| {
        let (sender, gate) = (sender.lock().unwrap().take().unwrap(), gate.clone());
        let (update, step) = (ran(&ctx), ctx.step("late"));
        tokio::spawn(async move {
            gate.notified().await;
            let _ = sender.send(step.run(|| async { Ok(1u64) }).await);
        });
        async move { Ok(update) }
    });
    expect_finished(&within(graph.runner().start("t", Log::update())).await.unwrap());
    go.notify_one();
    let error = within(receiver).await.unwrap().unwrap_err();
    assert_eq!(error.to_failure(&[]).code, "SW-X256", "{error}");
}

#[tokio::test]
async fn snapshots_refer_to_step_results_and_do_not_copy_them() {
    let graph = one(async |ctx: Ctx<Log>| {
        let long = "x".repeat(100_000);
        for index in 0..4usize {
            let _: String = ctx.step("long").at(index).run(|| async { Ok(long.clone()) }).await?;
            let _: u32 = ctx.ask(&format!("q{index}"), "?").await;
        }
        Ok(ran(&ctx))
    });
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone());
    let mut report = within(runner.start("t", Log::update())).await.unwrap();
    for number in 0..4u32 {
        report = within(runner.answer("t", questions(&report)[0].id.clone(), &number)).await.unwrap();
    }
    expect_finished(&report);
    let all = entries(&store);
    let snapshots: Vec<_> = all.iter().filter(|entry| entry.kind == EntryKind::Snapshot).collect();
    assert_eq!(snapshots.len(), 4);
    for snapshot in snapshots {
        assert!(snapshot.bytes.len() < 5_000, "{} bytes", snapshot.bytes.len());
        let body: SnapshotBody = decode(&snapshot.bytes).unwrap();
        assert!(!body.slots[0].steps.is_empty());
    }
    let stored: usize = all.iter().map(|entry| entry.bytes.len()).sum();
    assert!(stored < 450_000, "{stored} bytes for 400,000 of results");
}

#[tokio::test]
async fn at_durability_exit_a_step_is_kept_with_the_end_of_the_drive() {
    let witness = Witness::default();
    let seen = witness.clone();
    let graph = one(move |ctx| {
        let seen = seen.clone();
        async move {
            let one = ctx.step("one").run(|| async {
                seen.saw("one");
                Ok(1u64)
            });
            let one = one.await?;
            let two: u64 = ctx.ask("two", "?").await;
            Ok(ran(&ctx).total(one + two))
        }
    });
    let store = MemoryCheckpointer::new();
    let runner = graph.runner().checkpointer(store.clone()).durability(Durability::Exit);
    let report = within(runner.start("t", Log::update())).await.unwrap();
    let id = questions(&report)[0].id.clone();
    assert!(records(&entries(&store)).is_empty());
    let report = within(runner.answer("t", id, &2u64)).await.unwrap();
    expect_finished(&report);
    assert_eq!((report.state.total, witness.count("one")), (3, 1));
}

#[tokio::test]
async fn a_step_record_says_what_was_done() {
    let graph = one(async |ctx: Ctx<Log>| {
        ctx.step("s").input(&1).run(|| async { Ok(7u8) }).await?;
        Ok(ran(&ctx))
    });
    let store = MemoryCheckpointer::new();
    within(graph.runner().checkpointer(store.clone()).start("t", Log::update())).await.unwrap();
    let records = records(&entries(&store));
    let [Body::Opened(_), Body::Step { index: 0, attempt: 1, step, .. }, Body::Finished { .. }] =
        records.as_slice()
    else {
        panic!("{records:?}")
    };
    assert_eq!((step.name.as_str(), &step.state), ("s", &StepState::Finished(vec![7].into())));
    assert_eq!(step.input.as_ref().map(|hash| hash.len()), Some(16));
}
