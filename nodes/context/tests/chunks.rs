//! What every cutting of Markdown must keep, whatever the text.

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};
use statewright_nodes_context::chunk::{Chunk, FENCE_LENGTH_MAX, LENGTH_TARGET, chunks, length};
use std::ops::Range;
use std::sync::Arc;

fn cut(text: &str) -> Vec<Chunk> {
    chunks(&Arc::from("a.md"), text)
}

#[derive(Clone, Debug)]
enum Block {
    Heading(u8, String),
    Setext(String),
    Prose(Vec<String>),
    List(Vec<String>),
    Fence(Vec<String>),
    ListWithFence(String, Vec<String>),
    Quote(String),
    Table(Vec<String>),
}

/// Whether a block may be in a chunk (`false`: a heading), with its text.
fn written(block: &Block) -> (bool, String) {
    match block {
        Block::Heading(level, title) => (false, format!("{} {title}", "#".repeat(usize::from(*level)))),
        Block::Setext(title) => (false, format!("{title}\n====")),
        Block::Prose(sentences) => (true, sentences.join(" ")),
        Block::List(items) => (true, items.iter().map(|i| format!("- {i}\n")).collect()),
        Block::Fence(lines) => (true, format!("```\n{}\n```", lines.join("\n"))),
        Block::ListWithFence(item, lines) => {
            let code: String = lines.iter().map(|line| format!("  {line}\n")).collect();
            (true, format!("- {item}\n\n  ```\n{code}  ```"))
        }
        Block::Quote(text) => (true, format!("> {text}")),
        Block::Table(rows) => {
            let rows: String = rows.iter().map(|row| format!("| {row} | x |\n")).collect();
            (true, format!("| a | b |\n|---|---|\n{rows}"))
        }
    }
}

fn block() -> impl Strategy<Value = Block> {
    let words = |range| prop::collection::vec("[a-zé]{1,9}", range).prop_map(|words| words.join(" "));
    let sentence = move || words(1..20).prop_map(|text| format!("X{text}."));
    let code = || {
        prop::collection::vec("[a-z# .]{1,30}", 0..120).prop_map(|lines: Vec<String>| {
            lines.into_iter().map(|line| format!("c{line}")).collect::<Vec<_>>()
        })
    };
    prop_oneof![
        2 => (1_u8..=6, words(1..4)).prop_map(|(level, title)| Block::Heading(level, title)),
        1 => words(1..4).prop_map(Block::Setext),
        3 => prop::collection::vec(sentence(), 1..40).prop_map(Block::Prose),
        1 => prop::collection::vec(sentence(), 1..40).prop_map(Block::List),
        2 => code().prop_map(Block::Fence),
        1 => (sentence(), code()).prop_map(|(item, lines)| Block::ListWithFence(item, lines)),
        1 => sentence().prop_map(Block::Quote),
        1 => prop::collection::vec(words(1..20), 1..30).prop_map(Block::Table),
    ]
}

fn assert_disjoint_and_exact(text: &str, chunks: &[Chunk]) -> Result<(), TestCaseError> {
    let mut end = 0;
    for chunk in chunks {
        prop_assert_eq!(text.get(chunk.range.clone()), Some(chunk.text.as_str()));
        prop_assert!(chunk.range.start >= end, "chunks overlap");
        prop_assert!(!chunk.text.trim().is_empty(), "a blank chunk");
        end = chunk.range.end;
    }
    Ok(())
}

/// Checks that each byte of text is in a chunk exactly if it is in none of `headings`, white space apart.
fn assert_covers(text: &str, chunks: &[Chunk], headings: &[Range<usize>]) -> Result<(), TestCaseError> {
    let mut marks = vec![(false, false); text.len()];
    for range in headings {
        marks[range.clone()].iter_mut().for_each(|mark| mark.0 = true);
    }
    for chunk in chunks {
        marks[chunk.range.clone()].iter_mut().for_each(|mark| mark.1 = true);
    }
    for (at, _) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let (in_heading, in_chunk) = marks[at];
        prop_assert_eq!(in_chunk, !in_heading, "byte {} of {:?}", at, text);
    }
    Ok(())
}

