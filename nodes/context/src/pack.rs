//! Chooses the passages that fit into a token budget. Searches nothing and writes no prompt.

use crate::chunk;
use crate::citation::Citation;
use crate::docs_search::Passage;
use statewright_nodes_ports::TokenCounter;

/// The default budget of retrieved text, in tokens.
pub const RETRIEVED_TOKENS: usize = 1_500;
/// Tokens reserved for the blank line between two passages.
const SEPARATOR_TOKENS: usize = 2;

/// What fits, and what does not.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Packed {
    /// The chosen passages, in rank order; at most one of them is shortened.
    pub passages: Vec<Passage>,
    /// The tokens of [`text`](Self::text), never above the budget.
    pub tokens: usize,
    /// What was left out, in rank order.
    pub dropped: Vec<Dropped>,
}

impl Packed {
    /// The passages as they go into a prompt, see [`Passage::render`], with a blank line between two.
    #[must_use]
    pub fn text(&self) -> String {
        self.passages.iter().map(Passage::render).collect::<Vec<_>>().join("\n\n")
    }
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// What.
    pub citation: Citation,
    /// Its tokens.
    pub tokens: usize,
    /// Why.
    pub reason: DropReason,
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// The passage, with its label, needs more tokens than were left (`left`).
    DoesNotFit {
        /// Tokens that were left.
        left: usize,
    },
    /// It is the end of a passage that was shortened at the end of a sentence.
    Shortened,
}

/// Takes whole passages in rank order while they fit. The first that does not is shortened at the end of a
/// sentence or block, never inside a code block; after that, only whole passages are taken.
#[must_use]
pub fn pack(passages: &[Passage], counter: &dyn TokenCounter, budget: usize) -> Packed {
    let mut packed = Packed::default();
    let mut may_shorten = true;
    for passage in passages {
        let separator = if packed.passages.is_empty() { 0 } else { SEPARATOR_TOKENS };
        let left = (budget - packed.tokens).saturating_sub(separator);
        let tokens = counter.count(&passage.render());
        if tokens <= left {
            packed.tokens += separator + tokens;
            packed.passages.push(passage.clone());
            continue;
        }
        let shortened = if may_shorten { shorten(passage, counter, left) } else { None };
        may_shorten = false;
        let Some((head, head_tokens, rest)) = shortened else {
            let reason = DropReason::DoesNotFit { left };
            packed.dropped.push(Dropped { citation: passage.citation.clone(), tokens, reason });
            continue;
        };
        packed.tokens += separator + head_tokens;
        packed.passages.push(head);
        packed.dropped.push(rest);
    }
    packed
}

/// The longest beginning of a passage that fits, its tokens, and the rest.
fn shorten(passage: &Passage, counter: &dyn TokenCounter, left: usize) -> Option<(Passage, usize, Dropped)> {
    let cuts = chunk::cuts(&passage.text);
    let head_at = |cut: usize| head(passage, passage.text[..cut].trim_end());
    let fits = |cut: &usize| counter.count(&head_at(*cut).render()) <= left;
    // Counting is monotone but for a few tokens at the cut, so the found cut is checked once more.
    let fitting = cuts.partition_point(fits);
    let cut = *cuts[..fitting].iter().rev().find(|cut| **cut > 0 && fits(cut))?;
    let head = head_at(cut);
    if head.text.trim().is_empty() {
        return None;
    }
    let tail = &passage.text[cut..];
    let Citation { doc, start, heading, .. } = &passage.citation;
    let rest = Dropped {
        citation: Citation::new(doc, start + cut, tail, heading),
        tokens: counter.count(tail),
        reason: DropReason::Shortened,
    };
    let tokens = counter.count(&head.render());
    Some((head, tokens, rest))
}

fn head(passage: &Passage, text: &str) -> Passage {
    let Citation { doc, start, heading, .. } = &passage.citation;
    Passage {
        citation: Citation::new(doc, *start, text, heading),
        text: text.to_owned(),
        score: passage.score,
    }
}
