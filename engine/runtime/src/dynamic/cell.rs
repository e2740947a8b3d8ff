//! The cell of a state that is data: what [`TypedCell`](statewright_engine_core::TypedCell) is for a type. What it stores
//! is, byte for byte, what a type with the same fields would store.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};
use statewright_engine_core::{
    CellError, FieldChange, Snapshot, State, StateCell, StateSchema, Update, UpdateValue,
};

use super::fold::adds_nothing;
use super::schema::DynSchema;
use super::state::DynState;
use super::update::DynUpdate;

pub(super) struct DynCell {
    schema: &'static DynSchema,
    state: Arc<DynState>,
}

impl DynCell {
    pub(super) fn new(schema: &'static DynSchema) -> Self {
        Self { schema, state: Arc::new(DynState::new(schema)) }
    }

    /// A stored update, which fits unless another program wrote it.
    fn decode(&self, bytes: &[u8]) -> Result<DynUpdate, CellError> {
        let wrong = |reason: String| CellError::Decode { state: self.schema.stored.name, reason };
        let fields: Map<String, Value> =
            rmp_serde::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        DynUpdate::from(fields).fitted(self.schema).map_err(|error| wrong(error.to_string()))
    }

    /// The update in the form in which it is stored.
    fn fitted<'a>(
        &self,
        value: &'a (dyn std::any::Any + Send + Sync),
    ) -> Result<Cow<'a, DynUpdate>, CellError> {
        let update = value.downcast_ref::<DynUpdate>();
        let update = update.ok_or(CellError::Foreign { state: self.schema.stored.name })?;
        if update.fits.is_some_and(|known| std::ptr::eq(known, self.schema)) {
            return Ok(Cow::Borrowed(update));
        }
        update.clone().fitted(self.schema).map(Cow::Owned)
    }

    fn unwritable(&self, reason: String) -> CellError {
        CellError::Encode { state: self.schema.stored.name, reason }
    }
}

impl StateCell for DynCell {
    fn schema(&self) -> &'static StateSchema {
        &self.schema.stored
    }

    fn changes(&self) -> &'static [FieldChange] {
        &[]
    }

    /// A document declares no changes, so a field is where it was.
    fn migrate(&self, update: &[u8], _stored: u32) -> Result<Vec<u8>, CellError> {
        Ok(update.to_vec())
    }

    fn begin_older(&mut self, _stored: u32) {}

    fn snapshot(&self) -> Snapshot {
        self.state.clone()
    }

    fn apply(
        &mut self,
        update: &mut UpdateValue,
        only: Option<&dyn Fn(usize) -> bool>,
    ) -> Result<(), CellError> {
        let mut update = match std::mem::replace(update, UpdateValue::Empty) {
            UpdateValue::Empty => return Ok(()),
            UpdateValue::Live(value) => {
                let update = value.downcast::<DynUpdate>();
                let update = update.map_err(|_| CellError::Foreign { state: self.schema.stored.name })?;
                DynUpdate::fitted(*update, self.schema)?
            }
            UpdateValue::Bytes(bytes) => self.decode(&bytes)?,
        };
        if let Some(keep) = only {
            update.retain(keep);
        }
        Arc::make_mut(&mut self.state).fold(update)
    }

    fn encode_into(&self, update: &UpdateValue, out: &mut Vec<u8>) -> Result<(), CellError> {
        match update {
            UpdateValue::Empty => Ok(()),
            UpdateValue::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            UpdateValue::Live(value) => {
                let update = self.fitted(value.as_ref())?;
                if update.is_empty() {
                    return Ok(());
                }
                update.write(self.schema, out).map_err(|reason| self.unwritable(reason))
            }
        }
    }

    fn written(&self, update: &UpdateValue, visit: &mut dyn FnMut(usize)) -> Result<(), CellError> {
        match update {
            UpdateValue::Empty => {}
            UpdateValue::Bytes(bytes) => self.decode(bytes)?.written(visit),
            UpdateValue::Live(value) => self.fitted(value.as_ref())?.written(visit),
        }
        Ok(())
    }

    fn overwritten(&self, update: &UpdateValue, visit: &mut dyn FnMut(usize)) -> Result<(), CellError> {
        match update {
            UpdateValue::Empty => {}
            UpdateValue::Bytes(bytes) => self.decode(bytes)?.overwritten(visit),
            UpdateValue::Live(value) => self.fitted(value.as_ref())?.overwritten(visit),
        }
        Ok(())
    }

    fn image(&self, keep: &dyn Fn(usize) -> bool) -> Result<Vec<u8>, CellError> {
        let mut image = self.state.to_update();
        image.retain(keep);
        let rules = &self.schema.rules;
        let is_empty = |name: &String, value: &Value| {
            let number = self.schema.number(name);
            number.is_some_and(|number| rules[number].reducer.is_referenced() && adds_nothing(value))
        };
        image.fields.retain(|name, value| !is_empty(name, value));
        let mut bytes = Vec::new();
        image.write(self.schema, &mut bytes).map_err(|reason| self.unwritable(reason))?;
        Ok(bytes)
    }

    fn restore(&mut self, image: &[u8], only: &dyn Fn(usize) -> bool) -> Result<(), CellError> {
        let image = self.decode(image)?;
        Arc::make_mut(&mut self.state).overwrite(image, only);
        Ok(())
    }

    fn begin_superstep(&mut self) {
        if self.schema.stored.channels.iter().any(|channel| channel.ephemeral) {
            Arc::make_mut(&mut self.state).begin_superstep();
        }
    }

    fn begin_run(&mut self) {
        Arc::make_mut(&mut self.state).begin_run();
    }
}
