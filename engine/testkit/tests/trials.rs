//! The testkit for users, used: scripts in the place of nodes, a clock that stands still, faults, and assertions that
//! fail when they should.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;
use statewright_engine_testkit::{Fault, NodeTrial, PausedClock, Scripted, Trial};

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Order {
    #[reduce(append)]
    lines: Vec<String>,
    #[reduce(sum)]
    cents: u64,
    approved: Option<bool>,
}

#[derive(Route, Clone)]
enum Plan {
    #[each]
    Fetch(Vec<u64>),
    Nothing,
}

/// plan → fetch each → charge → approve, with nodes that must not run in a test.
fn graph() -> Graph<Order> {
    async fn real<I>(_: Ctx<Order, I>) -> Result<OrderUpdate, NodeError> {
        Err(NodeError::permanent("the real node ran"))
    }
    let mut g = StateGraph::<Order>::new("order");
    let plan = g.func("plan", async |_: Ctx<Order>| Ok(Plan::Fetch(vec![3, 4])));
    let fetch = g.func("fetch", real::<u64>);
    let charge = g.func("charge", real::<()>);
    let approve = g.func("approve", real::<()>);
    let retry =
        RetryPolicy::new().attempts(3).initial(Duration::from_secs(3600)).cap(Duration::from_secs(7200));
    g.policy(fetch, NodePolicy::new().retry(retry).run_timeout(Duration::from_secs(60)));
    g.start(plan);
    g.route(plan, PlanEdges { fetch: fetch.to(), nothing: To::END });
    g.edge(fetch, charge);
    g.edge(charge, approve);
    g.end(approve);
    g.build().unwrap()
}

fn scripted() -> Graph<Order> {
    let fetch = Scripted::new()
        .fails(|| NodeError::transient("the line is dead"))
        .hangs()
        .returns(Order::update().lines("three").cents(3u64))
        .returns(Order::update().lines("four").cents(4u64));
    let charge = Scripted::new().does(async |ctx: Ctx<Order, Payload>| {
        let cents = ctx.state.cents;
        let receipt: u64 = ctx.step("charge").run(|| async move { Ok(cents * 2) }).await?;
        Ok(Order::update().lines(format!("receipt {receipt}")))
    });
    let approve =
        Scripted::new().asks("approval", "all right?".to_owned(), |yes: bool| Order::update().approved(yes));
    let graph = graph().replace("fetch", fetch.code()).unwrap();
    graph.replace("charge", charge.code()).unwrap().replace("approve", approve.code()).unwrap()
}

fn trial() -> Trial<Order> {
    Trial::of(&scripted(), Order::update().lines("in")).answer("approval", true)
}

/// The words of an assertion that has to fail.
fn refusal(assertion: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
    panic
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned())
}

#[tokio::test]
async fn a_script_in_the_place_of_a_node_fails_hangs_and_returns_without_waiting() {
    let began = std::time::Instant::now();
    let clock = PausedClock::new();
    let ran = trial().clock(clock).run().await.unwrap();
    ran.assert_finished();
    ran.assert_path(&["plan", "fetch", "fetch", "charge", "approve"]);
    ran.assert_attempts("fetch", 4);
    ran.assert_failed("fetch", "SW-X240");
    ran.assert_failed("fetch", "SW-X244");
    ran.assert_edge("plan", "fetch", 1);
    ran.assert_edge("approve", "END", 1);
    ran.assert_edge("plan", "END", 0);
    assert_eq!(ran.executions("approve"), 2, "once to ask, once with the answer");
    assert_eq!(
        *ran.state,
        Order {
            lines: ["in", "three", "four", "receipt 14"].map(str::to_owned).to_vec(),
            cents: 7,
            approved: Some(true)
        }
    );
    assert!(clock.now_ms() - 1_700_000_000_000 > 3_600_000, "two back-offs passed by the clock");
    assert!(began.elapsed() < Duration::from_secs(20), "and not by the watch");
}

