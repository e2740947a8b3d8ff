//! What can be said of an entry without the graph that wrote it: for lists of threads.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::frame::decode;
use super::table::NodeTable;
use crate::execution::{Entry, EntryKind};

/// When an entry was written, in milliseconds since 1970 by its driver's clock; nothing if it cannot be read.
pub fn written_ms(entry: &Entry) -> Option<u64> {
    #[derive(Deserialize)]
    struct Written {
        #[serde(rename = "t")]
        at_ms: u64,
    }
    read::<Written>(entry).map(|written| written.at_ms)
}

/// The name of the graph that began a thread or a fork, from its first entry; nothing if that is no beginning.
pub fn graph_name(entry: &Entry) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "n")]
        table: NodeTable,
    }
    #[derive(Deserialize)]
    struct Began {
        #[serde(rename = "b")]
        body: Beginning,
    }
    #[derive(Deserialize)]
    enum Beginning {
        #[serde(rename = "o")]
        Opened(Named),
    }
    let table = match entry.kind {
        EntryKind::Snapshot => read::<Named>(entry)?.table,
        EntryKind::Record => {
            let Beginning::Opened(named) = read::<Began>(entry)?.body;
            named.table
        }
    };
    Some(table.graph)
}

fn read<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    decode(&entry.bytes).ok()
}
