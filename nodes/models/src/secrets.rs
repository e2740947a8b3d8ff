//! Takes secrets out of texts that are kept or logged: values of the environment whose names look like secrets, and
//! what looks like a key by its form. Not encryption, and no promise about secrets of other forms.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// What stands in the place of a secret.
pub const SECRET: &str = "[secret]";

/// The shortest value of the environment that is taken for a secret, in bytes: a shorter one occurs in any text.
pub const VALUE_BYTES_MIN: usize = 8;

/// Words of a variable's name, between underscores, that make its value a secret.
const SECRET_WORDS: &[&str] = &[
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "KEYS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PGPASSWORD",
    "PWD",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
];

/// What looks like a secret; what stands before the group `secret` stays.
const FORMS: &[&str] = &[
    // Keys by the prefix that their issuer gives them.
    r"\b(?P<secret>(?:sk|pk|rk|tvly|xai|gsk|hf|ghp|gho|ghs|github_pat|glpat|xox[abprs])[-_][A-Za-z0-9_\-]{16,})",
    r"\b(?P<secret>AKIA[0-9A-Z]{16})\b",
    r"\b(?P<secret>AIza[0-9A-Za-z_\-]{30,})",
    // Headers, as they are or in JSON.
    r#"(?i)(?P<before>\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?P<secret>(?:(?:bearer|basic|digest|token)\s+)?[A-Za-z0-9._~+/=\-]{8,})"#,
    r#"(?i)(?P<before>\b(?:x-)?api[-_]?key["']?\s*[:=]\s*["']?)(?P<secret>[A-Za-z0-9._~+/=\-]{8,})"#,
    r"(?i)(?P<before>\bbearer\s+)(?P<secret>[A-Za-z0-9._~+/=\-]{16,})",
    // The password of a URL.
    r"(?P<before>\b[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/:@]*:)(?P<secret>[^\s/@]+)(?P<after>@)",
    r"(?P<secret>-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z))",
];

static PATTERNS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| FORMS.iter().filter_map(|form| Regex::new(form).ok()).collect());

/// Takes secrets out of texts. Doing it twice changes nothing more.
///
/// ```
/// use statewright_nodes_models::Scrubber;
/// let scrubber = Scrubber::new([("SEARCH_TOKEN".to_owned(), "a-b-c-d-e".to_owned())]);
/// assert_eq!(scrubber.text("GET /?t=a-b-c-d-e"), "GET /?t=[secret]");
/// assert_eq!(scrubber.text("Authorization: Bearer abcdefgh"), "Authorization: [secret]");
/// ```
#[derive(Clone, Default)]
pub struct Scrubber {
    /// Longest first, so that a value that is part of another one leaves no rest of it.
    values: Vec<String>,
}

impl Scrubber {
    /// For these variables of the environment, such as `std::env::vars()`. Those whose names do not look like secrets
    /// are left alone, and so are values shorter than [`VALUE_BYTES_MIN`].
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let secrets =
            environment.into_iter().filter(|(name, _)| is_secret_name(name)).map(|(_, value)| value);
        let secrets = secrets.filter(|value| value.trim().len() >= VALUE_BYTES_MIN && !is_placeholder(value));
        let mut values: Vec<String> = secrets.flat_map(|value| spellings(value.trim())).collect();
        values.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        values.dedup();
        Self { values }
    }

    /// For the variables of this process. What is not UTF-8 is left alone.
    #[must_use]
    pub fn of_process() -> Self {
        let known = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::new(known)
    }

    /// The text with [`SECRET`] in the place of each secret.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = Cow::Owned(text.replace(value.as_str(), SECRET));
            }
        }
        for pattern in PATTERNS.iter() {
            if let Cow::Owned(scrubbed) = pattern.replace_all(&text, without) {
                text = Cow::Owned(scrubbed);
            }
        }
        text
    }

    /// All texts within the value, names of fields too.
    #[must_use]
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text).into_owned()),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => Value::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (self.text(&name).into_owned(), self.json(value)))
                    .collect(),
            ),
            other => other,
        }
    }
}

