//! The one place where typed state meets the untyped machine: everything else in the execution is ids and bytes.

use std::any::Any;
use std::sync::Arc;

use crate::migration::{self, FieldChange};
use crate::state::{State, StateSchema, Update};

/// A read-only view of the state for a node, kept alive by the node. Downcasts to the graph's state type.
pub type Snapshot = Arc<dyn Any + Send + Sync>;

/// What a node wrote.
pub enum UpdateValue {
    /// Nothing.
    Empty,
    /// The graph's update type, made in this process.
    Live(Box<dyn Any + Send + Sync>),
    /// The graph's update type as it was stored.
    Bytes(Arc<[u8]>),
}

impl UpdateValue {
    /// Wraps a typed update; one that writes nothing takes no memory.
    pub fn live<U: Update>(update: U) -> Self {
        if update.is_empty() { UpdateValue::Empty } else { UpdateValue::Live(Box::new(update)) }
    }

    /// The stored form; an empty slice stands for an update that writes nothing.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.is_empty() { UpdateValue::Empty } else { UpdateValue::Bytes(bytes.into()) }
    }
}

impl std::fmt::Debug for UpdateValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UpdateValue::Empty => f.write_str("Empty"),
            UpdateValue::Live(_) => f.write_str("Live(..)"),
            UpdateValue::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
        }
    }
}

/// Why a state could not take or give a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CellError {
    /// The state or an update could not be written down.
    #[error("state `{state}` cannot be stored: {reason}; every field must serialise to MessagePack")]
    Encode {
        /// The state's name.
        state: &'static str,
        /// The serialiser's words.
        reason: String,
    },
    /// A stored update does not fit the present type.
    #[error(
        "a stored update of state `{state}` does not fit this program: {reason}; run the build that wrote it, or keep the field's name and type"
    )]
    Decode {
        /// The state's name.
        state: &'static str,
        /// The deserialiser's words.
        reason: String,
    },
    /// A stored update of an earlier version could not be brought to the present one.
    #[error(
        "a stored update of state `{state}` cannot be migrated from version {stored} to {present}: {reason}; nothing was changed: mend the migration, or run the build that wrote it"
    )]
    Migrate {
        /// The state's name.
        state: &'static str,
        /// The version of the update.
        stored: u32,
        /// The version of this program.
        present: u32,
        /// The migration's words.
        reason: String,
    },
    /// An update names a field that the state does not have. Only where fields are known at run time.
    #[error("the state `{state}` has no field `{field}`{}", hint(nearest))]
    UnknownField {
        /// The state's name.
        state: &'static str,
        /// The name that was given.
        field: String,
        /// The field it is nearest to.
        nearest: Option<String>,
    },
    /// A value that a field does not take. Only where fields are known at run time.
    #[error("the field `{state}.{field}`, which is `{reducer}`, {reason}")]
    WrongShape {
        /// The state's name.
        state: &'static str,
        /// The field.
        field: String,
        /// Its reducer.
        reducer: &'static str,
        /// What it takes, and what this is.
        reason: String,
    },
    /// An update of another state reached this cell.
    #[error(
        "a node returned an update of another state than `{state}`; wire it into the graph it was written for"
    )]
    Foreign {
        /// The state's name.
        state: &'static str,
    },
}

impl CellError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            CellError::Encode { .. } => "SW-X230",
            CellError::Decode { .. } => "SW-X231",
            CellError::Foreign { .. } => "SW-X232",
            CellError::Migrate { .. } => "SW-X264",
            CellError::UnknownField { .. } => "SW-X287",
            CellError::WrongShape { .. } => "SW-X288",
        }
    }
}

fn hint(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(|| "; write one of its fields".to_owned(), |name| format!("; did you mean `{name}`?"))
}

/// The state of one thread behind an object-safe door.
pub trait StateCell: Send {
    /// Name, version and channels.
    fn schema(&self) -> &'static StateSchema;

