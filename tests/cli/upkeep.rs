//! `db`: what it says of a sound and of a damaged database, and whether a copy is one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use statewright::engine::{Checkpointer, Durability, Entry, EntryKind, SealError, Sealed, Seq, ThreadId};
use statewright::prelude::{SqliteOptions, SqliteStore};

use crate::support::{Home, SUM, Server, server};

/// A home with two finished runs, on the threads `one` and `two`.
fn used(server: &Server) -> Home {
    let home = Home::new().served_by(server);
    for thread in ["one", "two"] {
        home.json(0, &["run", "--graph", "classic", "--thread", thread, SUM]);
    }
    home
}

/// Changes the database behind the program's back.
pub(crate) fn sql(database: &Path, statements: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    });
}

/// The thread of this name in what `db check` found.
fn thread<'a>(checked: &'a Value, name: &str) -> &'a Value {
    checked["threads"].as_array().unwrap().iter().find(|thread| thread["thread"] == name).unwrap()
}

#[test]
fn a_sound_database_is_called_sound() {
    let server = server("");
    let home = used(&server);
    let checked = home.json(0, &["db", "check"]);
    assert_eq!((&checked["ok"], &checked["structure"]), (&json!(true), &json!([])));
    for name in ["one", "two"] {
        let thread = thread(&checked, name);
        assert!(thread["entries"].as_u64().unwrap() > 3, "{checked}");
        assert_eq!((&thread["sound_to"], &thread["problems"]), (&thread["entries"], &json!([])));
    }
    let done = home.run(&["db", "check"]);
    assert!(done.stdout.contains("2 threads") && done.stdout.contains("all sound"), "{done:?}");
}

#[test]
fn a_flipped_bit_in_an_entry_is_found_and_the_rest_is_called_sound() {
    let server = server("");
    let home = used(&server);
    // The file is the whole database, so that the bit can be flipped in the file itself.
    home.json(0, &["db", "vacuum"]);
    let mut bytes = std::fs::read(home.database()).unwrap();
    let question = SUM.as_bytes();
    let places: Vec<usize> =
        (0..bytes.len() - question.len()).filter(|place| bytes[*place..].starts_with(question)).collect();
    let sound = home.json(0, &["db", "check"]);
    let damaged = places.iter().filter(|place| {
        bytes[**place] ^= 1;
        std::fs::write(home.database(), &bytes).unwrap();
        bytes[**place] ^= 1;
        let done = home.run(&["db", "check", "--json"]);
        let checked: Value = serde_json::from_str(&done.stdout).unwrap();
        let threads = checked["threads"].as_array().unwrap();
        let hit: Vec<&Value> = threads.iter().filter(|thread| thread["problems"] != json!([])).collect();
        assert_eq!(done.code, Some(i32::from(!hit.is_empty())), "{done:?}");
        // In the table of runs the question has no checksum.
        let [hit] = hit[..] else { return false };
        let problem = &hit["problems"][0];
        assert_eq!(problem["code"], "SW-S410", "{checked}");
        assert_eq!(problem["seq"].as_u64().unwrap(), hit["sound_to"].as_u64().unwrap() + 1, "{checked}");
        let other = if hit["thread"] == "one" { "two" } else { "one" };
        assert_eq!(thread(&checked, other), thread(&sound, other), "the other thread is whole");
        true
    });
    assert!(damaged.count() >= 2, "the question stands in an entry of each thread: {places:?}");
}

