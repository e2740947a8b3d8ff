//! The server dies, or the program does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use statewright_engine_core::Seq;
use statewright_engine_runtime::{
    Checkpointer, Ctx, Durability, Graph, NodeError, Outcome, RunError, State, StateGraph,
};
use statewright_engine_testkit::PostgresServer;

use crate::common::{all, open, place, positions, raw, record, take};

#[derive(State, Clone, Debug, Default, PartialEq, Eq)]
struct Trip {
    #[reduce(append)]
    log: Vec<String>,
}

/// How often each node ran, and the server that the middle one kills the first time.
#[derive(Clone)]
struct World {
    server: Arc<PostgresServer>,
    ran: Arc<[AtomicU32; 3]>,
}

fn graph(world: &World) -> Graph<Trip> {
    let mut g = StateGraph::<Trip>::new("trip");
    let nodes = ["leave", "cross", "arrive"].map(|name| {
        let world = world.clone();
        g.func(name, move |_: Ctx<Trip>| {
            let world = world.clone();
            async move {
                let index = ["leave", "cross", "arrive"].iter().position(|known| *known == name).unwrap();
                if world.ran[index].fetch_add(1, Ordering::SeqCst) == 0 && name == "cross" {
                    world.server.kill();
                }
                Ok::<_, NodeError>(Trip::update().log(name))
            }
        })
    });
    let [leave, cross, arrive] = nodes;
    g.start(leave);
    g.edge(leave, cross);
    g.edge(cross, arrive);
    g.end(arrive);
    g.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_server_is_killed_is_told_so_and_resumes_without_loss() {
    let Some(server) = PostgresServer::start() else { return };
    let world = World { server: Arc::new(server), ran: Arc::default() };
    let url = world.server.database();
    let store = open(&url).await;
    let runner = graph(&world).runner().checkpointer(store.clone());

    let error = runner.start("t", Trip::update().log("go")).await.unwrap_err();
    assert!(matches!(error, RunError::Store(_)), "{error}");
    assert_eq!(error.code(), "SW-S434", "{error}");
    // Nobody can go on before the server is there again, and everybody is told why.
    let error = runner.resume("t").await.unwrap_err();
    assert_eq!(error.code(), "SW-S434", "{error}");

    world.server.restart();
    let report = runner.resume("t").await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished);
    assert_eq!(report.state.log, ["go", "leave", "cross", "arrive"]);
    let ran = world.ran.each_ref().map(|count| count.load(Ordering::SeqCst));
    assert_eq!(ran, [1, 2, 1], "only what was in flight is repeated");
    // A program that starts anew finds the same.
    let fresh = graph(&world).runner().checkpointer(open(&url).await);
    assert_eq!(*fresh.load("t").await.unwrap().state, *report.state);
}

/// Killing the server says nothing about losing power, but much about what it had only in its own memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_at_power_survives_the_death_of_the_server_and_else_a_prefix_does() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.database();
    for round in 0..4_u64 {
        let store = open(&url).await;
        let (power, process) = (format!("power {round}"), format!("process {round}"));
        let mut safe = Checkpointer::open(&store, &power.as_str().into(), Durability::Power).await.unwrap();
        let mut fast = take(&store, &process).await;
        let entries = 20 + round * 37;
        for seq in 1..=entries {
            safe.append(record(seq, b"safe")).await.unwrap();
            fast.append(record(seq, b"fast")).await.unwrap();
        }
        server.kill();
        for journal in [&mut safe, &mut fast] {
            for seq in [entries + 1, entries + 1, entries + 2] {
                let error = journal.append(record(seq, b"late")).await.unwrap_err();
                assert_eq!(error.code(), "SW-S434", "{error}");
            }
        }
        server.restart();
        // The same store finds its way back, and the journals of the lost session stay refused.
        assert_eq!(positions(&store, &power).await, (1..=entries).collect::<Vec<Seq>>());
        let left = positions(&store, &process).await;
        assert_eq!(left, (1..=left.len() as Seq).collect::<Vec<Seq>>());
        let mut again = take(&store, &power).await;
        assert_eq!(safe.append(record(entries + 1, b"late")).await.unwrap_err().code(), "SW-S434");
        again.append(record(entries + 1, b"again")).await.unwrap();
        drop((safe, fast));
        let busy = Checkpointer::open(&store, &power.as_str().into(), Durability::Power).await.err();
        assert_eq!(busy.map(|error| error.code()), Some("SW-S401"), "the lost journal frees nothing");
        take(&store, &process).await.append(record(left.len() as Seq + 1, b"again")).await.unwrap();
    }
}

