//! A stored update as a migration sees it: the fields that it writes, by name, each as the bytes of its value. No value is
//! read unless the migration asks for it, so whatever it leaves alone stays as it was written, to the byte.

use serde::{Serialize, de::DeserializeOwned};

/// A field that does not have the type that a migration expects, or that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field `{name}` {reason}")]
pub struct FieldError {
    name: String,
    reason: String,
}

/// An update of an earlier version of a state, as it was stored. A field that is absent was not written.
///
/// ```
/// use statewright_engine_core::StoredUpdate;
///
/// let mut update = StoredUpdate::default();
/// update.put("price", &12u32)?;
/// if let Some(price) = update.take::<u32>("price")? {
///     update.put("cents", &(u64::from(price) * 100))?;
/// }
/// assert_eq!(update.names().collect::<Vec<_>>(), ["cents"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredUpdate {
    fields: Vec<(String, Vec<u8>)>,
}

impl StoredUpdate {
    /// The fields that it writes, in the order in which they are stored. Under `notes:overwrite` stands what replaces all
    /// that the growing field `notes` holds; it is taken and put by that name, and goes along when the field is renamed or
    /// removed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Takes a field out; nothing if the update does not write it. Of a field that grows this is what was added.
    ///
    /// # Errors
    /// [`FieldError`] if the value is of another type.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, FieldError> {
        let Some(place) = self.place(name) else { return Ok(None) };
        let value = rmp_serde::from_slice(&self.fields[place].1).map_err(|error| FieldError {
            name: name.to_owned(),
            reason: format!("is not a `{}`: {error}", std::any::type_name::<T>()),
        })?;
        self.fields.remove(place);
        Ok(Some(value))
    }

    /// Writes a field, in place of what it may have written before.
    ///
    /// # Errors
    /// [`FieldError`] if the value cannot be stored.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), FieldError> {
        let bytes = rmp_serde::to_vec_named(value).map_err(|error| FieldError {
            name: name.to_owned(),
            reason: format!("cannot be stored: {error}"),
        })?;
        match self.place(name) {
            Some(place) => self.fields[place].1 = bytes,
            None => self.fields.push((name.to_owned(), bytes)),
        }
        Ok(())
    }

    /// Forgets what it writes to a field, added or overwritten. Says whether it wrote it.
    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.remove_exactly(name);
        self.remove_exactly(&overwrite(name)) || removed
    }

    /// Lets a field be written under another name. One that is written under that name already wins.
    pub fn rename(&mut self, from: &str, to: &str) {
        self.rename_exactly(from, to);
        self.rename_exactly(&overwrite(from), &overwrite(to));
    }

    fn remove_exactly(&mut self, name: &str) -> bool {
        let place = self.place(name);
        place.map(|place| self.fields.remove(place)).is_some()
    }

    fn rename_exactly(&mut self, from: &str, to: &str) {
        if self.place(to).is_some() {
            self.remove_exactly(from);
        } else if let Some(place) = self.place(from) {
            to.clone_into(&mut self.fields[place].0);
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(known, _)| known == name)
    }

    /// Reads a MessagePack map with the names of fields as its keys.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let wrong = || "the stored update is no map of fields".to_owned();
        let (count, mut rest) = map_header(bytes).ok_or_else(wrong)?;
        let mut fields = Vec::new();
        for _ in 0..count {
            let (key, behind) = value(rest).ok_or_else(wrong)?;
            let (value, behind) = value(behind).ok_or_else(wrong)?;
            let name: String = rmp_serde::from_slice(key).map_err(|error| error.to_string())?;
            fields.push((name, value.to_vec()));
            rest = behind;
        }
        if rest.is_empty() { Ok(Self { fields }) } else { Err(wrong()) }
    }

    /// The map as bytes; none at all if it writes nothing.
    pub(crate) fn write(&self) -> Vec<u8> {
        if self.fields.is_empty() {
            return Vec::new();
        }
        let count = self.fields.len() as u32;
        let mut bytes = match count {
            0..16 => vec![0x80 | count as u8],
            _ => [&[0xdf][..], &count.to_be_bytes()].concat(),
        };
        for (name, value) in &self.fields {
            bytes.extend(string_header(name.len()));
            bytes.extend(name.as_bytes());
            bytes.extend(value);
        }
        bytes
    }
}

/// The name under which an update replaces all that a growing field holds.
fn overwrite(name: &str) -> String {
    format!("{name}:overwrite")
}

fn string_header(len: usize) -> Vec<u8> {
    match len {
        0..32 => vec![0xa0 | len as u8],
        32..256 => vec![0xd9, len as u8],
        _ => [&[0xdb][..], &(len as u32).to_be_bytes()].concat(),
    }
}

