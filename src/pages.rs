//! The pages of `docs/errors`, put into the program when it was built.

/// A page: its code and its text.
pub(crate) type Page = (&'static str, &'static str);

/// All pages, in the order of their codes.
pub(crate) static PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of a code, in any case, with or without `SW-`.
pub(crate) fn page(code: &str) -> Option<&'static Page> {
    let wanted = normal(code);
    PAGES.iter().find(|(code, _)| *code == wanted)
}

/// A code as pages spell it.
pub(crate) fn normal(code: &str) -> String {
    let code = code.trim().to_ascii_uppercase();
    if code.starts_with("SW-") { code } else { format!("SW-{code}") }
}

/// The words after the code in the first line.
pub(crate) fn title(page: &Page) -> &'static str {
    let first = page.1.lines().next().unwrap_or_default();
    first.split_once(": ").map_or(first, |(_, title)| title)
}
