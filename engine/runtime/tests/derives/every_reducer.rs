//! Every reducer on every type that it is documented for.
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Note {
    id: u32,
    text: String,
}

impl Note {
    fn key(&self) -> u32 {
        self.id
    }
}

fn note_id(note: &Note) -> u32 {
    note.id
}

fn longer(present: &mut String, value: String) {
    if value.len() > present.len() {
        *present = value;
    }
}

#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct All {
    #[reduce(replace)]
    replace: String,
    #[reduce(last)]
    last: String,
    #[reduce(append)]
    list: Vec<u8>,
    #[reduce(append)]
    queue: VecDeque<u8>,
    #[reduce(append)]
    text: String,
    #[reduce(append)]
    map: BTreeMap<String, u8>,
    #[reduce(append)]
    table: HashMap<String, u8>,
    #[reduce(union)]
    set: BTreeSet<u8>,
    #[reduce(union)]
    names: HashSet<String>,
    #[reduce(upsert = note_id)]
    notes: Vec<Note>,
    #[reduce(upsert = Note::key)]
    more: Vec<Note>,
    #[reduce(sum)]
    tokens: u64,
    #[reduce(sum)]
    change: i32,
    #[reduce(sum)]
    score: f64,
    #[reduce(min)]
    least: Option<u32>,
    #[reduce(max)]
    most: u32,
    #[reduce(max)]
    best: Option<i64>,
    #[reduce(with = longer)]
    longest: String,
}

#[test]
fn every_growing_field_can_be_overwritten() {
    let mut all = All::default();
    all.apply(All::update().list(1).queue(1).text("old").set(1).names("n").notes(Note::default()));
    let update = All::update()
        .list(9)
        .overwrite_list([7, 8])
        .overwrite_queue(VecDeque::new())
        .overwrite_text("new")
        .overwrite_map([("k".to_owned(), 1)])
        .overwrite_table(HashMap::new())
        .overwrite_set([2])
        .overwrite_names(HashSet::new())
        .overwrite_notes(Vec::new());
    assert!(!update.is_empty());
    let (mut overwritten, mut written) = (Vec::new(), Vec::new());
    update.overwritten(&mut |channel| overwritten.push(All::SCHEMA.channels[channel].name));
    update.written(&mut |channel| written.push(All::SCHEMA.channels[channel].name));
    assert_eq!(overwritten, ["list", "queue", "text", "map", "table", "set", "names", "notes"]);
    assert_eq!(written, overwritten, "each once, although `list` is overwritten and added to");
    all.apply(update);
    assert_eq!((all.list.as_slice(), all.text.as_str(), all.map.len()), ([7, 8, 9].as_slice(), "new", 1));
    assert_eq!((all.queue.len(), all.set.len(), all.names.len(), all.notes.len()), (0, 1, 0, 0));
}

#[test]
fn every_reducer_folds() {
    let mut all = All::default();
    let note = Note { id: 1, text: "a".into() };
    let update = || {
        All::update()
            .replace("r")
            .last("l")
            .list(1)
            .queue(1)
            .set(1)
            .names("n")
            .notes(note.clone())
            .more(note.clone())
            .tokens(2u64)
            .change(-1)
            .score(0.5)
            .least(3u32)
            .most(4u32)
            .best(-5i64)
            .longest("word".to_owned())
    };
    all.apply(update());
    all.apply(update());
    assert_eq!((all.list.len(), all.queue.len(), all.set.len(), all.names.len()), (2, 2, 1, 1));
    assert_eq!((all.notes.len(), all.more.len(), all.tokens, all.change), (1, 1, 4, -2));
    assert_eq!((all.least, all.most, all.best, all.score), (Some(3), 4, Some(-5), 1.0));
    assert_eq!((all.replace.as_str(), all.last.as_str(), all.longest.as_str()), ("r", "l", "word"));
}