#[tokio::test]
async fn assertions_fail_with_what_is_wrong() {
    let clock = PausedClock::new();
    let ran = trial().clock(clock).run().await.unwrap();
    assert!(refusal(|| ran.assert_path(&["plan"])).contains("the path of the run"));
    assert!(refusal(|| ran.assert_attempts("fetch", 1)).contains("attempts at `fetch`"));
    assert!(refusal(|| ran.assert_attempts("fetsch", 1)).contains("no node `fetsch`"));
    assert!(refusal(|| ran.assert_edge("plan", "END", 1)).contains("from `plan` to `END`"));
    assert!(refusal(|| ran.assert_failed("charge", "SW-X240")).contains("did not fail with SW-X240"));
    let open = Trial::of(&scripted(), Order::update()).clock(clock).run().await.unwrap();
    assert!(refusal(|| open.assert_finished()).contains("did not finish"));
    assert_eq!(open.interrupts.len(), 1);
}

#[tokio::test]
async fn a_crash_before_and_after_every_entry_changes_nothing() {
    let trial = trial().clock(PausedClock::new());
    let whole = trial.run().await.unwrap();
    let crashes = trial.crash_everywhere().await.unwrap();
    // After the last entry the run has stopped: there is nothing left to kill but the word about it.
    assert!(crashes >= 2 * whole.entries.len() - 2, "{crashes} crashes over {} entries", whole.entries.len());
}

#[tokio::test]
async fn a_crash_after_the_kth_activation_repeats_nothing() {
    let clock = PausedClock::new();
    for count in 1..=5 {
        let ran = trial().clock(clock).fault(Fault::CrashAfterActivation(count)).run().await.unwrap();
        ran.assert_finished();
        ran.assert_nothing_finished_ran_again();
        let [crash] = &ran.crashes[..] else { panic!("{:?}", ran.crashes) };
        assert_eq!(crash.finished.len(), count);
        assert!(ran.outstanding.is_empty());
    }
}

#[tokio::test]
async fn work_that_is_repeated_is_found_out() {
    // A store that loses what it acknowledged: the same as a crash before an entry that a second drive finds missing.
    let ran = trial().clock(PausedClock::new()).fault(Fault::CrashAfterActivation(1)).run().await.unwrap();
    let mut lying = ran.clone();
    lying.crashes[0].finished.extend(ran.executed.iter().map(|seen| seen.activation));
    assert!(refusal(|| lying.assert_nothing_finished_ran_again()).contains("ran again"));
}

#[tokio::test]
async fn a_full_disk_ends_a_drive_and_the_run_goes_on_once_there_is_room() {
    let ran = trial().clock(PausedClock::new()).fault(Fault::FullDisk(4)).run().await.unwrap();
    ran.assert_finished();
    assert_eq!((ran.crashes.len(), ran.crashes[0].entries), (1, 3));
}

#[tokio::test]
async fn a_slow_store_holds_the_run_up_and_changes_nothing() {
    let clock = PausedClock::new();
    let quick = trial().clock(clock).run().await.unwrap();
    let before = clock.now_ms();
    let slow = trial().clock(clock).slow_store(Duration::from_secs(7 * 3600)).run().await.unwrap();
    assert_eq!((slow.path(), &slow.state), (quick.path(), &quick.state));
    assert!(clock.now_ms() - before >= 7 * 3_600_000 * 5, "one wait for each entry that others wait for");
}

