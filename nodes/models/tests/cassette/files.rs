//! Files that are cut off, damaged, of another format or in use.

use std::io::Write;
use std::sync::Arc;

use proptest::prelude::*;
use statewright_nodes_models::cassette::{Cassette, CassetteError, Recorder};
use statewright_nodes_models::{Reply, Scrubber};
use statewright_nodes_ports::ChatModel;

use crate::{Tape, asking, write};

fn record_again(tape: &Tape) -> Result<Recorder, CassetteError> {
    Recorder::open(tape.path(), Scrubber::default(), Arc::new(|| 0))
}

/// As a process leaves it that is killed while it writes.
#[tokio::test]
async fn a_cassette_that_is_cut_at_every_byte_keeps_every_whole_line_and_can_be_recorded_further() {
    let (tape, bytes) = Tape::of_three().await;
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    for length in header + 1..=bytes.len() {
        let cut = &bytes[..length];
        write(&tape.path(), cut);
        let cassette = tape.cassette();
        let breaks = cut.iter().filter(|byte| **byte == b'\n').count();
        // The last line is whole without its line break, too.
        let is_whole = cut.ends_with(b"\n") || bytes.get(length) == Some(&b'\n');
        let whole = breaks - 1 + usize::from(is_whole && !cut.ends_with(b"\n"));
        assert_eq!(cassette.recordings().len(), whole, "cut at {length}");
        assert_eq!(cassette.cut_off(), (!is_whole).then_some(breaks + 1), "cut at {length}");
        if length % 61 == 0 || length + 3 > bytes.len() {
            let recorder = record_again(&tape).unwrap();
            assert_eq!(recorder.cut_off(), cassette.cut_off());
            drop(recorder);
            tape.recording([Reply::text("again")]).complete(asking("d")).await.unwrap();
            let mended = tape.cassette();
            assert_eq!((mended.recordings().len(), mended.cut_off()), (whole + 1, None), "cut at {length}");
            assert_eq!(mended.recordings()[whole].text(), "again");
        }
    }
}

#[tokio::test]
async fn a_process_that_died_in_the_header_leaves_a_file_that_can_be_recorded() {
    let (tape, bytes) = Tape::of_three().await;
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    for length in 0..=header {
        write(&tape.path(), &bytes[..length]);
        drop(record_again(&tape).unwrap());
        assert_eq!(std::fs::read(tape.path()).unwrap(), &bytes[..=header], "cut at {length}");
    }
}

#[tokio::test]
async fn damage_is_an_error_with_the_file_and_the_line() {
    let (tape, bytes) = Tape::of_three().await;
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let with = |place: usize, line: &str| {
        let mut lines = lines.clone();
        lines[place] = line;
        lines.join("\n") + "\n"
    };
    let newer = r#"{"format":"statewright-cassette","version":2}"#;
    let other_answer = lines[2].replace("\"finish\"", "\"text\"");
    let other_request = lines[2].replace("Be brief.", "Be long.");
    let cases = [
        (String::new(), "SW-P542", "the file is empty"),
        ("{}\n".to_owned(), "SW-P542", "is not the header"),
        ("# Notes\n".to_owned(), "SW-P542", "is not the header"),
        (with(0, r#"{"format":"other","version":1}"#), "SW-P542", "another format"),
        (with(0, newer), "SW-P543", "the format 2, and this program reads up to 1"),
        (with(1, "{"), "SW-P544", "line 2: it is no recording"),
        (with(2, &lines[2][..40]), "SW-P544", "line 3: it is no recording"),
        (with(2, &other_request), "SW-P544", "line 3: its hash is not that of its request"),
        (with(2, &other_answer), "SW-P544", "line 3"),
        (with(3, "null"), "SW-P544", "line 4: it is no recording"),
    ];
    for (content, code, words) in cases {
        write(&tape.path(), &content);
        let error = Cassette::open(tape.path()).unwrap_err();
        assert_eq!(error.code(), code, "{content}: {error}");
        let said = error.to_string();
        assert!(said.contains(words) && said.contains("tape.jsonl"), "{said}");
        if !content.is_empty() {
            assert_eq!(record_again(&tape).unwrap_err(), error, "nothing is recorded behind it");
            assert_eq!(std::fs::read_to_string(tape.path()).unwrap(), content, "and it stays as it is");
        }
    }
    write(&tape.path(), [text.as_bytes(), b"\xff\xfe\n"].concat());
    let error = Cassette::open(tape.path()).unwrap_err();
    assert!(error.to_string().contains("line 5: it is not UTF-8"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_missing_or_cannot_be_written_is_named() {
    let tape = Tape::new();
    let error = Cassette::open(tape.path()).unwrap_err();
    assert_eq!(error.code(), "SW-P541");
    assert!(error.to_string().contains("cannot be read"), "{error}");
    let nowhere = tape.path().join("below").join("tape.jsonl");
    let error = Recorder::open(nowhere, Scrubber::default(), Arc::new(|| 0)).unwrap_err();
    assert_eq!(error.code(), "SW-P541");
    assert!(error.to_string().contains("cannot be written"), "{error}");
}

#[tokio::test]
async fn two_recorders_cannot_share_a_file_and_readers_may_look() {
    let (tape, _) = Tape::of_three().await;
    let first = record_again(&tape).unwrap();
    assert_eq!(record_again(&tape).unwrap_err().code(), "SW-P545");
    assert_eq!(tape.cassette().recordings().len(), 3);
    drop(first);
    record_again(&tape).unwrap();
}

#[tokio::test]
async fn empty_lines_are_left_alone() {
    let (tape, _) = Tape::of_three().await;
    let mut file = std::fs::OpenOptions::new().append(true).open(tape.path()).unwrap();
    file.write_all(b"\n  \n").unwrap();
    assert_eq!(tape.cassette().recordings().len(), 3);
    tape.recording([Reply::text("d")]).complete(asking("d")).await.unwrap();
    assert_eq!(tape.cassette().recordings().len(), 4);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
        let tape = Tape::new();
        let header = b"{\"format\":\"statewright-cassette\",\"version\":1}\n".as_slice();
        for content in [bytes.clone(), [header, &bytes].concat(), [header, text.as_bytes(), b"\n"].concat()] {
            write(&tape.path(), content);
            if let Err(error) = Cassette::open(tape.path()) {
                prop_assert!(error.code().starts_with("SW-P54"));
            }
        }
    }
}