    /// What was declared about fields of earlier versions.
    fn changes(&self) -> &'static [FieldChange];

    /// Brings a stored update of an earlier version to the present one.
    ///
    /// # Errors
    /// [`CellError::Migrate`] with the words of whatever refused it.
    fn migrate(&self, update: &[u8], stored: u32) -> Result<Vec<u8>, CellError>;

    /// Prepares a new cell for a thread of an earlier version.
    fn begin_older(&mut self, stored: u32);

    /// A view for nodes and for branches.
    fn snapshot(&self) -> Snapshot;

    /// Folds an update in. With `only`, other channels are left alone: that is how referenced channels are read back.
    ///
    /// # Errors
    /// [`CellError::Decode`] when stored bytes do not fit, [`CellError::Foreign`] when the type is another one.
    fn apply(
        &mut self,
        update: &mut UpdateValue,
        only: Option<&dyn Fn(usize) -> bool>,
    ) -> Result<(), CellError>;

    /// Adds the stored form of an update to `out`; nothing for one that writes nothing.
    ///
    /// # Errors
    /// [`CellError::Encode`] with the serialiser's words.
    fn encode_into(&self, update: &UpdateValue, out: &mut Vec<u8>) -> Result<(), CellError>;

    /// The stored form of an update; empty for one that writes nothing.
    ///
    /// # Errors
    /// [`CellError::Encode`] with the serialiser's words.
    fn encode(&self, update: &UpdateValue) -> Result<Vec<u8>, CellError> {
        let mut out = Vec::new();
        self.encode_into(update, &mut out)?;
        Ok(out)
    }

    /// Calls `visit` with each channel that the update writes.
    ///
    /// # Errors
    /// [`CellError::Decode`] when stored bytes do not fit.
    fn written(&self, update: &UpdateValue, visit: &mut dyn FnMut(usize)) -> Result<(), CellError>;

    /// Calls `visit` with each growing channel of which the update replaces all that was there.
    ///
    /// # Errors
    /// [`CellError::Decode`] when stored bytes do not fit.
    fn overwritten(&self, update: &UpdateValue, visit: &mut dyn FnMut(usize)) -> Result<(), CellError> {
        let _ = (update, visit);
        Ok(())
    }

    /// The present value of the channels that `keep` accepts, as a stored update.
    ///
    /// # Errors
    /// [`CellError::Encode`] with the serialiser's words.
    fn image(&self, keep: &dyn Fn(usize) -> bool) -> Result<Vec<u8>, CellError>;

    /// Overwrites the channels that `only` accepts from an image.
    ///
    /// # Errors
    /// [`CellError::Decode`] when stored bytes do not fit.
    fn restore(&mut self, image: &[u8], only: &dyn Fn(usize) -> bool) -> Result<(), CellError>;

    /// Resets the channels that last for one superstep.
    fn begin_superstep(&mut self);

    /// Resets the channels that last for one run.
    fn begin_run(&mut self);
}

/// The cell of a concrete state type.
///
/// The state lives in one `Arc`: while nodes run they share it, and once they have dropped their views an update is
/// applied in place, so a step costs O(update) and not O(state).
#[derive(Debug, Default)]
pub struct TypedCell<S> {
    state: Arc<S>,
}

impl<S: State> TypedCell<S> {
    /// A cell that holds the state's default.
    pub fn new() -> Self {
        Self { state: Arc::new(S::default()) }
    }

    /// The state as it is now.
    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    fn name() -> &'static str {
        S::SCHEMA.name
    }

    fn decode(bytes: &[u8]) -> Result<S::Update, CellError> {
        rmp_serde::from_slice(bytes)
            .map_err(|error| CellError::Decode { state: Self::name(), reason: error.to_string() })
    }

    fn encode_typed(update: &S::Update) -> Result<Vec<u8>, CellError> {
        rmp_serde::to_vec_named(update)
            .map_err(|error| CellError::Encode { state: Self::name(), reason: error.to_string() })
    }
}