#[tokio::test]
async fn a_lost_effect_is_unknown_and_is_not_done_twice() {
    let done = Arc::new(AtomicUsize::new(0));
    let counted = done.clone();
    let mut g = StateGraph::<Order>::new("pay");
    let pay = g.func("pay", move |ctx: Ctx<Order>| {
        let counted = counted.clone();
        async move {
            let work = |_| async move {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(900u64)
            };
            Ok(Order::update().cents(ctx.effect("charge").run(work).await?))
        }
    });
    g.start(pay);
    g.end(pay);
    let trial = Trial::of(&g.build().unwrap(), Order::update()).fault(Fault::LoseEffect("charge".to_owned()));
    let ran = trial.run().await.unwrap();
    assert!(matches!(ran.outcome, Outcome::Failed(_)), "{:?}", ran.outcome);
    assert_eq!(ran.unknown_effects, ["charge@1.0"]);
    ran.assert_failed("pay", "SW-X252");
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_deadline_passes_by_the_clock_and_the_default_counts() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Approval;
    impl Question for Approval {
        type Answer = bool;
        const NAME: &'static str = "approval";
    }
    let mut g = StateGraph::<Order>::new("ask");
    let ask = g.func("ask", async |ctx: Ctx<Order>| {
        let day = Duration::from_secs(24 * 3600);
        Ok(Order::update().approved(ctx.pose(&Approval).expires(day, &false).await))
    });
    g.start(ask);
    g.end(ask);
    let clock = PausedClock::new();
    let trial = Trial::of(&g.build().unwrap(), Order::update()).clock(clock);
    let ran = trial.run().await.unwrap();
    assert_eq!(ran.state.approved, Some(false));
    let ran = trial.answer("approval", true).run().await.unwrap();
    assert_eq!(ran.state.approved, Some(true), "an answer in time is taken");
}

#[tokio::test]
async fn time_is_driven_by_hand() {
    let clock = PausedClock::new();
    let runner = scripted().runner().clock(clock.clock()).checkpointer(MemoryCheckpointer::new());
    let run = tokio::spawn(runner.start("t", Order::update()).into_future());
    let before = clock.now_ms();
    clock.advance(Duration::from_secs(30)).await;
    assert_eq!(clock.now_ms() - before, 30_000);
    assert!(!run.is_finished(), "it backs off for about an hour");
    clock.advance_to(before).await;
    assert_eq!(clock.now_ms() - before, 30_000, "time does not go back");
    assert_eq!(run.await.unwrap().unwrap().interrupts.len(), 1);
}

#[tokio::test]
async fn a_node_alone_gives_its_output_with_its_types() {
    async fn decide(ctx: Ctx<Order, u64>) -> Result<(OrderUpdate, Plan), NodeError> {
        let yes: bool = ctx.ask("go on", "?").await;
        if ctx.attempt() < 4 {
            return Err(NodeError::transient("not yet"));
        }
        let route = if yes { Plan::Fetch(vec![ctx.input, ctx.state.cents]) } else { Plan::Nothing };
        Ok((Order::update().cents(ctx.input), route))
    }
    let clock = PausedClock::new();
    let state = Order { cents: 9, ..Order::default() };
    let trial = |policy: RetryPolicy| NodeTrial::under(policy, decide, state.clone(), 5).clock(clock);
    let tried = trial(RetryPolicy::new().attempts(9)).answer("go on", true).run().await.unwrap();
    let Some(Plan::Fetch(parts)) = tried.returned.map(|command| command.route) else {
        panic!("{:?}", tried.outcome)
    };
    assert_eq!((parts, tried.state.cents, tried.failures.len(), tried.executions), (vec![5, 9], 14, 2, 4));

    let tried = trial(RetryPolicy::new()).run().await.unwrap();
    assert!(matches!(tried.outcome, Outcome::Paused(_)) && tried.returned.is_none());
    let tried = trial(RetryPolicy::new()).answer("go on", false).run().await.unwrap();
    assert!(matches!(tried.outcome, Outcome::Failed(_)) && tried.state == state, "{:?}", tried.outcome);
}

#[tokio::test]
async fn a_struct_is_a_node_that_can_be_tried_alone() {
    struct Add(u64);
    impl Node<Order> for Add {
        type In = u64;
        type Out = OrderUpdate;
        async fn run(&self, ctx: Ctx<Order, u64>) -> Result<OrderUpdate, NodeError> {
            Ok(Order::update().cents(self.0 + ctx.input))
        }
    }
    assert_eq!(NodeTrial::of_node(Add(2), Order::default(), 3).run().await.unwrap().state.cents, 5);
}

