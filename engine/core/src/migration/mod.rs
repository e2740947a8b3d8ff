//! Versions of a state: what was declared about its fields, and how a stored update of an earlier version becomes one of
//! the present one. Stored updates migrate one by one, so the same code serves records, snapshots and forks.

mod stored_update;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use stored_update::{FieldError, StoredUpdate};

use crate::execution::panic_text;
use crate::state::{State, StateSchema};

/// What changed about a field from one version of a state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The first version in which it is so.
    pub since: u32,
    /// What changed.
    pub kind: FieldChangeKind,
}

/// The kinds of changes that need no function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldChangeKind {
    /// The field is there no more; what was written to it is forgotten.
    Dropped {
        /// Its name before.
        name: &'static str,
    },
    /// The field has another name.
    Renamed {
        /// Its name before.
        from: &'static str,
        /// Its name since.
        to: &'static str,
    },
    /// The field has another reducer, which folds what was stored before, too.
    ReducerChanged {
        /// Its present name.
        name: &'static str,
    },
}

/// What a migration function gives back. Any error converts by `?`, and so does a text by `.into()`.
pub type Migrated = Result<StoredUpdate, Box<dyn std::error::Error + Send + Sync>>;

/// Where a stored field is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// The channel of this number.
    Channel(usize),
    /// Dropped, as was declared.
    Dropped,
    /// Nowhere, and nothing was declared.
    Lost,
}

/// Follows a field of a stored version through the declared changes.
pub(crate) fn whereabouts(
    schema: &StateSchema,
    changes: &[FieldChange],
    name: &str,
    stored: u32,
) -> Whereabouts {
    let mut name = name;
    let mut later: Vec<&FieldChange> = changes.iter().filter(|change| change.since > stored).collect();
    later.sort_by_key(|change| change.since);
    for step in later.chunk_by(|one, other| one.since == other.since) {
        for change in step {
            if matches!(change.kind, FieldChangeKind::Dropped { name: gone } if gone == name) {
                return Whereabouts::Dropped;
            }
        }
        let renamed = step.iter().find_map(|change| match change.kind {
            FieldChangeKind::Renamed { from, to } if from == name => Some(to),
            _ => None,
        });
        name = renamed.unwrap_or(name);
    }
    let place = schema.channels.iter().position(|channel| channel.name == name);
    place.map_or(Whereabouts::Lost, Whereabouts::Channel)
}

/// Brings a stored update of an earlier version to the present one, version by version: at each step first the state's
/// function, which sees the fields as that version named them, then the declared drops and renames.
pub(crate) fn migrate<S: State>(bytes: &[u8], stored: u32) -> Result<Vec<u8>, String> {
    let mut update = StoredUpdate::read(bytes)?;
    for version in stored..S::SCHEMA.version {
        let step = catch_unwind(AssertUnwindSafe(|| S::migrate(update, version)));
        update = match step {
            Ok(migrated) => migrated.map_err(|error| error.to_string())?,
            Err(panic) => return Err(format!("its function panicked: {}", panic_text(panic.as_ref()))),
        };
        let changes = || S::CHANGES.iter().filter(|change| change.since == version + 1);
        for change in changes() {
            if let FieldChangeKind::Dropped { name } = change.kind {
                update.remove(name);
            }
        }
        for change in changes() {
            if let FieldChangeKind::Renamed { from, to } = change.kind {
                update.rename(from, to);
            }
        }
    }
    Ok(update.write())
}
