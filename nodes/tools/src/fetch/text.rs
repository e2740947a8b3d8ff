//! What a page says, as text. It knows no network.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use reqwest::Url;

use crate::bounded::bounded;

/// How wide text is set, in characters. Only tables are as wide as this matters to.
const WIDTH: usize = 120;
/// How far into a page its charset and its title are looked for, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Tags within tags, in a page that is read as HTML.
const NESTING_MAX: usize = 500;

/// What kind of text a page is, and in which charset it says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    format: Format,
    charset: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Plain,
    /// Nobody said; it shows.
    Unknown,
}

impl Kind {
    /// The kind by the `Content-Type`, or what it is if it is no text.
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, String> {
        let mut parts = content_type.unwrap_or_default().split(';');
        let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
        });
        let format = match name.as_str() {
            "" => Format::Unknown,
            "text/html" | "application/xhtml+xml" => Format::Html,
            "application/json"
            | "application/xml"
            | "application/javascript"
            | "application/x-ndjson"
            | "application/yaml" => Format::Plain,
            name if name.starts_with("text/") || name.ends_with("+json") || name.ends_with("+xml") => {
                Format::Plain
            }
            name => return Err(name.chars().take(60).collect()),
        };
        Ok(Self { format, charset })
    }
}

/// A page for a model: where it is, its title, and its text.
pub(super) fn page(url: &Url, kind: &Kind, bytes: &[u8], is_whole: bool, bytes_max: usize) -> String {
    let text = decode(bytes, kind.charset.as_deref(), kind.format != Format::Plain);
    let is_html = match kind.format {
        Format::Html => true,
        Format::Plain => false,
        Format::Unknown => looks_like_html(&text),
    };
    let mut page = format!("URL: {url}\n");
    if is_html {
        if let Some(title) = title(&text) {
            page.push_str(&format!("Title: {title}\n"));
        }
        page.push('\n');
        page.push_str(&readable(&text));
    } else {
        page.push('\n');
        page.push_str(&text);
    }
    if !is_whole {
        page.push_str(&format!("\n[the page is longer: its first {} bytes were read]", bytes.len()));
    }
    bounded(page, bytes_max)
}

/// The text of the bytes: by a mark at their beginning, else as the server or else the page says, else by their looks.
/// Source: WHATWG Encoding and HTML, "determining the character encoding".
fn decode(bytes: &[u8], charset: Option<&str>, may_be_html: bool) -> String {
    let label = |label: &str| Encoding::for_label(label.as_bytes());
    let declared = || may_be_html.then(|| declared_charset(bytes)).flatten();
    let guess = || {
        if std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some()) {
            WINDOWS_1252
        } else {
            UTF_8
        }
    };
    let encoding = charset.and_then(label).or_else(declared).unwrap_or_else(guess);
    let (text, _, _) = encoding.decode(bytes);
    text.into_owned()
}

/// What a `<meta charset=…>` near the beginning says.
fn declared_charset(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1_024)]).to_ascii_lowercase();
    let (_, after) = head.split_once("<meta")?;
    let (_, after) = after.split_once("charset=")?;
    let after = after.trim_start_matches(['"', '\'', ' ']);
    let name = after.split(['"', '\'', ' ', '>', ';', '/']).next()?;
    let encoding = Encoding::for_label(name.as_bytes())?;
    // A page that can be read this far is not UTF-16, whatever it says.
    let is_wide = encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE;
    Some(if is_wide { UTF_8 } else { encoding })
}

fn looks_like_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| start.starts_with(tag))
}

/// The text between the first `<title>` and its end, on one line.
fn title(html: &str) -> Option<String> {
    let head = &html[..html.floor_char_boundary(HEAD_BYTES)];
    let lower = head.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let plain = html2text::config::plain_no_decorate().string_from_read(&head.as_bytes()[start..end], 500);
    let words: Vec<&str> = plain.as_deref().ok()?.split_whitespace().collect();
    let title: String = words.join(" ").chars().take(300).collect();
    (!title.is_empty()).then_some(title)
}

/// The readable text of a page. What is nested absurdly deep is shown without its tags.
fn readable(html: &str) -> String {
    if is_deep(html) {
        return without_tags(html);
    }
    let config = html2text::config::plain()
        .link_footnotes(true)
        .allow_width_overflow()
        .no_table_borders()
        .no_link_wrapping();
    let text = config.string_from_read(html.as_bytes(), WIDTH).unwrap_or_else(|_| without_tags(html));
    squeezed(&text)
}

/// Whether tags stand within tags so deeply that laying them out could take very long. A rough count is enough: a page
/// that people read comes nowhere near.
fn is_deep(html: &str) -> bool {
    let bytes = html.as_bytes();
    let mut depth = 0_usize;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<') {
        match bytes.get(at + 1) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(next) if next.is_ascii_alphabetic() => {
                let name = &bytes[at + 1..bytes.len().min(at + 12)];
                depth += usize::from(!is_void(name));
            }
            _ => {}
        }
        if depth > NESTING_MAX {
            return true;
        }
    }
    false
}

/// Tags that have no end, or whose end is often left out.
fn is_void(rest: &[u8]) -> bool {
    const NAMES: [&str; 14] =
        ["br", "hr", "img", "input", "link", "meta", "p", "li", "td", "tr", "th", "dt", "dd", "option"];
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
    NAMES.iter().any(|name| rest[..end].eq_ignore_ascii_case(name.as_bytes()))
}

fn without_tags(html: &str) -> String {
    let mut text = html.split('<').next().unwrap_or_default().to_owned();
    for piece in html.split('<').skip(1) {
        if !text.ends_with(char::is_whitespace) {
            text.push(' ');
        }
        text.push_str(piece.split_once('>').map_or("", |(_, after)| after));
    }
    squeezed(&text)
}

/// Without spaces at the ends of lines, and without more than one empty line at a time.
fn squeezed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 1;
    for line in text.lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}