#[tokio::test]
async fn what_cannot_be_replaced_is_refused_with_a_code() {
    let graph = graph();
    let update = Scripted::new().returns(Order::update());
    let error = graph.replace("fetsch", update.code()).unwrap_err();
    assert_eq!(error.code(), "SW-X290");
    assert!(error.to_string().contains("`fetch`"), "{error}");
    let update = Scripted::new().returns(Order::update());
    let error = graph.replace("plan", update.code()).unwrap_err();
    assert_eq!(error.code(), "SW-X291");
    assert!(error.to_string().contains("`Fetch`, `Nothing`"), "{error}");
    let route = Scripted::new().returns(Plan::Nothing);
    let graph = graph.replace("plan", route.code()).unwrap();
    let ran = Trial::of(&graph, Order::update()).run().await.unwrap();
    ran.assert_path(&["plan"]);
    ran.assert_edge("plan", "END", 1);
}

#[tokio::test]
async fn a_script_that_is_used_up_says_so() {
    let once = Scripted::new().returns(Order::update());
    let graph = graph().replace("fetch", once.code()).unwrap();
    let ran = Trial::of(&graph, Order::update()).run().await.unwrap();
    ran.assert_failed("fetch", "SW-X292");
    let forever = Scripted::new().returns(Order::update().lines("again")).forever();
    let graph = graph.replace("fetch", forever.code()).unwrap();
    let ran = Trial::of(&graph, Order::update()).run().await.unwrap();
    ran.assert_failed("charge", "SW-X240");
    let panics = Scripted::new().panics("on purpose").returns(Order::update());
    let graph = graph.replace("plan", Scripted::new().returns(Plan::Fetch(vec![1])).code()).unwrap();
    let ran =
        Trial::of(&graph.replace("fetch", panics.code()).unwrap(), Order::update()).run().await.unwrap();
    ran.assert_failed("fetch", "SW-X241");
}

#[tokio::test]
async fn a_run_is_kept_as_text_and_compared() {
    let clock = PausedClock::new();
    let ran = trial().clock(clock).run().await.unwrap();
    ran.assert_golden("golden/trial.txt");
    assert_eq!(
        trial().clock(clock).run().await.unwrap().to_text(),
        ran.to_text(),
        "it is the same each time"
    );
    let other = Trial::of(&scripted(), Order::update().lines("other")).clock(clock).run().await.unwrap();
    if std::env::var("STATEWRIGHT_UPDATE_GOLDEN").is_ok() {
        return;
    }
    let words = refusal(|| other.assert_golden("golden/trial.txt"));
    assert!(
        words.contains("golden/trial.txt in line") && words.contains("STATEWRIGHT_UPDATE_GOLDEN"),
        "{words}"
    );
}

#[tokio::test]
async fn what_was_posted_is_delivered_over_a_crash() {
    let mut g = StateGraph::<Order>::new("post");
    let post = g.func("post", async |ctx: Ctx<Order>| {
        ctx.outbox("mail", &"hello".to_owned())?;
        Ok(Order::update())
    });
    g.start(post);
    g.end(post);
    let sent: Arc<Mutex<Vec<String>>> = Arc::default();
    let mails = sent.clone();
    let trial = Trial::of(&g.build().unwrap(), Order::update()).runner(move |runner| {
        let mails = mails.clone();
        runner.outbox("mail", move |delivery: Delivery<String>| {
            mails.lock().unwrap().push(delivery.id);
            async { Ok(()) }
        })
    });
    let ran = trial.run().await.unwrap();
    assert!(ran.undelivered.is_empty());
    assert_eq!(trial.crash_everywhere().await.unwrap(), 2 * ran.entries.len());
    let sent = sent.lock().unwrap();
    assert!(sent.len() > ran.entries.len() && sent.iter().all(|id| *id == sent[0]), "{sent:?}");
}
