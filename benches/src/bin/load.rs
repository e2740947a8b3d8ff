//! How long it takes to load the head of a long thread from SQLite: 10,000 steps, and 1 MB of state that was written at
//! once, or that grew by a hundred bytes in each step. Prints minimum and median.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measuring program: it prints, and stops at once when a measurement is void"
)]

use std::time::Instant;

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{Ctx, Durability, Graph, NodeError, Route, Runner, State, StateGraph, To};
use statewright_engine_sql::{SqliteOptions, SqliteStore};

const STEPS: u64 = 10_000;
const STATE_BYTES: usize = 1_000_000;
const ROUNDS: usize = 51;

/// Text that is written once, and lines that are added.
#[derive(State, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Book {
    text: String,
    #[reduce(append)]
    lines: Vec<String>,
    #[reduce(sum)]
    steps: u64,
}

#[derive(Route)]
enum Lap {
    Again,
    Done,
}

/// Adds a line of so many bytes in each step; none if that is 0.
fn graph(line_bytes: usize) -> Graph<Book> {
    let mut g = StateGraph::<Book>::new("book");
    let write = g.func("write", move |_: Ctx<Book>| async move {
        let update = Book::update().steps(1u64);
        Ok::<_, NodeError>(if line_bytes == 0 { update } else { update.lines("x".repeat(line_bytes)) })
    });
    g.start(write);
    let lap = |book: &Book| if book.steps < STEPS { Lap::Again } else { Lap::Done };
    g.branch(write, lap, LapEdges { again: write.to().at_most(STEPS as u32), done: To::END });
    g.build().expect("a loop of one node is a graph")
}

/// Runs the thread, and loads it again and again: sorted milliseconds.
async fn loads(runner: &Runner<Book>, input: <Book as State>::Update) -> Vec<f64> {
    runner.start("t", input).await.expect("it runs").finished().expect("it finishes");
    let mut series = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let thread = runner.load("t").await.expect("it loads");
        series.push(began.elapsed().as_secs_f64() * 1e3);
        let held = thread.state.text.len() + thread.state.lines.iter().map(String::len).sum::<usize>();
        assert_eq!((thread.state.steps, held), (STEPS, STATE_BYTES), "all of it is there");
    }
    series.sort_by(f64::total_cmp);
    series
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().expect("there is room for a database");
    println!("{:<40} {:>10} {:>10}", "loading the head of 10,000 steps", "min ms", "median ms");
    let shapes = [
        ("1 MB written at once", 0, "y".repeat(STATE_BYTES)),
        ("1 MB grown by 100 bytes a step", STATE_BYTES / STEPS as usize, String::new()),
    ];
    for (number, (name, line_bytes, text)) in shapes.into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.db"));
        let store = SqliteStore::open(path, SqliteOptions::default()).await.expect("it opens");
        let runner = graph(line_bytes).runner().checkpointer(store).durability(Durability::Process);
        let series = loads(&runner, Book::update().text(text)).await;
        println!("{name:<40} {:>10.2} {:>10.2}", series[0], series[series.len() / 2]);
    }
}
