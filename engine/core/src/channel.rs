//! Channels: the fields of a state, each with the rule by which writes are folded into it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a write is folded into a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reducer {
    /// The new value replaces the old one; two writers in one superstep are an error.
    Replace,
    /// The new value replaces the old one; of several writers in one superstep the last in merge order wins.
    Last,
    /// Items are added at the end.
    Append,
    /// Items are added to a set.
    Union,
    /// Items replace the item with the same key, or are added at the end.
    Upsert,
    /// The value is added.
    Sum,
    /// The smaller value stays.
    Min,
    /// The larger value stays.
    Max,
    /// A function of the user's folds the value.
    Custom,
}

impl Reducer {
    /// The word that the derive macro, stored schemas and messages use.
    pub fn name(self) -> &'static str {
        match self {
            Reducer::Replace => "replace",
            Reducer::Last => "last",
            Reducer::Append => "append",
            Reducer::Union => "union",
            Reducer::Upsert => "upsert",
            Reducer::Sum => "sum",
            Reducer::Min => "min",
            Reducer::Max => "max",
            Reducer::Custom => "custom",
        }
    }

    /// Whether a snapshot refers to the records that wrote this channel instead of holding its value.
    /// These channels grow with history, so a copy in each snapshot would store the history many times.
    pub fn is_referenced(self) -> bool {
        matches!(self, Reducer::Append | Reducer::Union | Reducer::Upsert)
    }
}

/// One field of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The field's name.
    pub name: &'static str,
    /// How writes are folded.
    pub reducer: Reducer,
    /// Reset to its default before the writes of each superstep are folded.
    pub ephemeral: bool,
    /// Reset to its default when a new run starts on the thread.
    pub reset_on_run: bool,
}

/// A write to a channel that holds one value. Unlike `Option<Option<T>>` it keeps "not written" and "written to
/// nothing" apart in every self-describing format: a field that is absent was not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Write<T> {
    /// The update says nothing about the channel.
    #[default]
    Keep,
    /// The update writes this value.
    Set(T),
}

impl<T> Write<T> {
    /// Whether the update says nothing about the channel.
    pub fn is_keep(&self) -> bool {
        matches!(self, Write::Keep)
    }
}

impl<T: Serialize> Serialize for Write<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Derived updates skip the field instead, so this is only met by hand-written formats.
            Write::Keep => serializer.serialize_none(),
            Write::Set(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Write<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Write::Set)
    }
}

/// A collection that `#[reduce(append)]` can grow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot use `#[reduce(append)]`",
    label = "not an appendable collection",
    note = "append works on Vec, VecDeque, String, BTreeMap and HashMap; for numbers use `sum`, `max` or `min`, for sets use `union`"
)]
pub trait Appendable: Default + Clone {
    /// What one call of the update's setter adds.
    type Item;
    /// Adds one item at the end.
    fn push_item(&mut self, item: Self::Item);
    /// Adds all items of another collection, in their order.
    fn append_all(&mut self, other: Self);
    /// Whether there is nothing in it.
    fn has_no_items(&self) -> bool;
}

impl<T: Clone> Appendable for Vec<T> {
    type Item = T;
    fn push_item(&mut self, item: T) {
        self.push(item);
    }
    fn append_all(&mut self, mut other: Self) {
        self.append(&mut other);
    }
    fn has_no_items(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Clone> Appendable for VecDeque<T> {
    type Item = T;
    fn push_item(&mut self, item: T) {
        self.push_back(item);
    }
    fn append_all(&mut self, mut other: Self) {
        self.append(&mut other);
    }
    fn has_no_items(&self) -> bool {
        self.is_empty()
    }
}

impl Appendable for String {
    type Item = String;
    fn push_item(&mut self, item: String) {
        self.push_str(&item);
    }
    fn append_all(&mut self, other: Self) {
        self.push_str(&other);
    }
    fn has_no_items(&self) -> bool {
        self.is_empty()
    }
}

impl<K: Ord + Clone, V: Clone> Appendable for BTreeMap<K, V> {
    type Item = (K, V);
    fn push_item(&mut self, (key, value): (K, V)) {
        self.insert(key, value);
    }
    fn append_all(&mut self, mut other: Self) {
        self.append(&mut other);
    }
    fn has_no_items(&self) -> bool {
        self.is_empty()
    }
}

impl<K: Eq + Hash + Clone, V: Clone, B: BuildHasher + Default + Clone> Appendable for HashMap<K, V, B> {
    type Item = (K, V);
    fn push_item(&mut self, (key, value): (K, V)) {
        self.insert(key, value);
    }
    fn append_all(&mut self, other: Self) {
        self.extend(other);
    }
    fn has_no_items(&self) -> bool {
        self.is_empty()
    }
}

/// A set that `#[reduce(union)]` can grow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot use `#[reduce(union)]`",
    label = "not a set",
    note = "union works on BTreeSet and HashSet; for lists use `append`, or `upsert = key_function` to replace by key"
)]
pub trait Unionable: Default + Clone {
    /// What one call of the update's setter adds.
    type Item;
    /// Adds one item.
    fn insert_item(&mut self, item: Self::Item);
    /// Adds all items of another set.
    fn union_all(&mut self, other: Self);
    /// Whether there is nothing in it.
    fn has_no_items(&self) -> bool;
}

impl<T: Ord + Clone> Unionable for BTreeSet<T> {
    type Item = T;
    fn insert_item(&mut self, item: T) {
        self.insert(item);
    }
    fn union_all(&mut self, mut other: Self) {
        self.append(&mut other);
    }
    fn has_no_items(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Eq + Hash + Clone, B: BuildHasher + Default + Clone> Unionable for HashSet<T, B> {
    type Item = T;
    fn insert_item(&mut self, item: T) {
        self.insert(item);
    }
    fn union_all(&mut self, other: Self) {
        self.extend(other);
    }
    fn has_no_items(&self) -> bool {
        self.is_empty()
    }
}

/// A number that `#[reduce(sum)]` can add up.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot use `#[reduce(sum)]`",
    label = "not a number",
    note = "sum works on numbers and on types with `AddAssign`; for text and lists use `append`"
)]
pub trait Summable: Sized {
    /// Adds `value`.
    fn sum_in(&mut self, value: Self);
}

impl<T: std::ops::AddAssign> Summable for T {
    fn sum_in(&mut self, value: Self) {
        *self += value;
    }
}

/// Folds `incoming` into `list`: an item replaces the one with the same key, where it stands, or is added at the end.
/// Costs O(length of the list) for each incoming item.
pub fn upsert<T, K: PartialEq>(list: &mut Vec<T>, incoming: Vec<T>, key: impl Fn(&T) -> K) {
    for item in incoming {
        let wanted = key(&item);
        match list.iter().position(|present| key(present) == wanted) {
            Some(place) => list[place] = item,
            None => list.push(item),
        }
    }
}
