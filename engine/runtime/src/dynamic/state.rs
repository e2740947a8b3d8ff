//! A state whose fields are known at run time.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use statewright_engine_core::{CellError, Channel, State, StateSchema};

use super::fold;
use super::schema::{self, DynSchema};
use super::update::DynUpdate;

/// The state of a graph that is data: a value for each field that the document declares.
#[derive(Clone)]
pub struct DynState {
    schema: &'static DynSchema,
    values: Vec<Value>,
}

impl DynState {
    pub(super) fn new(schema: &'static DynSchema) -> Self {
        Self { schema, values: schema.rules.iter().map(|rule| rule.default.clone()).collect() }
    }

    /// The value of a field; nothing if there is no field of this name.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.values.get(self.schema.number(field)?)
    }

    /// The value of a field as a type.
    ///
    /// # Errors
    /// `SW-X287` if there is no such field, `SW-X288` if its value is of another type.
    pub fn read<T: DeserializeOwned>(&self, field: &str) -> Result<T, CellError> {
        let number = self.schema.number(field).ok_or_else(|| self.schema.unknown(field))?;
        T::deserialize(&self.values[number]).map_err(|error| {
            self.schema.misfit(number, format!("is no `{}`: {error}", std::any::type_name::<T>()))
        })
    }

    /// The fields and their values, in the order of the document.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.schema.stored.channels.iter().map(|channel| channel.name).zip(&self.values)
    }

    pub(super) fn at(&self, number: usize) -> &Value {
        &self.values[number]
    }

    /// Folds an update in that fits.
    pub(super) fn fold(&mut self, mut update: DynUpdate) -> Result<(), CellError> {
        for (number, channel) in self.schema.stored.channels.iter().enumerate() {
            let rule = &self.schema.rules[number];
            if rule.reducer.is_referenced()
                && let Some(value) = update.fields.remove(&format!("{}{}", channel.name, schema::OVERWRITE))
            {
                self.values[number] = value;
            }
            if let Some(value) = update.fields.remove(channel.name) {
                fold::fold(rule, &mut self.values[number], value)
                    .map_err(|reason| self.schema.misfit(number, reason))?;
            }
        }
        Ok(())
    }

    /// Overwrites the fields that `only` accepts with their values in an image. A growing field that is not there is empty.
    pub(super) fn overwrite(&mut self, mut image: DynUpdate, only: &dyn Fn(usize) -> bool) {
        for (number, channel) in
            self.schema.stored.channels.iter().enumerate().filter(|(number, _)| only(*number))
        {
            let rule = &self.schema.rules[number];
            match image.fields.remove(channel.name) {
                Some(value) => self.values[number] = value,
                None if rule.reducer.is_referenced() => self.values[number] = rule.nothing(),
                None => {}
            }
        }
    }

    pub(super) fn reset(&mut self, which: impl Fn(&Channel) -> bool) {
        for (number, _) in
            self.schema.stored.channels.iter().enumerate().filter(|(_, channel)| which(channel))
        {
            self.values[number] = self.schema.rules[number].default.clone();
        }
    }
}

impl Default for DynState {
    /// A state without fields; that of a graph has its own.
    fn default() -> Self {
        Self::new(&schema::NONE)
    }
}

impl fmt::Debug for DynState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.fields()).finish()
    }
}

/// Equal if it has the same fields with the same values.
impl PartialEq for DynState {
    fn eq(&self, other: &Self) -> bool {
        self.fields().eq(other.fields())
    }
}

impl Serialize for DynState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields())
    }
}

/// A graph over it is made by [`GraphDocument::build`](crate::GraphDocument::build), which knows its fields; they are in
/// [`State::schema`].
impl State for DynState {
    type Update = DynUpdate;

    const SCHEMA: &'static StateSchema = &schema::NONE_STORED;

    fn schema(&self) -> &'static StateSchema {
        &self.schema.stored
    }

    /// Folds an update in.
    ///
    /// # Panics
    /// If it does not fit. A graph from a document refuses such an update with a code before it comes here.
    fn apply(&mut self, update: DynUpdate) {
        if let Err(error) = update.fitted(self.schema).and_then(|update| self.fold(update)) {
            panic!("{error}");
        }
    }

    fn to_update(&self) -> DynUpdate {
        let fields: Map<String, Value> =
            self.fields().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        DynUpdate { fields, fits: Some(self.schema) }
    }

    fn restore(&mut self, image: DynUpdate, only: &dyn Fn(usize) -> bool) {
        self.overwrite(image, only);
    }

    fn begin_superstep(&mut self) {
        self.reset(|channel| channel.ephemeral);
    }

    fn begin_run(&mut self) {
        self.reset(|channel| channel.reset_on_run);
    }
}
