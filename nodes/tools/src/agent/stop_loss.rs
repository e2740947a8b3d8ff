//! Notices a model that goes in circles: one call again and again, or one failure after the other. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use statewright_nodes_ports::{ToolCall, ToolResult};

use super::limits::{Limits, Stopped};

/// What was called so far and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StopLoss {
    calls: BTreeMap<String, Called>,
    /// Calls of which nobody knows whether they took place.
    unknown: BTreeSet<String>,
    /// The last iteration's failure, and how many iterations ended with it in a row.
    failure: Option<(String, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Called {
    content: String,
    times: u32,
}

/// What to do with a call, as far as earlier ones tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Nothing speaks against it.
    Fresh,
    /// The same call began before and was not seen to end.
    Unsure,
    /// It gave the same result too often.
    Refuse,
    /// It was refused already.
    Stop,
}

impl StopLoss {
    pub(crate) fn judge(&self, limits: &Limits, call: &ToolCall) -> Repeat {
        let key = key(call);
        match self.calls.get(&key).map_or(0, |called| called.times) {
            times if times > limits.identical_calls => Repeat::Stop,
            times if times == limits.identical_calls => Repeat::Refuse,
            _ if self.unknown.contains(&key) => Repeat::Unsure,
            _ => Repeat::Fresh,
        }
    }

    /// Takes in what one iteration came to. `refused` says of each call whether it was refused for its repetition.
    pub(crate) fn note(
        &mut self,
        limits: &Limits,
        calls: &[(&ToolCall, &ToolResult, Fate)],
    ) -> Option<Stopped> {
        // Calls of one answer were asked for without knowing of each other's results, so equal ones count once.
        let mut seen = BTreeSet::new();
        for (call, result, fate) in calls {
            let key = key(call);
            if *fate == Fate::Unknown {
                self.unknown.insert(key.clone());
            }
            if seen.insert(key.clone()) {
                self.count(key, &result.content, *fate);
            }
        }
        self.fail(limits, calls)
    }

    fn count(&mut self, key: String, content: &str, fate: Fate) {
        let called =
            self.calls.entry(key).or_insert_with(|| Called { content: content.to_owned(), times: 0 });
        if fate == Fate::Refused || called.content == content {
            called.times += 1;
        } else {
            *called = Called { content: content.to_owned(), times: 1 };
        }
    }

    fn fail(&mut self, limits: &Limits, calls: &[(&ToolCall, &ToolResult, Fate)]) -> Option<Stopped> {
        let first = calls.first().filter(|_| calls.iter().all(|(_, result, _)| result.is_error));
        let Some((call, result, _)) = first else {
            self.failure = None;
            return None;
        };
        let key = format!("{}\n{}", call.name, result.content);
        let times = match self.failure.take() {
            Some((last, times)) if last == key => times + 1,
            _ => 1,
        };
        self.failure = Some((key, times));
        let stopped = || Stopped::Failures {
            tool: call.name.clone(),
            failure: result.content.chars().take(FAILURE_CHARS_MAX).collect(),
            times,
        };
        (times >= limits.identical_failures).then(stopped)
    }
}

/// How much of a failure is told to people.
const FAILURE_CHARS_MAX: usize = 300;

/// How a call ended, beyond its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was done, or was not allowed.
    Known,
    /// It was refused because it repeats itself.
    Refused,
    /// It may have taken place.
    Unknown,
}

/// The same for calls that differ only in how their arguments are written down.
fn key(call: &ToolCall) -> String {
    let arguments = call.arguments_json().map(|arguments| canonical(&arguments).to_string());
    format!("{}\n{}", call.name, arguments.unwrap_or_else(|_| call.arguments.clone()))
}

/// With the fields of objects in order, whatever order the build keeps them in.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, Value> =
                fields.iter().map(|(name, value)| (name, canonical(value))).collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        scalar => scalar.clone(),
    }
}
