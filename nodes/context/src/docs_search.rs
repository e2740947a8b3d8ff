//! Searches a folder of Markdown and returns passages with citations. The parts it consists of are elsewhere:
//! [`crate::corpus`], [`crate::bm25`], [`crate::citation`].

use crate::bm25::{Bm25, Entry};
use crate::chunk::Chunk;
use crate::citation::Citation;
use crate::corpus::{BadFiles, Corpus, LoadReport};
use crate::error::ContextError;
use std::path::Path;

/// Passages below this share of the best score are not returned.
pub const RELATIVE_SCORE_MIN: f32 = 0.25;
/// A passage that shares more than this part of its terms with a better one is a repetition of it.
pub const SIMILARITY_MAX: f32 = 0.8;
/// Most passages of one search.
pub const MAX_PASSAGES: usize = 100;

/// A found piece of a document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Passage {
    /// Where it stands.
    pub citation: Citation,
    /// The text of those bytes.
    pub text: String,
    /// Its BM25 score; comparable within one search only.
    pub score: f32,
}

impl Passage {
    /// The passage as it goes into a prompt: `[doc:start-end] headings`, and its text.
    #[must_use]
    pub fn render(&self) -> String {
        let heading = &self.citation.heading;
        let space = if heading.is_empty() { "" } else { " " };
        format!("[{}]{space}{heading}\n{}", self.citation, self.text)
    }
}

/// A searchable folder, held in memory; files that change later are not seen.
#[derive(Debug)]
pub struct DocsIndex {
    chunks: Vec<Chunk>,
    report: LoadReport,
    index: Bm25,
}

impl DocsIndex {
    /// Reads and indexes all Markdown below `folder`. Files that cannot be used are left out and listed in
    /// [`report`](Self::report).
    ///
    /// # Errors
    ///
    /// As [`Corpus::load`].
    pub fn open(folder: &Path) -> Result<Self, ContextError> {
        Corpus::load(folder, BadFiles::Report).map(Self::new)
    }

    /// As [`open`](Self::open), but the first file that cannot be used is an error.
    ///
    /// # Errors
    ///
    /// As [`Corpus::load`].
    pub fn open_strict(folder: &Path) -> Result<Self, ContextError> {
        Corpus::load(folder, BadFiles::Refuse).map(Self::new)
    }

    /// Whether [`open`](Self::open) would find text, without reading more files than it takes to know.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn check(folder: &Path) -> Result<(), ContextError> {
        Corpus::check(folder)
    }

    /// Indexes a corpus.
    #[must_use]
    pub fn new(corpus: Corpus) -> Self {
        let index = Bm25::new(corpus.chunks.iter().map(|chunk| Entry {
            name: chunk.doc.strip_suffix(".md").unwrap_or(&chunk.doc),
            headings: &chunk.headings,
            text: &chunk.text,
        }));
        Self { chunks: corpus.chunks, report: corpus.report, index }
    }

    /// What was read and what was left out.
    #[must_use]
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// The number of chunks that a search ranks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The best passages for a question, best first: at most `k` and at most [`MAX_PASSAGES`], without
    /// repetitions of better ones and without those far below the best.
    ///
    /// A question of stop words only, or one that shares no word with the folder, finds nothing.
    #[must_use]
    pub fn search(&self, question: &str, k: usize) -> Vec<Passage> {
        let k = k.min(MAX_PASSAGES);
        let hits = self.index.search(question, 4 * k, 0.0);
        let min_score = hits.first().map_or(0.0, |best| best.score * RELATIVE_SCORE_MIN);
        let mut chosen: Vec<usize> = Vec::new();
        let mut passages = Vec::new();
        for hit in hits {
            if passages.len() == k || hit.score < min_score {
                break;
            }
            if chosen.iter().any(|better| self.index.similarity(*better, hit.chunk) > SIMILARITY_MAX) {
                continue;
            }
            chosen.push(hit.chunk);
            passages.push(self.passage(hit.chunk, hit.score));
        }
        passages
    }

    fn passage(&self, chunk: usize, score: f32) -> Passage {
        let chunk = &self.chunks[chunk];
        let citation = Citation::new(&chunk.doc, chunk.range.start, &chunk.text, &chunk.headings.join(" > "));
        Passage { citation, text: chunk.text.clone(), score }
    }
}
