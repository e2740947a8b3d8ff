//! Which activations a journal says have finished, those of graphs inside nodes as well: `3.0`, and `3.0/2.1` inside it.

use std::collections::{BTreeMap, BTreeSet};

use statewright_engine_core::journal::{Body, Commit, Record, decode};
use statewright_engine_runtime::{Entry, EntryKind};

/// Where one graph stands.
#[derive(Default)]
struct Frame {
    superstep: u64,
    inner: BTreeMap<u32, Frame>,
}

/// All of them, by these entries.
pub(crate) fn of(entries: &[Entry]) -> Result<BTreeSet<String>, String> {
    let (mut outermost, mut found) = (Frame::default(), BTreeSet::new());
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Record) {
        outermost.take("", &entry.bytes, &mut found)?;
    }
    Ok(found)
}

impl Frame {
    fn take(&mut self, path: &str, record: &[u8], found: &mut BTreeSet<String>) -> Result<(), String> {
        let record: Record = decode(record).map_err(|error| error.to_string())?;
        match record.body {
            Body::Opened(opened) => self.enter(&opened.commit),
            Body::Finished { index, commit, .. } => {
                found.insert(format!("{path}{}.{index}", self.superstep));
                commit.iter().for_each(|commit| self.enter(commit));
            }
            Body::Committed { commit, .. } => commit.iter().for_each(|commit| self.enter(commit)),
            Body::Nested { index, entry } => {
                let path = format!("{path}{}.{index}/", self.superstep);
                self.inner.entry(index).or_default().take(&path, &entry, found)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, commit: &Commit) {
        self.superstep = commit.superstep;
        self.inner.clear();
    }
}
