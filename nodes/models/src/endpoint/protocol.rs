//! What differs between providers: where they are, how a request is written, how an answer is read.

use std::{collections::VecDeque, fmt::Debug};

use serde_json::Value;
use statewright_nodes_ports::{ChatDelta, ChatRequest, ErrorClass, ModelError, ModelId, body_excerpt};

/// The protocol of a provider, over HTTP and server-sent events. An [`Endpoint`](super::Endpoint) does the rest:
/// attempts, time limits, rate limits, the key.
pub trait Protocol: Debug + Clone + Copy + Default + Send + Sync + 'static {
    /// What is known of it beforehand.
    const FACTS: Facts;
    /// What reads one answer.
    type Reader: EventReader;

    /// The JSON body of a request to a server of this name. `purpose` and `idempotency_key` are no part of it.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for what it has no place for, [`ModelError::Configuration`] for what JSON has none for.
    fn body(model: &ModelId, request: &ChatRequest, host: Option<&str>) -> Result<Vec<u8>, ModelError>;

    /// A reader for the answer to this request.
    fn reader(request: &ChatRequest) -> Self::Reader;
}

/// What is known of a protocol before anything is sent.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Its name, for errors.
    pub name: &'static str,
    /// The variable that the key comes from.
    pub key_setting: &'static str,
    /// The variable that the base URL comes from.
    pub base_url_setting: &'static str,
    /// The variable that the model comes from.
    pub model_setting: &'static str,
    /// The base URL when a key is set alone.
    pub base_url_default: &'static str,
    /// The model when none is set.
    pub model_default: &'static str,
    /// The header that carries the key, in lower case, and what stands before the key in it.
    pub key_header: (&'static str, &'static str),
    /// Further headers, names in lower case.
    pub headers: &'static [(&'static str, &'static str)],
    /// What is added to the path of the base URL. A first part that the base URL ends with is not repeated.
    pub path: &'static [&'static str],
}

/// Reads the events of one answer.
pub trait EventReader: Send + 'static {
    /// Adds the deltas of one event's data, and says whether the answer is over.
    ///
    /// # Errors
    /// [`ModelError::Protocol`] for what is no event of the protocol, [`ModelError::Reported`] for an error in its place.
    fn read(&mut self, data: &str, deltas: &mut VecDeque<ChatDelta>) -> Result<bool, ModelError>;
}

/// A body with the caller's fields over it, as bytes.
pub(crate) fn with_extra(body: &impl serde::Serialize, request: &ChatRequest) -> Result<Vec<u8>, ModelError> {
    let written = if request.extra_body.is_empty() {
        serde_json::to_vec(body)
    } else {
        serde_json::to_value(body).and_then(|mut body| {
            if let Value::Object(fields) = &mut body {
                fields.extend(request.extra_body.clone());
            }
            serde_json::to_vec(&body)
        })
    };
    written.map_err(|error| ModelError::Configuration {
        setting: "the request".to_owned(),
        problem: format!("it cannot be written as JSON ({error}); report this as a bug"),
    })
}

/// A temperature that JSON can carry.
pub(crate) fn checked_temperature(request: &ChatRequest) -> Result<Option<f32>, ModelError> {
    match request.temperature.filter(|temperature| !temperature.is_finite()) {
        None => Ok(request.temperature),
        Some(_) => Err(ModelError::Configuration {
            setting: "the temperature".to_owned(),
            problem: "it is not a finite number; use a number from 0 to 2".to_owned(),
        }),
    }
}

pub(crate) fn not_an_event(error: &serde_json::Error, data: &str) -> ModelError {
    ModelError::Protocol {
        detail: format!("an event of the stream is not a JSON chunk ({error}): {}", body_excerpt(data)),
    }
}

/// An error object in place of an event. Servers agree on neither type nor code, so both are looked at.
pub(crate) fn reported(error: &Value) -> ModelError {
    let field = |name: &str| match error.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let words = [field("type"), field("code"), field("status")].join(" ").to_lowercase();
    let passing =
        ["rate_limit", "overloaded", "server_error", "internal_error", "api_error", "unavailable", "timeout"];
    let statuses = ["408", "425", "429", "500", "502", "503", "504", "529"];
    let transient = passing.iter().any(|word| words.contains(word))
        || words.split_whitespace().any(|word| statuses.contains(&word));
    let message = match error {
        Value::String(text) => text.clone(),
        _ if !field("message").is_empty() => field("message"),
        _ => error.to_string(),
    };
    let class = if transient { ErrorClass::Transient } else { ErrorClass::Permanent };
    ModelError::Reported { message: body_excerpt(&message), class }
}
