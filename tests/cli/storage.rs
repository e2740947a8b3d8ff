//! Databases and homes that cannot be used. What is found there is never changed.

use std::fs;

use crate::support::{Done, Home, SUM, Server, server, texts};

/// A home with one finished run in it.
fn used(server: &Server) -> Home {
    let home = Home::new().served_by(server);
    home.json(0, &["run", "--graph", "classic", SUM]);
    home
}

#[test]
fn a_home_that_cannot_be_one() {
    let home = Home::new();
    let file = home.write("file", "not a folder");
    for path in [file.join("below"), file.clone()] {
        let words = home.error("SW-C707", &["run", "--home", path.to_str().unwrap(), SUM]);
        assert!(words.contains("--home DIR"), "{words}");
    }
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let home = Home::new();
    fs::create_dir_all(home.database().parent().unwrap()).unwrap();
    let content = "These are my notes, and they are longer than the header of a database.\n".repeat(40);
    fs::write(home.database(), &content).unwrap();
    for args in [&["run", SUM][..], &["runs", "list"], &["resume", "x"]] {
        let words = home.error("SW-S422", args);
        assert!(words.contains("statewright.db"), "{words}");
    }
    assert_eq!(fs::read_to_string(home.database()).unwrap(), content);
}

#[test]
fn a_folder_instead_of_a_database() {
    let home = Home::new();
    fs::create_dir_all(home.database()).unwrap();
    home.error("SW-S421", &["run", SUM]);
}

#[test]
fn a_database_of_a_newer_build_is_left_alone() {
    let server = server("");
    let home = used(&server);
    // `PRAGMA user_version` is a big-endian number at byte 60 of the header. (SQLite, "Database File Format")
    let mut bytes = fs::read(home.database()).unwrap();
    bytes[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
    fs::write(home.database(), &bytes).unwrap();
    let words = home.error("SW-S424", &["runs", "list"]);
    assert!(words.contains("9999"), "{words}");
    assert_eq!(fs::read(home.database()).unwrap(), bytes);
}

#[test]
fn a_damaged_database_is_an_error_and_not_a_wrong_answer() {
    let server = server("");
    let home = used(&server);
    let mut bytes = fs::read(home.database()).unwrap();
    let pages = bytes.len() / 4096;
    assert!(pages > 3, "there is something to damage");
    // What is still in the log would mend the pages that are damaged here.
    fs::write(home.database().with_extension("db-wal"), b"").unwrap();
    // Everything after the first page, which holds the header and the schema.
    bytes[4096..].fill(0x5a);
    fs::write(home.database(), &bytes).unwrap();
    let words = home.error("SW-S427", &["runs", "list"]);
    assert!(words.contains("backup"), "{words}");
    home.error("SW-S427", &["run", "--graph", "classic", SUM]);
}

#[test]
fn a_full_disk_stops_a_run_and_loses_nothing_that_was_stored() {
    // An answer that takes much more room than everything before it.
    let long = "150 × 223.48 = 33522.0. ".repeat(4_000);
    let mut interrupted = 0;
    let needed = (2..20).map(|size| size * 8).find(|pages: &u32| {
        let server = texts("150 * 223.48", &long);
        let home = Home::new().served_by(&server);
        let mut command = home.command(&["run", "--graph", "classic", SUM]);
        let done = Done::from(command.env("STATEWRIGHT_PAGES_MAX", pages.to_string()).output().unwrap());
        if done.code == Some(0) {
            return true;
        }
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(
            done.stderr.contains("error[SW-S403]") && done.stderr.contains("free some space"),
            "{done:?}"
        );
        let listed = home.json(0, &["runs", "list"]);
        // The smallest disk holds not even the row of the run.
        let newest = &listed["runs"][0];
        if newest.is_null() {
            return false;
        }
        let run = newest["run"].as_str().unwrap();
        match newest["status"].as_str().unwrap() {
            "interrupted" => {
                interrupted += 1;
                assert!(done.stderr.contains(&format!("statewright resume {run}")), "{done:?}");
                let resumed = home.json(0, &["resume", run]);
                assert!(resumed["answer"].as_str().unwrap().trim() == long.trim(), "another answer");
            }
            // Not even its first record had room.
            "void" => drop(home.error("SW-C712", &["resume", run])),
            status => panic!("{status}: {done:?}"),
        }
        false
    });
    assert!(
        interrupted > 0 && needed.is_some(),
        "some disk was full in the middle of a run; {needed:?} held it"
    );
}
