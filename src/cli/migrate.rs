//! `db migrate`: brings the tables of a database to the version of this program. Whatever opens a database does that; this
//! does nothing else, at a time that the operator chooses, and says what was done.

use serde_json::json;
use statewright_engine_sql::{Migration, SqlStore};

use super::{Exit, Shell};

/// What opening the store did.
pub(crate) fn report(shell: &Shell<'_>, store: &SqlStore) -> Exit {
    let (place, Migration { from, to }) = (store.place(), store.migration());
    if shell.out.json {
        shell.out.object(&json!({ "database": place, "from": from, "to": to }));
    } else if from == to {
        shell.out.line(&format!(
            "{place}: the tables have version {to}, which is this program's; nothing was to be done"
        ));
    } else {
        shell.out.line(&format!("{place}: the tables had version {from} and have version {to} now"));
    }
    Exit::Finished
}
