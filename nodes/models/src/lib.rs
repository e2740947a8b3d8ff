//! Chat models behind the port of `statewright-nodes-ports`: `offline`, `scripted`, OpenAI-compatible endpoints and
//! Anthropic's; chains of models, prices, and cassettes of what any of them said.
//!
//! Adapters only: no graph, no prompts of a pipeline and no tools. The offline model reads the tagged blocks that
//! its module documents, and nothing else ties it to a pipeline.

mod allowed;
pub mod anthropic;
pub mod cassette;
pub mod endpoint;
mod fallback;
pub mod offline;
pub mod openai;
pub mod prices;
pub mod scripted;
mod secrets;
#[cfg(feature = "test-server")]
pub mod wire;
mod witness;

pub use allowed::AllowedModels;
pub use anthropic::{Anthropic, AnthropicConfig};
pub use endpoint::{Network, Pacing, RateLimiter, RateLimits, RetryPolicy, Secret, install_tls};
pub use fallback::FallbackModel;
pub use offline::Offline;
pub use openai::{OpenAi, OpenAiConfig};
pub use prices::{Money, Prices};
pub use scripted::{Reply, Scripted};
pub use secrets::{SECRET, Scrubber, VALUE_BYTES_MIN};
