//! The port for counting tokens. The exact tokenizer lives elsewhere, so that a crate can count without linking it.

/// Counts the tokens of a text as one named tokenizer sees them.
///
/// Implementations load their vocabulary lazily, on the first [`count`](TokenCounter::count).
pub trait TokenCounter: Send + Sync {
    /// The number of tokens in `text`, without special tokens or message framing.
    fn count(&self, text: &str) -> usize;

    /// The tokenizer's name, such as `o200k_base`; stored beside counts, so that they stay comparable.
    fn name(&self) -> &str;
}
