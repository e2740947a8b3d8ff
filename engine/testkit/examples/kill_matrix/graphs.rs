//! The graphs of the kill matrix. Their nodes write what they do to a witness file before it counts, and one node of
//! each does something outside that must not happen twice.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

/// The graphs, by name.
pub(crate) const GRAPHS: [&str; 6] =
    ["sequential", "fan-out", "join-in-loop", "interrupt", "retry", "subgraph"];

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trip {
    #[reduce(append)]
    pub(crate) log: Vec<String>,
    #[reduce(sum)]
    pub(crate) rounds: u64,
    pub(crate) answer: Option<String>,
}

#[derive(Route)]
enum Packed {
    #[each]
    Visit(Vec<u64>),
}

#[derive(Route)]
enum Judged {
    Again,
    Enough,
}

/// A file outside the journal. What stands in it survives `kill -9`.
#[derive(Clone)]
pub(crate) struct Witness {
    path: PathBuf,
    lines: Arc<AtomicU64>,
    /// The process is killed once it has written so many lines.
    kill_at: Option<u64>,
}

impl Witness {
    pub(crate) fn new(path: PathBuf, kill_at: Option<u64>) -> Self {
        Self { path, lines: Arc::default(), kill_at }
    }

    fn says(&self, line: &str) -> Result<(), NodeError> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        let count = self.lines.fetch_add(1, Ordering::SeqCst) + 1;
        if self.kill_at == Some(count) {
            let _ = std::process::Command::new("sh").args(["-c", "kill -9 $PPID"]).status();
            std::process::abort();
        }
        Ok(())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|other| *other == line).count()
    }

    fn begins<I>(&self, ctx: &Ctx<Trip, I>) -> Result<(), NodeError> {
        self.says(&format!("begin {}", ctx.idempotency_key()))
    }

    fn ends<I>(&self, ctx: &Ctx<Trip, I>, update: TripUpdate) -> Result<TripUpdate, NodeError> {
        self.says(&format!("end {}", ctx.idempotency_key()))?;
        Ok(update.log(format!("{} {}", ctx.node(), ctx.activation())))
    }

    /// Something outside that must not happen twice: whether it did can be looked up.
    async fn effect<I>(&self, ctx: &Ctx<Trip, I>) -> Result<String, NodeError> {
        let (done, found) = (self.clone(), self.clone());
        let verify = |key: String| async move {
            Ok((found.count(&format!("did {key}")) > 0).then_some("did".to_owned()))
        };
        let work = |key: String| async move {
            done.says(&format!("did {key}"))?;
            Ok("did".to_owned())
        };
        Ok(ctx.effect("outside").verify(verify).run(work).await?)
    }
}

type Builder = StateGraph<Trip>;

fn plain(g: &mut Builder, name: &str, witness: &Witness) -> NodeHandle<Trip> {
    let witness = witness.clone();
    g.func(name, move |ctx: Ctx<Trip>| {
        let witness = witness.clone();
        async move {
            witness.begins(&ctx)?;
            witness.ends(&ctx, Trip::update())
        }
    })
}

fn pays(g: &mut Builder, name: &str, witness: &Witness) -> NodeHandle<Trip> {
    let witness = witness.clone();
    g.func(name, move |ctx: Ctx<Trip>| {
        let witness = witness.clone();
        async move {
            witness.begins(&ctx)?;
            let did = witness.effect(&ctx).await?;
            witness.ends(&ctx, Trip::update().log(did))
        }
    })
}

pub(crate) fn graph(name: &str, witness: &Witness) -> Result<Graph<Trip>, Problems> {
    let mut g = Builder::new(name);
    match name {
        "sequential" => sequential(&mut g, witness),
        "fan-out" => fan_out(&mut g, witness),
        "join-in-loop" => join_in_loop(&mut g, witness),
        "interrupt" => interrupt(&mut g, witness),
        "subgraph" => subgraph(&mut g, &part(witness)?),
        _ => retry(&mut g, witness),
    }
    g.build()
}

fn sequential(g: &mut Builder, w: &Witness) {
    let (a, b, c) = (plain(g, "a", w), pays(g, "b", w), plain(g, "c", w));
    g.start(a);
    g.edge(a, b);
    g.edge(b, c);
    g.end(c);
}