fn headings_by_parser(text: &str) -> Vec<Range<usize>> {
    let mut depth = 0;
    let mut headings = Vec::new();
    let options = Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 && matches!(tag, Tag::Heading { .. }) {
                    headings.push(range);
                }
                depth += 1;
            }
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    headings
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn generated_documents(blocks in prop::collection::vec(block(), 0..12)) {
        let (mut text, mut headings, mut fences) = (String::new(), Vec::new(), Vec::new());
        for block in &blocks {
            let (is_text, part) = written(block);
            let start = text.len();
            text.push_str(&part);
            if !is_text {
                headings.push(start..text.len());
            }
            if let Block::Fence(_) | Block::ListWithFence(..) = block {
                fences.push(start + part.find("```").unwrap_or(0)..text.len());
            }
            text.push_str("\n\n");
        }
        let chunks = cut(&text);
        assert_disjoint_and_exact(&text, &chunks)?;
        assert_covers(&text, &chunks, &headings)?;
        for chunk in &chunks {
            prop_assert!(length(&chunk.text) <= FENCE_LENGTH_MAX + 40, "{}", length(&chunk.text));
            if !chunk.text.contains("```") && !fences.iter().any(|f| f.contains(&chunk.range.start)) {
                prop_assert!(length(&chunk.text) <= LENGTH_TARGET + 40, "{}", length(&chunk.text));
            }
        }
        for fence in fences.iter().filter(|f| length(&text[(*f).clone()]) <= FENCE_LENGTH_MAX) {
            let with_parts = chunks.iter().filter(|c| c.range.start < fence.end && fence.start < c.range.end);
            prop_assert_eq!(with_parts.count(), 1, "a code block was cut");
        }
    }

    #[test]
    fn any_text(text in "([#>`~=|-]{0,4} ?[a-z0-9é\u{3000}.]{0,8}[ \t\r]{0,5}\n?){0,60}") {
        let chunks = cut(&text);
        assert_disjoint_and_exact(&text, &chunks)?;
        assert_covers(&text, &chunks, &headings_by_parser(&text))?;
    }

    #[test]
    fn any_unicode(text in "\\PC{0,400}") {
        let chunks = cut(&text);
        assert_disjoint_and_exact(&text, &chunks)?;
        assert_covers(&text, &chunks, &headings_by_parser(&text))?;
    }
}

#[test]
fn sections_know_their_headings() {
    let text = "\u{feff}# One\nfirst\n\n## Two *b* `c`\n\n### Empty\n### Three\nsecond\n\n## Four\nthird\n\nFive\n====\nlast\n";
    let found: Vec<_> = cut(text).into_iter().map(|chunk| (chunk.text, chunk.headings.join(" > "))).collect();
    let expected =
        [("first", "One"), ("second", "One > Two b c > Three"), ("third", "One > Four"), ("last", "Five")];
    assert_eq!(found, expected.map(|(text, path)| (text.to_owned(), path.to_owned())));
}

#[test]
fn a_hash_in_a_code_block_is_no_heading_and_front_matter_is_text() {
    let text = "---\ntitle: t\n---\n# Top\n```sh\n# comment\n```\n";
    let found: Vec<_> = cut(text).into_iter().map(|chunk| (chunk.text, chunk.headings.len())).collect();
    assert_eq!(found, [("---\ntitle: t\n---".to_owned(), 0), ("```sh\n# comment\n```".to_owned(), 1)]);
}

#[test]
fn long_texts_are_cut_at_the_weakest_place_that_suffices() {
    let sentence = "Some words make a sentence here. ";
    let paragraphs = format!("{}\n\n{}\n\n{}", sentence.repeat(20), sentence.repeat(20), sentence.repeat(20));
    assert!(cut(&paragraphs).iter().all(|chunk| chunk.text.ends_with("here.")));
    assert_eq!(cut(&paragraphs).len(), 3);

    let one_paragraph = sentence.repeat(100);
    assert_eq!(cut(&one_paragraph).len(), 3);
    assert!(cut(&one_paragraph).iter().all(|chunk| chunk.text.ends_with("here.")));

    let words = "word ".repeat(1_000);
    assert!(cut(&words).iter().all(|chunk| length(&chunk.text) == LENGTH_TARGET));

    let one_run = "é".repeat(50_000);
    assert!(cut(&one_run).iter().all(|chunk| length(&chunk.text) <= LENGTH_TARGET));

    let list = format!("- {}\n", sentence.repeat(5)).repeat(30);
    assert!(cut(&list).iter().all(|chunk| chunk.text.starts_with("- ")));

    let code = format!("```\n{}```\n", "let x = compute(1, 2);\n".repeat(400));
    let pieces = cut(&code);
    assert!(pieces.len() > 1 && pieces.iter().all(|c| length(&c.text) <= FENCE_LENGTH_MAX));
    assert!(pieces.iter().skip(1).all(|c| c.text.starts_with("let")), "cut at line ends");
}