/// How many pairs a map has, and what stands behind its header.
fn map_header(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (marker, rest) = bytes.split_first()?;
    match marker {
        0x80..=0x8f => Some((u64::from(marker & 0x0f), rest)),
        0xde => number(rest, 2),
        0xdf => number(rest, 4),
        _ => None,
    }
}

/// A big-endian number of so many bytes, and what stands behind it.
fn number(bytes: &[u8], len: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(len)?;
    Some((digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)), rest))
}

/// The first value, and what stands behind it. Without recursion, since stored bytes may be nested as deep as they like.
/// <https://github.com/msgpack/msgpack/blob/master/spec.md>
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut rest, mut open) = (bytes, 1_u64);
    while open > 0 {
        let (marker, behind) = rest.split_first()?;
        // How many bytes hold a length, what of the value stands behind them, and how many values it has inside.
        let (length, fixed, inside) = match marker {
            0x80..=0x8f => (0, 0, 2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => (0, 0, u64::from(marker & 0x0f)),
            0xa0..=0xbf => (0, usize::from(marker & 0x1f), 0),
            0xc1 => return None,
            0xc4 | 0xd9 => (1, 0, 0),
            0xc5 | 0xda => (2, 0, 0),
            0xc6 | 0xdb => (4, 0, 0),
            0xc7 => (1, 1, 0),
            0xc8 => (2, 1, 0),
            0xc9 => (4, 1, 0),
            0xcc | 0xd0 => (0, 1, 0),
            0xcd | 0xd1 => (0, 2, 0),
            0xca | 0xce | 0xd2 => (0, 4, 0),
            0xcb | 0xcf | 0xd3 => (0, 8, 0),
            0xd4..=0xd8 => (0, 1 + (1 << (marker - 0xd4)), 0),
            0xdc | 0xde => (2, 0, 1),
            0xdd | 0xdf => (4, 0, 1),
            _ => (0, 0, 0),
        };
        let (count, behind) = number(behind, length)?;
        let skipped = if inside == 0 { fixed + usize::try_from(count).ok()? } else { 0 };
        rest = behind.get(skipped..)?;
        let children = match marker {
            0xdc | 0xdd => count,
            0xde | 0xdf => 2 * count,
            _ => inside,
        };
        open = open - 1 + children;
    }
    Some(bytes.split_at(bytes.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whatever_a_migration_leaves_alone_stays_as_it_was_to_the_byte() {
        let value = serde_json::json!({
            "text": "x".repeat(300), "list": [1, -1, 70_000, 1.5, null, true], "deep": [[[[{"a": []}]]]],
            "map": { "k": "v" }, "long": vec![7; 70_000], "name_of_more_than_thirty_one_letters_": "y".repeat(40),
        });
        let bytes = rmp_serde::to_vec_named(&value).unwrap();
        let mut update = StoredUpdate::read(&bytes).unwrap();
        assert_eq!(update.write(), bytes);
        update.rename("text", "words");
        assert!(update.remove("deep") && !update.remove("deep"));
        assert_eq!(update.take::<Vec<u32>>("long").unwrap().unwrap().len(), 70_000);
        update.put("map", &"flat").unwrap();
        let back: serde_json::Value = rmp_serde::from_slice(&update.write()).unwrap();
        assert_eq!((&back["words"], &back["map"]), (&value["text"], &"flat".into()));
        assert_eq!(back.as_object().unwrap().len(), 4);
    }

    #[test]
    fn a_field_of_another_type_is_named_and_stays() {
        let mut update = StoredUpdate::default();
        update.put("age", "seven").unwrap();
        let error = update.take::<u32>("age").unwrap_err().to_string();
        assert!(error.starts_with("the field `age` is not a `u32`: "), "{error}");
        assert_eq!(update.take::<String>("age").unwrap().as_deref(), Some("seven"));
        assert_eq!(update.write(), b"", "what writes nothing is stored as nothing");
    }

    #[test]
    fn what_overwrites_a_field_goes_along_with_it() {
        let mut update = StoredUpdate::default();
        for name in ["notes", "notes:overwrite", "tags:overwrite", "title"] {
            update.put(name, name).unwrap();
        }
        update.rename("notes", "remarks");
        assert!(update.remove("tags") && !update.remove("tags"));
        update.rename("title", "heading");
        assert_eq!(update.names().collect::<Vec<_>>(), ["remarks", "remarks:overwrite", "heading"]);
        assert_eq!(update.take::<String>("remarks:overwrite").unwrap().as_deref(), Some("notes:overwrite"));
    }

    #[test]
    fn more_than_fifteen_fields_have_a_longer_header() {
        let mut update = StoredUpdate::default();
        for place in 0..20 {
            update.put(&format!("f{place}"), &place).unwrap();
        }
        assert_eq!(StoredUpdate::read(&update.write()).unwrap(), update);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_map_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(update) = StoredUpdate::read(&bytes) {
                prop_assert!(update.names().count() <= bytes.len());
            }
        }
    }
}