fn fan_out(g: &mut Builder, w: &Witness) {
    let plan = g.func("plan", async |_: Ctx<Trip>| Ok(Packed::Visit(vec![7, 8, 9])));
    let witness = w.clone();
    let visit = g.func("visit", move |ctx: Ctx<Trip, u64>| {
        let witness = witness.clone();
        async move {
            witness.begins(&ctx)?;
            let did = if ctx.input == 8 { witness.effect(&ctx).await? } else { ctx.input.to_string() };
            witness.ends(&ctx, Trip::update().log(did))
        }
    });
    let merge = plain(g, "merge", w);
    g.start(plan);
    g.route(plan, PackedEdges { visit: visit.to() });
    g.edge(visit, merge);
    g.end(merge);
}

fn join_in_loop(g: &mut Builder, w: &Witness) {
    let begin = plain(g, "begin", w);
    let (left, right) = (plain(g, "left", w), pays(g, "right", w));
    let witness = w.clone();
    let join = g.func("join", move |ctx: Ctx<Trip>| {
        let witness = witness.clone();
        async move {
            witness.begins(&ctx)?;
            witness.ends(&ctx, Trip::update().rounds(1u64))
        }
    });
    g.start(begin);
    g.edge(begin, left.to().and(right));
    g.join((left, right), join);
    let judge = |state: &Trip| if state.rounds < 2 { Judged::Again } else { Judged::Enough };
    g.branch(join, judge, JudgedEdges { again: begin.to().at_most(3), enough: To::END });
}

fn interrupt(g: &mut Builder, w: &Witness) {
    let before = pays(g, "before", w);
    let witness = w.clone();
    let ask = g.func("ask", move |ctx: Ctx<Trip>| {
        let witness = witness.clone();
        async move {
            let first: String = ctx.ask("first", "which way?").await;
            let second: String = ctx.ask("second", "and then?").await;
            witness.begins(&ctx)?;
            witness.ends(&ctx, Trip::update().answer(format!("{first}, {second}")))
        }
    });
    let after = plain(g, "after", w);
    g.start(before);
    g.edge(before, ask);
    g.edge(ask, after);
    g.end(after);
}

fn retry(g: &mut Builder, w: &Witness) {
    let witness = w.clone();
    let flaky = g.func("flaky", move |ctx: Ctx<Trip>| {
        let witness = witness.clone();
        async move {
            witness.begins(&ctx)?;
            if witness.count("failed") < 2 {
                witness.says("failed")?;
                return Err(NodeError::transient("not yet"));
            }
            let did = witness.effect(&ctx).await?;
            witness.ends(&ctx, Trip::update().log(did))
        }
    });
    let retries = RetryPolicy::new().attempts(5).initial(Duration::from_millis(1)).jitter(0.0);
    g.policy(flaky, retries);
    let after = plain(g, "after", w);
    g.start(flaky);
    g.edge(flaky, after);
    g.end(after);
}

/// What runs inside a node: an effect, and for one of its runs a question.
fn part(w: &Witness) -> Result<Graph<Trip>, Problems> {
    let mut g = Builder::new("part");
    let (first, second) = (plain(&mut g, "first", w), pays(&mut g, "second", w));
    let witness = w.clone();
    let last = g.func("last", move |ctx: Ctx<Trip>| {
        let witness = witness.clone();
        async move {
            let asks = ctx.state.rounds == 8;
            let said = if asks { ctx.ask("inside", "which way?").await } else { "on".to_owned() };
            witness.begins(&ctx)?;
            witness.ends(&ctx, Trip::update().log(said))
        }
    });
    g.start(first);
    g.edge(first, second);
    g.edge(second, last);
    g.end(last);
    g.build()
}

fn subgraph(g: &mut Builder, inner: &Graph<Trip>) {
    let plan = g.func("plan", async |_: Ctx<Trip>| Ok(Packed::Visit(vec![7, 8])));
    let part = g.subgraph(
        "part",
        inner,
        |_: &Trip, number: u64| Trip::update().rounds(number),
        |inner: &Trip| Trip::update().extend_log(inner.log.clone()).rounds(inner.rounds),
    );
    g.start(plan);
    g.route(plan, PackedEdges { visit: part.to() });
    g.end(part);
}
