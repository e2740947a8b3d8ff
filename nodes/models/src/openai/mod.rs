//! Chat models behind an OpenAI-compatible Chat Completions endpoint.
//!
//! What goes over the wire is in `request` and `chunk`; the call itself is an [`Endpoint`].
//! Source: OpenAI API reference, "Create chat completion" and its streaming events.

mod chunk;
mod request;

use statewright_nodes_ports::{ChatRequest, ModelError, ModelId};

pub use crate::endpoint::{EVENT_BYTES_MAX, SseParser};
use crate::endpoint::{Endpoint, EndpointConfig, Facts, Protocol};

/// A model behind an OpenAI-compatible endpoint.
pub type OpenAi = Endpoint<ChatCompletions>;

/// Settings of a model behind an OpenAI-compatible endpoint. The base URL usually ends in `/v1`; `/chat/completions` is
/// added.
pub type OpenAiConfig = EndpointConfig<ChatCompletions>;

/// The Chat Completions protocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatCompletions;

impl Protocol for ChatCompletions {
    const FACTS: Facts = Facts {
        name: "Chat Completions",
        key_setting: "OPENAI_API_KEY",
        base_url_setting: "OPENAI_BASE_URL",
        model_setting: "OPENAI_MODEL",
        base_url_default: "https://api.openai.com/v1",
        model_default: "gpt-4.1-mini",
        key_header: ("authorization", "Bearer "),
        headers: &[],
        path: &["chat", "completions"],
    };

    type Reader = chunk::Chunks;

    fn body(model: &ModelId, request: &ChatRequest, host: Option<&str>) -> Result<Vec<u8>, ModelError> {
        request::body(model, request, host)
    }

    fn reader(_: &ChatRequest) -> Self::Reader {
        chunk::Chunks::default()
    }
}
