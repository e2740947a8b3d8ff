//! An in-memory BM25 index over short texts with headings. Knows no files and no citations.
//!
//! `score = Σ idf(t) × tf × (k₁ + 1) / (tf + k₁ × (1 − b + b × length / average length))` over the distinct
//! terms of the query, with `idf(t) = ln(1 + (N − n + 0.5) / (n + 0.5))`, which is never negative.
//!
//! Source: S. Robertson, H. Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*, Foundations
//! and Trends in Information Retrieval 3(4), 2009. Headings are further streams of the text whose
//! frequencies are weighted before saturation, as in its section on BM25F.

use crate::analyse::{Analyser, words};
use std::collections::HashMap;
use std::ops::Range;

/// Saturation of term frequency.
pub const K1: f32 = 1.2;
/// Strength of length normalisation.
pub const B: f32 = 0.75;
/// What a term counts in the heading directly above a text (1 in the text itself).
pub const HEADING_WEIGHT: f32 = 3.0;
/// What a term counts in the further headings and in the name of the document.
pub const CONTEXT_WEIGHT: f32 = 1.0;

/// One text to index.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// The name of its document.
    pub name: &'a str,
    /// The headings above it, outermost first.
    pub headings: &'a [String],
    /// The text.
    pub text: &'a str,
}

/// A found text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its number: the position at which it was indexed.
    pub chunk: usize,
    /// Its score, at least 0 and without an upper bound.
    pub score: f32,
}

/// The index.
#[derive(Debug, Default)]
pub struct Bm25 {
    analyser: Analyser,
    terms: HashMap<Box<str>, u32>,
    /// Per term: the texts with it and its weighted frequency, ascending by text.
    postings: Vec<Vec<(u32, f32)>>,
    /// Per text: k₁ × (1 − b + b × length / average length).
    norms: Vec<f32>,
    /// Per text: its distinct terms, ascending.
    vocabulary: Vec<Box<[u32]>>,
}

/// The words seen so far and their terms, so that each is analysed once. In one piece: hundreds of
/// thousands of small allocations would be freed at the expense of the first search.
#[derive(Default)]
struct Known<'a> {
    words: HashMap<&'a str, Range<usize>>,
    terms: Vec<u32>,
}

impl Bm25 {
    /// Indexes texts; their numbers are their positions.
    #[must_use]
    pub fn new<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Self {
        let mut index = Self::default();
        let mut known = Known::default();
        let mut lengths = Vec::new();
        for entry in entries {
            lengths.push(index.add(&entry, &mut known));
        }
        let average = lengths.iter().sum::<f32>() / lengths.len().max(1) as f32;
        index.norms = lengths.iter().map(|length| K1 * (1.0 - B + B * length / average.max(1.0))).collect();
        index
    }

    /// Adds one text and returns its weighted length.
    fn add<'a>(&mut self, entry: &Entry<'a>, known: &mut Known<'a>) -> f32 {
        let mut found: Vec<(u32, f32)> = Vec::new();
        let mut read = |text: &'a str, weight: f32| {
            for word in words(text) {
                let terms = match known.words.get(word) {
                    Some(terms) => terms.clone(),
                    None => {
                        let start = known.terms.len();
                        self.intern(word, &mut known.terms);
                        known.words.insert(word, start..known.terms.len());
                        start..known.terms.len()
                    }
                };
                found.extend(known.terms[terms].iter().map(|term| (*term, weight)));
            }
        };
        read(entry.text, 1.0);
        read(entry.name, CONTEXT_WEIGHT);
        if let Some((own, others)) = entry.headings.split_last() {
            read(own, HEADING_WEIGHT);
            others.iter().for_each(|heading| read(heading, CONTEXT_WEIGHT));
        }
        found.sort_unstable_by_key(|(term, _)| *term);
        found.dedup_by(|later, first| {
            let is_same = later.0 == first.0;
            if is_same {
                first.1 += later.1;
            }
            is_same
        });
        let chunk = u32::try_from(self.vocabulary.len()).unwrap_or(u32::MAX);
        for (term, weight) in &found {
            self.postings[*term as usize].push((chunk, *weight));
        }
        self.vocabulary.push(found.iter().map(|(term, _)| *term).collect());
        found.iter().map(|(_, weight)| weight).sum()
    }

    fn intern(&mut self, word: &str, ids: &mut Vec<u32>) {
        let (terms, postings) = (&mut self.terms, &mut self.postings);
        self.analyser.expand(word, |term| {
            let next = u32::try_from(postings.len()).unwrap_or(u32::MAX);
            let id = *terms.entry(term.into_boxed_str()).or_insert(next);
            if id == next {
                postings.push(Vec::new());
            }
            ids.push(id);
        });
    }

    /// How many texts are indexed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// The best `k` texts that share a term with the query and score at least `min_score`, best first;
    /// equal scores in the order of indexing.
    #[must_use]
    pub fn search(&self, query: &str, k: usize, min_score: f32) -> Vec<Hit> {
        let terms = self.analyser.terms(query);
        let mut ids: Vec<u32> =
            terms.iter().filter_map(|term| self.terms.get(term.as_str()).copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut scores = vec![0.0_f32; self.norms.len()];
        for id in ids {
            let postings = &self.postings[id as usize];
            let (all, with) = (self.norms.len() as f32, postings.len() as f32);
            let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
            for (chunk, frequency) in postings {
                let chunk = *chunk as usize;
                scores[chunk] += idf * frequency * (K1 + 1.0) / (frequency + self.norms[chunk]);
            }
        }
        let found = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0 && *score >= min_score);
        best(found.map(|(chunk, score)| Hit { chunk, score }).collect(), k)
    }

    /// How many of the distinct terms of two texts are common: 0 none, 1 all.
    #[must_use]
    pub fn similarity(&self, a: usize, b: usize) -> f32 {
        let (Some(a), Some(b)) = (self.vocabulary.get(a), self.vocabulary.get(b)) else { return 0.0 };
        let common = a.iter().filter(|term| b.binary_search(term).is_ok()).count();
        let all = a.len() + b.len() - common;
        if all == 0 { 0.0 } else { common as f32 / all as f32 }
    }
}

fn best(mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
    let order = |a: &Hit, b: &Hit| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk));
    if hits.len() > k && k > 0 {
        hits.select_nth_unstable_by(k - 1, order);
    }
    hits.truncate(k);
    hits.sort_unstable_by(order);
    hits
}
