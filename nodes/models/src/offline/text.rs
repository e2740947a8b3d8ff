//! Words, stop words and sentences of prose. Pure.

/// Words that say nothing about what a text is about, sorted.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been",
    "before", "being", "between", "both", "but", "by", "can", "could", "describe", "did", "do", "does",
    "doing", "don", "each", "every", "explain", "few", "find", "for", "from", "get", "give", "gives", "had",
    "happen", "happens", "has", "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i",
    "if", "in", "into", "is", "it", "its", "just", "know", "let", "like", "list", "ll", "made", "make",
    "many", "may", "me", "mean", "means", "might", "more", "most", "much", "must", "my", "need", "no", "nor",
    "not", "now", "of", "off", "on", "once", "one", "only", "or", "other", "our", "out", "over", "own",
    "please", "re", "s", "same", "say", "says", "shall", "she", "should", "show", "since", "so", "some",
    "such", "t", "tell", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "to", "too", "under", "until", "up", "us", "use", "used", "uses", "using", "ve", "very", "was",
    "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with",
    "work", "working", "works", "would", "you", "your",
];

/// The words of a text in lower case, cut down to their stems, without stop words.
pub(super) fn terms(text: &str) -> Vec<String> {
    words(text).filter(|word| !is_stop_word(word)).map(|word| stem(&word)).collect()
}

/// The words of a text in lower case: runs of letters, digits and `_`. Numbers stay whole: `1.2-3`, `2024-05-01`.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut before = None;
    let mut rest = text;
    let separates = move |c: char| {
        rest = &rest[c.len_utf8()..];
        let between_digits = before.is_some_and(|b: char| b.is_ascii_digit())
            && rest.starts_with(|after: char| after.is_ascii_digit());
        before = Some(c);
        let joins = c == '_' || (between_digits && matches!(c, '.' | ',' | '-' | '/' | ':'));
        !(c.is_alphanumeric() || joins)
    };
    text.split(separates).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

pub(super) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// A light English stemmer: enough that `resumes`, `resumed` and `resuming` meet `resume`.
fn stem(word: &str) -> String {
    if word.chars().count() < 4 || word.chars().any(|c| c.is_ascii_digit()) {
        return word.to_owned();
    }
    let cut = ["ies", "ing", "ed", "es", "s"].into_iter().find_map(|suffix| {
        let base = word.strip_suffix(suffix)?;
        let keep = base.chars().count() >= 3 && !(suffix == "s" && base.ends_with(['s', 'u', 'i']));
        keep.then(|| if suffix == "ies" { format!("{base}y") } else { base.to_owned() })
    });
    let stem = cut.unwrap_or_else(|| word.to_owned());
    let doubled = ["bb", "dd", "gg", "mm", "nn", "pp", "rr", "tt"].iter().any(|pair| stem.ends_with(pair));
    match stem.strip_suffix('e') {
        Some(base) if base.chars().count() >= 3 => base.to_owned(),
        _ if doubled => stem[..stem.len() - 1].to_owned(),
        _ => stem,
    }
}

/// The sentences of a Markdown text, whitespace collapsed. Code fences, tables, headings, rules and HTML are no prose
/// and left out; each list item stands alone.
pub(super) fn sentences(markdown: &str) -> Vec<String> {
    paragraphs(markdown).iter().flat_map(|paragraph| split_sentences(paragraph)).collect()
}

/// The headings of a Markdown text; they say what its sentences are about.
pub(super) fn headings(markdown: &str) -> impl Iterator<Item = &str> {
    markdown.lines().map(str::trim_start).filter(|line| line.starts_with('#'))
}

fn paragraphs(markdown: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut current: Vec<&str> = Vec::new();
    let mut fence = None;
    for line in markdown.lines() {
        let line = line.trim().trim_start_matches("> ").trim();
        let marker = ["```", "~~~"].into_iter().find(|marker| line.starts_with(marker));
        match (fence, marker) {
            (None, Some(marker)) => {
                fence = Some(marker);
                flush(&mut current, &mut found);
                continue;
            }
            (Some(open), marker) => {
                if marker == Some(open) {
                    fence = None;
                }
                continue;
            }
            (None, None) => {}
        }
        if is_underline(line) {
            // The line above was a heading of the underlined kind.
            current.pop();
        }
        if !is_prose(line) {
            flush(&mut current, &mut found);
            continue;
        }
        let item = list_item(line);
        if item.is_some() {
            flush(&mut current, &mut found);
        }
        current.push(item.unwrap_or(line));
    }
    flush(&mut current, &mut found);
    found
}

