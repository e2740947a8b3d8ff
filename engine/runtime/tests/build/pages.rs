//! Every code that a user can meet has a page.

use std::path::Path;

/// Every stable code in the sources of the engine that this crate's users can meet.
fn codes() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut codes = Vec::new();
    for room in ["core/src", "runtime/src"] {
        let mut folders = vec![root.join(room)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(path).unwrap();
                for prefix in ["SW-G1", "SW-X2"] {
                    codes.extend(text.match_indices(prefix).map(|(at, _)| text[at..at + 7].to_owned()));
                }
            }
        }
    }
    codes.sort();
    codes.dedup();
    codes
}

#[test]
fn every_code_has_a_page_with_its_sections() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let codes = codes();
    assert!(codes.len() > 30, "{codes:?}");
    for code in codes {
        let page = std::fs::read_to_string(pages.join(format!("{code}.md"))).unwrap_or_default();
        assert!(page.starts_with(&format!("# {code}: ")), "docs/errors/{code}.md has no title");
        for section in ["## What happened", "## Why", "## What to do"] {
            assert!(page.contains(section), "docs/errors/{code}.md has no section `{section}`");
        }
        assert!(page.contains(&format!("[{code}]")), "docs/errors/{code}.md shows no example");
    }
}