impl<S: State> StateCell for TypedCell<S> {
    fn schema(&self) -> &'static StateSchema {
        S::SCHEMA
    }

    fn changes(&self) -> &'static [FieldChange] {
        S::CHANGES
    }

    fn migrate(&self, update: &[u8], stored: u32) -> Result<Vec<u8>, CellError> {
        if update.is_empty() {
            return Ok(Vec::new());
        }
        migration::migrate::<S>(update, stored).map_err(|reason| CellError::Migrate {
            state: Self::name(),
            stored,
            present: S::SCHEMA.version,
            reason,
        })
    }

    fn begin_older(&mut self, stored: u32) {
        Arc::make_mut(&mut self.state).begin_older(stored);
    }

    fn snapshot(&self) -> Snapshot {
        self.state.clone()
    }

    fn apply(
        &mut self,
        update: &mut UpdateValue,
        only: Option<&dyn Fn(usize) -> bool>,
    ) -> Result<(), CellError> {
        let mut typed = match std::mem::replace(update, UpdateValue::Empty) {
            UpdateValue::Empty => return Ok(()),
            UpdateValue::Live(value) => {
                *value.downcast::<S::Update>().map_err(|_| CellError::Foreign { state: Self::name() })?
            }
            UpdateValue::Bytes(bytes) => Self::decode(&bytes)?,
        };
        if let Some(keep) = only {
            typed.retain(keep);
        }
        Arc::make_mut(&mut self.state).apply(typed);
        Ok(())
    }

    fn encode_into(&self, update: &UpdateValue, out: &mut Vec<u8>) -> Result<(), CellError> {
        match update {
            UpdateValue::Empty => {}
            UpdateValue::Bytes(bytes) => out.extend_from_slice(bytes),
            UpdateValue::Live(value) => {
                let typed =
                    value.downcast_ref::<S::Update>().ok_or(CellError::Foreign { state: Self::name() })?;
                rmp_serde::encode::write_named(out, typed)
                    .map_err(|error| CellError::Encode { state: Self::name(), reason: error.to_string() })?;
            }
        }
        Ok(())
    }

    fn written(&self, update: &UpdateValue, visit: &mut dyn FnMut(usize)) -> Result<(), CellError> {
        match update {
            UpdateValue::Empty => {}
            UpdateValue::Bytes(bytes) => Self::decode(bytes)?.written(visit),
            UpdateValue::Live(value) => value
                .downcast_ref::<S::Update>()
                .ok_or(CellError::Foreign { state: Self::name() })?
                .written(visit),
        }
        Ok(())
    }

    fn overwritten(&self, update: &UpdateValue, visit: &mut dyn FnMut(usize)) -> Result<(), CellError> {
        match update {
            UpdateValue::Empty => {}
            UpdateValue::Bytes(bytes) => Self::decode(bytes)?.overwritten(visit),
            UpdateValue::Live(value) => value
                .downcast_ref::<S::Update>()
                .ok_or(CellError::Foreign { state: Self::name() })?
                .overwritten(visit),
        }
        Ok(())
    }

    fn image(&self, keep: &dyn Fn(usize) -> bool) -> Result<Vec<u8>, CellError> {
        let mut image = self.state.to_update();
        image.retain(keep);
        Self::encode_typed(&image)
    }

    fn restore(&mut self, image: &[u8], only: &dyn Fn(usize) -> bool) -> Result<(), CellError> {
        let image = Self::decode(image)?;
        Arc::make_mut(&mut self.state).restore(image, only);
        Ok(())
    }

    fn begin_superstep(&mut self) {
        if S::SCHEMA.channels.iter().any(|channel| channel.ephemeral) {
            Arc::make_mut(&mut self.state).begin_superstep();
        }
    }

    fn begin_run(&mut self) {
        Arc::make_mut(&mut self.state).begin_run();
    }
}
