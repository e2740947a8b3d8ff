//! What an append costs beside a bare insert with the same library into the same kind of table, in one run.
//!
//! `cargo run --release -p statewright-engine-sql --example append_cost [task|outside|single] [folder]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a person who measures")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use statewright_engine_core::{Entry, EntryKind, Seq};
use statewright_engine_runtime::{Checkpointer, Durability, Journal};
use statewright_engine_sql::{SqliteOptions, SqliteStore};

/// Short turns, many of them: what the machine does besides hits all contenders alike.
const ROUNDS: usize = 300;
const TURN: usize = 20;
const APPENDS: u64 = 200;

/// The layouts of the table of entries that were considered; the first is the one in use.
const LAYOUTS: [(&str, &str); 3] = [
    (
        "packed row id",
        "CREATE TABLE e (id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, kind INTEGER NOT NULL, bytes BLOB NOT NULL)",
    ),
    (
        "without row id",
        "CREATE TABLE e (thread INTEGER, seq INTEGER, epoch INTEGER NOT NULL, kind INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (thread, seq)) WITHOUT ROWID",
    ),
    (
        "row id and index",
        "CREATE TABLE e (thread INTEGER, seq INTEGER, epoch INTEGER NOT NULL, kind INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (thread, seq))",
    ),
];

struct Bare {
    connection: SqliteConnection,
    packed: bool,
    seq: i64,
}

impl Bare {
    async fn open(path: &Path, layout: usize, durability: Durability) -> Self {
        let level =
            if durability == Durability::Power { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let options =
            options.journal_mode(SqliteJournalMode::Wal).synchronous(level).disable_statement_logging();
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(LAYOUTS[layout].1)).execute(&mut connection).await.unwrap();
        Self { connection, packed: layout == 0, seq: 0 }
    }

    async fn insert(&mut self, bytes: &[u8]) {
        self.seq += 1;
        let query = if self.packed {
            sqlx::query("INSERT INTO e VALUES (?, ?, ?, ?)").bind((1_i64 << 32) | self.seq)
        } else {
            sqlx::query("INSERT INTO e VALUES (?, ?, ?, ?, ?)").bind(1_i64).bind(self.seq)
        };
        query.bind(1_i64).bind(0_i64).bind(bytes.to_vec()).execute(&mut self.connection).await.unwrap();
    }
}

struct Stored {
    store: SqliteStore,
    journal: Box<dyn Journal>,
    seq: Seq,
}

impl Stored {
    async fn open(path: &Path, durability: Durability) -> Self {
        let store = SqliteStore::open(path, SqliteOptions::default()).await.unwrap();
        let journal = Checkpointer::open(&store, &"t".into(), durability).await.unwrap();
        Self { store, journal, seq: 0 }
    }

    async fn append(&mut self, bytes: &[u8]) {
        self.seq += 1;
        let entry = Entry { seq: self.seq, kind: EntryKind::Record, bytes: bytes.to_vec() };
        self.journal.append(entry).await.unwrap();
    }
}

/// The median in microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

async fn chain(folder: &Path, durability: Durability, size: usize) {
    let bytes = vec![7; size];
    let name = |what: &str| folder.join(format!("{what}-{}-{size}.db", durability.name()));
    let mut stored = Stored::open(&name("store"), durability).await;
    let mut bare = Vec::new();
    for layout in 0..LAYOUTS.len() {
        bare.push(Bare::open(&name(&format!("bare{layout}")), layout, durability).await);
    }
    let mut times = vec![Vec::new(); LAYOUTS.len() + 1];
    for _ in 0..ROUNDS {
        for (layout, bare) in bare.iter_mut().enumerate() {
            for _ in 0..TURN {
                let start = Instant::now();
                bare.insert(&bytes).await;
                times[layout].push(start.elapsed());
            }
        }
        for _ in 0..TURN {
            let start = Instant::now();
            stored.append(&bytes).await;
            times[LAYOUTS.len()].push(start.elapsed());
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    println!("{} {size} bytes, one after another:", durability.name());
    for (layout, (name, _)) in LAYOUTS.iter().enumerate() {
        println!("  bare insert, {name:<17} {:8.1} µs", medians[layout]);
    }
    let (floor, ours) = (medians[0], medians[LAYOUTS.len()]);
    println!("  append to the journal         {ours:8.1} µs = {:.2} × the first", ours / floor);
}

async fn concurrent(folder: &Path, durability: Durability) {
    const WRITERS: usize = 64;
    let path = folder.join(format!("concurrent-{}.db", durability.name()));
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let start = Instant::now();
    let tasks = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut journal =
                Checkpointer::open(&store, &format!("t{writer}").into(), durability).await.unwrap();
            for seq in 1..=APPENDS {
                let entry = Entry { seq, kind: EntryKind::Record, bytes: vec![7; 200] };
                journal.append(entry).await.unwrap();
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
    let (time, stats) = (start.elapsed(), store.writer_stats());
    let rate = stats.entries as f64 / time.as_secs_f64();
    println!(
        "{}: {WRITERS} writers: {rate:.0} entries/s, {} entries in {} commits",
        durability.name(),
        stats.entries,
        stats.commits
    );
}

/// Two threads of different levels beside each other: the level changes between commits.
async fn mixed(folder: &Path) {
    let path = folder.join("mixed.db");
    let power = Stored::open(&path, Durability::Power).await;
    let journal = Checkpointer::open(&power.store, &"u".into(), Durability::Process).await.unwrap();
    let process = Stored { store: power.store.clone(), journal, seq: 0 };
    let run = |mut stored: Stored| async move {
        let start = Instant::now();
        for _ in 0..2000 {
            stored.append(&[7; 200]).await;
        }
        start.elapsed().as_secs_f64() * 1e6 / 2000.0
    };
    let (power, process) = tokio::join!(tokio::spawn(run(power)), tokio::spawn(run(process)));
    println!(
        "beside each other: power {:.1} µs, process {:.1} µs per append",
        power.unwrap(),
        process.unwrap()
    );
}

async fn measure(folder: PathBuf) {
    for durability in [Durability::Process, Durability::Power] {
        for size in [200, 2000] {
            chain(&folder, durability, size).await;
        }
        concurrent(&folder, durability).await;
    }
    mixed(&folder).await;
}

/// Where the work is awaited matters: a task of the runtime and the writer run on one thread in turn. Awaited outside,
/// by `block_on` of a runtime with several threads, each append wakes one more thread, and that one us again.
fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "task".to_owned());
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("append-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let work = measure(folder.clone());
    let several = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match place.as_str() {
        "task" => {
            let runtime = several();
            runtime.block_on(runtime.spawn(work)).unwrap();
        }
        "outside" => several().block_on(work),
        "single" => {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        }
        other => println!("`{other}` is not task, outside or single"),
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