#[test]
fn a_cut_journal_is_sound_up_to_the_cut() {
    let server = server("");
    let home = used(&server);
    sql(
        &home.database(),
        "UPDATE entries SET bytes = substr(bytes, 1, length(bytes) / 2) WHERE id = (1 << 32 | 3);
         DELETE FROM entries WHERE id = (2 << 32 | 2);
         UPDATE entries SET kind = 9 WHERE id = (2 << 32 | 4)",
    );
    let checked = home.json(1, &["db", "check"]);
    assert_eq!(thread(&checked, "one")["sound_to"], 2);
    assert_eq!(thread(&checked, "one")["problems"][0]["seq"], 3);
    assert_eq!(thread(&checked, "two")["sound_to"], 1);
    let codes: Vec<(&Value, &Value)> = thread(&checked, "two")["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (&problem["seq"], &problem["code"]))
        .collect();
    assert_eq!(codes, [(&json!(2), &json!("SW-S410")), (&json!(4), &json!("SW-S427"))]);
    let done = home.run(&["db", "check"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("thread one: entries 1 to 2 of"), "{done:?}");
    assert!(done.stdout.contains("the entry is missing"), "{done:?}");
}

#[test]
fn a_file_that_was_cut_off_is_never_called_sound() {
    let server = server("");
    let home = used(&server);
    home.json(0, &["db", "vacuum"]);
    let bytes = std::fs::read(home.database()).unwrap();
    for part in [4, 2] {
        std::fs::write(home.database(), &bytes[..bytes.len() / part / 4096 * 4096]).unwrap();
        let done = home.run(&["db", "check", "--json"]);
        assert_eq!(done.code, Some(1), "{done:?}");
        let checked: Value = serde_json::from_str(&done.stdout).unwrap();
        assert!(checked["error"]["code"] == "SW-S427" || checked["ok"] == false, "{done:?}");
    }
}

#[test]
fn a_backup_is_a_whole_private_database_and_overwrites_nothing() {
    let server = server("");
    let home = used(&server);
    let object = home.json(0, &["db", "backup", "copy.db"]);
    let copy = home.path().join("work/copy.db");
    assert_eq!(object["bytes"].as_u64().unwrap(), std::fs::metadata(&copy).unwrap().len());
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&copy).unwrap();
    home.error("SW-S420", &["db", "backup", "copy.db"]);
    assert_eq!(std::fs::read(&copy).unwrap(), before, "what is there stays");
    home.error("SW-S420", &["db", "backup", "no folder/copy.db"]);
    assert_eq!(home.json(0, &["runs", "list", "--database", "copy.db"]), home.json(0, &["runs", "list"]));
    let threads = home.json(0, &["db", "check"])["threads"].clone();
    assert_eq!(home.json(0, &["db", "check", "--database", "copy.db"])["threads"], threads);
}

#[test]
fn vacuum_gives_space_back_and_changes_nothing_else() {
    let server = server("");
    let home = used(&server);
    sql(
        &home.database(),
        "CREATE TABLE ballast (x); INSERT INTO ballast VALUES (randomblob(1000000)); DROP TABLE ballast",
    );
    let before = home.json(0, &["db", "check"]);
    let object = home.json(0, &["db", "vacuum"]);
    let (was, is) = (object["bytes_before"].as_u64().unwrap(), object["bytes_after"].as_u64().unwrap());
    assert!(was - is > 900_000, "{object}");
    assert_eq!(home.json(0, &["db", "check"]), before);
}

#[test]
fn migrate_brings_the_tables_forward_and_says_from_which_version() {
    let server = server("");
    let home = used(&server);
    let now = home.json(0, &["db", "migrate"]);
    assert_eq!(now["from"], now["to"]);
    assert!(home.run(&["db", "migrate"]).stdout.contains("nothing was to be done"));
    // One that was marked as ours and has no tables yet: the earliest version there is.
    let old = home.path().join("work/old.db");
    std::fs::write(&old, "").unwrap();
    sql(&old, "PRAGMA application_id = 1398239860; PRAGMA user_version = 0");
    let migrated = home.json(0, &["db", "migrate", "--database", "old.db"]);
    assert_eq!((&migrated["from"], &migrated["to"]), (&json!(0), &now["to"]));
    let again = home.json(0, &["db", "migrate", "--database", "old.db"]);
    assert_eq!((&again["from"], &again["to"]), (&now["to"], &now["to"]));
    assert_eq!(home.json(0, &["db", "check", "--database", "old.db"])["ok"], json!(true));
}

#[cfg(feature = "postgres")]
#[test]
fn on_a_server_entries_are_checked_and_a_backup_is_left_to_its_own_tools() {
    let Some(postgres) = statewright_engine_testkit::PostgresServer::shared() else { return };
    let url = postgres.database();
    let server = server("");
    let home = Home::new().served_by(&server).env("STATEWRIGHT_DATABASE", url.clone());
    home.json(0, &["run", "--graph", "classic", "--thread", "one", SUM]);
    assert_eq!(home.json(0, &["db", "check"])["ok"], true);
    let words = home.error("SW-S440", &["db", "backup", "copy.dump"]);
    assert!(words.contains("pg_dump"), "{words}");
    assert!(!home.path().join("work/copy.dump").exists());
    assert!(home.json(0, &["db", "vacuum"])["bytes_after"].as_u64().unwrap() > 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
        let flip = "UPDATE statewright.entries SET bytes = set_bit(bytes, 80, 1 - get_bit(bytes, 80))
            WHERE (id & 4294967295) = 3";
        sqlx::raw_sql(flip).execute(&mut connection).await.unwrap();
    });
    let checked = home.json(1, &["db", "check"]);
    assert_eq!(thread(&checked, "one")["sound_to"], 2, "{checked}");
    assert_eq!(thread(&checked, "one")["problems"][0]["code"], "SW-S410", "{checked}");
}

