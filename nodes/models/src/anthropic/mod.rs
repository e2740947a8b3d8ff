//! Chat models behind Anthropic's Messages API.
//!
//! What goes over the wire is in `request` and `events`; the call itself is an [`Endpoint`].
//! An answer of a given form is the input of a tool that the model is made to call; it comes out as text.
//! Source: Anthropic API reference, "Create a message" and "Streaming messages", version 2023-06-01.

mod content;
mod events;
mod request;

use statewright_nodes_ports::{ChatRequest, ModelError, ModelId};

use crate::endpoint::{Endpoint, EndpointConfig, Facts, Protocol};

/// A model behind Anthropic's Messages API.
pub type Anthropic = Endpoint<Messages>;

/// Settings of a model behind Anthropic's Messages API. `/v1/messages` is added to the base URL, which may end in `/v1`
/// already.
pub type AnthropicConfig = EndpointConfig<Messages>;

/// The Messages protocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages;

impl Protocol for Messages {
    const FACTS: Facts = Facts {
        name: "Anthropic Messages",
        key_setting: "ANTHROPIC_API_KEY",
        base_url_setting: "ANTHROPIC_BASE_URL",
        model_setting: "ANTHROPIC_MODEL",
        base_url_default: "https://api.anthropic.com",
        model_default: "claude-sonnet-4-5",
        key_header: ("x-api-key", ""),
        headers: &[("anthropic-version", "2023-06-01")],
        path: &["v1", "messages"],
    };

    type Reader = events::Events;

    fn body(model: &ModelId, request: &ChatRequest, _host: Option<&str>) -> Result<Vec<u8>, ModelError> {
        request::body(model, request)
    }

    fn reader(request: &ChatRequest) -> Self::Reader {
        events::Events::new(request.output.as_ref().map(|output| output.name.clone()))
    }
}

/// Something that the protocol has no place for.
fn unsupported(what: impl Into<String>) -> ModelError {
    ModelError::Unsupported { provider: Messages::FACTS.name, what: what.into() }
}
