//! Which way a question goes. Pure rules over the arithmetic in it and the words beside that.

use super::{arithmetic, text};

/// Words of greetings and thanks: nothing to look up.
const SMALL_TALK: &[&str] = &[
    "afternoon",
    "bye",
    "day",
    "evening",
    "goodbye",
    "good",
    "hello",
    "hey",
    "hi",
    "morning",
    "night",
    "ok",
    "okay",
    "thank",
    "thanks",
    "yes",
];

/// `research`, `calculate`, `both` or `neither`.
pub(super) fn route(question: &str) -> &'static str {
    let found = arithmetic::find(question);
    let rest = found.as_ref().map_or_else(|| question.to_owned(), |found| found.rest(question));
    match (found.is_some(), has_topic(&rest, found.is_some())) {
        (true, true) => "both",
        (true, false) => "calculate",
        (false, true) => "research",
        (false, false) => "neither",
    }
}

/// Whether there is a word to look up: not a stop word, not small talk, and beside an expression not a word that
/// only asks for its value.
pub(super) fn has_topic(text: &str, beside_expression: bool) -> bool {
    text::words(text).any(|word| {
        let number = !word.chars().any(char::is_alphabetic);
        let asks_for_value = beside_expression && arithmetic::is_arithmetic_word(&word);
        !(number || asks_for_value || text::is_stop_word(&word) || SMALL_TALK.contains(&word.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let cases = [
            ("What is 150 × 223.48?", "calculate"),
            ("Please calculate 15% of 80.", "calculate"),
            ("How much is the square root of 16?", "calculate"),
            ("What is 150 × × 2?", "calculate"),
            ("How does the engine resume after a crash?", "research"),
            ("Was version 1.2-3 released before 2024-05-01?", "research"),
            ("What is GPT-4?", "research"),
            ("How does the engine resume after a crash, and what is 2 + 2?", "both"),
            ("What is 12 * 12 and who wrote the journal?", "both"),
            ("Hello!", "neither"),
            ("Thanks, good night", "neither"),
            ("What is it?", "neither"),
            ("", "neither"),
            ("   ?!", "neither"),
        ];
        for (question, expected) in cases {
            assert_eq!(route(question), expected, "{question:?}");
        }
    }
}