/// Stands for a cipher: what matters here is that the program has no key.
struct Mask;

impl statewright::engine::Sealer for Mask {
    fn seal(&self, _: &ThreadId, _: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(bytes.iter().map(|byte| !byte).collect())
    }

    fn open(&self, _: &ThreadId, _: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(bytes.iter().map(|byte| !byte).collect())
    }
}

#[test]
fn sealed_entries_are_called_sealed_and_their_damage_is_found_without_the_key() {
    let server = server("");
    let home = used(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(home.database(), SqliteOptions::default()).await.unwrap();
        let thread = ThreadId::from("secret");
        let sealed = Sealed::new(store.clone(), Mask);
        let mut journal = Checkpointer::open(&sealed, &thread, Durability::Power).await.unwrap();
        for seq in 1..=3 {
            let entry = Entry { seq, kind: EntryKind::Record, bytes: b"what was said".to_vec() };
            journal.append(entry).await.unwrap();
        }
        drop(journal);
        store.close().await;
    });
    let checked = home.json(0, &["db", "check"]);
    let secret = thread(&checked, "secret");
    assert_eq!(
        (&secret["sealed"], &secret["sound_to"], &secret["problems"]),
        (&json!(3), &json!(3), &json!([]))
    );
    assert_eq!(thread(&checked, "one")["sealed"], 0);
    let done = home.run(&["db", "check"]);
    assert!(done.stdout.contains("3 entries are sealed") && done.stdout.contains("all sound"), "{done:?}");
    sql(
        &home.database(),
        "UPDATE entries SET bytes = CAST(substr(bytes, 1, 9) || zeroblob(1) || substr(bytes, 11) AS BLOB)
         WHERE id = (SELECT id << 32 | 2 FROM threads WHERE thread = 'secret')",
    );
    let checked = home.json(1, &["db", "check"]);
    let problems = &thread(&checked, "secret")["problems"];
    assert_eq!((&problems[0]["seq"], &problems[0]["code"]), (&json!(2), &json!("SW-S410")), "{checked}");
    // Whose it is cannot be seen, so it is listed, shown to nobody, and deleted only by force.
    let listed = home.json(0, &["threads", "list"]);
    let of =
        |name: &str| listed["threads"].as_array().unwrap().iter().find(|thread| thread["thread"] == name);
    assert_eq!(
        (&of("secret").unwrap()["status"], &of("secret").unwrap()["graph"]),
        (&Value::Null, &Value::Null)
    );
    home.error("SW-C744", &["threads", "show", "secret"]);
    home.error("SW-C744", &["threads", "delete", "secret"]);
    let pruned = home.json(0, &["threads", "prune", "--keep-last", "2", "--unfinished-too"]);
    assert_eq!(pruned["deleted"].as_array().unwrap().len(), 1, "the older one of the two that can be read");
    home.json(0, &["threads", "delete", "secret", "--force"]);
    assert_eq!(home.json(0, &["db", "check"])["ok"], true);
}
