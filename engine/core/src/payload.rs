//! Values that travel along edges: typed while they are in memory, bytes when they come from a journal.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

/// What can travel along an edge, be asked or be answered.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a journal",
    label = "payloads of edges and answers to questions are stored",
    note = "derive Clone, Serialize and Deserialize for it"
)]
pub trait Data: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}
impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Data for T {}

/// A typed value behind a pointer, with the knowledge of how to write itself down.
pub trait LiveData: Any + Send + Sync {
    /// MessagePack with named fields.
    ///
    /// # Errors
    /// The message of the value's own `Serialize`.
    fn encode(&self) -> Result<Vec<u8>, String>;
}

impl<T: Data> LiveData for T {
    fn encode(&self) -> Result<Vec<u8>, String> {
        rmp_serde::to_vec_named(self).map_err(|error| error.to_string())
    }
}

/// The input of an activation.
#[derive(Clone, Default)]
pub enum Payload {
    /// Nothing: a plain edge.
    #[default]
    Unit,
    /// A value made in this process.
    Live(Arc<dyn LiveData>),
    /// A value read back from a journal.
    Bytes(Arc<[u8]>),
}

impl Payload {
    /// Wraps a typed value.
    pub fn live<T: Data>(value: T) -> Self {
        Payload::Live(Arc::new(value))
    }

    /// Whether there is no value.
    pub fn is_unit(&self) -> bool {
        matches!(self, Payload::Unit)
    }

    /// The typed value.
    ///
    /// # Errors
    /// What does not fit, in words, when the stored bytes or the value in memory are of another type.
    pub fn read<T: Data>(&self) -> Result<T, String> {
        match self {
            Payload::Unit => {
                let unit: &dyn Any = &();
                match unit.downcast_ref::<T>() {
                    Some(unit) => Ok(unit.clone()),
                    // A stored `None` is as good as nothing.
                    None => rmp_serde::from_slice(&[0xc0]).map_err(|error| error.to_string()),
                }
            }
            Payload::Live(value) => {
                let value: &dyn Any = value.as_ref();
                value.downcast_ref::<T>().cloned().ok_or_else(|| "the value is of another type".to_owned())
            }
            Payload::Bytes(bytes) => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
        }
    }

    /// The value as it is stored; nothing for a plain edge.
    ///
    /// # Errors
    /// The message of the value's own `Serialize`.
    pub fn encode(&self) -> Result<Option<Vec<u8>>, String> {
        match self {
            Payload::Unit => Ok(None),
            Payload::Live(value) => value.encode().map(Some),
            Payload::Bytes(bytes) => Ok(Some(bytes.to_vec())),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Unit => f.write_str("Unit"),
            Payload::Live(_) => f.write_str("Live(..)"),
            Payload::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
        }
    }
}
