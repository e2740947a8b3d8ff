//! Chat models behind the port of `statewright-nodes-ports`: `offline`, `scripted`, OpenAI-compatible endpoints, and
//! cassettes of what any of them said.
//!
//! Adapters only: no graph, no prompts of a pipeline and no tools. The offline model reads the tagged blocks that
//! its module documents, and nothing else ties it to a pipeline.

pub mod cassette;
pub mod offline;
pub mod openai;
pub mod scripted;
mod secrets;
#[cfg(feature = "test-server")]
pub mod wire;
mod witness;

pub use offline::Offline;
pub use openai::{OpenAi, OpenAiConfig, Pacing, RetryPolicy, Secret, install_tls};
pub use scripted::{Reply, Scripted};
pub use secrets::{SECRET, Scrubber, VALUE_BYTES_MIN};
