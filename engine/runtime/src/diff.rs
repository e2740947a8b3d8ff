//! What differs between two moments, channel by channel, and replays: the past looked at and run again. As everywhere in
//! time travel, the threads that are looked at are never touched.

use serde::Serialize;
use serde_json::Value;
use statewright_engine_core::{Reducer, Seq, State, ThreadId, Update};

use crate::error::RunError;
use crate::runner::{RunReport, Runner};

/// A channel whose value differs between two moments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelDiff {
    /// The field.
    pub channel: &'static str,
    /// How it differs.
    #[serde(flatten)]
    pub change: Change,
}

/// How a channel differs. Values are as JSON has them; what JSON cannot hold is a text that says so.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Change {
    /// The value is another one.
    Value {
        /// What it was.
        old: Value,
        /// What it is.
        new: Value,
    },
    /// Something was added at the end, or under new keys; the rest is as it was.
    Tail {
        /// What was added.
        added: Value,
    },
    /// A set has other members.
    Members {
        /// Those that are new.
        added: Vec<Value>,
        /// Those that are gone.
        removed: Vec<Value>,
    },
}

impl<S: State> Runner<S> {
    /// How the state at one entry differs from that at another, of the same thread or of its fork, in the order of the
    /// fields. Of an append channel only what was added is shown, if the rest is as it was.
    ///
    /// # Errors
    /// [`RunError::NoCheckpoint`] if a thread has no such entry.
    pub async fn diff(
        &self,
        old: (impl Into<ThreadId>, Seq),
        new: (impl Into<ThreadId>, Seq),
    ) -> Result<Vec<ChannelDiff>, RunError> {
        let old = self.state_at(old.0, old.1).await?;
        let new = self.state_at(new.0, new.1).await?;
        let pairs = values(&*old.state).into_iter().zip(values(&*new.state));
        let channels = new.state.schema().channels.iter().zip(pairs);
        Ok(channels
            .filter_map(|(channel, (old, new))| {
                let change = change(channel.reducer, old, new)?;
                Some(ChannelDiff { channel: channel.name, change })
            })
            .collect())
    }

    /// Runs again what came after this entry, on a thread of its own: a fork without an edit that is taken up at once.
    ///
    /// # Errors
    /// What a fork and a resume can fail with. If nothing was open at this entry, the fork is there and cannot be resumed.
    pub async fn replay(
        &self,
        thread: impl Into<ThreadId>,
        seq: Seq,
        into: impl Into<ThreadId>,
    ) -> Result<RunReport<S>, RunError> {
        let into = into.into();
        self.fork(thread, seq, into.clone(), S::update()).await?;
        self.resume(into).await
    }
}

/// The state as JSON: an object with a value for each field.
pub fn state_as_json<S: State>(state: &S) -> Value {
    let names = state.schema().channels.iter().map(|channel| channel.name.to_owned());
    Value::Object(names.zip(values(state)).collect())
}

/// The value of each channel; one that is empty may be null.
fn values<S: State>(state: &S) -> Vec<Value> {
    let channels = state.schema().channels;
    if let Ok(Value::Object(mut fields)) = serde_json::to_value(state.to_update()) {
        return channels.iter().map(|channel| fields.remove(channel.name).unwrap_or_default()).collect();
    }
    // Some field cannot be written as JSON: only that one is to suffer for it.
    let value = |(place, name): (usize, &str)| {
        let mut update = state.to_update();
        update.retain(&|channel| channel == place);
        match serde_json::to_value(update) {
            Ok(Value::Object(mut fields)) => fields.remove(name).unwrap_or_default(),
            Ok(other) => other,
            Err(error) => Value::String(format!("(JSON cannot hold this: {error})")),
        }
    };
    channels.iter().map(|channel| channel.name).enumerate().map(value).collect()
}

fn change(reducer: Reducer, old: Value, new: Value) -> Option<Change> {
    if old == new {
        return None;
    }
    let tail = match reducer {
        Reducer::Append => tail(&old, &new).map(|added| Change::Tail { added }),
        Reducer::Union => return members(old, new),
        _ => None,
    };
    Some(tail.unwrap_or(Change::Value { old, new }))
}

/// What `new` has beyond `old`, if it begins with that.
fn tail(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Null, new) => Some(new.clone()),
        (Value::Array(old), Value::Array(new)) => {
            new.strip_prefix(old.as_slice()).map(|added| Value::Array(added.to_vec()))
        }
        (Value::String(old), Value::String(new)) => {
            new.strip_prefix(old.as_str()).map(|added| Value::String(added.to_owned()))
        }
        (Value::Object(old), Value::Object(new)) => {
            let is_kept = old.iter().all(|(key, value)| new.get(key) == Some(value));
            let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
            is_kept.then(|| Value::Object(added.map(|(key, value)| (key.clone(), value.clone())).collect()))
        }
        _ => None,
    }
}

/// The order of a set means nothing, and may be another one each time.
fn members(old: Value, new: Value) -> Option<Change> {
    let items = |value| if let Value::Array(items) = value { items } else { Vec::new() };
    let (old, new) = (items(old), items(new));
    let beyond = |all: &[Value], known: &[Value]| -> Vec<Value> {
        all.iter().filter(|item| !known.contains(item)).cloned().collect()
    };
    let (added, removed) = (beyond(&new, &old), beyond(&old, &new));
    (!added.is_empty() || !removed.is_empty()).then_some(Change::Members { added, removed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_added_is_told_apart_from_what_was_replaced() {
        let tail = |added| Some(Change::Tail { added });
        let value = |old, new| Some(Change::Value { old, new });
        for (reducer, old, new, expected) in [
            (Reducer::Replace, json!(1), json!(1), None),
            (Reducer::Replace, json!([1]), json!([1, 2]), value(json!([1]), json!([1, 2]))),
            (Reducer::Append, json!([1]), json!([1, 2, 3]), tail(json!([2, 3]))),
            (Reducer::Append, json!(null), json!([1]), tail(json!([1]))),
            (Reducer::Append, json!([1, 2]), json!([2]), value(json!([1, 2]), json!([2]))),
            (Reducer::Append, json!("ab"), json!("abc"), tail(json!("c"))),
            (Reducer::Append, json!({"a": 1}), json!({"a": 1, "b": 2}), tail(json!({"b": 2}))),
            (Reducer::Append, json!({"a": 1}), json!({"a": 2}), value(json!({"a": 1}), json!({"a": 2}))),
            (Reducer::Union, json!(["a", "b"]), json!(["b", "a"]), None),
            (
                Reducer::Union,
                json!(["a", "b"]),
                json!(["c", "b"]),
                Some(Change::Members { added: vec![json!("c")], removed: vec![json!("a")] }),
            ),
        ] {
            assert_eq!(change(reducer, old.clone(), new.clone()), expected, "{reducer:?}: {old} to {new}");
        }
    }
}
