//! Extractive writing: the calculation first, then the sentences of the sources that fit the question best.
//!
//! Nothing is made up: every sentence is one of a source, with its citation. Ties are broken by position.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    arithmetic,
    prompt::{Prompt, Source},
    text,
};

/// The answer when there is neither a calculation nor a source that fits.
pub const NO_ANSWER: &str = "The given documents do not answer this question.";

/// The most sentences taken from sources.
const SENTENCES_MAX: usize = 4;
/// How much of the question's weight the sources must cover together; below that they are about something else.
const COVERAGE_MIN: f64 = 0.5;
/// The weakest sentence taken, as a share of the best one's score.
const SCORE_SHARE_MIN: f64 = 0.45;
/// How much of its words a sentence may share with one that was taken before.
const OVERLAP_MAX: f64 = 0.6;
/// What a word of the critique weighs, beside 1 for one of the question.
const CRITIQUE_WEIGHT: f64 = 0.5;
/// The length from which sentences lose, in terms: long ones match by chance.
const LENGTH_FREE: f64 = 18.0;
/// What it counts when a sentence begins with a word of the question: definitions do.
const OPENING_BONUS: f64 = 1.2;
/// What a word in a heading above counts, beside 1 in the sentence itself.
const HEADING_WEIGHT: f64 = 0.3;

pub(super) fn write(prompt: &Prompt<'_>) -> String {
    let mut parts: Vec<String> = prompt.calculation.map(calculation_sentence).into_iter().collect();
    let wanted = wanted_terms(prompt);
    parts.extend(best_sentences(&wanted, &prompt.sources));
    if parts.is_empty() { NO_ANSWER.to_owned() } else { parts.join(" ") }
}

/// `150 * 223.48 = 33,522` → `150 × 223.48 = 33,522.`
fn calculation_sentence(calculation: &str) -> String {
    let text = calculation.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace(" * ", " × ").replace(" / ", " ÷ ");
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}

/// What the sources are searched for, with weights. The arithmetic of the question is answered elsewhere.
fn wanted_terms(prompt: &Prompt<'_>) -> BTreeMap<String, f64> {
    let found = arithmetic::find(prompt.question);
    let question =
        found.as_ref().map_or_else(|| prompt.question.to_owned(), |found| found.rest(prompt.question));
    let asks_for_value = |word: &String| found.is_some() && arithmetic::is_arithmetic_word(word);
    let own = text::words(&question).filter(|word| !asks_for_value(word)).flat_map(|word| text::terms(&word));
    let mut wanted: BTreeMap<String, f64> = own.map(|term| (term, 1.0)).collect();
    if !wanted.is_empty() {
        for term in prompt.critique.map(text::terms).unwrap_or_default() {
            wanted.entry(term).or_insert(CRITIQUE_WEIGHT);
        }
    }
    wanted
}

struct Candidate<'a> {
    id: &'a str,
    sentence: String,
    terms: BTreeSet<String>,
    headings: BTreeSet<String>,
    score: f64,
}

fn best_sentences(wanted: &BTreeMap<String, f64>, sources: &[Source<'_>]) -> Vec<String> {
    let mut candidates: Vec<Candidate<'_>> = sources.iter().flat_map(candidates_of).collect();
    let weights = weights(wanted, &candidates);
    if coverage(wanted, &weights, &candidates) < COVERAGE_MIN {
        return Vec::new();
    }
    for candidate in &mut candidates {
        candidate.score = score(candidate, &weights);
    }
    // Stable: equal scores stay in the order of the sources and of the sentences in them.
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let best = candidates.first().map_or(0.0, |candidate| candidate.score);
    let mut taken: Vec<&Candidate<'_>> = Vec::new();
    for candidate in &candidates {
        let weak = candidate.score <= 0.0 || candidate.score < best * SCORE_SHARE_MIN;
        if weak || taken.len() == SENTENCES_MAX {
            break;
        }
        if taken.iter().all(|other| overlap(&candidate.terms, &other.terms) <= OVERLAP_MAX) {
            taken.push(candidate);
        }
    }
    taken.iter().map(|candidate| format!("{} [{}]", closed(&candidate.sentence), candidate.id)).collect()
}

fn candidates_of<'a>(source: &Source<'a>) -> Vec<Candidate<'a>> {
    let headings: BTreeSet<String> = text::headings(source.text).flat_map(text::terms).collect();
    let sentences = text::sentences(source.text).into_iter();
    // A fragment of one or two words, or a line that only leads to a list, tells nothing by itself.
    let sentences =
        sentences.filter(|sentence| text::words(sentence).count() >= 3 && !sentence.ends_with(':'));
    let candidate = |sentence: String| Candidate {
        id: source.id,
        terms: text::terms(&sentence).into_iter().collect(),
        headings: headings.clone(),
        sentence,
        score: 0.0,
    };
    sentences.map(candidate).collect()
}

