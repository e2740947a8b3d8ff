//! The statement that stores a batch in SQLite.
//!
//! Without `BEGIN` SQLite itself commits it or rolls it back as a whole.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::batch::{BATCH_RECORDS_MAX, Row, Stored};
use crate::schema::LAST_SEQ;

/// Stores the rows whose thread and position are as they say.
pub(crate) async fn insert(connection: &mut SqliteConnection, rows: Vec<Row>) -> Result<Stored, sqlx::Error> {
    match <[Row; 1]>::try_from(rows) {
        Ok([row]) => Ok(if insert_one(connection, row).await? { Stored::All } else { Stored::none() }),
        Err(rows) => {
            let count = rows.len();
            Ok(Stored::of(insert_many(connection, rows).await?, count))
        }
    }
}

/// One entry, as almost all are. The epoch is looked up where driver and position hold; where they do not it is NULL,
/// which the column refuses and `OR IGNORE` skips. As `INSERT … SELECT` SQLite would first gather the row in a
/// temporary table, which costs about a quarter of the whole.
async fn insert_one(connection: &mut SqliteConnection, row: Row) -> Result<bool, sqlx::Error> {
    const ONE: &str = "
        INSERT OR IGNORE INTO entries (id, epoch, kind, bytes) VALUES (
            ?1,
            (SELECT epoch FROM threads
             WHERE id = ?1 >> 32 AND epoch = ?2
               AND ?3 = coalesce((SELECT max(id) FROM entries WHERE id BETWEEN ?1 & ~4294967295 AND ?1 | 4294967295),
                                 ?1 & ~4294967295)),
            ?4, ?5)";
    let query = sqlx::query(ONE).bind(row.key).bind(row.epoch).bind(row.head).bind(row.kind).bind(row.bytes);
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Sizes of the prepared statements for several rows: a batch is filled up to the next one with rows of NULL, which
/// belong to no thread.
const SIZES: [usize; 4] = [4, 16, 64, BATCH_RECORDS_MAX];

/// SQLite gathers all rows before it inserts the first, because the statement reads the table that it writes to. So
/// every row is checked against the thread as it was before the batch, and rows of one thread stand or fall together.
static MANY: LazyLock<[Arc<str>; SIZES.len()]> = LazyLock::new(|| {
    SIZES.map(|size| {
        let mut sql = "INSERT INTO entries (id, epoch, kind, bytes) \
             SELECT new.column1, new.column2, new.column4, new.column5 FROM (VALUES (?,?,?,?,?)"
            .to_owned();
        sql.push_str(&",(?,?,?,?,?)".repeat(size - 1));
        let _ = write!(
            sql,
            ") AS new CROSS JOIN threads ON threads.id = new.column1 >> 32 AND threads.epoch = new.column2 \
             WHERE new.column3 = coalesce((SELECT max(id) FROM entries \
             WHERE id BETWEEN new.column1 & ~{LAST_SEQ} AND new.column1 | {LAST_SEQ}), new.column1 & ~{LAST_SEQ}) \
             RETURNING id"
        );
        sql.into()
    })
});

async fn insert_many(connection: &mut SqliteConnection, rows: Vec<Row>) -> Result<Vec<i64>, sqlx::Error> {
    let at = SIZES.partition_point(|size| *size < rows.len()).min(SIZES.len() - 1);
    let missing = SIZES[at] - rows.len();
    let mut query = sqlx::query_scalar(AssertSqlSafe(MANY[at].clone()));
    for row in rows {
        query = query.bind(row.key).bind(row.epoch).bind(row.head).bind(row.kind).bind(row.bytes);
    }
    for _ in 0..5 * missing {
        query = query.bind(None::<i64>);
    }
    query.fetch_all(connection).await
}
