//! Server-sent events: however the bytes are split, the events are the same.

use proptest::prelude::*;
use statewright_nodes_models::openai::{EVENT_BYTES_MAX, SseParser};

/// All events of these pieces, or the code of the error.
fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, &'static str> {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece).map_err(|error| error.code())?;
        events.extend(std::iter::from_fn(|| parser.next_event()));
    }
    Ok(events)
}

#[test]
fn events_of_the_specification() {
    let cases: [(&str, &[&str]); 10] = [
        ("data: one\n\ndata: two\n\n", &["one", "two"]),
        ("data: one\r\n\r\ndata: two\r\rdata: three\n\n", &["one", "two", "three"]),
        ("data: a\ndata: b\n\n", &["a\nb"]),
        ("data:no space\n\ndata:  two spaces\n\n", &["no space", " two spaces"]),
        (": comment\n\nevent: x\nid: 7\nretry: 1\ndata: d\n\n", &["d"]),
        ("\u{feff}data: after a mark\n\n", &["after a mark"]),
        ("data\n\ndata:\n\n", &["", ""]),
        ("event: nothing\n\n\n\n", &[]),
        ("datax: no\n\ndata: yes\n\n", &["yes"]),
        ("data: never finished\n", &[]),
    ];
    for (stream, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|event| (*event).to_owned()).collect();
        assert_eq!(events([stream.as_bytes()]), Ok(expected), "{stream:?}");
    }
}

#[test]
fn events_are_bounded_and_utf8() {
    let long = vec![b'x'; EVENT_BYTES_MAX + 1];
    assert_eq!(events([long.as_slice()]), Err("SW-P507"));
    let lines = "data: 123456789\n".repeat(EVENT_BYTES_MAX / 8);
    assert_eq!(events([lines.as_bytes()]), Err("SW-P507"));
    assert_eq!(events([b"data: \xc3\n\n".as_slice()]), Err("SW-P507"));
}

proptest! {
    #[test]
    fn any_splitting_gives_the_same_events(
        lines in prop::collection::vec(("(data: ?|: |event: |)[a-zé×€🙂:]{0,6}", prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream: String = lines.iter().map(|(line, end)| format!("{line}{end}")).collect();
        let bytes = stream.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut start = 0;
        let pieces: Vec<&[u8]> = cuts.iter().map(|&cut| { let piece = &bytes[start..cut]; start = cut; piece }).collect();
        let whole = events([bytes]);
        prop_assert_eq!(&events(pieces), &whole);
        prop_assert_eq!(&events(bytes.chunks(1)), &whole);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(events([bytes.as_slice()]), events(bytes.chunks(1)));
    }
}
