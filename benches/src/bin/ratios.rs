//! What a step costs beside a floor measured in the same run: the two alternate, so that a busy machine slows
//! both. Prints minimum and median of each, and the ratios that `benches/README.md` gives targets for.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measuring program: it prints, and stops at once when a measurement is void"
)]

use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use statewright_benches::{Counter, chain, fan_out, plain_loop, ring};
use statewright_engine_runtime::{Durability, Graph, MemoryCheckpointer, Runner, State};
use statewright_engine_sql::{SqliteOptions, SqliteStore};

const ROUNDS: usize = 25;
/// How many steps a measurement in memory takes, whatever the size of its graph.
const STEPS_IN_MEMORY: usize = 10_000;

/// Nanoseconds a step, sorted.
struct Series(Vec<f64>);

impl Series {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, elapsed: Duration, steps: usize) {
        self.0.push(elapsed.as_nanos() as f64 / steps as f64);
        self.0.sort_by(f64::total_cmp);
    }

    fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn row(name: &str, series: &Series, floor: &Series) {
    println!(
        "{name:<38} {:>10.0} {:>10.0} {:>9.2} {:>9.2}",
        series.min(),
        series.median(),
        series.min() / floor.min(),
        series.median() / floor.median()
    );
}

fn heading(title: &str) {
    println!("\n{title}\n{:<38} {:>10} {:>10} {:>9} {:>9}", "", "min ns", "median ns", "min ×", "median ×");
}

async fn run(runner: &Runner<Counter>, thread: &str, input: <Counter as State>::Update) -> Duration {
    let began = Instant::now();
    let report = runner.start(thread, input).await.expect("the chain runs");
    let elapsed = began.elapsed();
    assert!(report.finished().is_ok(), "the chain finishes");
    elapsed
}

/// One graph without a journal and with one in memory.
struct Pair {
    name: String,
    graph: Graph<Counter>,
    /// How many nodes one run executes.
    steps: usize,
    none: Series,
    memory: Series,
}

impl Pair {
    fn new(name: String, graph: Graph<Counter>, steps: usize) -> Self {
        Self { name, graph, steps, none: Series::new(), memory: Series::new() }
    }

    /// So many runs that each figure stands for the same number of steps.
    async fn measure(&mut self) {
        let (mut plain, mut journaled) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..STEPS_IN_MEMORY / self.steps {
            plain += run(&self.graph.runner(), "t", Counter::update()).await;
            let runner = self.graph.runner().checkpointer(MemoryCheckpointer::new());
            journaled += run(&runner, "t", Counter::update()).await;
        }
        self.none.add(plain, STEPS_IN_MEMORY);
        self.memory.add(journaled, STEPS_IN_MEMORY);
    }
}

/// Rings go round until all of them have taken the same steps, so that they differ by the size of the graph alone.
/// Chains are whole runs: what is shared out among their steps contains what it costs to start and to end a run.
async fn in_memory() {
    heading("a step in memory, against a plain loop of boxed futures");
    let rings = [(10usize, 1_000u32), (1_000, 10), (10_000, 1)].map(|(length, rounds)| {
        let graph = ring(length, rounds).expect("a sound ring");
        Pair::new(format!("{length} nodes × {rounds}"), graph, STEPS_IN_MEMORY)
    });
    let runs = [10usize, 1_000].map(|length| {
        let graph = chain(length).expect("a sound chain");
        Pair::new(format!("whole run, {length} nodes"), graph, length)
    });
    let spread = [1_000u64, 10_000].map(|width| {
        let graph = fan_out(width).expect("a sound fan-out");
        Pair::new(format!("fan-out of {width}, a branch"), graph, width as usize)
    });
    let mut pairs: Vec<Pair> = rings.into_iter().chain(runs).chain(spread).collect();
    let heavy = chain(1_000).expect("a sound chain");
    let (mut floor, mut ballast) = (Series::new(), Series::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        std::hint::black_box(plain_loop(STEPS_IN_MEMORY).await);
        floor.add(began.elapsed(), STEPS_IN_MEMORY);
        for pair in &mut pairs {
            pair.measure().await;
        }
        let input = Counter::update().ballast(vec![7; 1_000_000]);
        ballast.add(run(&heavy.runner(), "t", input).await, 1_000);
    }
    row("plain loop", &floor, &floor);
    for pair in &pairs {
        row(&format!("no journal, {}", pair.name), &pair.none, &floor);
    }
    row("no journal, 1000 nodes, 1 MB of state", &ballast, &floor);
    for pair in &pairs {
        row(&format!("memory journal, {}", pair.name), &pair.memory, &floor);
    }
}

async fn bare(path: &std::path::Path, durability: Durability) -> SqliteConnection {
    let synchronous = match durability {
        Durability::Power => sqlx::sqlite::SqliteSynchronous::Full,
        _ => sqlx::sqlite::SqliteSynchronous::Normal,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
    sqlx::query("CREATE TABLE entries (thread INTEGER, seq INTEGER, bytes BLOB, PRIMARY KEY (thread, seq)) WITHOUT ROWID")
        .execute(&mut connection)
        .await
        .expect("a table");
    connection
}

async fn on_disk(durability: Durability) {
    const STEPS: usize = 200;
    heading(&format!("a chain step on SQLite at `{}`, against a bare sqlx INSERT", durability.name()));
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = bare(&folder.path().join("bare.db"), durability).await;
    let store =
        SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).await.expect("a store");
    let runner = chain(STEPS).expect("a sound chain").runner().checkpointer(store).durability(durability);
    let (mut floor, mut engine) = (Series::new(), Series::new());
    let payload = vec![7u8; 90];
    for round in 0..ROUNDS {
        let began = Instant::now();
        for seq in 0..STEPS {
            sqlx::query("INSERT INTO entries VALUES (?, ?, ?)")
                .bind(round as i64)
                .bind(seq as i64)
                .bind(payload.as_slice())
                .execute(&mut connection)
                .await
                .expect("an insert");
        }
        floor.add(began.elapsed(), STEPS);
        engine.add(run(&runner, &format!("t{round}"), Counter::update()).await, STEPS);
    }
    row("bare INSERT", &floor, &floor);
    row("chain step", &engine, &floor);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    // As a task, so that the thread that waits is a worker too: waking another one costs more than a step.
    let measured = runtime.spawn(async {
        in_memory().await;
        on_disk(Durability::Process).await;
        on_disk(Durability::Power).await;
    });
    runtime.block_on(measured).expect("it measures to its end");
}
