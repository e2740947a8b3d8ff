//! Cuts one Markdown text into chunks for retrieval. Knows neither files nor scores.
//!
//! A chunk lies within one section, that is between two headings; a heading itself is in no chunk, but each
//! chunk knows the headings above it. Longer sections are cut between blocks, then between list items,
//! table rows and nested paragraphs, then between sentences, and between words only if nothing else is left.
//! A code block is never cut up to [`FENCE_LENGTH_MAX`], and beyond that only at line ends.

use crate::sentences;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::ops::Range;
use std::sync::Arc;

/// Length to which text is cut, in words (see [`length`]).
pub const LENGTH_TARGET: usize = 200;
/// Length up to which a code block stays whole, in words.
pub const FENCE_LENGTH_MAX: usize = 600;
/// A rest shorter than this joins the chunk before it, which may then exceed the target by as much.
const REST_MIN: usize = 40;
/// Bytes of a run without white space that count as one word.
const WORD_BYTES: usize = 12;

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk {
    /// The document: its path in the folder, with `/`.
    pub doc: Arc<str>,
    /// The bytes of the document that the chunk is.
    pub range: Range<usize>,
    /// The headings above it, outermost first.
    pub headings: Arc<[String]>,
    /// Those bytes, unchanged.
    pub text: String,
}

/// The length of a text in words. A run without white space counts once per 12 bytes begun, so that a
/// minified line or a script without spaces is not "one word".
#[must_use]
pub fn length(text: &str) -> usize {
    text.split_whitespace().map(|run| run.len().div_ceil(WORD_BYTES)).sum()
}

/// The chunks of one document, in its order. They are disjoint, and together they hold everything that is
/// neither white space nor a heading (of the document itself; one inside a quotation or list is text).
#[must_use]
pub fn chunks(doc: &Arc<str>, text: &str) -> Vec<Chunk> {
    let outline = Outline::of(text);
    let mut chunks = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut from = byte_order_mark(text);
    let end = Heading { range: text.len()..text.len(), level: usize::MAX, title: String::new() };
    for heading in outline.headings.iter().chain([&end]) {
        let mut pieces = Vec::new();
        outline.split(text, from..heading.range.start, 0, &mut pieces);
        let headings: Arc<[String]> = path.iter().map(|(_, title)| title.clone()).collect();
        chunks.extend(join_rests(text, pieces).into_iter().map(|range| Chunk {
            doc: Arc::clone(doc),
            text: text[range.clone()].to_owned(),
            range,
            headings: Arc::clone(&headings),
        }));
        path.retain(|(level, _)| *level < heading.level);
        if !heading.title.is_empty() {
            path.push((heading.level, heading.title.clone()));
        }
        from = heading.range.end;
    }
    chunks
}

