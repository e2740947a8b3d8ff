//! What a person is told whose answer does not fit.

use statewright_engine_core::Data;

/// Why an answer is not an `A`, for the person who gave it: the answer is shown as JSON, since nobody reads bytes.
pub(crate) fn misfit<A: Data>(answer: &[u8]) -> String {
    let expected = without_modules(std::any::type_name::<A>());
    let Ok(value) = rmp_serde::from_slice::<serde_json::Value>(answer) else {
        return format!("it is not of the type `{expected}`");
    };
    let shown = shortened(&value.to_string());
    match serde_json::from_value::<A>(value) {
        Ok(_) => format!("`{shown}` is not of the type `{expected}`"),
        Err(why) => format!("`{shown}` is not of the type `{expected}`: {}", shortened(&why.to_string())),
    }
}

/// The beginning of a text that may be as long as somebody likes.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `Option<String>` for `core::option::Option<alloc::string::String>`.
fn without_modules(type_name: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let type_name = type_name.replace("{{closure}}", "");
    let mut short = String::new();
    for piece in type_name.split_inclusive(|c: char| !is_path(c)) {
        short.push_str(piece.rsplit("::").next().unwrap_or(piece));
    }
    short
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    fn said<A: Data>(answer: &impl Serialize) -> String {
        misfit::<A>(&rmp_serde::to_vec_named(answer).unwrap())
    }

    #[test]
    fn an_answer_that_does_not_fit_is_explained_in_words() {
        #[derive(Clone, Serialize, serde::Deserialize)]
        struct Approval {
            yes: bool,
        }
        assert_eq!(
            said::<String>(&17),
            "`17` is not of the type `String`: invalid type: integer `17`, expected a string"
        );
        assert_eq!(
            said::<bool>(&"perhaps"),
            "`\"perhaps\"` is not of the type `bool`: invalid type: string \"perhaps\", expected a boolean"
        );
        let map = BTreeMap::from([("no", true)]);
        assert_eq!(
            said::<Approval>(&map),
            "`{\"no\":true}` is not of the type `Approval`: missing field `yes`"
        );
        assert!(
            said::<Option<Vec<Approval>>>(&1).starts_with("`1` is not of the type `Option<Vec<Approval>>`: ")
        );
        assert!(said::<(u8, Approval)>(&1).starts_with("`1` is not of the type `(u8, Approval)`: "));
        assert_eq!(misfit::<bool>(&[0xc1]), "it is not of the type `bool`");
    }

    #[test]
    fn an_answer_is_not_repeated_at_length() {
        let long = said::<bool>(&"ä".repeat(5_000));
        assert!(long.chars().count() < 500, "{long}");
    }
}