/// Rare words tell more than frequent ones: ln(1 + sentences / sentences with the word).
fn weights(wanted: &BTreeMap<String, f64>, candidates: &[Candidate<'_>]) -> BTreeMap<String, f64> {
    let total = count(candidates.len());
    let weight = |(term, weight): (&String, &f64)| {
        let with = candidates.iter().filter(|candidate| candidate.terms.contains(term)).count();
        (term.clone(), weight * (1.0 + total / count(with).max(0.5)).ln())
    };
    wanted.iter().map(weight).collect()
}

/// Which share of the question's own weight occurs anywhere in the sources.
fn coverage(
    wanted: &BTreeMap<String, f64>,
    weights: &BTreeMap<String, f64>,
    candidates: &[Candidate<'_>],
) -> f64 {
    let own = || weights.iter().filter(|(term, _)| wanted.get(*term).is_some_and(|weight| *weight >= 1.0));
    let found = |term: &String| {
        candidates.iter().any(|candidate| candidate.terms.contains(term) || candidate.headings.contains(term))
    };
    let total: f64 = own().map(|(_, weight)| weight).sum();
    let covered: f64 = own().filter(|(term, _)| found(term)).map(|(_, weight)| weight).sum();
    if total > 0.0 { covered / total } else { 0.0 }
}

fn score(candidate: &Candidate<'_>, weights: &BTreeMap<String, f64>) -> f64 {
    let inside = |(term, weight): (&String, &f64)| candidate.terms.contains(term).then_some(*weight);
    let above = |(term, weight): (&String, &f64)| {
        (!candidate.terms.contains(term) && candidate.headings.contains(term))
            .then_some(weight * HEADING_WEIGHT)
    };
    let own: f64 = weights.iter().filter_map(inside).sum();
    if own == 0.0 {
        return 0.0;
    }
    let total = own + weights.iter().filter_map(above).sum::<f64>();
    let mut opening = text::words(&candidate.sentence).take(3).flat_map(|word| text::terms(&word));
    let bonus = if opening.any(|term| weights.contains_key(&term)) { OPENING_BONUS } else { 1.0 };
    bonus * total / (count(candidate.terms.len()) / LENGTH_FREE).max(1.0).sqrt()
}

fn overlap(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let shared = a.intersection(b).count();
    let smaller = a.len().min(b.len());
    if smaller == 0 { 1.0 } else { count(shared) / count(smaller) }
}

/// A sentence with an end: list items often have none.
fn closed(sentence: &str) -> String {
    let open = sentence.trim_end_matches([',', ';', ' ']);
    if open.ends_with(['.', '!', '?', '"', '”', ')', ':']) { open.to_owned() } else { format!("{open}.") }
}

#[expect(clippy::cast_precision_loss, reason = "counts of words and sentences are far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(prompt: &str) -> String {
        write(&Prompt::parse(prompt))
    }

    const CRASH: &str = "<source id=\"1\" doc=\"docs/a.md\" start=\"0\" end=\"9\">## Recovery\n\nThe journal holds every finished activation. \
        After a crash the engine resumes from the journal. It uses SQLite.</source>";
    const OTHER: &str = "<source id=\"2\">Bananas are yellow. Crash tests use dummies in cars.</source>";

    #[test]
    fn the_calculation_leads() {
        let prompt =
            "<question>What is 150 × 223.48?</question><calculation>150 * 223.48 = 33,522</calculation>";
        assert_eq!(written(prompt), "150 × 223.48 = 33,522.");
        assert_eq!(written(&format!("{prompt}{CRASH}")), "150 × 223.48 = 33,522.");
    }

    #[test]
    fn the_best_sentence_comes_first_with_its_citation() {
        let answer =
            written(&format!("<question>How does the engine resume after a crash?</question>{OTHER}{CRASH}"));
        assert!(answer.starts_with("After a crash the engine resumes from the journal. [1]"), "{answer}");
        assert!(!answer.contains("Bananas"), "{answer}");
    }

    #[test]
    fn both_parts_of_a_question_are_answered() {
        let prompt = format!(
            "<question>How does the engine resume after a crash, and what is 2 + 2?</question><calculation>2 + 2 = 4</calculation>{CRASH}"
        );
        assert!(
            written(&prompt).starts_with("2 + 2 = 4. After a crash the engine resumes"),
            "{}",
            written(&prompt)
        );
    }

    #[test]
    fn what_the_sources_do_not_cover_is_not_answered() {
        for prompt in [
            String::new(),
            "<question>What is the capital of France?</question>".to_owned(),
            format!("<question>What is the capital of France?</question>{CRASH}{OTHER}"),
            format!("<question>What is it?</question>{CRASH}"),
            format!(
                "<question>Who founded Nvidia?</question><critique>engine journal crash</critique>{CRASH}"
            ),
        ] {
            assert_eq!(written(&prompt), NO_ANSWER, "{prompt}");
        }
    }

    #[test]
    fn repeated_sentences_are_taken_once_and_at_most_four() {
        let same = "<source id=\"3\">After a crash the engine resumes from the journal.</source>";
        let answer = written(&format!("<question>engine crash journal</question>{CRASH}{same}{same}"));
        assert_eq!(answer.matches("resumes").count(), 1, "{answer}");

        let many: String = ["red", "green", "blue", "grey", "pink", "gold"]
            .iter()
            .map(|c| format!("<source id=\"{c}\">The {c} {c}house {c}boat engine stands there.</source>"))
            .collect();
        let answer = written(&format!("<question>engine</question>{many}"));
        assert_eq!(answer.matches("engine").count(), SENTENCES_MAX, "{answer}");
    }
}
