//! What is at the address already: nothing, something of ours, something else, or no server at all.

use futures_util::future::join_all;
use statewright_engine_runtime::StoreError;
use statewright_engine_sql::{PostgresOptions, PostgresStore};

use crate::common::{all, open, place, record, sql, take};

async fn refused(url: &str) -> StoreError {
    PostgresStore::open(url, PostgresOptions::default()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_make_the_tables_on_a_server_at_once() {
    let Some(url) = place() else { return };
    let opened = join_all((0..12).map(|_| open(&url))).await;
    for (store, number) in opened.iter().zip(0..) {
        take(store, &format!("t{number}")).await.append(record(1, b"x")).await.unwrap();
    }
    for number in 0..12 {
        assert_eq!(all(&opened[0], &format!("t{number}")).await, [record(1, b"x")]);
    }
}

#[tokio::test]
async fn a_newer_format_on_a_server_is_refused_and_left_as_it_is() {
    let Some(url) = place() else { return };
    drop(open(&url).await);
    sql(&url, "UPDATE statewright.format SET version = version + 97").await;
    let error = refused(&url).await;
    assert_eq!(error.code(), "SW-S424", "{error}");
    sql(&url, "UPDATE statewright.format SET version = version - 97").await;
    open(&url).await;
}

#[tokio::test]
async fn the_schema_of_another_program_is_refused_and_left_as_it_is() {
    for made in [
        "CREATE SCHEMA statewright; CREATE TABLE statewright.accounts (x int)",
        "CREATE SCHEMA statewright; CREATE TABLE statewright.format (x int)",
        "CREATE SCHEMA statewright; CREATE TABLE statewright.format (application text, version bigint);
         INSERT INTO statewright.format VALUES ('another', 1)",
    ] {
        let Some(url) = place() else { return };
        sql(&url, made).await;
        let error = refused(&url).await;
        assert_eq!(error.code(), "SW-S423", "{error}");
    }
}

#[tokio::test]
async fn a_schema_that_the_operator_made_is_used() {
    let Some(url) = place() else { return };
    sql(&url, "CREATE SCHEMA statewright").await;
    take(&open(&url).await, "t").await.append(record(1, b"x")).await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_not_write_is_told_so() {
    let Some(url) = place() else { return };
    sql(&url, "ALTER ROLE statewright RESET ALL").await;
    let role = format!("reader_{}", url.rsplit('_').next().unwrap());
    let mut connection = crate::common::raw(&url).await;
    let make = format!("CREATE ROLE {role} LOGIN");
    sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
    let error = refused(&url.replace("statewright@", &format!("{role}@"))).await;
    assert_eq!(error.code(), "SW-S425", "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let Some(url) = place() else { return };
    let name = format!("ascii_{}", url.rsplit('_').next().unwrap());
    let mut connection = crate::common::raw(&url).await;
    let make = format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0");
    sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    let error = refused(&format!("{server}/{name}")).await;
    assert_eq!(error.code(), "SW-S435", "{error}");
    assert!(error.to_string().contains("UTF8"), "{error}");
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_refused_without_its_password() {
    let error = refused("postgres://me:secret@127.0.0.1:1/runs").await;
    assert_eq!(error.code(), "SW-S435", "{error}");
    assert!(error.to_string().contains("postgres://me@127.0.0.1:1/runs"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let wrong = refused("postgres://me:secret@host:port/runs").await;
    assert_eq!(wrong.code(), "SW-S437", "{wrong}");
    assert!(!wrong.to_string().contains("secret"), "{wrong}");
    let Some(url) = place() else { return };
    let missing = refused(&format!("{url}_of_nobody")).await;
    assert_eq!(missing.code(), "SW-S435", "{missing}");
    let encrypted = refused(&format!("{url}?sslmode=require")).await;
    assert_eq!(encrypted.code(), "SW-S435", "{encrypted}");
}

#[tokio::test]
async fn a_closed_store_on_a_server_stores_what_is_queued_and_does_nothing_more() {
    let Some(url) = place() else { return };
    let store = open(&url).await;
    let (clone, mut journal) = (store.clone(), take(&store, "t").await);
    let queued: Vec<_> = (1..=300).map(|seq| journal.append(record(seq, b"x"))).collect();
    store.close().await;
    for ack in queued {
        ack.await.unwrap();
    }
    assert_eq!(journal.append(record(301, b"late")).await.unwrap_err().code(), "SW-S404");
    assert_eq!(clone.request_cancel(&"r".into()).await.unwrap_err().code(), "SW-S404");
    assert_eq!(all(&open(&url).await, "t").await.len(), 300);
}
