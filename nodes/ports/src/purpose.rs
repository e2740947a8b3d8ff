//! What a model call is for: a hint for offline models and traces, never sent to a provider.

/// Choose one of `research`, `calculate`, `both`, `neither` for a question.
pub const ROUTE: &str = "route";
/// Write the answer from the calculation and the sources in the prompt.
pub const WRITE: &str = "write";
/// Find one arithmetic expression in the question, or answer `NONE`.
pub const EXTRACT_EXPRESSION: &str = "extract_expression";
/// Review a draft.
pub const REVIEW: &str = "review";