/// Bytes at which a text may be cut without cutting a sentence or a code block, ascending.
pub(crate) fn cuts(text: &str) -> Vec<usize> {
    let outline = Outline::of(text);
    let in_fence = |at: usize| outline.fences.iter().any(|f| f.start < at && at < f.end);
    let mut cuts: Vec<usize> = sentences::starts(text).filter(|at| !in_fence(*at)).collect();
    cuts.extend(outline.blocks.iter().chain(&outline.nested));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

struct Heading {
    range: Range<usize>,
    level: usize,
    title: String,
}

/// Where a text may be cut. All positions ascend and none lies inside a code block.
#[derive(Default)]
struct Outline {
    headings: Vec<Heading>,
    /// Line starts of the blocks of the document.
    blocks: Vec<usize>,
    /// Line starts of blocks inside of blocks, and both ends of code blocks.
    nested: Vec<usize>,
    fences: Vec<Range<usize>>,
}

impl Outline {
    fn of(text: &str) -> Self {
        // A byte order mark would hide a heading on the first line.
        let skipped = byte_order_mark(text);
        let mut outline = Self::default();
        let mut depth = 0_usize;
        let mut title: Option<String> = None;
        let options = Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
        for (event, range) in Parser::new_ext(&text[skipped..], options).into_offset_iter() {
            let range = range.start + skipped..range.end + skipped;
            match event {
                Event::Start(Tag::Heading { level, .. }) if depth == 0 => {
                    outline.headings.push(Heading { range, level: level as usize, title: String::new() });
                    title = Some(String::new());
                    depth += 1;
                }
                Event::Start(tag) => {
                    outline.add_block(text, &tag, &range, depth);
                    depth += 1;
                }
                Event::Rule if depth == 0 => outline.blocks.push(line_start(text, range.start)),
                Event::End(end) => {
                    depth = depth.saturating_sub(1);
                    if let (TagEnd::Heading(_), 0, Some(heading)) = (end, depth, outline.headings.last_mut())
                    {
                        heading.title = title.take().unwrap_or_default().trim().to_owned();
                    }
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some(title) = &mut title {
                        title.push_str(&part);
                    }
                }
                Event::SoftBreak | Event::HardBreak => {
                    if let Some(title) = &mut title {
                        title.push(' ');
                    }
                }
                _ => {}
            }
        }
        outline.settle();
        outline
    }

    fn add_block(&mut self, text: &str, tag: &Tag<'_>, range: &Range<usize>, depth: usize) {
        let start = line_start(text, range.start);
        if let Tag::CodeBlock(_) = tag {
            self.fences.push(start..range.end);
            self.nested.extend([start, range.end]);
        }
        let is_block = matches!(
            tag,
            Tag::Paragraph
                | Tag::Item
                | Tag::TableRow
                | Tag::List(_)
                | Tag::BlockQuote(_)
                | Tag::HtmlBlock
                | Tag::Heading { .. }
        );
        if depth == 0 {
            self.blocks.push(start);
        } else if is_block {
            self.nested.push(start);
        }
    }

    fn settle(&mut self) {
        let fences = &self.fences;
        for cuts in [&mut self.blocks, &mut self.nested] {
            cuts.sort_unstable();
            cuts.dedup();
            cuts.retain(|at| {
                let before = fences.partition_point(|fence| fence.start < *at);
                before.checked_sub(1).and_then(|i| fences.get(i)).is_none_or(|fence| fence.end <= *at)
            });
        }
    }

    /// Cuts a range into pieces of at most the target, by the weakest cuts that suffice.
    fn split(&self, text: &str, range: Range<usize>, strength: usize, pieces: &mut Vec<Range<usize>>) {
        let range = trim(text, range);
        if range.is_empty() {
            return;
        }
        let size = length(&text[range.clone()]);
        if size <= LENGTH_TARGET {
            pieces.push(range);
        } else if self.is_fence(&range) {
            split_fence(text, range, size, pieces);
        } else {
            let within = |cuts: &[usize]| {
                let from = cuts.partition_point(|at| *at <= range.start);
                let to = cuts.partition_point(|at| *at < range.end);
                cuts[from..to.max(from)].to_vec()
            };
            let cuts = match strength {
                0 => within(&self.blocks),
                1 => within(&self.nested),
                2 => sentences::starts(&text[range.clone()]).map(|at| range.start + at).collect(),
                _ => return split_words(text, range, LENGTH_TARGET, pieces),
            };
            gather(text, range, &cuts, LENGTH_TARGET, pieces, |part, pieces| {
                self.split(text, part, strength + 1, pieces);
            });
        }
    }

    fn is_fence(&self, range: &Range<usize>) -> bool {
        let after = self.fences.partition_point(|fence| fence.start <= range.start);
        after
            .checked_sub(1)
            .and_then(|i| self.fences.get(i))
            .is_some_and(|fence| range.start < fence.end && range.end <= fence.end)
    }
}

fn split_fence(text: &str, range: Range<usize>, size: usize, pieces: &mut Vec<Range<usize>>) {
    if size <= FENCE_LENGTH_MAX {
        pieces.push(range);
        return;
    }
    let lines = text[range.clone()].match_indices('\n').map(|(at, _)| range.start + at + 1);
    let cuts: Vec<usize> = lines.filter(|at| *at < range.end).collect();
    gather(text, range, &cuts, FENCE_LENGTH_MAX, pieces, |part, pieces| {
        split_words(text, part, FENCE_LENGTH_MAX, pieces);
    });
}

/// Joins neighbouring parts while they stay within `target`; a part that alone exceeds it goes to `split`.
fn gather(
    text: &str,
    range: Range<usize>,
    cuts: &[usize],
    target: usize,
    pieces: &mut Vec<Range<usize>>,
    mut split: impl FnMut(Range<usize>, &mut Vec<Range<usize>>),
) {
    let flush = |gathered: Range<usize>, pieces: &mut Vec<Range<usize>>| {
        let gathered = trim(text, gathered);
        if !gathered.is_empty() {
            pieces.push(gathered);
        }
    };
    let mut gathered = range.start..range.start;
    let mut gathered_length = 0;
    for end in cuts.iter().copied().chain([range.end]) {
        let part = gathered.end..end;
        let part_length = length(&text[part.clone()]);
        if gathered_length + part_length <= target {
            gathered.end = end;
            gathered_length += part_length;
            continue;
        }
        flush(gathered, pieces);
        if part_length > target {
            split(part, pieces);
            (gathered, gathered_length) = (end..end, 0);
        } else {
            (gathered, gathered_length) = (part, part_length);
        }
    }
    flush(gathered, pieces);
}

/// The last resort: cuts between words, and inside a run without white space between characters.
fn split_words(text: &str, range: Range<usize>, target: usize, pieces: &mut Vec<Range<usize>>) {
    let mut cuts = Vec::new();
    let mut run_start = range.start;
    let mut was_space = true;
    for (offset, c) in text[range.clone()].char_indices() {
        let at = range.start + offset;
        if !c.is_whitespace() && (was_space || at - run_start >= target * WORD_BYTES - c.len_utf8()) {
            run_start = at;
            cuts.push(at);
        }
        was_space = c.is_whitespace();
    }
    gather(text, range, &cuts, target, pieces, |part, pieces| pieces.push(trim(text, part)));
}

/// Joins a short rest to the piece before it.
fn join_rests(text: &str, pieces: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match joined.last_mut() {
            Some(last)
                if length(&text[piece.clone()]) < REST_MIN
                    && length(&text[last.start..piece.end]) <= LENGTH_TARGET + REST_MIN =>
            {
                last.end = piece.end;
            }
            _ => joined.push(piece),
        }
    }
    joined
}

/// Bytes of the byte order mark that a text starts with; it is no part of the text.
fn byte_order_mark(text: &str) -> usize {
    if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Takes blank lines at the start and white space at the end away; the first line keeps its indentation.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let inner = &text[range.clone()];
    let end = range.start + inner.trim_end().len();
    let first = range.start + (inner.len() - inner.trim_start().len());
    if first >= end {
        return range.start..range.start;
    }
    let start = text[range.start..first].rfind('\n').map_or(range.start, |newline| range.start + newline + 1);
    start..end
}
