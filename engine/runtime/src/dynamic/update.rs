//! What nodes of a graph from data write: values by the names of fields.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use statewright_engine_core::{CellError, Command, IntoCommand, Update};

use super::fold::{adds_nothing, normalise};
use super::schema::{DynSchema, OVERWRITE};
use super::state::DynState;

/// A partial write to a [`DynState`](crate::DynState): what a node returns. Fields that are not named stay as they are.
///
/// A write to a field that grows holds what is added: a list of items for `append`, `union` and `upsert`. Whether the
/// names are fields of the state, and the values are what these take, is looked at when the update meets a graph.
///
/// ```
/// use statewright_engine_runtime::DynUpdate;
///
/// let update = DynUpdate::new().set("title", "Rain").set("notes", ["it rained"]);
/// assert_eq!(serde_json::to_value(&update)?, serde_json::json!({ "title": "Rain", "notes": ["it rained"] }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DynUpdate {
    pub(super) fields: Map<String, Value>,
    /// The schema that it was found to fit.
    pub(super) fits: Option<&'static DynSchema>,
}

impl DynUpdate {
    /// One that writes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a field, in place of what this update wrote to it before.
    #[must_use]
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fits = None;
        self.fields.insert(field.into(), value.into());
        self
    }

    /// Replaces all that a growing field holds; what this update adds to it besides comes behind. No other node may write
    /// the field in the same superstep.
    #[must_use]
    pub fn overwrite(self, field: impl AsRef<str>, value: impl Into<Value>) -> Self {
        self.set(format!("{}{OVERWRITE}", field.as_ref()), value)
    }

    /// Brings the update into the form in which it is stored, if it fits.
    pub(super) fn fitted(mut self, schema: &'static DynSchema) -> Result<Self, CellError> {
        if self.fits.is_some_and(|known| std::ptr::eq(known, schema)) {
            return Ok(self);
        }
        for (name, value) in &mut self.fields {
            let (number, _) = schema.place(name).ok_or_else(|| schema.unknown(name))?;
            schema.check(number, value)?;
            normalise(schema.rules[number].reducer, value);
        }
        // What adds nothing is not stored, and whoever adds nothing writes nothing.
        let is_idle = |name: &String, value: &Value| {
            let place = schema.place(name);
            place.is_some_and(|(number, overwrites)| {
                !overwrites && schema.rules[number].reducer.is_referenced() && adds_nothing(value)
            })
        };
        self.fields.retain(|name, value| !is_idle(name, value));
        self.fits = Some(schema);
        Ok(self)
    }

    /// The writes in the order of the fields: the number, whether it overwrites, and the value.
    fn in_order<'a>(&'a self, schema: &'static DynSchema) -> impl Iterator<Item = (usize, bool, &'a Value)> {
        let names = schema.stored.channels.iter().enumerate();
        names.flat_map(move |(number, channel)| {
            let folded = self.fields.get(channel.name).map(|value| (number, false, value));
            let is_growing = schema.rules[number].reducer.is_referenced();
            let overwritten = is_growing.then(|| self.fields.get(&format!("{}{OVERWRITE}", channel.name)));
            [folded, overwritten.flatten().map(|value| (number, true, value))].into_iter().flatten()
        })
    }

    /// Adds the stored form: a map with the fields in their order, as a derived update is written.
    pub(super) fn write(&self, schema: &'static DynSchema, out: &mut Vec<u8>) -> Result<(), String> {
        struct InOrder<'a>(&'a DynUpdate, &'static DynSchema);
        impl Serialize for InOrder<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self(update, schema) = *self;
                let mut map = serializer.serialize_map(Some(update.in_order(schema).count()))?;
                for (number, overwrites, value) in update.in_order(schema) {
                    let name = schema.stored.channels[number].name;
                    match overwrites {
                        false => map.serialize_entry(name, value)?,
                        true => map.serialize_entry(&format!("{name}{OVERWRITE}"), value)?,
                    }
                }
                map.end()
            }
        }
        rmp_serde::encode::write_named(out, &InOrder(self, schema)).map_err(|error| error.to_string())
    }
}

impl From<Map<String, Value>> for DynUpdate {
    fn from(fields: Map<String, Value>) -> Self {
        Self { fields, fits: None }
    }
}

impl PartialEq for DynUpdate {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Serialize for DynUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DynUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

/// An update alone is a command, too.
impl IntoCommand<DynState> for DynUpdate {
    type Route = ();

    fn into_command(self) -> Command<DynUpdate, ()> {
        Command::new(self, ())
    }
}

/// Numbers of channels are known to an update that has met its graph; before that none is.
impl Update for DynUpdate {
    fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn written(&self, visit: &mut dyn FnMut(usize)) {
        let Some(schema) = self.fits else { return };
        let mut before = None;
        for (number, _, _) in self.in_order(schema) {
            if before.replace(number) != Some(number) {
                visit(number);
            }
        }
    }

    fn overwritten(&self, visit: &mut dyn FnMut(usize)) {
        let Some(schema) = self.fits else { return };
        self.in_order(schema)
            .filter(|(_, overwrites, _)| *overwrites)
            .for_each(|(number, _, _)| visit(number));
    }

    fn retain(&mut self, keep: &dyn Fn(usize) -> bool) {
        let Some(schema) = self.fits else { return };
        self.fields.retain(|name, _| schema.place(name).is_none_or(|(number, _)| keep(number)));
    }
}