/// What it knows is not for logs.
impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrubber").field("values", &self.values.len()).finish()
    }
}

fn without(found: &Captures<'_>) -> String {
    let part = |name| found.name(name).map_or("", |part| part.as_str());
    format!("{}{SECRET}{}", part("before"), part("after"))
}

fn is_secret_name(name: &str) -> bool {
    // `PWD` alone is the working folder of every shell.
    let name = name.to_ascii_uppercase();
    name != "PWD" && name != "OLDPWD" && name.split('_').any(|word| SECRET_WORDS.contains(&word))
}

/// Whether the value would be found in what is left of it.
fn is_placeholder(value: &str) -> bool {
    SECRET.contains(value.trim())
}

/// The value as it is, and as it stands inside JSON or a debug output.
fn spellings(value: &str) -> Vec<String> {
    let escaped = Value::from(value).to_string();
    let escaped = escaped[1..escaped.len() - 1].to_owned();
    if escaped == value { vec![escaped] } else { vec![value.to_owned(), escaped] }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scrubber() -> Scrubber {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Scrubber::new([
            pair("MY_API_KEY", "canary-1234567890"),
            pair("DB_PASSWORD", "pa\"ss\\word 1"),
            pair("GITHUB_TOKEN", " canary-1234567890-and-more\n"),
            pair("KEYBOARD", "qwerty-layout"),
            pair("PWD", "/a/long/folder"),
            pair("SHORT_KEY", "abc"),
        ])
    }

    #[test]
    fn values_of_variables_that_look_like_secrets_go_and_others_stay() {
        let scrubber = scrubber();
        for (text, expected) in [
            ("x canary-1234567890 y", "x [secret] y"),
            ("canary-1234567890-and-more", "[secret]"),
            (r#"pa"ss\word 1"#, "[secret]"),
            (r#"{"p":"pa\"ss\\word 1"}"#, r#"{"p":"[secret]"}"#),
            ("qwerty-layout in /a/long/folder: abc", "qwerty-layout in /a/long/folder: abc"),
        ] {
            assert_eq!(scrubber.text(text), expected);
        }
        assert_eq!(
            scrubber.json(json!({"canary-1234567890": ["canary-1234567890", 1, null]})),
            json!({"[secret]": ["[secret]", 1, null]})
        );
        assert_eq!(format!("{scrubber:?}"), "Scrubber { values: 4 }");
    }

    #[test]
    fn what_has_the_form_of_a_secret_goes_without_any_environment() {
        let scrubber = Scrubber::default();
        for (text, expected) in [
            ("key sk-proj-0123456789abcdef_XYZ.", "key [secret]."),
            ("ghp_0123456789abcdefABCDEF", "[secret]"),
            ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
            ("Authorization: Bearer abc.def-ghi", "Authorization: [secret]"),
            (r#"{"authorization":"Basic dXNlcjpwYXNz"}"#, r#"{"authorization":"[secret]"}"#),
            ("x-api-key: 0123456789", "x-api-key: [secret]"),
            ("api_key=0123456789&q=1", "api_key=[secret]&q=1"),
            ("a bearer abcdefghijklmnop", "a bearer [secret]"),
            ("postgres://me:hunter2@host/db", "postgres://me:[secret]@host/db"),
            ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- x", "[secret] x"),
            (
                "the bearer of news, risk-averse, sk-learn, https://host:80/a@b",
                "the bearer of news, risk-averse, sk-learn, https://host:80/a@b",
            ),
            ("Authorization: none", "Authorization: none"),
        ] {
            let once = scrubber.text(text).into_owned();
            assert_eq!(once, expected);
            assert_eq!(scrubber.text(&once), once, "twice is once");
        }
        assert_eq!(PATTERNS.len(), FORMS.len(), "each form is a regular expression");
    }
}
