//! `explain`: the page of an error code, or the list of all codes.

use serde_json::{Value, json};

use super::args::ExplainArgs;
use super::{Exit, Shell};
use crate::error::{CliError, nearest};
use crate::pages::{self, PAGES};

pub(crate) fn explain(shell: &Shell<'_>, args: &ExplainArgs) -> Result<Exit, CliError> {
    let Some(given) = &args.code else {
        list(shell);
        return Ok(Exit::Finished);
    };
    let page = pages::page(given).ok_or_else(|| CliError::UnknownCode {
        nearest: nearest(&pages::normal(given), PAGES.iter().map(|(code, _)| (*code).to_owned())),
        given: given.clone(),
    })?;
    if shell.out.json {
        shell.out.object(&json!({ "code": page.0, "title": pages::title(page), "page": page.1 }));
    } else {
        shell.out.text(&marked(shell, page.1));
    }
    Ok(Exit::Finished)
}

fn list(shell: &Shell<'_>) {
    if shell.out.json {
        let codes: Vec<Value> =
            PAGES.iter().map(|page| json!({ "code": page.0, "title": pages::title(page) })).collect();
        shell.out.object(&json!({ "codes": codes }));
        return;
    }
    let rows: Vec<Vec<String>> =
        PAGES.iter().map(|page| vec![page.0.to_owned(), pages::title(page).to_owned()]).collect();
    shell.out.table(&["code", "what happened"], &rows);
}

/// Headings stand out where colours are on; the rest of the Markdown reads well as it is.
fn marked(shell: &Shell<'_>, page: &str) -> String {
    let mut is_code = false;
    let lines = page.lines().map(|line| {
        is_code ^= line.starts_with("```");
        match line.trim_start_matches('#') {
            heading if heading.len() < line.len() && !is_code => shell.out.bold(heading.trim_start()),
            _ => line.to_owned(),
        }
    });
    lines.map(|line| line + "\n").collect()
}
