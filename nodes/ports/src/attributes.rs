//! Names of the OpenTelemetry attributes for generative AI, in one place so that every span spells them alike.
//!
//! Names only: nothing here creates spans.
//! Source: OpenTelemetry semantic conventions, generative AI spans (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>).

/// What the span does: `chat`, `execute_tool`, …
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// The provider, such as `openai`.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The model that was asked for.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The sampling temperature that was asked for.
pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
/// The most output tokens that were asked for.
pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Why generation ended, as a list of one.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Tokens of the prompt, cached ones included.
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the prompt that a provider's cache served.
pub const USAGE_CACHED_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Tokens of the answer.
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// The version of the prompt that was asked with, outside the conventions, which have no name for it.
pub const PROMPT_VERSION: &str = "statewright.prompt.version";
/// The name of the tool that is run.
pub const TOOL_NAME: &str = "gen_ai.tool.name";
/// The id of the tool call that is run.
pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
/// The name of the agent (our node).
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// The class or code of an error, outside the `gen_ai` namespace by the conventions.
pub const ERROR_TYPE: &str = "error.type";