/// How often the server has synced its log. A session tells its part when it ends, so all others have to be over.
async fn syncs(url: &str) -> i64 {
    let mut connection = raw(url).await;
    const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(OTHERS).fetch_one(&mut connection).await.unwrap() > 0 {}
    sqlx::query_scalar("SELECT wal_sync::bigint FROM pg_stat_wal").fetch_one(&mut connection).await.unwrap()
}

/// Killing a process says nothing about losing power, so the syncs are counted, on a server that does nothing else.
#[tokio::test]
async fn at_power_the_server_syncs_its_log_for_each_entry_and_at_process_it_does_not() {
    const ENTRIES: Seq = 100;
    let Some(server) = PostgresServer::start() else { return };
    let url = server.database();
    for (level, is_synced) in
        [(Durability::Power, true), (Durability::Process, false), (Durability::Exit, true)]
    {
        let before = syncs(&url).await;
        let store = open(&url).await;
        let mut journal = Checkpointer::open(&store, &level.name().into(), level).await.unwrap();
        for seq in 1..=ENTRIES {
            journal.append(record(seq, b"some bytes")).await.unwrap();
        }
        drop(journal);
        store.close().await;
        let counted = syncs(&url).await - before;
        assert_eq!(counted >= ENTRIES as i64, is_synced, "{counted} syncs at `{}`", level.name());
    }
}

fn body(seq: Seq) -> Vec<u8> {
    vec![seq.to_le_bytes()[0]; 100 + usize::try_from(seq % 900).unwrap()]
}

/// The program of the child: appends and says which entry is acknowledged, until it is killed.
#[tokio::test]
#[ignore = "a program that the other tests start"]
async fn appender() {
    let Ok(url) = std::env::var("STORE_URL") else { return };
    let store = open(&url).await;
    let first = all(&store, "t").await.len() as Seq + 1;
    let mut journal = take(&store, "t").await;
    println!("\nholding");
    // More than any test waits for, and an end for one that waits in vain.
    for seq in first..first + 30_000 {
        journal.append(record(seq, &body(seq))).await.unwrap();
        println!("stored {seq}");
    }
}

struct Appender {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Appender {
    fn start(url: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::appender", "--ignored", "--nocapture", "--test-threads=1"])
            .env("STORE_URL", url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn wait_for(&mut self, wanted: &str) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(wanted)).unwrap()
    }

    /// Kills it and gives the last entry that it knew to be stored.
    fn kill(mut self) -> Seq {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let acknowledged =
            self.lines.map(Result::unwrap).filter_map(|line| line.strip_prefix("stored ")?.parse().ok());
        acknowledged.last().unwrap_or(0)
    }
}

#[tokio::test]
async fn a_thread_that_a_killed_process_held_on_a_server_is_free_and_has_all_that_was_acknowledged() {
    let Some(url) = place() else { return };
    for round in 1..=6_u64 {
        let mut appender = Appender::start(&url);
        appender.wait_for("holding");
        let store = open(&url).await;
        let refused = Checkpointer::open(&store, &"t".into(), Durability::Power).await.err();
        assert_eq!(refused.map(|error| error.code()), Some("SW-S401"));
        let begun = appender.wait_for("stored ");
        let target = begun["stored ".len()..].parse::<Seq>().unwrap() + round * round * 3;
        appender.wait_for(&format!("stored {target}"));
        let acknowledged = appender.kill().max(target);
        // At once: nobody waits for a time-out here.
        let mut journal = take(&store, "t").await;
        let entries = all(&store, "t").await;
        assert!(entries.len() as Seq >= acknowledged, "{} of {acknowledged} are there", entries.len());
        for (entry, seq) in entries.iter().zip(1..) {
            assert_eq!((entry.seq, &entry.bytes), (seq, &body(seq)));
        }
        let next = entries.len() as Seq + 1;
        journal.append(record(next, &body(next))).await.unwrap();
        // The next round's process has it from here.
        drop(journal);
        store.close().await;
    }
}
