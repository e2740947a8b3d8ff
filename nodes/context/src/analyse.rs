//! From text to index terms: small letters, parts of identifiers, English stems. Ranks nothing.
//!
//! | text | terms |
//! |---|---|
//! | `The runs were resuming` | `run`, `resum` |
//! | `StateGraph` | `stategraph`, `state`, `graph` |
//! | `docs_search` | `docs_search`, `doc`, `search` |
//! | `SW-G101` | `sw-g101`, `sw`, `g101` |
//! | `main.rs` | `main.rs`, `main`, `rs` |
//!
//! A word with joints (`_ - . / :`) or inner capitals is kept whole, as written but in small letters, beside its parts.
//! Words of the stop list ([`is_stop_word`]) are left out. Chinese and Japanese characters are terms of
//! their own, as there are no spaces to find words by.

use rust_stemmers::{Algorithm, Stemmer};

/// Makes the terms of a text.
pub struct Analyser {
    stemmer: Stemmer,
}

impl Default for Analyser {
    fn default() -> Self {
        Self { stemmer: Stemmer::create(Algorithm::English) }
    }
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Analyser(English)")
    }
}

/// Longest word that is indexed, in bytes; longer ones (encoded data) are left out.
const WORD_BYTES_MAX: usize = 128;

impl Analyser {
    /// The terms of a text, in its order, with repetitions.
    #[must_use]
    pub fn terms(&self, text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        for word in words(text) {
            self.expand(word, |term| terms.push(term));
        }
        terms
    }

    /// The terms of one word of [`words`].
    pub(crate) fn expand(&self, word: &str, mut add: impl FnMut(String)) {
        if word.len() > WORD_BYTES_MAX {
            return;
        }
        let parts = parts(word);
        if let [part] = parts.as_slice() {
            self.add_simple(part, &mut add);
            return;
        }
        add(word.to_lowercase());
        // The digits of 3.14 or 2024-05-01 mean nothing alone.
        if word.contains(char::is_alphabetic) {
            for part in parts {
                self.add_simple(part, &mut add);
            }
        }
    }

    fn add_simple(&self, word: &str, add: &mut impl FnMut(String)) {
        let mut small = word.to_lowercase();
        if small.contains('’') {
            small = small.replace('’', "'");
        }
        if is_stop_word(&small) {
            return;
        }
        if small.contains(|c: char| c.is_ascii_digit()) {
            add(small);
        } else {
            add(self.stemmer.stem(&small).into_owned());
        }
    }
}

/// The words of a text: letters, digits, and joints between two of them.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(char::is_alphanumeric)?;
        rest = &rest[start..];
        let length = word_length(rest);
        let (word, after) = rest.split_at(length);
        rest = after;
        Some(word)
    })
}

fn word_length(text: &str) -> usize {
    let mut end = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if is_unspaced(c) {
            return if at == 0 { c.len_utf8() } else { end };
        }
        let joins = is_joint(c) && characters.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if !(c.is_alphanumeric() || joins) {
            return end;
        }
        if c.is_alphanumeric() {
            end = at + c.len_utf8();
        }
    }
    end
}

fn is_joint(c: char) -> bool {
    matches!(c, '_' | '-' | '.' | '/' | ':' | '\'' | '’')
}

fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// The parts of a word between its joints and where a capital follows a small letter (`camelCase`) or
/// starts a word after capitals (`HTTPServer`).
fn parts(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for piece in word.split(|c| is_joint(c) && c != '\'' && c != '’').filter(|piece| !piece.is_empty()) {
        let mut start = 0;
        let mut previous: Option<(usize, char)> = None;
        for (at, c) in piece.char_indices() {
            if let Some((previous_at, p)) = previous {
                if c.is_uppercase() && (p.is_lowercase() || p.is_ascii_digit()) {
                    parts.push(&piece[start..at]);
                    start = at;
                } else if c.is_lowercase() && p.is_uppercase() && previous_at > start {
                    parts.push(&piece[start..previous_at]);
                    start = previous_at;
                }
            }
            previous = Some((at, c));
        }
        parts.push(&piece[start..]);
    }
    parts
}

/// Whether a word (in small letters) says nothing about what a text or question is about.
#[must_use]
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Sorted.
const STOP_WORDS: [&str; 79] = [
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had", "has", "have",
    "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our",
    "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "those", "to", "us", "was", "we", "were", "what", "when", "where", "which", "while", "who",
    "whom", "whose", "why", "will", "with", "would", "you", "your", "yours",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_prose_and_code() {
        for (text, expected) in [
            ("The runs were resuming", &["run", "resum"][..]),
            ("StateGraph", &["stategraph", "state", "graph"]),
            ("HTTPServer", &["httpserver", "http", "server"]),
            ("docs_search", &["docs_search", "doc", "search"]),
            ("heading-aware", &["heading-aware", "head", "awar"]),
            ("(SW-G101).", &["sw-g101", "sw", "g101"]),
            ("main.rs:", &["main.rs", "main", "rs"]),
            ("3.14 and 2024-05-01", &["3.14", "2024-05-01"]),
            ("kill -9", &["kill", "9"]),
            ("the engine’s own", &["engin", "own"]),
            ("don't", &["don't"]),
            ("日本語 text", &["日", "本", "語", "text"]),
            ("Größe ÉTÉ", &["größe", "été"]),
            ("How does it?", &[]),
            ("", &[]),
        ] {
            assert_eq!(Analyser::default().terms(text), expected, "{text}");
        }
    }

    #[test]
    fn the_stop_list_is_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }
}
