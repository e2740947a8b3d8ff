//! `db check` on a thread whose large value is stored once: the entries that leave it out are sound as long as it is there.

use std::path::Path;

use serde_json::{Value, json};
use statewright::prelude::*;
use statewright_engine_sql::{SqliteOptions, SqliteStore};

use crate::support::Home;

#[derive(State, Clone, Debug, Default, PartialEq, Eq)]
struct Page {
    text: String,
    #[reduce(sum)]
    written: u64,
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A thread `t` of which three entries have the same 16 KiB; the first of them holds it.
async fn written(database: &Path) {
    let mut g = StateGraph::<Page>::new("pages");
    let write =
        |_: Ctx<Page>| async { Ok::<_, NodeError>(Page::update().text("text ".repeat(3300)).written(1u64)) };
    let nodes = ["one", "two", "three"].map(|name| g.func(name, write));
    g.start(nodes[0]);
    g.edge(nodes[0], nodes[1]);
    g.edge(nodes[1], nodes[2]);
    g.end(nodes[2]);
    let store = SqliteStore::open(database, SqliteOptions::default()).await.unwrap();
    let runner = g.build().unwrap().runner().checkpointer(store.clone());
    assert_eq!(runner.start("t", Page::update()).await.unwrap().finished().unwrap().written, 3);
    store.close().await;
}

async fn sql(database: &Path, statements: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

#[test]
fn a_value_that_is_stored_once_is_sound_and_one_that_is_gone_is_named_where_it_is_missing() {
    let home = Home::new();
    let check = |code| home.json(code, &["db", "check", "--database", "values.db"]);
    let database = home.path().join("work/values.db");
    block_on(written(&database));
    let sound = check(0);
    assert_eq!((&sound["ok"], &sound["threads"][0]["sound_to"]), (&json!(true), &json!(4)));
    block_on(sql(&database, "DELETE FROM entries WHERE id & 4294967295 = 2"));
    let damaged = check(1);
    let problems = damaged["threads"][0]["problems"].as_array().unwrap();
    let found: Vec<(&Value, &Value)> =
        problems.iter().map(|problem| (&problem["seq"], &problem["code"])).collect();
    let expected =
        [(2, "SW-S410"), (3, "SW-S442"), (4, "SW-S442")].map(|(seq, code)| (json!(seq), json!(code)));
    assert_eq!(found, expected.each_ref().map(|(seq, code)| (seq, code)));
}
