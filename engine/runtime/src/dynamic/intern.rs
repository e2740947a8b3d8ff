//! Names that come from documents and live as long as the process: the engine's tables refer to names for ever, as they
//! do to those that stand in a program. Each is kept once, so loading a document again costs nothing, and all of them
//! together are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::schema::DynSchema;
use crate::lock::lock;

/// What all names and schemas of a process may take, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a schema or a name costs beside its text.
const ENTRY_BYTES: usize = 64;

static KEPT: Mutex<Kept> =
    Mutex::new(Kept { bytes: 0, names: BTreeSet::new(), lists: BTreeSet::new(), schemas: BTreeMap::new() });

struct Kept {
    bytes: usize,
    names: BTreeSet<&'static str>,
    lists: BTreeSet<&'static [&'static str]>,
    schemas: BTreeMap<String, &'static DynSchema>,
}

/// There is no room for another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Full {
    pub(super) const BYTES_MAX: usize = BYTES_MAX;
}

impl Kept {
    fn take(&mut self, bytes: usize) -> Result<(), Full> {
        let all = self.bytes.saturating_add(bytes).saturating_add(ENTRY_BYTES);
        if all > BYTES_MAX {
            return Err(Full);
        }
        self.bytes = all;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<&'static str, Full> {
        if let Some(known) = self.names.get(name) {
            return Ok(known);
        }
        self.take(name.len())?;
        let name: &'static str = Box::leak(Box::from(name));
        self.names.insert(name);
        Ok(name)
    }
}

/// The name, for ever.
pub(super) fn name(name: &str) -> Result<&'static str, Full> {
    lock(&KEPT).name(name)
}

/// A list of names, for ever.
pub(super) fn names(names: &[&'static str]) -> Result<&'static [&'static str], Full> {
    let mut kept = lock(&KEPT);
    if let Some(known) = kept.lists.get(names) {
        return Ok(known);
    }
    kept.take(size_of_val(names))?;
    let list: &'static [&'static str] = Box::leak(Box::from(names));
    kept.lists.insert(list);
    Ok(list)
}

/// The schema that is described by this text, made if there is none yet.
pub(super) fn schema(
    text: String,
    make: impl FnOnce() -> Result<DynSchema, Full>,
) -> Result<&'static DynSchema, Full> {
    if let Some(known) = lock(&KEPT).schemas.get(&text) {
        return Ok(known);
    }
    // Made without the lock, since its names are taken one by one.
    let made = make()?;
    let mut kept = lock(&KEPT);
    if let Some(known) = kept.schemas.get(&text) {
        return Ok(known);
    }
    // The text stands for the rules and their defaults, which are about as large.
    kept.take(text.len().saturating_mul(4))?;
    let schema: &'static DynSchema = Box::leak(Box::new(made));
    kept.schemas.insert(text, schema);
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_all_together_are_bounded() {
        let first = name("a name of this test").unwrap();
        assert!(std::ptr::eq(first, name(&String::from("a name of this test")).unwrap()));
        assert!(std::ptr::eq(names(&[first]).unwrap(), names(&[first]).unwrap()));
        let mut kept =
            Kept { bytes: 0, names: BTreeSet::new(), lists: BTreeSet::new(), schemas: BTreeMap::new() };
        assert_eq!(kept.take(BYTES_MAX - ENTRY_BYTES + 1), Err(Full));
        assert_eq!(kept.take(BYTES_MAX - ENTRY_BYTES), Ok(()));
        assert_eq!(kept.name("another"), Err(Full));
    }
}
