//! The exact token counter. Not the trait: that is `statewright_nodes_ports::TokenCounter`.

use statewright_nodes_ports::TokenCounter;

/// Counts `cl100k_base` tokens.
///
/// Making one costs nothing. The first count of the process loads the vocabulary (0.1 to 0.3 seconds and
/// 25 MB, once, shared by all counters), so a program that never counts never pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cl100k;

impl TokenCounter for Cl100k {
    fn count(&self, text: &str) -> usize {
        // The singleton is a `OnceLock` of the library; the vocabulary is compiled in, so loading cannot fail.
        tiktoken_rs::cl100k_base_singleton().count_ordinary(text)
    }

    fn name(&self) -> &'static str {
        "cl100k_base"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_the_reference_tokenizer() {
        for (text, tokens) in [
            ("", 0),
            ("hello world", 2),
            ("tiktoken is great!", 6),
            ("What is 150 × 223.48?", 10),
            ("<|endoftext|>", 7),
        ] {
            assert_eq!(Cl100k.count(text), tokens, "{text}");
        }
    }
}