fn flush(lines: &mut Vec<&str>, paragraphs: &mut Vec<String>) {
    let text = lines.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ");
    lines.clear();
    if !text.is_empty() {
        paragraphs.push(without_markup(&text));
    }
}

fn is_underline(line: &str) -> bool {
    line.len() >= 3 && (line.chars().all(|c| c == '=') || line.chars().all(|c| c == '-'))
}

fn is_prose(line: &str) -> bool {
    let table = line.starts_with('|') || line.matches('|').count() >= 2;
    !(table || line.starts_with(['#', '<']) || is_underline(line)) && line.chars().any(char::is_alphanumeric)
}

fn list_item(line: &str) -> Option<&str> {
    let numbered = || {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        if digits == 0 || digits > 3 {
            return None;
        }
        line[digits..].strip_prefix(". ").or_else(|| line[digits..].strip_prefix(") "))
    };
    ["- ", "* ", "+ "]
        .into_iter()
        .find_map(|marker| line.strip_prefix(marker))
        .or_else(numbered)
        .map(str::trim)
}

/// Without emphasis marks, and links as their text: a sentence out of its document should still read well.
fn without_markup(text: &str) -> String {
    let text = text.replace("**", "").replace("__", "");
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(open) = rest.find('[') {
        let link = rest[open..].split_once("](").and_then(|(label, after)| {
            let (target, after) = after.split_once(')')?;
            let simple = !label[1..].contains(['[', ']']) && !target.contains(char::is_whitespace);
            simple.then_some((&label[1..], after))
        });
        match link {
            Some((label, after)) => {
                plain.push_str(&rest[..open]);
                plain.push_str(label);
                rest = after;
            }
            None => {
                plain.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn split_sentences(paragraph: &str) -> Vec<String> {
    let words: Vec<&str> = paragraph.split(' ').collect();
    let mut sentences = Vec::new();
    let mut start = 0;
    for at in 0..words.len() {
        let last = at + 1 == words.len();
        if last || (ends_sentence(words[at]) && starts_sentence(words[at + 1])) {
            sentences.push(words[start..=at].join(" "));
            start = at + 1;
        }
    }
    sentences
}

fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '\'', ')', '”', '’', '*', '_']);
    if bare.ends_with(['!', '?', '。']) {
        return true;
    }
    let Some(stem) = bare.strip_suffix('.') else { return false };
    let initial = stem.chars().count() == 1 && stem.chars().all(char::is_alphabetic);
    let abbreviation = matches!(
        stem.to_lowercase().as_str(),
        "e.g" | "i.e" | "etc" | "vs" | "cf" | "mr" | "mrs" | "dr" | "no" | "fig"
    );
    !initial && !abbreviation
}

fn starts_sentence(word: &str) -> bool {
    word.chars().find(|c| c.is_alphanumeric() || *c == '`').is_none_or(|c| !c.is_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_can_be_searched() {
        assert!(STOP_WORDS.is_sorted(), "binary search needs a sorted list");
        assert!(is_stop_word("the") && !is_stop_word("engine"));
    }

    #[test]
    fn numbers_stay_whole() {
        let found: Vec<String> = words("Was 1.2-3 of my_crate (3,5) out by 2024-05-01, at 10:30?").collect();
        assert_eq!(
            found,
            ["was", "1.2-3", "of", "my_crate", "3,5", "out", "by", "2024-05-01", "at", "10:30"]
        );
    }

    #[test]
    fn inflected_words_meet() {
        for group in [
            &["resume", "resumes", "resumed", "resuming"][..],
            &["crash", "crashes", "crashed", "crashing"],
            &["store", "stores", "stored", "storing"],
            &["retry", "retries"],
            &["stop", "stops", "stopped", "stopping"],
        ] {
            let stems: Vec<String> = group.iter().map(|word| stem(word)).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{group:?} → {stems:?}");
        }
    }

    #[test]
    fn only_prose_becomes_sentences() {
        let markdown = "# Title\n\nOne line\nwraps. It costs 1.5 s, e.g. Twice. `Code` starts one!\n\n```rust\nlet x = 1. No.\n```\n\
            | a | b |\n|---|---|\n\nSetext\n------\n- **First** item\n- [Second](x.md) item\n  goes on.\n1. Third (see [note])\n> Quoted text.\n<div>";
        let expected = [
            "One line wraps.",
            "It costs 1.5 s, e.g. Twice.",
            "`Code` starts one!",
            "First item",
            "Second item goes on.",
            "Third (see [note]) Quoted text.",
        ];
        assert_eq!(sentences(markdown), expected);
    }
}
