//! Results of nodes that are kept by a key, for all programs that use the database. Not a part of any journal: what is
//! in here may be deleted at any time, and costs work and nothing else.
//!
//! Writes here survive the death of the process at once, and power loss together with the next entry at level `power`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_runtime::{CacheLimits, ResultCache, StoreError};

use crate::connection::{Connection, Value};
use crate::store::SqlStore;

/// A sweep looks at every kept result, so there is one after each 64th part of what may be kept.
const PARTS: u64 = 64;

/// A [`ResultCache`] in the database of a store; made by [`SqlStore::results`]. Clones share its connections.
///
/// Each program may exceed the limits by a 64th part for a while: what is too much is swept out that often, beginning
/// with the first result that a program keeps.
#[derive(Clone, Debug)]
pub struct SqlResults {
    store: SqlStore,
    limits: CacheLimits,
    unswept: Arc<Unswept>,
}

/// What was kept since the last sweep.
#[derive(Debug)]
struct Unswept {
    results: AtomicU64,
    bytes: AtomicU64,
}

impl SqlStore {
    /// The results that are kept in this database.
    pub fn results(&self, limits: CacheLimits) -> SqlResults {
        // An earlier program may have kept more than this one is to.
        let unswept = Unswept { results: AtomicU64::new(u64::MAX >> 1), bytes: AtomicU64::new(0) };
        SqlResults { store: self.clone(), limits, unswept: Arc::new(unswept) }
    }
}

impl SqlResults {
    /// Whether it is time for a sweep, once so many bytes are kept besides.
    fn is_sweep_due(&self, size: u64) -> bool {
        let results = self.unswept.results.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.unswept.bytes.fetch_add(size, Ordering::Relaxed) + size;
        let due =
            results > u64::from(self.limits.results_max) / PARTS || bytes > self.limits.bytes_max / PARTS;
        if due {
            self.unswept.results.store(0, Ordering::Relaxed);
            self.unswept.bytes.store(0, Ordering::Relaxed);
        }
        due
    }

    async fn keep(&self, key: Vec<u8>, result: Vec<u8>, expires_ms: u64) -> Result<(), StoreError> {
        const FORGET: &str = "DELETE FROM results WHERE key = $1";
        const KEEP: &str = "
            INSERT INTO results (key, expires_ms, size, result) VALUES ($1, $2, $3, $4)
            ON CONFLICT (key) DO UPDATE
            SET expires_ms = excluded.expires_ms, size = excluded.size, result = excluded.result";
        let size = result.len() as u64;
        let (sql, values) = if size > self.limits.bytes_max {
            (FORGET, vec![Value::Bytes(key)])
        } else {
            let numbers = [stored(expires_ms), stored(size)];
            (KEEP, vec![Value::Bytes(key), numbers[0].clone(), numbers[1].clone(), Value::Bytes(result)])
        };
        let sweep = self.is_sweep_due(size).then_some(self.limits);
        let work = self.store.queue().work(false, move |connection| {
            async move {
                connection.change(sql, values).await?;
                match sweep {
                    Some(limits) => self::sweep(connection, limits).await,
                    None => Ok(()),
                }
            }
            .boxed()
        });
        work.await
    }

    async fn find(&self, key: Vec<u8>, now_ms: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT result FROM results WHERE key = $1 AND expires_ms > $2";
        let found: Vec<(Vec<u8>,)> =
            self.store.readers().fetch(sql, vec![Value::Bytes(key), stored(now_ms)]).await?;
        Ok(found.into_iter().next().map(|(result,)| result))
    }

    async fn forget_expired(&self, now_ms: u64) -> Result<u64, StoreError> {
        let work = self.store.queue().work(false, move |connection| {
            let sql = "DELETE FROM results WHERE expires_ms <= $1 RETURNING size";
            async move { connection.fetch::<(i64,)>(sql, vec![stored(now_ms)]).await }.boxed()
        });
        Ok(work.await?.len() as u64)
    }
}

/// Of all results those stay whose time is over last, as far as the limits go.
async fn sweep(connection: &mut Connection, limits: CacheLimits) -> Result<(), sqlx::Error> {
    const SWEEP: &str = "
        DELETE FROM results WHERE key IN (
            SELECT key FROM (
                SELECT key,
                    row_number() OVER (ORDER BY expires_ms DESC, key DESC) AS place,
                    sum(size) OVER (ORDER BY expires_ms DESC, key DESC) AS bytes
                FROM results
            ) AS kept
            WHERE place > $1 OR bytes > $2)";
    let values = vec![Value::Int(i64::from(limits.results_max)), stored(limits.bytes_max)];
    connection.change(SWEEP, values).await.map(drop)
}

/// Integers of a database have a sign; larger ones mean as much as the largest.
fn stored(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

impl ResultCache for SqlResults {
    fn get<'a>(
        &'a self,
        key: &'a [u8; 16],
        now_ms: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.find(key.to_vec(), now_ms).boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8; 16],
        result: Vec<u8>,
        expires_ms: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.keep(key.to_vec(), result, expires_ms).boxed()
    }

    fn expire(&self, now_ms: u64) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.forget_expired(now_ms).boxed()
    }
}
