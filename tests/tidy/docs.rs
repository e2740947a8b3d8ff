//! Documents that stay true: a page for each error code, links that lead somewhere, decisions of a page, tests that
//! exist under the names that a document gives them.

use std::collections::{BTreeMap, BTreeSet};

use super::project::{Finding, Project, Text};

/// The longest a decision may be, in lines.
const DECISION_LINES_MAX: usize = 70;
/// The headings of a page about an error.
const PAGE_HEADINGS: &[&str] = &["## What happened", "## Why", "## What to do"];

/// Every code in a source has a page of the right shape, and every page is about a code that a source has.
pub(crate) fn error_pages(project: &Project) -> Vec<Finding> {
    let mut codes: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for text in project.texts.iter().filter(|text| text.is_source()) {
        for (line, content) in text.lines().take(text.lines_without_tests()) {
            for code in codes_in(content) {
                codes.entry(code).or_insert((&text.path, line));
            }
        }
    }
    let mut findings = Vec::new();
    for (code, (file, line)) in &codes {
        if project.get(&format!("docs/errors/{code}.md")).is_none() {
            let words = format!("{code} has no page; write docs/errors/{code}.md");
            findings.push(Finding::new(file, *line, words));
        }
    }
    for page in project.texts.iter().filter(|text| text.path.starts_with("docs/errors/SW-")) {
        let code = page.path.trim_start_matches("docs/errors/").trim_end_matches(".md");
        if !codes.contains_key(code) {
            let words = "no source has this code; delete the page, or give the error its code";
            findings.push(Finding::new(&page.path, 0, words));
        }
        if !page.text.starts_with(&format!("# {code}: ")) {
            findings.push(Finding::new(
                &page.path,
                1,
                format!("the title does not begin with `# {code}: `; rename it"),
            ));
        }
        for heading in PAGE_HEADINGS.iter().filter(|heading| !page.text.lines().any(|line| line == **heading))
        {
            findings.push(Finding::new(
                &page.path,
                0,
                format!("the section `{heading}` is missing; write it"),
            ));
        }
    }
    findings
}

fn codes_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("SW-").filter_map(|(place, _)| {
        let code = line.get(place..place + 7)?;
        let (family, number) = code[3..].split_at_checked(1)?;
        let ends = !line[place + 7..].starts_with(|c: char| c.is_ascii_digit());
        ("GXNSPEC".contains(family) && number.chars().all(|c| c.is_ascii_digit()) && ends).then_some(code)
    })
}

/// A decision is a page with the four parts that a decision has.
pub(crate) fn decisions(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in
        project.texts.iter().filter(|text| text.path.starts_with("docs/decisions/") && text.is_markdown())
    {
        let lines = text.text.lines().count();
        if lines > DECISION_LINES_MAX {
            let words =
                format!("{lines} lines, more than {DECISION_LINES_MAX}; keep what the choice hangs on");
            findings.push(Finding::new(&text.path, 0, words));
        }
        for part in ["Context", "Decision", "Consequences", "What would change our mind"] {
            if !text.text.lines().any(|line| line == format!("## {part}")) {
                findings.push(Finding::new(
                    &text.path,
                    0,
                    format!("the section `## {part}` is missing; write it"),
                ));
            }
        }
    }
    findings
}

/// Links within the project lead to a file that is there, and to a heading that it has.
pub(crate) fn links(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in project.texts.iter().filter(|text| text.is_markdown()) {
        for (line, target) in links_in(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { text.path.clone() } else { resolve(&text.path, path) };
            let folder = format!("{}/", path.trim_end_matches('/'));
            let Some(found) = project.get(&path) else {
                if !project.texts.iter().any(|text| text.path.starts_with(&folder)) {
                    let words = format!("the link to `{target}` leads nowhere; there is no `{path}`");
                    findings.push(Finding::new(&text.path, line, words));
                }
                continue;
            };
            if !heading.is_empty() && found.is_markdown() && !anchors(found).contains(heading) {
                let words = format!("the link to `{target}` leads nowhere; `{path}` has no such heading");
                findings.push(Finding::new(&text.path, line, words));
            }
        }
    }
    findings
}

/// The lines of prose: code blocks are left out, code within a line is blanked.
fn prose(text: &Text) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    text.lines().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            return None;
        }
        let outside = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        (!in_code).then_some((number, outside))
    })
}

fn links_in(text: &Text) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let in_prose: BTreeSet<usize> =
        prose(text).filter(|(_, line)| line.contains("](")).map(|(n, _)| n).collect();
    for (number, line) in text.lines().filter(|(number, _)| in_prose.contains(number)) {
        for (place, _) in line.match_indices("](") {
            if let Some((target, _)) = line[place + 2..].split_once(')') {
                found.push((number, target.split(' ').next().unwrap_or(target)));
            }
        }
    }
    found
}

/// The path that a link in a file leads to.
fn resolve(file: &str, link: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The anchors that a Markdown viewer gives to the headings.
fn anchors(text: &Text) -> BTreeSet<String> {
    let headings = text.lines().map(|(_, line)| line).filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    let anchor = |line: &str| -> String {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Pages with tables that name tests.
const TABLES_OF_TESTS: &[&str] = &["docs/reliability.md", "docs/inherited-defects.md"];

/// In tables of tests every name is a test.
pub(crate) fn named_tests(project: &Project) -> Vec<Finding> {
    let rust: Vec<&Text> = project.texts.iter().filter(|text| text.is_rust()).collect();
    let mut findings = Vec::new();
    let pages = TABLES_OF_TESTS.iter().filter_map(|path| project.get(path));
    let lines = pages.flat_map(|page| page.lines().map(move |line| (page, line)));
    for (page, (line, content)) in lines.filter(|(_, (_, line))| line.starts_with('|')) {
        for name in content.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 2) {
            let function = format!("fn {name}(");
            if !rust.iter().any(|text| text.text.contains(&function)) {
                let words = format!(
                    "no test is called `{name}`; name the test that shows the promise, or withdraw it"
                );
                findings.push(Finding::new(&page.path, line, words));
            }
        }
    }
    findings
}

/// Every guide with Rust in it is a doc test: some source includes it as documentation.
pub(crate) fn guides(project: &Project) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_guide = |text: &&Text| text.path.starts_with("docs/guides/") || text.path == "README.md";
    for text in project.texts.iter().filter(is_guide).filter(|text| text.text.contains("```rust")) {
        let included = format!("{}\")", text.path);
        let is_included = |source: &Text| source.is_rust() && source.text.contains(&included);
        if !project.texts.iter().any(is_included) {
            let words = format!(
                "its Rust is not tested; write `#[doc = include_str!(\"../{}\")]` in src/lib.rs",
                text.path
            );
            findings.push(Finding::new(&text.path, 0, words));
        }
    }
    findings
}
