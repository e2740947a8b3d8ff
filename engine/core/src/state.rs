//! What the engine asks of a state and of its updates. Users derive both with `#[derive(State)]`.

use serde::{Serialize, de::DeserializeOwned};

use crate::channel::Channel;
use crate::migration::{FieldChange, Migrated, StoredUpdate};

/// The description of a state type that is stored beside every thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSchema {
    /// The type's name.
    pub name: &'static str,
    /// The version given by `#[state(version = N)]`, 1 if none is.
    pub version: u32,
    /// The fields, in the order of their declaration.
    pub channels: &'static [Channel],
}

/// The shared state of a graph: a struct whose fields are channels.
///
/// Nodes read a snapshot and return an [`Update`]; only the engine folds updates in, in a fixed order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state",
    note = "add `#[derive(State, Clone, Default, Debug)]` to the struct"
)]
pub trait State: Clone + Default + Send + Sync + 'static {
    /// The partial write that nodes return.
    type Update: Update;

    /// Name, version and channels.
    const SCHEMA: &'static StateSchema;

    /// Name, version and channels of this value: [`State::SCHEMA`], unless they are known only at run time.
    fn schema(&self) -> &'static StateSchema {
        Self::SCHEMA
    }

    /// What changed about the fields since earlier versions and needs no function.
    const CHANGES: &'static [FieldChange] = &[];

    /// Brings a stored update of the version `from` to the next one, where declarations do not suffice: a function named
    /// by `#[state(migrate = …)]`. It sees the fields as that version named them; the declared changes come afterwards.
    ///
    /// # Errors
    /// Whatever makes the update unfit. The thread is left as it is then.
    fn migrate(update: StoredUpdate, from: u32) -> Migrated {
        let _ = from;
        Ok(update)
    }

    /// Gives fields that a thread of an earlier version did not have what was declared for such threads.
    fn begin_older(&mut self, stored: u32) {
        let _ = stored;
    }

    /// Folds one update in, each channel by its reducer.
    fn apply(&mut self, update: Self::Update);

    /// The whole state as an update: every channel written with its present value.
    fn to_update(&self) -> Self::Update;

    /// Overwrites the channels that `only` accepts with their value in an image, without their reducers: the reverse
    /// of [`State::to_update`]. An empty collection in the image empties the channel.
    fn restore(&mut self, image: Self::Update, only: &dyn Fn(usize) -> bool);

    /// Resets the channels that last for one superstep only.
    fn begin_superstep(&mut self);

    /// Resets the channels that last for one run only.
    fn begin_run(&mut self);

    /// An update that writes nothing yet.
    fn update() -> Self::Update {
        Self::Update::default()
    }
}

/// A partial write to a state: what a node returns. Stored self-describing, with unknown fields refused on reading.
pub trait Update: Default + Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// Whether it writes no channel at all.
    fn is_empty(&self) -> bool;

    /// Calls `visit` with the index of each channel that it writes.
    fn written(&self, visit: &mut dyn FnMut(usize));

    /// Calls `visit` with the index of each channel that grows, of which it replaces all that was there.
    fn overwritten(&self, visit: &mut dyn FnMut(usize)) {
        let _ = visit;
    }

    /// Forgets the writes to channels that `keep` turns down.
    fn retain(&mut self, keep: &dyn Fn(usize) -> bool);
}
